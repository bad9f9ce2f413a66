from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from audit.models import Entry
from csp.access import keys as ingest_keys
from csp.access.origins import normalized_origin
from csp.access.page_headers import MIXED, NO_REPORT_TO
from csp.models import IngestKey, Report
from tests.support.api.client import APIClient
from tests.support.browsers.markup import text_in
from tests.support.commands import run
from tests.support.csp.reports import PATH, as_bytes, fresh_writer, in_admin, legacy, send
from tests.support.processes import BEFORE_EVICTION_SECONDS, wait_for

pytestmark = pytest.mark.django_db

ORIGIN = "https://coder.example.com"


@pytest.fixture
def key(transactional_db: None) -> Iterator[str]:
    """A key for `ORIGIN`, created by the command."""
    with fresh_writer():
        yield create("--name", "site")


def create(*options: str, origin: str = ORIGIN) -> str:
    """Creates a key by the command, and returns it."""
    return run("create_ingest_key", "--origin", origin, *options).split()[0]


def post(client: APIClient, key: str, origin: str = ORIGIN) -> int:
    answer = client.post_json(f"{PATH}?key={key}", as_bytes(legacy()), HTTP_ORIGIN=origin)
    return int(answer.status_code)


def retire(key: str) -> None:
    IngestKey.objects.filter(value=key).update(retired_at=timezone.now())
    ingest_keys.MEMORY.clear()


def test_new_key_is_printed_with_the_headers_of_each_scheme(
    db: None, settings: LazySettings
) -> None:
    settings.ACCESS_URL = "https://collector.example.com/"
    printed = run("create_ingest_key", "--origin", ORIGIN)
    key = IngestKey.objects.get().value
    url = f"https://collector.example.com{PATH}?key={key}"
    assert printed.splitlines()[0] == key
    assert f'\nReporting-Endpoints: csp="{url}"\n' in printed
    assert f"; report-to csp; report-uri {url}\n" in printed
    printed = run("create_ingest_key", "--origin", "http://a.example", "--origin", ORIGIN)
    assert f"Send these headers with the pages of {ORIGIN}:" in printed
    assert "Send this header with the pages of http://a.example:" in printed
    assert printed.count("report-to csp") == 1


@pytest.mark.parametrize(
    ("access_url", "origin", "note"),
    [
        ("http://127.0.0.1:3000", ORIGIN, NO_REPORT_TO),
        ("http://localhost:3000", ORIGIN, NO_REPORT_TO),
        ("https://collector.example.com", "http://coder.example.com", NO_REPORT_TO),
        ("http://collector.example.com", "http://coder.example.com", NO_REPORT_TO),
        # A browser drops reports of an https page to an http URL of another machine.
        ("http://collector.example.com", ORIGIN, MIXED),
        ("http://10.0.0.1:3000", ORIGIN, MIXED),
    ],
)
def test_headers_for_http_have_only_report_uri(
    db: None, settings: LazySettings, access_url: str, origin: str, note: str
) -> None:
    settings.ACCESS_URL = access_url
    printed = run("create_ingest_key", "--origin", origin)
    key = IngestKey.objects.get().value
    header = f"default-src 'self'; report-uri {access_url}{PATH}?key={key}"
    assert f"\nContent-Security-Policy-Report-Only: {header}\n" in printed
    assert "Reporting-Endpoints" not in printed
    assert f"\n{note}\n" in printed
    page = in_admin("auditor").get(f"/admin/csp/ingestkey/{IngestKey.objects.get().pk}/check/")
    assert note in text_in(page)


def test_key_allows_its_origin_until_it_is_retired(key: str, anonymous: APIClient) -> None:
    assert post(anonymous, key) == 200
    assert Report.objects.count() == 1
    assert post(anonymous, key, "https://elsewhere.example.com") == 403
    for wrong in ("nonsense", "cik_", "cik_" + "a" * 28, ingest_keys.new_key()):
        assert post(anonymous, wrong) == 401
    retire(key)
    assert post(anonymous, key) == 410


@pytest.mark.usefixtures("connected")
def test_retirement_reaches_every_process_at_once(key: str, anonymous: APIClient) -> None:
    assert post(anonymous, key) == 200
    IngestKey.objects.filter(value=key).update(retired_at=timezone.now())
    wait_for(lambda: post(anonymous, key) == 410, seconds=BEFORE_EVICTION_SECONDS)


def test_new_key_works_beside_the_old_one(key: str, anonymous: APIClient) -> None:
    # The origin null must be on the list of the key.
    assert post(anonymous, key, "null") == 403
    new = create("--origin", "null")
    assert post(anonymous, key) == post(anonymous, new) == post(anonymous, new, "null") == 200
    assert post(anonymous, key, "") == 200
    retire(key)
    assert post(anonymous, new) == 200


