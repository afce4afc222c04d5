"""What starting costs: nothing is imported before it is needed."""

import subprocess
import sys


def _imported(statement: str) -> set[str]:
    shown = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_imports_nothing_heavy():
    """The command's front brings neither the client, nor the database's driver, nor the framework."""
    assert _imported("import fulfillment.cli.main") & {"fulfillment.sdk", "psycopg", "pydantic", "fastapi"} == set()


def test_an_api_process_draws_nothing_before_it_is_asked():
    """What draws PDFs, reads phone numbers and lists ZIP codes is not imported with the API."""
    heavy = {"reportlab", "PIL", "zxingcpp", "phonenumbers", "zipcodes"}
    assert _imported("import fulfillment.app") & heavy == set()


def test_garbage_is_looked_for_again_after_the_imports():
    """A process that the supervisor started collects garbage, seldom, and never looks at its modules."""
    shown = (
        "import gc, sys, types; module = types.ModuleType('served');"
        "module.main = lambda: print(gc.isenabled(), gc.get_freeze_count() > 5000, gc.get_threshold(), sys.argv[1:]);"
        "sys.modules['served'] = module; sys.argv = ['child', 'served', '--fd', '3'];"
        "from fulfillment.cli import child; child.main()"
    )
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True (5000, 20, 50) ['--fd', '3']"
