"""SQL over partners."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from psycopg.types.json import Jsonb

from fulfillment.infra.db import ReadTx, Row, Tx
from fulfillment.partners.domain import Partner

SELECT_PARTNERS: Final = """
SELECT id, name, description, discount, volume_discounts, primary_color, secondary_color, logo, phone,
       support_email, website, billing_address_line1, billing_address_line2, billing_city, billing_state,
       billing_postal_code, billing_country, webhook_url, webhook_secret, clock_frozen_at, auto_advance_seconds,
       webhook_faults, created_at, updated_at
  FROM partners
"""

SELECT_PARTNERS_IN_ORDER: Final = SELECT_PARTNERS + " ORDER BY id"

SELECT_PARTNER: Final = SELECT_PARTNERS + " WHERE id = %(partner_id)s"

LOCK_PARTNER: Final = SELECT_PARTNER + " FOR UPDATE"

INSERT_PARTNER: Final = """
INSERT INTO partners (id, name, description, discount, volume_discounts, created_at, updated_at)
VALUES (%(id)s, %(name)s, %(description)s, %(discount)s, %(volume_discounts)s, %(created_at)s, %(updated_at)s)
"""

UPDATE_SETTINGS: Final = """
UPDATE partners
   SET primary_color = %(primary_color)s, secondary_color = %(secondary_color)s, logo = %(logo)s,
       phone = %(phone)s, support_email = %(support_email)s, website = %(website)s,
       billing_address_line1 = %(billing_address_line1)s, billing_address_line2 = %(billing_address_line2)s,
       billing_city = %(billing_city)s, billing_state = %(billing_state)s,
       billing_postal_code = %(billing_postal_code)s, billing_country = %(billing_country)s,
       webhook_url = %(webhook_url)s, webhook_secret = %(webhook_secret)s, updated_at = %(updated_at)s
 WHERE id = %(id)s
"""

UPDATE_CLOCK: Final = "UPDATE partners SET clock_frozen_at = %(frozen_at)s WHERE id = %(partner_id)s"
UPDATE_AUTO_ADVANCE: Final = "UPDATE partners SET auto_advance_seconds = %(seconds)s WHERE id = %(partner_id)s"
UPDATE_WEBHOOK_FAULTS: Final = "UPDATE partners SET webhook_faults = %(faults)s WHERE id = %(partner_id)s"
UPDATE_WEBHOOK_KEY: Final = "UPDATE partners SET webhook_secret = %(sealed)s WHERE id = %(partner_id)s"


async def select_partners(tx: ReadTx) -> Mapping[str, Partner]:
    """Return every partner by its id."""
    return {row["id"]: _partner(row) for row in await tx.all(SELECT_PARTNERS)}


async def list_partners(tx: ReadTx) -> Sequence[Partner]:
    """Return every partner, oldest first."""
    return [_partner(row) for row in await tx.all(SELECT_PARTNERS_IN_ORDER)]


async def select_partner(tx: ReadTx, partner_id: str) -> Partner | None:
    """Return the partner, or None."""
    row = await tx.one_or_none(SELECT_PARTNER, partner_id=partner_id)
    return None if row is None else _partner(row)


async def lock_partner(tx: Tx, partner_id: str) -> Partner | None:
    """Return the partner, locked until *tx* ends, or None."""
    row = await tx.one_or_none(LOCK_PARTNER, partner_id=partner_id)
    return None if row is None else _partner(row)


async def insert_partner(tx: Tx, partner: Partner) -> None:
    """Add the partner. Its settings are set later, by itself."""
    volume_discounts = {str(days): str(discount) for days, discount in partner.volume_discounts.items()}
    await tx.execute(
        INSERT_PARTNER,
        id=partner.id,
        name=partner.name,
        description=partner.description,
        discount=partner.discount,
        volume_discounts=Jsonb(volume_discounts),
        created_at=partner.created_at,
        updated_at=partner.updated_at,
    )


async def update_settings(tx: Tx, partner: Partner) -> None:
    """Write all that a partner may set itself, and its webhook secret."""
    await tx.execute(
        UPDATE_SETTINGS,
        id=partner.id,
        primary_color=partner.primary_color,
        secondary_color=partner.secondary_color,
        logo=partner.logo,
        phone=partner.phone,
        support_email=partner.support_email,
        website=partner.website,
        billing_address_line1=partner.billing_address_line1,
        billing_address_line2=partner.billing_address_line2,
        billing_city=partner.billing_city,
        billing_state=partner.billing_state,
        billing_postal_code=partner.billing_postal_code,
        billing_country=partner.billing_country,
        webhook_url=partner.webhook_url,
        webhook_secret=partner.webhook_secret,
        updated_at=partner.updated_at,
    )


async def update_webhook_secret(tx: Tx, partner_id: str, sealed: str) -> None:
    """Replace the partner's sealed webhook secret."""
    await tx.execute(UPDATE_WEBHOOK_KEY, partner_id=partner_id, sealed=sealed)


async def update_clock(tx: Tx, partner_id: str, frozen_at: datetime | None) -> None:
    """Set or take away the partner's test clock."""
    await tx.execute(UPDATE_CLOCK, partner_id=partner_id, frozen_at=frozen_at)


async def update_auto_advance(tx: Tx, partner_id: str, seconds: int | None) -> None:
    """Let the partner's sandbox orders move by themselves, or not."""
    await tx.execute(UPDATE_AUTO_ADVANCE, partner_id=partner_id, seconds=seconds)


async def update_webhook_faults(tx: Tx, partner_id: str, faults: Mapping[str, Any] | None) -> None:
    """Set or take away the faults of the partner's deliveries."""
    await tx.execute(UPDATE_WEBHOOK_FAULTS, partner_id=partner_id, faults=Jsonb(faults) if faults else None)


def _partner(row: Row) -> Partner:
    # The columns bear the attributes' names; only the JSON object needs a hand.
    discounts: Mapping[str, Any] = row.pop("volume_discounts")
    return Partner(**row, volume_discounts={int(days): Decimal(str(discount)) for days, discount in discounts.items()})
