"""fulfillment operators: the clients that the warehouse works with."""

from cyclopts import App

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_fields, print_json, run
from fulfillment.infra.env import Env

app = App(name="operators", help="Operators' API credentials: create.")


@app.command
def create(
    *, label: str = "", json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Create a client with scope operator. Its secret is shown once."""
    from fulfillment.kernel.callers import Scope
    from fulfillment.oauth import service

    async def work(env: Env) -> dict[str, str]:
        client_id, secret = await service.create_client(env, partner_id=None, scope=Scope.OPERATOR, label=label)
        return {"client_id": client_id, "client_secret": secret}

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)
