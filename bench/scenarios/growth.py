"""How the speed changes when the database grows."""

from __future__ import annotations

from collections.abc import Mapping

from bench import requests, rows
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS
from bench.scenarios.base import (
    READERS,
    SSH,
    Batches,
    Bench,
    bare,
    load,
    page,
    recorded,
    signed_in,
)
from bench.scenarios.csp import inserts, reports
from bench.scenarios.documents import first_seen
from bench.service import Service, reference, running

USERS = (1, 1_000, 100_000)
STORED = (0, 100_000, 1_000_000)
STORED_FULL = (*STORED, 10_000_000)
LISTED = 1_000_000
MAX_LIST_MS = 150
PAGES = {"reports": "/admin/csp/report/", "keys": "/admin/tokens/apikey/"}


def growth(bench: Bench) -> Batches:
    """Measures documents, first-seen keys and CSP reports with more and more rows."""
    with running() as service:
        yield from _users(service)
        stored = STORED_FULL if bench.is_full else STORED
        yield from _reports(service, stored)
        keys = USERS[-1]
        if bench.is_full:
            keys = LISTED
            _add_keys(service)
        yield from _admin(service, {"reports": stored[-1], "keys": keys})


def _users(service: Service) -> Batches:
    answers = {SSH: recorded(service, SSH)} | {"/lookup": recorded(service, SSH)}
    with reference("bare", answers, DATABASE_URL=service.database_url) as url:
        last = 1
        for size in USERS:
            with service.connect() as connection:
                _add_users(connection, last + 1, size)
            last = size
            name = f"first-seen keys, {size:,} users"
            ours, theirs = first_seen(service, url)
            yield [
                _document(service, url, size),
                Scenario(name, ours, theirs, series="first-seen keys", size=size),
            ]


def _add_users(connection: rows.Connection, first: int, last: int) -> None:
    """Creates the users, a session key for each, and the readers' keys of all users so far."""
    if last >= first:
        rows.make_users(connection, first, last)
        number = f"lpad((n + {first - 1})::text, {{}}, '0')"
        key, user = f"'u' || {number.format(9)}", f"{number.format(32)}::uuid"
        rows.make_keys(connection, last - first + 1, id=key, user_id=user)
    connection.execute("DELETE FROM tokens_apikey WHERE id LIKE 'r%'")
    rows.make_readers(connection, READERS, people=min(last, rows.PEOPLE))
    connection.execute("VACUUM ANALYZE users_user, tokens_apikey")


def _document(service: Service, url: str, size: int) -> Scenario:
    script = requests.with_token(service.token)
    return Scenario(
        f"ssh, {size:,} users",
        load("ssh", service.url + SSH, script),
        bare(url, SSH, script),
        series="document",
        size=size,
    )


def _reports(service: Service, sizes: tuple[int, ...]) -> Batches:
    ours = reports(service, CONNECTIONS)
    theirs = inserts(service)
    stored = 0
    for size in sizes:
        _store(service, size - stored)
        stored = size
        yield [
            Scenario(f"CSP reports, {size:,} stored", ours, theirs, series="CSP reports", size=size)
        ]


def _store(service: Service, count: int) -> None:
    """Adds copies of a stored report to all groups."""
    groups = "(ARRAY(SELECT id FROM csp_group ORDER BY id))"
    with service.connect() as connection:
        rows.multiply(
            connection,
            "csp_report",
            count,
            received_at="now() - (n % 1000) * interval '1 ms'",
            group_id=f"{groups}[n % cardinality({groups}) + 1]",
        )
        connection.execute("VACUUM ANALYZE csp_report")


def _add_keys(service: Service) -> None:
    with service.connect() as connection:
        last = USERS[-1]
        rows.make_keys(
            connection,
            LISTED,
            id="'m' || lpad(n::text, 9, '0')",
            user_id=f"lpad((n % {last} + 1)::text, 32, '0')::uuid",
            login_type="'token'",
            token_name="'listed-' || n",  # noqa: S106 - a column
            is_minted="true",
        )
        connection.execute("VACUUM ANALYZE tokens_apikey")


def _admin(service: Service, stored: Mapping[str, int]) -> Batches:
    """Measures the first page of two lists in the admin."""
    browser = signed_in(service)
    yield [
        Scenario(
            f"admin list of {name}, {stored[name]:,} or more",
            Measure(name, lambda _, path=path: page(browser, service.url + path)),  # type: ignore[misc]
            at_most=MAX_LIST_MS,
            figure="ms",
        )
        for name, path in PAGES.items()
    ]
