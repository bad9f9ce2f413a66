"""Documents are rendered once for each wire and encoding, and evicted when they are stale."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.support.api.client import APIClient
from tests.support.commands import run
from tests.support.factories import make_key, make_user
from tests.support.processes import wait_for
from tests.support.stats_rows import text

CONFIG = "/api/v2/deployment/config"
SSH = "/api/v2/deployment/ssh"
BUILDINFO = "/api/v2/buildinfo"
STATS = "/api/v2/deployment/stats"


def test_document_has_an_etag_and_a_cache_policy(owner: APIClient) -> None:
    private, public, head = owner.get(SSH), owner.get(BUILDINFO), owner.head(SSH)
    assert private.headers["ETag"].startswith('"')
    assert private.headers["Cache-Control"] == "private, no-cache"
    assert public.headers["Cache-Control"] == "public, no-cache"
    assert private.headers["Vary"].startswith("Coderapi-Wire-Format, Accept-Encoding")
    assert (head.status_code, head.headers["ETag"]) == (200, private.headers["ETag"])


@pytest.mark.parametrize("tag", ["{}", "W/{}", '"other", {}', "*"])
def test_known_document_is_304_without_a_body(owner: APIClient, tag: str) -> None:
    etag = owner.get(SSH).headers["ETag"]
    answer = owner.get(SSH, headers={"If-None-Match": tag.format(etag)})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    # A cache could store these headers with the document.
    stored = {"Content-Type", "Content-Length", "Content-Security-Policy"}
    assert not stored & set(answer.headers)
    assert owner.get(SSH, headers={"If-None-Match": '"other"'}).status_code == 200


def test_gzipped_document_has_its_own_etag(owner: APIClient) -> None:
    plain = owner.get(CONFIG)
    zipped = owner.get(CONFIG, headers={"Accept-Encoding": "br, gzip"})
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.content) == plain.content
    assert zipped.headers["ETag"] != plain.headers["ETag"]
    assert len(zipped.content) < len(plain.content) / 2
    for accept in ("", "identity", "gzip;q=0", "br"):
        answer = owner.get(CONFIG, headers={"Accept-Encoding": accept})
        assert "Content-Encoding" not in answer.headers, accept


def test_each_wire_has_its_own_etag(owner: APIClient) -> None:
    path = "/api/v2/experiments/available"
    documented = owner.get(path)
    coderd = owner.get(path, headers={"Coderapi-Wire-Format": "coderd"})
    assert documented.json() == ["minimum-implicit-member"]
    assert coderd.json() == {"safe": ["minimum-implicit-member"]}
    assert documented.headers["ETag"] != coderd.headers["ETag"]


def test_authenticated_document_costs_one_query_with_a_new_key(
    owner: APIClient, django_assert_num_queries: Any
) -> None:
    owner.get(CONFIG)
    with django_assert_num_queries(1):
        assert owner.get(CONFIG).status_code == 200


def test_authenticated_document_costs_no_query_with_a_remembered_key(
    connected: None, owner: APIClient, django_assert_num_queries: Any
) -> None:
    owner.get(CONFIG)
    with django_assert_num_queries(0):
        assert owner.get(CONFIG).status_code == 200


@pytest.mark.usefixtures("connected")
def test_changed_document_is_rendered_again() -> None:
    client = APIClient(token=make_key(make_user("owner")).token)
    for minutes in (2, 1):
        moment = text(timezone.now().replace(microsecond=0) - timedelta(minutes=minutes))
        run("collect_deployment_stats", "--at", moment)
        wait_for(lambda: client.get(STATS).json().get("collected_at") == moment)  # noqa: B023
