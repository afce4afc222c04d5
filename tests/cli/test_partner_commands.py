"""The partner's commands over a real server."""

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from fulfillment.cli import profiles
from fulfillment.cli.partner_settings import read_changes
from fulfillment.kernel.errors import ValidationFailed
from tests import world
from tests.cli.conftest import Run
from tests.serving import ServerProcess

EPA = 77123129891


def an_order(**changes: Any) -> dict[str, Any]:
    """Return a body of createOrder for a new customer."""
    return world.an_order(world.a_line(EPA), customer=world.a_customer(sourceId=uuid.uuid4().hex), **changes)


@pytest.fixture
def order_file(home: Path) -> Path:
    """A file with an order."""
    path = home / "order.json"
    path.write_text(json.dumps(an_order()))
    return path


def _created(run: Run, file: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(run("orders", "create", "--from", file, "--json").out)
    return made


def test_login_keeps_checked_credentials_for_the_owner_only(run: Run, server: ServerProcess, home: Path):
    """login asks the API who it is, and keeps the credentials in a file of mode 0600 in a folder of mode 0700."""
    ran = run("login", "--profile", "demo", "--from", server.folder / "demo.json")

    file = home / "config" / "juniper" / "demo.json"
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"You are Acme Health at {server.url}/v1.")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["client_id"] == server.demo["client_id"]
    assert server.demo["client_secret"] not in ran.out


def test_login_refuses_wrong_credentials(run: Run, server: ServerProcess, home: Path, monkeypatch: pytest.MonkeyPatch):
    """Wrong credentials are exit status 3, and nothing is kept."""
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))

    ran = run("login", "--api-url", server.url + "/v1", "--client-id", server.demo["client_id"])

    assert ran.status == 3
    assert "refused the credentials" in ran.err
    assert not (home / "config").exists()


def test_login_reads_the_secret_from_standard_input(run: Run, server: ServerProcess, monkeypatch: pytest.MonkeyPatch):
    """Without a terminal the secret is a line of standard input; the token's address is beside the API's."""
    monkeypatch.setattr("sys.stdin", io.StringIO(server.demo["client_secret"] + "\n"))

    ran = run("login", "--api-url", server.url + "/v1/", "--client-id", server.demo["client_id"])

    assert ran.status == 0
    assert profiles.find(None).token_url == server.url + "/oauth2/token"


def test_logout_forgets(logged_in: Run):
    """After logout nobody is logged in."""
    assert logged_in("logout").out == "'default' is forgotten.\n"
    assert logged_in("logout").out == "There is no login 'default'.\n"
    assert logged_in("products", "search", "omega").status == 3


def test_without_a_login_a_command_says_what_to_do(run: Run):
    """A partner's command without a login is exit status 3 and names the command that helps."""
    ran = run("products", "search", "omega")

    assert (ran.status, ran.out) == (3, "")
    assert "fulfillment login" in ran.err


def test_the_environment_stands_in_for_a_login(run: Run, server: ServerProcess, monkeypatch: pytest.MonkeyPatch):
    """JUNIPER_API_URL and its fellows are enough, as in CI."""
    for name in ("api_url", "token_url", "client_id", "client_secret"):
        monkeypatch.setenv(f"JUNIPER_{name.upper()}", server.demo[name])

    assert "Acme Health" in run("settings", "show").out


def test_in_a_sandboxs_folder_the_demo_partner_is_meant(run: Run, server: ServerProcess, home: Path):
    """Without a login a command speaks for the demo partner of ./var; a profile that is named must be there."""
    (home / "var").symlink_to(server.folder)

    assert "Acme Health" in run("settings", "show").out
    assert run("settings", "show", "--profile", "default").status == 3


