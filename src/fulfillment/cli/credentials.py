"""fulfillment credentials: the clients that partners call the API with."""

from typing import Annotated

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, DatabaseUrl, DataDir, print_fields, print_json, print_table, run
from fulfillment.infra.env import Env

app = App(name="credentials", help="Partners' API credentials: create, revoke, rotate, list.")


@app.command
def create(
    *,
    partner: Annotated[str, Parameter(help="The partner's id.")],
    label: str = "",
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Create a client. Its secret is shown once."""
    from fulfillment.oauth import service

    async def work(env: Env) -> dict[str, str]:
        client_id, secret = await service.create_client(env, partner_id=partner, label=label)
        return {"client_id": client_id, "client_secret": secret, "partner_id": partner}

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)


@app.command
def revoke(client_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Revoke a client: its tokens stop working at once."""
    from fulfillment.oauth import service

    async def work(env: Env) -> None:
        await service.revoke_client(env, client_id)

    run(work, data_dir, database_url)
    print(f"{client_id} is revoked.")


@app.command
def rotate(
    client_id: str,
    *,
    keep_old_seconds: Annotated[int, Parameter(help="How long the old secret goes on working.")] = 0,
    json: AsJson = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a client a new secret, shown once."""
    from fulfillment.oauth import service

    async def work(env: Env) -> dict[str, str]:
        secret = await service.rotate_client_secret(env, client_id, keep_old_seconds=keep_old_seconds)
        return {"client_id": client_id, "client_secret": secret}

    shown = run(work, data_dir, database_url)
    print_json(shown) if json else print_fields(shown)


@app.command(name="list")
def list_(
    *, partner: str | None = None, json: AsJson = False, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """List clients; never their secrets."""
    from fulfillment.oauth import service

    async def work(env: Env) -> list[dict[str, object]]:
        return [
            {
                "client_id": one.id,
                "scope": one.caller.scope.value,
                "partner_id": one.caller.partner_id,
                "label": one.label,
                "created_at": one.created_at,
                "revoked_at": one.revoked_at,
            }
            for one in await service.list_clients(env, partner)
        ]

    shown = run(work, data_dir, database_url)
    if json:
        print_json(shown)
    else:
        columns = ("client id", "scope", "partner", "label", "created", "revoked")
        print_table("Credentials", columns, [tuple(one.values()) for one in shown])
