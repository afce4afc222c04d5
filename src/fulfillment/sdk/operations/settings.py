"""A partner's own settings."""

from ..calls import Call, get, loose, operation
from ..codec import Json
from ..models import PartnerSettings, PartnerSettingsUpdate, WebhookSecret

SETTINGS = "/partners/settings"


class Settings:
    """Operations on branding, contact, billing and the webhook's URL and secret."""

    @operation
    def get_partner_settings(self) -> Call[PartnerSettings]:
        """Return your settings."""
        return get("getPartnerSettings", SETTINGS, PartnerSettings.from_wire)

    @operation
    def update_partner_settings(self, changes: PartnerSettingsUpdate | Json) -> Call[PartnerSettings]:
        """Change the given settings, clear those given as None, and return all.

        Raises:
            ValidationError: A value is malformed, or the field is not yours to change.
        """
        return Call(
            "updatePartnerSettings",
            "PATCH",
            SETTINGS,
            PartnerSettings.from_wire,
            body=changes,
            repeatable=True,
        )

    @operation
    def get_webhook_secret(self) -> Call[WebhookSecret]:
        """Return the key your webhooks are signed with.

        Raises:
            WebhookNotConfigured: Your settings have no webhookUrl.
        """
        return get("getWebhookSecret", f"{SETTINGS}/webhook-secret", WebhookSecret.from_wire)

    @operation
    def rotate_webhook_secret(self) -> Call[WebhookSecret]:
        """Make a new key and return it. The old one is invalid at once.

        It is not sent again by itself: after a ConnectionFailed, read the secret.

        Raises:
            WebhookNotConfigured: Your settings have no webhookUrl.
        """
        path = f"{SETTINGS}/rotate-webhook-secret"
        return Call("rotateWebhookSecret", "POST", path, WebhookSecret.from_wire)

    @operation
    def enable_webhook(self) -> Call[Json]:
        """Switch deliveries on again, after failures have switched them off."""
        return Call("enableWebhook", "POST", f"{SETTINGS}/webhook/enable", loose, repeatable=True)