def test_a_profile_is_chosen_by_name(run: Run, server: ServerProcess, monkeypatch: pytest.MonkeyPatch):
    """--profile and JUNIPER_PROFILE choose a login; a name that can't be a file's is refused."""
    run("login", "--profile", "other", "--from", server.folder / "demo.json")

    assert run("settings", "show").status == 3
    assert run("settings", "show", "--profile", "other").status == 0
    monkeypatch.setenv("JUNIPER_PROFILE", "other")
    assert run("settings", "show").status == 0
    assert run("settings", "show", "--profile", "../other").status == 3


def test_an_order_is_created_shown_listed_and_cancelled(logged_in: Run, order_file: Path):
    """create makes an order, show and list find it, cancel cancels it, and a second cancel is refused."""
    made = _created(logged_in, order_file)

    shown = json.loads(logged_in("orders", "show", made["id"], "--json").out)
    people = logged_in("orders", "show", made["id"]).out
    listed = json.loads(logged_in("orders", "list", "--limit", 3, "--json").out)
    cancelled = json.loads(logged_in("orders", "cancel", made["id"], "--json").out)
    again = logged_in("orders", "cancel", made["id"])

    assert shown == made
    assert "John Doe" in people
    assert "Elite EPA" in people
    assert made["id"] in [order["id"] for order in listed]
    assert len(listed) <= 3
    assert cancelled["status"] == "CANCELLED"
    assert again.status == 1
    assert "order_not_cancellable" in again.err


def test_a_key_makes_one_order(logged_in: Run, order_file: Path):
    """create with the same key twice is one order."""
    words = ("orders", "create", "--from", order_file, "--idempotency-key", uuid.uuid4().hex, "--json")

    assert logged_in(*words).out == logged_in(*words).out


def test_a_refused_order_names_every_fault(logged_in: Run, home: Path):
    """A wrong order is exit status 1 with each fault's place on standard error and nothing on standard output."""
    (home / "wrong.json").write_text(json.dumps(an_order(daysSupply=31, shippingMethod="PIGEON")))

    ran = logged_in("orders", "create", "--from", home / "wrong.json", "--json")

    assert (ran.status, ran.out) == (1, "")
    assert "/daysSupply:" in ran.err
    assert "/shippingMethod:" in ran.err
    assert "request id" in ran.err


@pytest.mark.parametrize("text", ["", "[1]", "{", None])
def test_a_file_that_is_no_order_is_refused(logged_in: Run, home: Path, text: str | None):
    """A file that is missing, empty, no JSON or no object is a sentence and exit status 1."""
    if text is not None:
        (home / "f.json").write_text(text)

    ran = logged_in("orders", "create", "--from", home / "f.json")

    assert ran.status == 1
    assert "f.json" in ran.err


def test_an_order_comes_from_standard_input(logged_in: Run, monkeypatch: pytest.MonkeyPatch):
    """`--from -` reads standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(an_order())))

    assert json.loads(logged_in("orders", "create", "--from", "-", "--json").out)["status"] == "CREATED"


def test_a_preview_makes_nothing(logged_in: Run, home: Path, order_file: Path):
    """preview says what an order would cost or why it can't be made, and no order is there afterwards."""
    before = logged_in("orders", "list", "--json").out
    (home / "wrong.json").write_text(json.dumps(an_order(lineItems=[{"productId": 1, "quantity": 1}])))

    good = logged_in("orders", "preview", "--from", order_file)
    bad = logged_in("orders", "preview", "--from", home / "wrong.json")

    assert good.status == 0
    assert "It can be made." in good.out
    assert bad.status == 1
    assert "unknown_product" in bad.out
    assert logged_in("orders", "list", "--json").out == before


def test_watch_tells_each_change_until_the_end(logged_in: Run, order_file: Path):
    """watch prints where the order stands and ends with its delivery."""
    made = _created(logged_in, order_file)
    assert logged_in("trigger", "happy", "--order", made["id"]).status == 0

    ran = logged_in("orders", "watch", made["id"], "--every", 0.05)

    assert ran.status == 0
    assert "SHIPPED" in ran.out
    assert "Delivered" in ran.out


