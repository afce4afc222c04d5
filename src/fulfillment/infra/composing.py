"""What each composition root (app, worker, command line) begins with: an Env made from the settings."""

from fulfillment.infra.caches import Caches
from fulfillment.infra.clock import DatabaseClock
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from fulfillment.infra.secrets import Secrets, load_or_create
from fulfillment.infra.settings import Settings


def make_env(settings: Settings) -> Env:
    """Return the Env of *settings*, whose database_url must be set."""
    if settings.database_url is None:
        raise ValueError("FULFILLMENT_DATABASE_URL is not set; `fulfillment serve` sets it for its processes")
    db = Database(
        settings.database_url.get_secret_value(),
        size=settings.pool_size,
        timeout_seconds=settings.database_timeout_seconds,
        prepared_statements=settings.prepared_statements,
    )
    return Env(settings, db, Caches(db), _secrets(settings), DatabaseClock())


def _secrets(settings: Settings) -> Secrets:
    """Return the secrets of the settings, or those of the data folder, made on its first use."""
    keys = (settings.token_keys, settings.data_keys, settings.pepper, settings.cursor_key)
    token_keys, data_keys, pepper, cursor_key = (None if key is None else key.get_secret_value() for key in keys)
    if token_keys is None or data_keys is None or pepper is None or cursor_key is None:
        return load_or_create(settings.data_dir / "secrets.json")
    return Secrets.from_settings_values(
        token_keys=token_keys, data_keys=data_keys, pepper=pepper, cursor_key=cursor_key
    )
