"""Guessing at secrets is slowed, and nobody else is."""

from fulfillment.oauth.throttle import Throttle

NOON = 1_795_435_200.0


def fail(throttle: Throttle, times: int, client: str = "client", address: str = "192.0.2.1") -> None:
    """Fail *times* at noon."""
    for _ in range(times):
        throttle.failed(client, address, NOON)


def test_the_limit_is_reached_not_passed():
    """With a limit of three, the third failure closes the door for the rest of the minute."""
    throttle = Throttle(3)

    fail(throttle, 2)
    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 1) == 0

    fail(throttle, 1)
    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 1) == 59
    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 59.5) == 1
    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 60) == 0


def test_after_the_minute_counting_starts_anew():
    """Failures of the last minute count no more."""
    throttle = Throttle(3)
    fail(throttle, 3)

    throttle.failed("client", "192.0.2.1", NOON + 61)

    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 61) == 0


def test_a_client_is_counted_over_all_addresses():
    """Changing the address does not give more guesses at one client."""
    throttle = Throttle(3)
    for number in range(3):
        fail(throttle, 1, address=f"192.0.2.{number}")

    assert throttle.wait_seconds("client", "192.0.2.200", NOON) == 60


def test_an_address_is_counted_over_all_clients():
    """Changing the client id does not give more guesses from one address."""
    throttle = Throttle(3)
    for number in range(3):
        fail(throttle, 1, client=f"client-{number}")

    assert throttle.wait_seconds("another", "192.0.2.1", NOON) == 60
    assert throttle.wait_seconds("another", "192.0.2.2", NOON) == 0


def test_an_ipv6_network_is_one_address():
    """Everybody has 2^64 addresses of IPv6: they count as one."""
    throttle = Throttle(3)
    for number in range(3):
        fail(throttle, 1, client=f"client-{number}", address=f"2001:db8:1:2::{number}")

    assert throttle.wait_seconds("another", "2001:db8:1:2:ffff::1", NOON) == 60
    assert throttle.wait_seconds("another", "2001:db8:1:3::1", NOON) == 0


def test_nobody_locks_a_partner_out():
    """An address that knew the secret within the hour goes on, whoever guesses from elsewhere."""
    throttle = Throttle(3)
    throttle.succeeded("client", "192.0.2.1", NOON - 3599)

    fail(throttle, 3, address="198.51.100.1")

    assert throttle.wait_seconds("client", "192.0.2.1", NOON) == 0
    assert throttle.wait_seconds("client", "198.51.100.1", NOON) == 60
    assert throttle.wait_seconds("client", "192.0.2.1", NOON + 2) == 58


def test_a_trusted_pair_has_no_more_tries_than_others():
    """Knowing the secret once gives nobody at the same address free guesses."""
    throttle = Throttle(3)
    throttle.succeeded("client", "192.0.2.1", NOON)

    fail(throttle, 3)

    assert throttle.wait_seconds("client", "192.0.2.1", NOON) == 60


def test_a_clock_set_back_locks_nobody_out():
    """Failures that seem to lie in the future are forgotten."""
    throttle = Throttle(3)
    fail(throttle, 3)

    assert throttle.wait_seconds("client", "192.0.2.1", NOON - 3600) == 0


def test_memory_is_bounded():
    """Fifty thousand made-up clients leave no more than the capacity behind, and the address still counts."""
    throttle = Throttle(3)
    for number in range(50_000):
        fail(throttle, 1, client=f"client-{number}")

    assert len(throttle._failures) == 20_000  # pyright: ignore[reportPrivateUsage]
    assert throttle.wait_seconds("another", "192.0.2.1", NOON) == 60