def test_watch_gives_up_in_time(logged_in: Run, order_file: Path):
    """watch of an order that does not move ends with exit status 7; with --json each line is the order."""
    made = _created(logged_in, order_file)

    ran = logged_in("orders", "watch", made["id"], "--every", 0.05, "--timeout", 0.2, "--json")

    assert ran.status == 7
    assert [json.loads(line)["status"] for line in ran.out.splitlines()] == ["CREATED"]


def test_watch_ends_with_a_cancellation(logged_in: Run, order_file: Path):
    """watch ends when the order is cancelled, with exit status 1 if it was to reach a status."""
    made = _created(logged_in, order_file)
    logged_in("orders", "cancel", made["id"])

    assert logged_in("orders", "watch", made["id"]).status == 0
    assert logged_in("orders", "watch", made["id"], "--until", "SHIPPED").status == 1


def test_what_is_not_there_is_exit_status_4(logged_in: Run):
    """An unknown order, product or protocol is exit status 4."""
    nobody = "2vSGym0bH8qVEwCIGlyFoRgJq1A"

    assert logged_in("orders", "show", nobody).status == 4
    assert logged_in("products", "show", 1).status == 4
    assert logged_in("protocols", "show", nobody).status == 4


def test_a_wrong_command_line_is_exit_status_2(run: Run):
    """Unknown commands, options and values are exit status 2."""
    assert run("nonsense").status == 2
    assert run("orders", "watch").status == 2
    assert run("orders", "watch", "x", "--until", "NEVER").status == 2


def test_no_answer_is_exit_status_5(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch):
    """A server that is not there is exit status 5."""
    dead = {
        "api_url": "http://127.0.0.1:9/v1",
        "token_url": "http://127.0.0.1:9/t",
        "client_id": "a",
        "client_secret": "b",
    }
    for name, value in dead.items():
        monkeypatch.setenv(f"JUNIPER_{name.upper()}", value)
    monkeypatch.setattr("fulfillment.sdk.client.time.sleep", lambda _: None)

    assert run("settings", "show").status == 5


def test_products_are_searched_with_typos(logged_in: Run):
    """search finds the fish oils by a misspelt word; show prints one product."""
    found = json.loads(logged_in("products", "search", "omgea", "--limit", 5, "--json").out)
    table = logged_in("products", "search", "fish", "oil").out

    assert len(found) == 5
    assert any("Omega" in product["name"] for product in found)
    assert "Elite EPA" in table
    assert "Elite EPA" in logged_in("products", "show", 77123129891).out


def test_a_protocol_is_kept_ordered_from_and_deleted(logged_in: Run, order_file: Path):
    """A protocol is created, found by its customer's name, ordered from with another supply, and deleted."""
    made = json.loads(logged_in("protocols", "create", "--from", order_file, "--json").out)

    listed = json.loads(logged_in("protocols", "list", "--search", "jon doe", "--json").out)
    order = json.loads(logged_in("protocols", "order", made["id"], "--days-supply", 60, "--json").out)
    shown = logged_in("protocols", "show", made["id"]).out
    deleted = logged_in("protocols", "delete", made["id"]).out

    assert made["id"] in [protocol["id"] for protocol in listed]
    assert (order["protocolId"], order["daysSupply"]) == (made["id"], 60)
    assert "John Doe" in shown
    assert deleted == f"{made['id']} is deleted.\n"
    assert logged_in("protocols", "show", made["id"]).status == 4


def test_settings_are_set_and_cleared(logged_in: Run):
    """set changes the named settings only, KEY= clears, and a wrong value is refused by the API."""
    changed = json.loads(
        logged_in("settings", "set", "primaryColor=#123456", "support-email=a@b.example", "--json").out
    )
    cleared = json.loads(logged_in("settings", "set", "primary_color=", "supportEmail=", "--json").out)
    refused = logged_in("settings", "set", "primaryColor=blue")

    assert (changed["primaryColor"], changed["supportEmail"]) == ("#123456", "a@b.example")
    assert (cleared["primaryColor"], cleared["supportEmail"]) == (None, None)
    assert refused.status == 1
    assert "/primaryColor" in refused.err