def test_access_can_require_an_ingest_key_or_nothing(
    key: str, member: APIClient, anonymous: APIClient, settings: LazySettings
) -> None:
    settings.CSP_ALLOWED_SENDERS = "ingest-key"
    assert send(member, legacy()).status_code == 401
    assert post(anonymous, key) == 200
    # The key is not a session token.
    assert anonymous.get(f"/api/v2/experiments?key={key}").status_code == 401
    settings.CSP_ALLOWED_SENDERS = "public"
    assert send(anonymous, legacy()).status_code == 200


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
    sent = anonymous.post_json(f"{PATH}?key={key}", as_bytes(legacy()), HTTP_ORIGIN=ORIGIN)
    assert sent["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://site.test:443", "https://site.test"),
        ("http://site.test:80/", "http://site.test"),
        ("http://site.test:443", "http://site.test:443"),
        ("https://site.test:08443", "https://site.test:8443"),
        ("https://site.test:", "https://site.test"),
        (" HTTPS://Site.Test ", "https://site.test"),
        ("https://münchen.test", "https://xn--mnchen-3ya.test"),
        ("https://MU\u0308NCHEN.test", "https://xn--mnchen-3ya.test"),
        ("https://straße.test", "https://xn--strae-oqa.test"),
        ("https://ΣΑΣ.test", "https://xn--mxa9ab.test"),
        ("https://xn--mnchen-3ya.test", "https://xn--mnchen-3ya.test"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[0:0::1]:80", "http://[::1]"),
        ("NULL", "null"),
    ],
)
def test_origin_is_normalized(text: str, origin: str) -> None:
    assert normalized_origin(text) == origin


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nonsense", "is not an origin such as"),
        ("", "is not an origin such as"),
        ("ftp://a.example", "is not an origin such as"),
        ("https://a.example/path", "more than an origin"),
        ("https://:secret@a.example", "more than an origin"),
        ("https://*.site.test", "wildcard"),
        ("https://host:99999", "Port out of range"),
        ("https://host:x", "Port"),
        ("https://[::1", "Invalid IPv6"),
        ("https://[fe80::1%25eth0]", "is not an origin"),
        ("https://a b.test", "space"),
        ("https://a\nb.test", "space"),
        ("https://a..test", "host is not valid"),
        ("https://a%2eb.test", "host is not valid"),
        ("https://☃.test", "host is not valid"),
        ("https://1.2.3", "host is not valid"),
        (f"https://{'a' * 64}.test", "host is not valid"),
        (f"https://{'.'.join(['abcdefghi'] * 25)}.test", "host is not valid"),
        (f"https://{'.'.join(['abcdefghi'] * 24)}.abcdefghijk:8443", "more than 255"),
    ],
)
def test_invalid_origin_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        run("create_ingest_key", "--origin", text)
    assert not IngestKey.objects.exists()


def test_admin_normalizes_origins() -> None:
    page, client = "/admin/csp/ingestkey/add/", in_admin("owner")
    refused = client.post(page, {"name": "site", "origins": "https://*.site.test"})
    assert "has a wildcard" in refused.content.decode()
    client.post(page, {"name": "site", "origins": "https://site.test:443,https://Site.test"})
    assert IngestKey.objects.get().origins == ["https://site.test"]


@given(st.text(max_size=300) | st.from_regex(r"https?://[^/]{1,40}(:[0-9]{1,5})?", fullmatch=True))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    try:
        origin = normalized_origin(text)
    except ValueError:
        return
    assert origin.isascii()
    assert normalized_origin(origin) == origin


def test_names_of_keys_are_unique_and_short() -> None:
    """Without a name, a further key of a host gets a number."""
    keys = [create(origin="https://site.test:443") for _ in range(3)]
    assert len(set(keys)) == 3
    names = list(IngestKey.objects.order_by("id").values_list("name", flat=True))
    assert names == ["site.test", "site.test 2", "site.test 3"]
    long = f"https://{'.'.join(['abcdefghi'] * 9)}.test"
    assert create(origin=long) != create(origin=long)
    with pytest.raises(CommandError, match="at most 64"):
        create("--name", "n" * 65)
    with pytest.raises(CommandError, match="already exists"):
        create("--name", "site.test")


def test_key_is_retired_by_name_or_text_now_or_later(key: str, anonymous: APIClient) -> None:
    successor, later = create(), timezone.now() + timedelta(days=1)
    assert f"{later:%Y-%m-%d %H:%M} UTC" in run("retire_ingest_key", key, "--at", later.isoformat())
    assert post(anonymous, key) == 200
    assert IngestKey.objects.get(value=key).retired_at == later
    assert "'site' is retired" in run("retire_ingest_key", "site")
    assert post(anonymous, key) == 410
    assert post(anonymous, successor) == 200
    run("retire_ingest_key", successor)
    assert post(anonymous, successor) == 410
    newest = IngestKey.objects.get(value=successor)
    page = in_admin("auditor").get(f"/admin/csp/ingestkey/{newest.pk}/check/").text
    assert f"From {newest.retired_at:%Y-%m-%d %H:%M} (UTC) on, reports with this key get a" in page


def test_invalid_retirement_is_refused_with_a_sentence() -> None:
    create("--name", "site")
    with pytest.raises(CommandError, match="with the name or the key 'sit'"):
        run("retire_ingest_key", "sit")
    for wrong in ("2026-13-01", "soon", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(CommandError, match=wrong[:4]):
            run("retire_ingest_key", "site", "--at", wrong)
    retired = run("retire_ingest_key", "site")
    # Repeating it is safe, but a retired key is not used again.
    assert run("retire_ingest_key", "site") == retired
    assert Entry.objects.filter(action="csp.ingest_key.save").count() == 2
    with pytest.raises(CommandError, match="already retired"):
        run("retire_ingest_key", "site", "--at", "2999-01-01")
