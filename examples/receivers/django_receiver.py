"""A receiver of Juniper's webhooks with Django, in one file. The view and `remember` fit any project.

    pip install juniper-fulfillment-sdk django
    JUNIPER_WEBHOOK_SECRET=... python django_receiver.py

Three things make it right: the signature is checked over the raw bytes, an event that comes twice is used
once, and an older event never overwrites what a newer one said.
"""

import os

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from juniper_fulfillment import webhooks

SECRET = os.environ["JUNIPER_WEBHOOK_SECRET"]
DATABASE = os.environ.get("DATABASE", "orders.sqlite3")
TABLES = (
    "CREATE TABLE IF NOT EXISTS seen_events (id TEXT PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS orders
         (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, status TEXT NOT NULL)""",
)
SAVE = """
INSERT INTO orders (id, sequence, status) VALUES (%s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status
 WHERE excluded.sequence > orders.sequence
"""


@csrf_exempt  # the signature says who sends, not a cookie
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """Take one event. Any 2xx says that it is safe with us; anything else lets Juniper send it again."""
    try:
        event = webhooks.verify(request.body, request.headers.get(webhooks.SIGNATURE_HEADER, ""), SECRET)
    except webhooks.SignatureInvalid:
        return HttpResponseBadRequest("the signature is not valid")
    # What stands in the signed body counts more than a header, which is not signed.
    event_id = event.id or request.headers[webhooks.EVENT_ID_HEADER]
    sequence = event.sequence or int(request.headers.get(webhooks.SEQUENCE_HEADER, "0"))
    remember(event_id, sequence, event)
    return HttpResponse(status=204)


def remember(event_id: str, sequence: int, event: webhooks.Event) -> None:
    """Note the event and use it, both in one transaction: a crash between the two can't lose or repeat it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO seen_events VALUES (%s) ON CONFLICT DO NOTHING", [event_id])
        if cursor.rowcount and event.order_id:
            cursor.execute(SAVE, [event.order_id, sequence, event.status])


urlpatterns = [path("webhooks/juniper", receive)]

if __name__ == "__main__":
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    )
    django.setup()
    with connection.cursor() as tables:
        for statement in TABLES:
            tables.execute(statement)
    call_command("runserver", f"127.0.0.1:{os.environ.get('PORT', '3000')}", "--noreload")
