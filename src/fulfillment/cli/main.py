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
    ("orders", "fulfillment.cli.orders:app", "Orders: list, show, advance, ship."),
    ("lots", "fulfillment.cli.lots:app", "Lots: receive, list, show, adjust, state, trace, recall."),
    ("inventory", "fulfillment.cli.inventory:app", "Stock: reconcile, expire."),
    ("warehouse", "fulfillment.cli.warehouse:app", "Batches: release, list, pick, fulfill, label, ship."),
    ("documents", "fulfillment.cli.documents:app", "Print an order's or a batch's documents as PDF."),
    ("migrate", "fulfillment.cli.migrations:app", "The schema: up, status."),
    ("openapi", "fulfillment.cli.service:openapi", "Print the API's OpenAPI document."),
)
for _name, _place, _help in _NOUNS:
    app.command(_place, name=_name, help=_help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an expected failure is one sentence on standard error and exit status 1."""
    from fulfillment.kernel.errors import FulfillmentError

    try:
        result = app(list(arguments) if arguments is not None else None, result_action="return_value")
    except FulfillmentError as error:
        print(f"{error.title}: {error.detail}", file=sys.stderr)
        for fault in error.errors:
            print(f"  {fault.pointer}: {fault.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(result if isinstance(result, int) else 0)
