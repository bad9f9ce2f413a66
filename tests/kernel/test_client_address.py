from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.hosts import client_address, parse_address, rate_limit_bucket

PROXIES = ["10.0.0.0/8", "fd00::/8"]

CASES: list[tuple[str, str, str]] = [
    ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # not a trusted proxy: its word does not count
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
    ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),  # the left end is the client's
    ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.1"),  # only proxies: the peer stands
    ("10.0.0.1", "nonsense", "10.0.0.1"),
    ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
    ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
    ("fd00::1", "fe80::7%eth0", "fe80::7"),  # a zone is another machine's business
    ("", "203.0.113.9", ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), CASES)
def test_forwarded_address_counts_only_from_a_trusted_proxy(
    peer: str, forwarded: str, expected: str
) -> None:
    found = client_address(
        peer,
        {"X-Forwarded-For": forwarded}.__getitem__,
        trusted_headers=["X-Forwarded-For"],
        trusted_origins=PROXIES,
    )

    assert found == expected


def test_no_header_is_read_unless_it_is_named() -> None:
    headers = {"X-Forwarded-For": "203.0.113.9"}

    found = client_address(
        "10.0.0.1", headers.__getitem__, trusted_headers=[], trusted_origins=PROXIES
    )

    assert found == "10.0.0.1"


@given(st.text(max_size=60))
def test_what_comes_out_of_a_header_is_an_address(forwarded: str) -> None:
    found = client_address(
        "10.0.0.1",
        {"X-Real-Ip": forwarded}.__getitem__,
        trusted_headers=["X-Real-Ip"],
        trusted_origins=PROXIES,
    )

    assert parse_address(found) is not None


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_an_ipv6_customer_has_one_bucket(address: str, bucket: str) -> None:
    assert rate_limit_bucket(address) == bucket
