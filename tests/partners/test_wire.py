"""What partners may send as settings, and how a wrong field is named."""

import pytest

from fulfillment.infra.addresses import AddressPolicy
from fulfillment.kernel.errors import ValidationFailed
from fulfillment.partners.countries import COUNTRIES
from fulfillment.partners.wire import read_update
from tests.world import EVERY_SETTING

SANDBOX = AddressPolicy.of(sandbox=True)
PRODUCTION = AddressPolicy.of(sandbox=False)

GOOD = [
    ("primaryColor", "#ABCDEF"),
    ("primaryColor", "#000000"),
    ("logo", "logos/acme.png"),
    ("logo", "x"),
    ("phone", "+44 20 7946 0958"),
    ("phone", "(555) 123-4567"),
    ("phone", "1234567890"),
    ("supportEmail", "first.last+tag@sub.example.co.uk"),
    ("supportEmail", "Grüße@exämple.de"),
    ("website", "http://partner.com:8080/a?b=c#d"),
    ("website", "https://exämple.de/"),
    ("webhookUrl", "http://127.0.0.1:9000/hook"),
    ("webhookUrl", "http://localhost:9000/hook?partner=1"),
    ("billingAddressLine1", "x" * 100),
    ("billingCity", "Zürich"),
    ("billingState", "Île-de-France"),
    ("billingPostalCode", "SW1A 1AA"),
    ("billingCountry", "CH"),
]

BAD = [
    ("primaryColor", "1a73e8"),
    ("primaryColor", "#1a73e"),
    ("primaryColor", "#1a73e8ff"),
    ("primaryColor", "#1a73eg"),
    ("primaryColor", "#1a73e8\n"),
    ("primaryColor", "red"),
    ("primaryColor", ""),
    ("primaryColor", 123),
    ("secondaryColor", "#fff"),
    ("logo", ""),
    ("logo", "   "),
    ("logo", "x" * 2049),
    ("logo", "javascript:alert(1)"),
    ("logo", " JavaScript :alert(1)"),
    ("logo", "data:text/html;base64,PGI+"),
    ("logo", "a\nb"),
    ("phone", ""),
    ("phone", "call me"),
    ("phone", "12"),
    ("phone", "1" * 30),
    ("phone", "555-123-4567<script>"),
    ("supportEmail", "support"),
    ("supportEmail", "a@b"),
    ("supportEmail", "a b@example.com"),
    ("supportEmail", "a@example.com\r\nBcc: b@example.com"),
    ("supportEmail", ""),
    ("website", "partner.com"),
    ("website", "/about"),
    ("website", "https://"),
    ("website", "ftp://partner.com"),
    ("website", "javascript:alert(1)"),
    ("website", "https://user:pass@partner.com"),
    ("website", "https://partner.com/ x"),
    ("website", 'https://partner.com/"onload="x'),
    ("website", "https://partner.com/" + "x" * 2048),
    ("website", "https://[::1"),
    ("webhookUrl", ""),
    ("webhookUrl", "partner.com/hook"),
    ("webhookUrl", "ftp://partner.com/hook"),
    ("webhookUrl", "https://user:pass@partner.com/hook"),
    ("webhookUrl", "https://partner.com/hook#x"),
    ("webhookUrl", "https://10.0.0.1/hook"),
    ("webhookUrl", "http://169.254.169.254/latest/meta-data"),
    ("webhookUrl", "https://2130706433/hook"),
    ("webhookUrl", ["https://partner.com/hook"]),
    ("billingAddressLine1", ""),
    ("billingAddressLine1", "x" * 101),
    ("billingAddressLine2", "a\x1bb"),
    ("billingCity", "x" * 101),
    ("billingState", "x" * 51),
    ("billingPostalCode", "x" * 21),
    ("billingCountry", "us"),
    ("billingCountry", "USA"),
    ("billingCountry", "UK"),
    ("billingCountry", "XX"),
    ("billingCountry", "EU"),
    ("billingCountry", ""),
]


