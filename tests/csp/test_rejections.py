"""Rejected requests are counted, and the page of an ingest key shows whether reports arrive."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from csp.access.keys import new_key
from csp.counting import rejections
from csp.models import IngestKey, Rejection
from csp.services import create_ingest_key
from tests.support.api.client import APIClient
from tests.support.browsers.markup import text_in
from tests.support.channels import ACTOR
from tests.support.csp.reports import in_admin, legacy
from tests.support.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = "https://portal.example"
WRONG_ORIGIN = "The ingest key is not for this origin."
PATH = "/api/v2/csp/reports"


@pytest.fixture
def key(collecting: None) -> IngestKey:
    # No reason was logged before.
    rejections._logged.clear()
    return create_ingest_key(origins=[ORIGIN], actor=ACTOR, now=datetime.now(UTC))


def report(query: str, origin: str = ORIGIN, **members: Any) -> int:
    body = legacy(**{"document-uri": f"{ORIGIN}/", **members})
    headers = {"Origin": origin} if origin else {}
    return Client(headers=headers).post(f"{PATH}{query}", body, "application/json").status_code


def rows() -> set[tuple[str, str, str, int]]:
    return {*Rejection.objects.values_list("ingest_key", "reason", "origin", "requests")}


def check_page(key: IngestKey) -> str:
    return f"/admin/csp/ingestkey/{key.pk}/check/"


def test_rejected_requests_are_counted_by_key_reason_and_origin(
    key: IngestKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert report(f"?key={key.value}") == 200
    statuses = [report(f"?key={key.value}", origin="https://evil.example") for _ in range(2)]
    assert statuses == [403, 403]
    assert report(f"?key={new_key()}") == 401
    assert report("", origin="javascript:alert(1)") == 401
    expected = {
        ("portal.example", WRONG_ORIGIN, "https://evil.example", 2),
        ("unknown key", "The ingest key is unknown.", ORIGIN, 1),
    }
    wait_for(lambda: expected <= rows() and len(rows()) == 3)
    [other] = rows() - expected
    assert (other[0], other[2]) == ("", "other")
    assert caplog.text.count(f"CSP report rejected: {WRONG_ORIGIN}") == 1
    assert key.value not in caplog.text
    listed = text_in(in_admin("auditor").get("/admin/csp/rejection/"))
    assert "https://evil.example" in listed
    assert "All none portal.example unknown key" in listed


def test_body_without_a_report_is_counted_with_what_is_wrong(key: IngestKey) -> None:
    bodies: tuple[Any, ...] = ({"csp-report": 5}, [], {"body": {}})
    for body in bodies:
        sent = Client(headers={"Origin": ORIGIN}).post(
            f"{PATH}?key={key.value}", body, "application/json"
        )
        assert sent.status_code == 400
    reasons = (
        "csp-report must be an object",
        "[] must have at least one report",
        "body must be a non-empty object",
    )
    wait_for(lambda: {(key.name, reason, ORIGIN, 1) for reason in reasons} == rows())
    assert reasons[0] in text_in(in_admin("auditor").get(check_page(key)))


def test_origin_is_stored_without_names(key: IngestKey) -> None:
    assert report(f"?key={key.value}", origin="https://8080--main--dev--alice.apps.example") == 403
    stored = "https://{port}--{agent}--{workspace}--{user}.apps.example"
    wait_for(lambda: (key.name, WRONG_ORIGIN, stored, 1) in rows())


def subject(origin: int, *, ingest_key: str = "") -> rejections._Subject:
    day = datetime.now(UTC).date()
    return rejections._Subject(day, ingest_key, "x", f"https://{origin}.example")


@pytest.mark.parametrize("place", ["in the table", "in memory"])
def test_invented_origins_of_one_key_do_not_hide_those_of_another(
    key: IngestKey, place: str
) -> None:
    waiting: dict[rejections._Subject, int] = {}
    for each in (*map(subject, range(5)), subject(0, ingest_key=key.name)):
        if place == "in memory":
            rejections._count(each, waiting, max_waiting=2)
        else:
            rejections.write(Counter([each]), max_rows=2)
    rejections.write(waiting)
    assert rows() == {
        ("", "x", "https://0.example", 1),
        ("", "x", "https://1.example", 1),
        ("", "x", "other", 3),
        (key.name, "x", "https://0.example", 1),
    }


def test_invented_origins_do_not_hide_a_site_with_a_mistyped_key(key: IngestKey) -> None:
    invented = (subject(n, ingest_key="unknown key") for n in range(rejections.MAX_ROWS))
    rejections.write(Counter(invented))
    for number in range(rejections.MAX_WAITING):
        assert report(f"?key={new_key()}", origin=f"https://{number}.example") == 401
    for _ in range(30):
        assert report(f"?key={key.value}x") == 401
    wait_for(lambda: ("unknown key", "The ingest key is unknown.", ORIGIN, 30) in rows())
    shown = text_in(in_admin("auditor").get(check_page(key)))
    assert "No report was accepted yet" in shown
    assert "The ingest key is unknown." in shown


def test_page_waits_for_the_first_report_and_shows_it(key: IngestKey, owner: APIClient) -> None:
    client = in_admin("auditor")
    waiting = client.get(check_page(key))
    assert "Waiting for the first report" in text_in(waiting)
    assert 'data-reload="5"' in waiting.text
    # The first policy also finds images, styles and frames. Enforced, it would break most sites.
    assert "Content-Security-Policy-Report-Only: default-src &#x27;self&#x27;;" in waiting.text
    assert "Content-Security-Policy: " not in waiting.text
    assert "most sites would stop working" in text_in(waiting)
    assert report(f"?key={key.value}", origin="https://evil.example") == 403
    wait_for(lambda: (key.name, WRONG_ORIGIN, "https://evil.example", 1) in rows())
    assert "No report was accepted yet" in text_in(client.get(check_page(key)))
    assert report(f"?key={key.value}") == 200
    shown = client.get(check_page(key))
    assert "The newest report arrived" in text_in(shown)
    assert "Accepted today (UTC): 1" in text_in(shown)
    assert "data-reload" not in shown.text
    form = in_admin("owner").get(f"/admin/csp/ingestkey/{key.pk}/change/").text
    assert form.index(check_page(key)) < form.index('name="name"')
    assert check_page(key) in client.get("/admin/csp/ingestkey/").text
    assert client.get("/admin/csp/ingestkey/999999/check/").status_code == 404
