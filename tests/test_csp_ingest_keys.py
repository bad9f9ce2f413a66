from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from coderapi import listener
from csp import ingest_keys
from csp.models import IngestKey, Report
from tests.client import APIClient
from tests.csp_reports import PATH, fresh_writer, legacy, modern, send
from tests.processes import wait_for

ORIGIN = "https://coder.example.com"


@pytest.fixture
def key(transactional_db: None) -> Iterator[str]:
    """A key for `ORIGIN`, made as an operator makes it."""
    with fresh_writer():
        out = StringIO()
        call_command("create_ingest_key", origin=[ORIGIN], name="site", stdout=out)
        yield out.getvalue().strip()


@pytest.fixture
def hearing(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The listener of a process that serves requests, and keys that no age makes stale."""
    monkeypatch.setattr(ingest_keys, "REMEMBERED_SECONDS", 3600.0)
    listener.start()
    wait_for(listener.hearing)
    yield
    listener.stop()
    ingest_keys.memory.forget()


def post(client: APIClient, key: str, origin: str = ORIGIN) -> int:
    answer = client.post_json(f"{PATH}?key={key}", b'{"csp-report": {}}', HTTP_ORIGIN=origin)
    return int(answer.status_code)


def retire(key: str) -> None:
    IngestKey.objects.filter(key=key).update(retired_at=timezone.now())
    ingest_keys.memory.forget()


def test_key_lets_its_origin_report(key: str, anonymous: APIClient) -> None:
    assert post(anonymous, key) == 200
    assert Report.objects.count() == 1


def test_key_lets_no_other_origin_report(key: str, anonymous: APIClient) -> None:
    assert post(anonymous, key, "https://elsewhere.example.com") == 403


@pytest.mark.parametrize("wrong", ["nonsense", "cik_", "cik_" + "a" * 28])
def test_wrong_key_is_refused(key: str, anonymous: APIClient, wrong: str) -> None:
    assert post(anonymous, wrong) == 401
    assert post(anonymous, ingest_keys.new_key()) == 401


def test_retired_key_tells_browsers_to_stop(key: str, anonymous: APIClient) -> None:
    retire(key)
    assert post(anonymous, key) == 410


@pytest.mark.usefixtures("hearing")
def test_every_process_hears_at_once_that_a_key_was_retired(key: str, anonymous: APIClient) -> None:
    assert post(anonymous, key) == 200
    IngestKey.objects.filter(key=key).update(retired_at=timezone.now())
    wait_for(lambda: post(anonymous, key) == 410)


def test_new_key_works_beside_the_old_one(key: str, anonymous: APIClient) -> None:
    out = StringIO()
    call_command("create_ingest_key", origin=[ORIGIN], name="site, new", stdout=out)
    assert post(anonymous, key) == post(anonymous, out.getvalue().strip()) == 200
    retire(key)
    assert post(anonymous, out.getvalue().strip()) == 200


def test_only_a_key_will_do_where_it_is_asked_for(
    key: str, member: APIClient, anonymous: APIClient, settings: LazySettings
) -> None:
    settings.CSP_ACCESS = "ingest-key"
    assert send(member, legacy()).status_code == 401
    assert post(anonymous, key) == 200


def test_key_is_no_session_token(key: str, anonymous: APIClient) -> None:
    assert anonymous.get(f"/api/v2/experiments?key={key}").status_code == 401


def test_preflight_of_the_keys_origin_is_answered(key: str, anonymous: APIClient) -> None:
    asked: Any = {
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST",
        "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "content-type",
    }
    answer = anonymous.options(f"{PATH}?key={key}", HTTP_ORIGIN=ORIGIN, **asked)
    assert answer.status_code == 200
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in answer["Access-Control-Allow-Methods"]
    assert "content-type" in answer["Access-Control-Allow-Headers"]
    other = anonymous.options(f"{PATH}?key={key}", HTTP_ORIGIN="https://x.example", **asked)
    assert "Access-Control-Allow-Origin" not in other
    sent = anonymous.post_json(f"{PATH}?key={key}", b'[{"body": {}}]', HTTP_ORIGIN=ORIGIN)
    assert sent["Access-Control-Allow-Origin"] == ORIGIN


def test_key_in_a_policy_is_not_stored(key: str, anonymous: APIClient) -> None:
    policy = f"script-src 'self'; report-uri https://collector.example.com{PATH}?key={key}"
    answer = anonymous.post(
        f"{PATH}?key={key}",
        [modern(originalPolicy=policy)],
        content_type="application/json",
        HTTP_ORIGIN=ORIGIN,
    )
    assert answer.status_code == 200
    assert key not in Report.objects.get().original_policy


@pytest.mark.django_db
@pytest.mark.parametrize("origin", ["nonsense", "ftp://a.example", "https://a.example/path", ""])
def test_what_is_no_origin_is_refused_by_name(origin: str) -> None:
    with pytest.raises(CommandError, match="origin"):
        call_command("create_ingest_key", origin=[origin])


@given(st.integers(min_value=0, max_value=31), st.sampled_from("aZ9"))
def test_mistyped_key_is_not_well_formed(position: int, letter: str) -> None:
    key = ingest_keys.new_key()
    assert ingest_keys.is_well_formed(key)
    mistyped = key[:position] + letter + key[position + 1 :]
    assert ingest_keys.is_well_formed(mistyped) == (mistyped == key)