def test_the_contracts_examples_are_taken():
    """Every example of the contract is a change of the attribute of that name."""
    changes = read_update(EVERY_SETTING, SANDBOX)

    assert changes == {
        "primary_color": "#1a73e8",
        "secondary_color": "#ffffff",
        "logo": "https://example.com/logo.png",
        "phone": "555-123-4567",
        "support_email": "support@partner.com",
        "website": "https://partner.com",
        "webhook_url": "https://partner.com/webhooks/orders",
        "billing_address_line1": "123 Main St",
        "billing_address_line2": "Suite 100",
        "billing_city": "San Francisco",
        "billing_state": "CA",
        "billing_postal_code": "94102",
        "billing_country": "US",
    }


def test_left_out_is_not_null():
    """Only what is given is a change, and null is one."""
    assert read_update({}, SANDBOX) == {}
    assert read_update({"logo": None}, SANDBOX) == {"logo": None}


@pytest.mark.parametrize("name", EVERY_SETTING)
def test_null_clears_every_field(name: str):
    """Each field may be cleared."""
    assert list(read_update({name: None}, SANDBOX).values()) == [None]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_good_value_is_kept_as_it_is(name: str, value: str):
    """What is taken is taken unchanged."""
    assert list(read_update({name: value}, SANDBOX).values()) == [value]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_named(name: str, value: object):
    """A wrong value is refused with the pointer of its field."""
    with pytest.raises(ValidationFailed) as caught:
        read_update({name: value}, SANDBOX)

    assert [fault.pointer for fault in caught.value.errors] == [f"/{name}"]


@pytest.mark.parametrize("name", ["id", "name", "description", "discount", "discountValue", "createdAt", "updatedAt"])
def test_the_platforms_fields_are_refused(name: str):
    """What belongs to the platform is refused, even null, with a message that says so."""
    with pytest.raises(ValidationFailed) as caught:
        read_update({name: None}, SANDBOX)

    (fault,) = caught.value.errors
    assert (fault.pointer, fault.message) == (f"/{name}", "This belongs to the platform; ask us to change it.")


@pytest.mark.parametrize(
    "name", ["color", "primary_color", "webhookSecret", "webhook_secret", "partnerId", "a/b~c", ""]
)
def test_unknown_fields_are_refused(name: str):
    """A field we do not have is refused by its pointer, our own attributes' names too."""
    with pytest.raises(ValidationFailed) as caught:
        read_update({name: "x"}, SANDBOX)

    (fault,) = caught.value.errors
    assert fault.pointer == "/" + name.replace("~", "~0").replace("/", "~1")
    assert fault.message == "The settings have no such field."


def test_all_faults_come_at_once():
    """Four wrong fields are four faults, and the good one is none."""
    with pytest.raises(ValidationFailed) as caught:
        read_update({"primaryColor": "red", "name": "x", "logo": "ok", "webhookUrl": "x", "hello": 1}, SANDBOX)

    assert {fault.pointer for fault in caught.value.errors} == {"/primaryColor", "/name", "/webhookUrl", "/hello"}


@pytest.mark.parametrize("body", [None, [], "x", 7, True])
def test_only_an_object_is_read(body: object):
    """Settings are a JSON object."""
    with pytest.raises(ValidationFailed):
        read_update(body, SANDBOX)


@pytest.mark.parametrize("url", ["http://partner.com/hook", "https://127.0.0.1/hook", "https://partner.com:9000/hook"])
def test_production_is_stricter(url: str):
    """Plain http, loopback and odd ports are for the sandbox alone."""
    assert read_update({"webhookUrl": url}, SANDBOX) == {"webhook_url": url}
    with pytest.raises(ValidationFailed):
        read_update({"webhookUrl": url}, PRODUCTION)


def test_the_countries_are_those_of_iso_3166():
    """There are 249 officially assigned codes; the tables of another library know them all."""
    import phonenumbers

    assert len(COUNTRIES) == 249
    assert set(phonenumbers.SUPPORTED_REGIONS) - COUNTRIES == {"AC", "TA", "XK"}  # reserved ones with a calling code
