"""fulfillment settings: a partner's branding, contact, billing and webhook."""

import re
from dataclasses import fields
from typing import Annotated, Final

from cyclopts import App, Parameter

from fulfillment.cli.options import AsJson, print_fields, print_json
from fulfillment.cli.profiles import Profile, connect
from fulfillment.kernel.errors import FieldError, ValidationFailed
from fulfillment.sdk import PartnerSettings, PartnerSettingsUpdate
from fulfillment.sdk.codec import camel

app = App(name="settings", help="Your settings: show, set.")
_NAMES: Final = {camel(one.name) for one in fields(PartnerSettingsUpdate)}


@app.command
def show(*, json: AsJson = False, profile: Profile = None) -> None:
    """Show your settings."""
    with connect(profile) as juniper:
        _print(juniper.get_partner_settings(), as_json=json)


@app.command(name="set")
def set_(
    *changes: Annotated[str, Parameter(help="KEY=VALUE, such as webhookUrl=https://example.com/hook; KEY= clears.")],
    json: AsJson = False,
    profile: Profile = None,
) -> None:
    """Change the given settings and show all."""
    with connect(profile) as juniper:
        _print(juniper.update_partner_settings(read_changes(changes)), as_json=json)


def read_changes(given: tuple[str, ...]) -> dict[str, str | None]:
    """Return KEY=VALUE pairs as the API takes them; keys may be written webhookUrl, webhook-url or webhook_url.

    Raises:
        ValidationFailed: A pair has no equals sign, or a key is none of the settings.
    """
    found: dict[str, str | None] = {}
    faults: list[FieldError] = []
    for pair in given:
        key, equals, value = pair.partition("=")
        name = camel(re.sub(r"[-\s]", "_", key.strip()))
        if not equals:
            faults.append(FieldError(pair, "Write KEY=VALUE; KEY= clears."))
        elif name not in _NAMES:
            faults.append(FieldError(key, f"No such setting. There are {', '.join(sorted(_NAMES))}."))
        else:
            found[name] = value or None
    if faults or not found:
        raise ValidationFailed("Nothing was changed." if faults else "Give at least one KEY=VALUE.", errors=faults)
    return found


def _print(settings: PartnerSettings, *, as_json: bool) -> None:
    if as_json:
        print_json(settings.raw)
    else:
        print_fields({name: "" if value is None else value for name, value in settings.raw.items()})
