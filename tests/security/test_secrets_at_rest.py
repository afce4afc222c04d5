"""Secrets in the database: sealed, bound to their row, re-encrypted online, and in no dump."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from fulfillment.cli.main import main
from fulfillment.infra import settings as settings_module
from fulfillment.infra.env import Env
from fulfillment.infra.postgres import EmbeddedPostgres
from fulfillment.infra.secrets import KeyRing, NamedKey, SecretUnreadable
from fulfillment.infra.settings import Settings, SettingsInvalid
from fulfillment.kernel.callers import Caller
from fulfillment.partners import service as partners
from tests.world import World

OLD, NEW = NamedKey("old", b"o" * 32), NamedKey("new", b"n" * 32)
VALUES = {
    "FULFILLMENT_TOKEN_KEYS": "t1:" + b64encode(b"t" * 32).decode(),
    "FULFILLMENT_DATA_KEYS": "d1:" + b64encode(b"d" * 32).decode(),
    "FULFILLMENT_PEPPER": b64encode(b"p" * 32).decode(),
    "FULFILLMENT_CURSOR_KEY": b64encode(b"c" * 32).decode(),
}


def with_keys(env: Env, *keys: NamedKey) -> Env:
    """Return *env* with another ring of data keys, the first the current one."""
    return replace(env, secrets=replace(env.secrets, data_keys=KeyRing(keys)), local={})


async def receivers(env: Env, world: World, count: int) -> list[tuple[Caller, str]]:
    """Make partners with webhook secrets and return them with the secrets."""
    made: list[tuple[Caller, str]] = []
    for number in range(count):
        caller = await world.partner()
        await partners.update_settings(env, caller, {"webhook_url": f"http://127.0.0.1:{9000 + number}/hook"})
        made.append((caller, await partners.get_webhook_secret(env, caller)))
    return made


def sealed(dsn: str, ids: Sequence[str]) -> list[str]:
    """Return the columns as they are stored."""
    with psycopg.connect(dsn) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        rows = conn.execute("SELECT webhook_secret FROM partners WHERE id = ANY (%s)", (list(ids),)).fetchall()
    return [row[0] for row in rows]


@pytest.mark.anyio
async def test_rotation_seals_everything_anew(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """After `secrets rotate` every secret is sealed with the new key alone, and is the same secret."""
    before = with_keys(env, OLD)
    made = await receivers(before, world, 5)
    both = with_keys(env, NEW, OLD)

    resealed, unreadable = await partners.reseal_webhook_secrets(both)

    after = with_keys(env, NEW)
    assert (resealed, unreadable) == (5, 0)
    assert all(value.startswith("v1.new.") for value in sealed(dsns[1], [caller.partner_id for caller, _ in made]))
    assert [await partners.get_webhook_secret(after, caller) for caller, _ in made] == [secret for _, secret in made]
    assert await partners.reseal_webhook_secrets(both) == (0, 0)


@pytest.mark.anyio
async def test_a_missing_key_is_told_and_nothing_is_lost(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """Rotating without the old key changes nothing of what it sealed, and says how many."""
    [(caller, secret)] = await receivers(with_keys(env, NamedKey("lost", b"l" * 32)), world, 1)

    _, unreadable = await partners.reseal_webhook_secrets(with_keys(env, NEW, OLD))

    assert unreadable == 1
    assert sealed(dsns[1], [caller.partner_id])[0].startswith("v1.lost.")
    found = with_keys(env, NEW, NamedKey("lost", b"l" * 32))
    assert await partners.get_webhook_secret(found, caller) == secret
    await partners.reseal_webhook_secrets(found)


@pytest.mark.anyio
async def test_swapped_rows_do_not_open(env: Env, world: World, dsns: tuple[str, str]) -> None:
    """Whoever can write to the database can't give one partner another's secret: it opens in its own row only."""
    (first, _), (second, _) = await receivers(env, world, 2)
    with psycopg.connect(dsns[1]) as conn:
        conn.execute("SET fulfillment.tenant = '*'")
        conn.execute(
            "UPDATE partners SET webhook_secret = (SELECT webhook_secret FROM partners WHERE id = %s) WHERE id = %s",
            (first.partner_id, second.partner_id),
        )

    with pytest.raises(SecretUnreadable):
        await partners.get_webhook_secret(env, second)


@pytest.mark.anyio
async def test_no_dump_holds_a_secret(
    env: Env, world: World, dsns: tuple[str, str], postgres: EmbeddedPostgres
) -> None:
    """`pg_dump` holds neither a client secret, nor a webhook secret, nor a token, nor a key of ours."""
    made = await receivers(env, world, 2)
    tokens = [await world.token(caller) for caller, _ in made]
    plain = [secret for _, secret in made] + [world.secret(caller) for caller, _ in made] + tokens
    keys = list(json.loads((env.settings.data_dir / "secrets.json").read_text()).values())
    name = psycopg.conninfo.conninfo_to_dict(dsns[1])["dbname"]

    dump = postgres.run_tool("pg_dump", "--inserts", str(name)).stdout

    assert made[0][0].partner_id in dump
    assert [value for value in plain + keys if value.rpartition(":")[2] in dump] == []


def test_generate_prints_what_production_needs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed variables are enough to start in production, and no two runs are alike."""
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["secrets", "generate"])
        assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == 8
    for line in lines[:4]:
        monkeypatch.setenv(*line.split("=", 1))

    assert settings_module.load(environment="production").environment == "production"


