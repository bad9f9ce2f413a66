"""The address of a client, as a trusted proxy forwards it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.http.hosts import address_of, parse_address, rate_limit_bucket, wide_bucket
from tests.support.calls import make_call


@pytest.fixture(autouse=True)
def _proxies(settings: Any) -> None:
    settings.TRUSTED_PROXY_HEADERS = ["X-Forwarded-For"]
    settings.TRUSTED_PROXY_ORIGINS = ["10.0.0.0/8", "fd00::/8"]


def address(peer: str, forwarded: str) -> str:
    return address_of(make_call({"x-forwarded-for": forwarded}, peer=peer))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a trusted proxy
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # the client wrote 1.1.1.1
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.1"),  # proxies only, so the peer counts
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
        ("fd00::1", "fe80::7%eth0", "fe80::7"),  # a zone means nothing on another machine
        ("", "203.0.113.9", ""),
    ],
)
def test_forwarded_address_counts_only_from_a_trusted_proxy(
    peer: str, forwarded: str, expected: str
) -> None:
    assert address(peer, forwarded) == expected


def test_only_a_trusted_header_is_read(settings: Any) -> None:
    settings.TRUSTED_PROXY_HEADERS = []
    assert address("10.0.0.1", "203.0.113.9") == "10.0.0.1"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_any_header_gives_an_address(forwarded: str) -> None:
    assert parse_address(address("10.0.0.1", forwarded)) is not None


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_ipv6_network_of_a_customer_has_one_rate_limit(address: str, bucket: str) -> None:
    assert rate_limit_bucket(address) == bucket


@pytest.mark.parametrize(
    ("address", "bucket"),
    [("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"), ("192.0.2.1", ""), ("::ffff:192.0.2.1", "")],
)
def test_ipv6_network_of_a_site_has_a_second_limit(address: str, bucket: str) -> None:
    assert wide_bucket(address) == bucket
