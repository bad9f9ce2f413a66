"""Lists of tokens: one page on request, otherwise all tokens in a stream."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support.api.client import APIClient
from tests.support.factories import make_key
from tests.support.token_lists import TOKENS, make_tokens
from tokens.models import APIKey

pytestmark = pytest.mark.django_db

CODERD = {"Coderapi-Wire-Format": "coderd"}


def test_tokens_are_paged_on_request(member: APIClient) -> None:
    make_tokens(member.user, 5)

    def ids(query: str) -> list[int]:
        return [int(token["id"]) for token in member.get(f"{TOKENS}?{query}").json()]

    assert ids("") == ids("limit=0") == [0, 1, 2, 3, 4]
    assert ids("limit=2") == [0, 1]
    assert ids("limit=2&offset=3") == [3, 4]
    assert ids("offset=3") == [3, 4]
    assert ids("limit=2&offset=5") == []
    assert member.get(f"{TOKENS}?limit=2&offset=5", headers=CODERD).json() is None


@pytest.mark.parametrize("query", ["limit=1001", "limit=-1", "limit=x", "offset=-1", "offset=1.5"])
def test_invalid_page_is_400(query: str, member: APIClient) -> None:
    assert member.get(f"{TOKENS}?{query}").status_code == 400


def test_unchanged_page_is_304(member: APIClient) -> None:
    make_tokens(member.user, 2)
    path = f"{TOKENS}?limit=1"
    again = {"If-None-Match": member.get(path).headers["ETag"]}

    assert member.get(path, headers=again).status_code == 304
    assert member.get(path, headers=again | CODERD).status_code == 200
    make_key(member.user, login_type="token")
    assert member.get(path, headers=again).status_code == 200
    assert "ETag" not in member.get(TOKENS).headers


@pytest.mark.slow
@pytest.mark.parametrize("headers", [{}, CODERD])
def test_three_thousand_tokens_are_streamed_in_pages(
    headers: dict[str, str], member: APIClient
) -> None:
    make_tokens(member.user, 3_000)

    with CaptureQueriesContext(connection) as queries:
        answer = member.get(TOKENS, headers=headers)

    found = json.loads(answer.getvalue())
    assert [int(token["id"]) for token in found] == list(range(3_000))
    assert isinstance(found[-1]["allow_list"][0], str if headers else dict)
    assert len(queries) == 2 + 4  # the key, the user; a thousand tokens each, and the end
    assert member.head(TOKENS).status_code == 200


@pytest.mark.slow
def test_long_list_needs_the_memory_of_two_pages(member: APIClient) -> None:
    client = Client(headers={"Coder-Session-Token": member.token})

    def peak(count: int) -> int:
        make_tokens(member.user, count)
        tracemalloc.start()
        try:
            answer: Any = client.get(TOKENS)
            assert sum(map(len, answer.streaming_content)) > 300 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            APIKey.objects.filter(login_type="token").delete()

    assert peak(6_000) < 1.3 * peak(3_000)