@pytest.mark.parametrize("missing", sorted(VALUES))
def test_production_does_not_start_without_a_secret(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the four is asked for by name, and none of the others is shown."""
    for name, value in VALUES.items():
        if name != missing:
            monkeypatch.setenv(name, value)

    with pytest.raises(SettingsInvalid) as refused:
        settings_module.load(environment="production")

    assert missing in str(refused.value)
    assert not [value for value in VALUES.values() if value in str(refused.value)]


def test_production_sends_over_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Production refuses the setting that allows http, and its policy refuses http URLs."""
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsInvalid, match="https only"):
        settings_module.load(environment="production", webhook_allow_http=True)
    assert not partners.webhook_policy(settings_module.load(environment="production")).allow_http


def test_secrets_by_folder_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted folder, or a variable that ends in _FILE, gives a secret without its value in the environment."""
    for name, value in VALUES.items():
        (tmp_path / name.lower()).write_text(value + "\n")
    monkeypatch.setenv("FULFILLMENT_SECRETS_DIR", str(tmp_path))
    assert _values(settings_module.load(environment="production")) == list(VALUES.values())

    monkeypatch.delenv("FULFILLMENT_SECRETS_DIR")
    for name in VALUES:
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name.lower()))
    assert _values(settings_module.load(environment="production")) == list(VALUES.values())

    monkeypatch.setenv("FULFILLMENT_PEPPER", "also here")
    with pytest.raises(SettingsInvalid, match="either FULFILLMENT_PEPPER or FULFILLMENT_PEPPER_FILE"):
        settings_module.load()
    monkeypatch.delenv("FULFILLMENT_PEPPER")
    monkeypatch.setenv("FULFILLMENT_PEPPER_FILE", str(tmp_path / "nothing"))
    with pytest.raises(SettingsInvalid, match="FULFILLMENT_PEPPER_FILE can't be read"):
        settings_module.load()


def _values(settings: Settings) -> list[str]:
    given = (settings.token_keys, settings.data_keys, settings.pepper, settings.cursor_key)
    return [value.get_secret_value().strip() for value in given if value is not None]


def test_generate_writes_files_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder gets four files that only their owner reads, and is never overwritten."""
    folder = tmp_path / "secrets"
    with pytest.raises(SystemExit) as first:
        main(["secrets", "generate", "--directory", str(folder)])
    before = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(SystemExit) as second:
        main(["secrets", "generate", "--directory", str(folder)])

    assert (first.value.code, second.value.code) == (0, 1)
    assert sorted(before) == sorted(name.lower() for name in VALUES)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert "already" in capsys.readouterr().err