@pytest.mark.parametrize("given", [(), ("name=X",), ("primaryColor",), ("primaryColor=#123456", "id=1")])
def test_settings_that_are_none_change_nothing(given: tuple[str, ...]):
    """A pair without an equals sign, an unknown or read-only setting, or nothing at all is refused before anything."""
    with pytest.raises(ValidationFailed):
        read_changes(given)


def test_trigger_lists_and_plays_scenarios(logged_in: Run):
    """trigger alone lists the scenarios; with a name it makes an order that fares so."""
    names = [one["name"] for one in json.loads(logged_in("trigger", "--json").out)]
    order = json.loads(logged_in("trigger", "lost", "--json").out)

    assert {"happy", "lost", "recall", "stock_out"} <= set(names)
    assert "happy" in logged_in("trigger").out
    assert (order["status"], order["customer"]["sourceId"]) == ("SHIPPED", "fulfillment-trigger")
    assert order["fulfillmentInfo"]["trackingStatus"] in {"Exception", "Expired"}
    assert logged_in("trigger", "nonsense").status == 1


def test_the_log_shows_ones_own_requests(logged_in: Run):
    """logs tail shows how the last requests were answered, oldest first, with code and request id."""
    refused = logged_in("orders", "show", "2vSGym0bH8qVEwCIGlyFoRgJq1A").err
    request_id = refused.rpartition("request id ")[2].strip(") \n")

    found = _until(
        lambda: [json.loads(line) for line in logged_in("logs", "tail", "--json").out.splitlines()], request_id
    )
    line = logged_in("logs", "tail", "--status", "4xx", "--limit", 50).out

    (row,) = [row for row in found if row["requestId"] == request_id]
    assert (row["method"], row["route"], row["status"], row["code"]) == (
        "GET",
        "/v1/orders/{orderId}",
        404,
        "order_not_found",
    )
    assert [one["createdAt"] for one in found] == sorted(one["createdAt"] for one in found)
    assert request_id in line


def _until(look: Any, request_id: str) -> list[dict[str, Any]]:
    """Look until the log, which is written behind the answers, has the request."""
    import time

    for _ in range(50):
        found: list[dict[str, Any]] = look()
        if request_id in [row["requestId"] for row in found]:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{request_id} is not in the log")


def test_orders_are_the_databases_where_it_is_named(logged_in: Run, order_file: Path, server: ServerProcess):
    """orders list asks the database when it is named, although somebody is logged in, and then shows the partner."""
    made = _created(logged_in, order_file)

    rows = json.loads(logged_in("orders", "list", "--data-dir", server.folder, "--json").out)
    shown = json.loads(logged_in("orders", "show", made["id"], "--data-dir", server.folder).out)

    assert {row["id"]: row["partner_id"] for row in rows}[made["id"]] == server.demo["partner_id"]
    assert shown["id"] == made["id"]


def test_which_way_orders_are_asked(home: Path, server: ServerProcess, run: Run, monkeypatch: pytest.MonkeyPatch):
    """A named profile means the API, a named database the database, a login the API, and nothing the database."""
    assert profiles.over_api(None, None, None) is False
    assert profiles.over_api("p", Path("x"), None) is True
    run("login", "--from", server.folder / "demo.json")
    assert profiles.over_api(None, None, None) is True
    assert profiles.over_api(None, Path("x"), None) is False
    assert profiles.over_api(None, None, "postgresql:///x") is False
    monkeypatch.setenv("FULFILLMENT_DATA_DIR", "x")
    assert profiles.over_api(None, None, None) is False


def test_completion_is_made_for_the_shell(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch):
    """--install-completion writes a completion that knows the commands."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")

    ran = run("--install-completion", "--shell", "bash")

    written = "".join(path.read_text() for path in home.rglob("*") if path.is_file() and "fulfillment" in path.name)
    assert ran.status == 0
    assert "protocols" in written
