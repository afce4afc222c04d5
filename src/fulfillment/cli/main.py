"""The command's front: names, help, and where each noun's module is; nothing is imported before it is used."""

import sys
from collections.abc import Sequence

from cyclopts import App

app = App(
    name="fulfillment",
    help="The system behind the Juniper Health Order Fulfillment API.",
    version_flags=["--version"],
)
_NOUNS = (
    ("serve", "fulfillment.cli.service:serve", "Start everything: database, API, worker."),
    ("api", "fulfillment.cli.service:api", "Start one API process on a database given by its URL."),
    ("worker", "fulfillment.cli.service:worker", "Start one worker on a database given by its URL."),
    ("demo", "fulfillment.cli.demo:demo", "Walk a whole order through a running server and tell the story."),
    ("partners", "fulfillment.cli.partners:app", "Partners: create, list."),
    ("credentials", "fulfillment.cli.credentials:app", "Partners' API credentials: create, revoke, rotate, list."),
    ("operators", "fulfillment.cli.operators:app", "Operators' API credentials: create, list."),
    ("catalog", "fulfillment.cli.catalog:app", "The catalogue: import."),
    ("login", "fulfillment.cli.login:login", "Partner: keep credentials for the commands below."),
    ("logout", "fulfillment.cli.login:logout", "Partner: forget them."),
    ("orders", "fulfillment.cli.orders:app", "Orders: create, list, show, watch, import; advance, ship, hold."),
    ("products", "fulfillment.cli.products:app", "Partner: search the catalogue at your price."),
    ("protocols", "fulfillment.cli.protocols:app", "Partner: reusable order templates."),
    ("settings", "fulfillment.cli.partner_settings:app", "Partner: branding, contact, billing, webhook."),
    ("webhooks", "fulfillment.cli.webhooks:app", "Partner: deliveries, replay, listen on a laptop, receiver's doctor."),
    ("trigger", "fulfillment.cli.trigger:trigger", "Partner: send a sandbox order through a scenario."),
    ("logs", "fulfillment.cli.request_log:app", "Partner: your own requests and how they were answered."),
    ("lots", "fulfillment.cli.lots:app", "Lots: receive, list, show, adjust, state, trace, recall."),
    ("inventory", "fulfillment.cli.inventory:app", "Stock: reconcile, expire."),
    ("warehouse", "fulfillment.cli.warehouse:app", "Batches: release, list, pick, fulfill, label, ship."),
    ("documents", "fulfillment.cli.documents:app", "Print an order's or a batch's documents as PDF."),
    ("customers", "fulfillment.cli.customers:app", "Customers: erase."),
    ("secrets", "fulfillment.cli.secrets:app", "The system's own keys: generate, rotate."),
    ("migrate", "fulfillment.cli.migrations:app", "The schema: up, status."),
    ("backup", "fulfillment.cli.backup:backup", "Write the whole database to a file."),
    ("restore", "fulfillment.cli.backup:restore", "Fill an empty database from such a file."),
    ("openapi", "fulfillment.cli.service:openapi", "Print the API's OpenAPI document."),
)
for _name, _place, _help in _NOUNS:
    app.command(_place, name=_name, help=_help)


app.register_install_completion_command(name="--install-completion")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an expected failure is a sentence on standard error and an exit status (cli/exits.py)."""
    try:
        result = app(
            list(arguments) if arguments is not None else None, result_action="return_value", exit_on_error=False
        )
    except KeyboardInterrupt as error:
        sys.exit(_status_of(error))
    except Exception as error:
        status = _status_of(error)
        if status is None:
            raise
        sys.exit(status)
    sys.exit(result if isinstance(result, int) else 0)


def _status_of(error: BaseException) -> int | None:
    # Imported when something fails only: the client's errors bring the whole client, a third of the time of --help.
    from cyclopts import CycloptsError

    from fulfillment.cli import exits
    from fulfillment.kernel.errors import FulfillmentError
    from fulfillment.sdk import JuniperError

    if isinstance(error, CycloptsError):  # said already
        return exits.Exit.USAGE
    if isinstance(error, KeyboardInterrupt):
        return exits.Exit.INTERRUPTED
    return exits.explain(error) if isinstance(error, FulfillmentError | JuniperError) else None
