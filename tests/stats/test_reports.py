"""POST /api/coderapi/v1/stats/agent-rows."""

from __future__ import annotations

import gzip
from datetime import timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from django.utils import timezone

from stats.ingest.body import (
    MAX_COMMAS,
    MAX_INFLATED_BYTES,
    MAX_LINES,
    MAX_MEMBERS,
    MAX_ROWS,
)
from tests.support.api.client import APIClient
from tests.support.stats_rows import agent_row, workspace_row

URL = "/api/coderapi/v1/stats/agent-rows"
# Each worker compresses the large bodies when it collects the tests.
packed = partial(gzip.compress, compresslevel=1, mtime=0)


def agent(**members: Any) -> dict[str, Any]:
    return agent_row(timezone.now() - timedelta(seconds=1), kind="agent", **members)


def workspace(number: int = 1) -> dict[str, Any]:
    return workspace_row(number, kind="workspace")


def lines(*rows: Any) -> bytes:
    return b"\n".join(orjson.dumps(row) for row in rows)


@pytest.mark.parametrize(
    ("write", "accepted"),
    [
        (lambda: orjson.dumps([agent(), agent(), workspace()]), 3),
        (lambda: lines(agent(), agent(), workspace()), 3),
        (lambda: orjson.dumps(agent(), option=orjson.OPT_INDENT_2), 1),
        (lambda: b"[]", 0),
    ],
)
def test_rows_may_be_json_or_json_lines_or_one_object(
    owner: APIClient, write: Any, accepted: int
) -> None:
    answer = owner.post_json(URL, write())
    assert answer.status_code == 200
    assert answer.json() == {"accepted": accepted, "duplicates": 0, "rejections": []}


def test_valid_rows_are_stored_and_rejected_ones_are_listed(owner: APIClient) -> None:
    body = lines(agent(), agent(rx_bytes=-1)) + b"\n\n{broken\n" + lines({"kind": "cat"})
    answer = owner.post_json(URL, body).json()
    assert answer["accepted"] == 1
    rejected = [(row["row_number"], row["field"]) for row in answer["rejections"]]
    assert rejected == [(2, "rx_bytes"), (4, ""), (5, "kind")]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"", "", 400),
        (b"{", "", 400),
        (b"rows", "", 400),
        (b"[1] 2", "", 400),
        (b"\xff", "", 400),
        (b"[" * 100_000, "", 400),
        (b"no gzip", "gzip", 400),
        (packed(b"[]")[:-3], "gzip", 400),
        (packed(b"[]") + b"more", "gzip", 400),
        (b"[]", "br", 415),
        (packed(b" " * (MAX_INFLATED_BYTES + 1)), "gzip", 413),
        (b"[" + b"1," * MAX_ROWS + b"1]", "", 413),
        (b"{}\n" * (MAX_ROWS + 1), "", 413),
        (packed(b"[[" + b"1," * MAX_COMMAS + b"1,1]]"), "gzip", 413),
        (packed(b"{}\n[" + b"1," * MAX_COMMAS + b"1,1]"), "gzip", 413),
        (packed(b"{}" + b"\n[]" * MAX_ROWS), "gzip", 413),
        (packed(b"[" + b"[[[[[[]]]]]]," * 2 * MAX_ROWS + b"1]"), "gzip", 413),
        (packed(b"{}" + b"\n" * (MAX_LINES + 2) + b"{}"), "gzip", 413),
        (packed(b"") * (MAX_MEMBERS + 1), "gzip", 413),
    ],
)
def test_an_invalid_or_too_large_body_is_rejected(
    owner: APIClient, body: bytes, encoding: str, status: int
) -> None:
    answer = owner.post_json(URL, body, headers={"Content-Encoding": encoding})
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_may_have_several_members(owner: APIClient, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    body = gzip.compress(lines(agent()) + b"\n") + gzip.compress(lines(workspace()))
    assert owner.post_json(URL, body, headers=headers).json()["accepted"] == 2
    for members in ([*[b""] * 99, b"[]"], [b" " * 9999, b"", b"[]"], [b"[", b"]"]):
        body = b"".join(gzip.compress(text, mtime=0) for text in members)
        assert owner.post_json(URL, body, headers=headers).status_code == 200


def test_empty_lines_are_skipped(owner: APIClient) -> None:
    body = lines(workspace()) + b"\n\n" + b"{}\n" * (MAX_ROWS - 1)
    numbers = [
        rejection["row_number"] for rejection in owner.post_json(URL, body).json()["rejections"]
    ]
    assert numbers == [*range(3, MAX_ROWS + 2)]


@pytest.mark.parametrize("value", [b"7", b"null", b'"row"', b"[null]"])
def test_a_row_must_be_an_object(owner: APIClient, value: bytes) -> None:
    answer = owner.post_json(URL, value)
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "No row was stored: every row was rejected.",
        "detail": "Rejected 1 row.",
        "validations": [{"field": "1", "detail": "must be a JSON object"}],
    }


def test_a_report_without_a_valid_row_is_an_error_with_a_bounded_list(owner: APIClient) -> None:
    answer = owner.post_json(URL, orjson.dumps([agent(rx_bytes=-1)] * 101))
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Rejected 101 rows. The first 100 are listed."
    validations = answer.json()["validations"]
    assert [entry["field"] for entry in validations] == [f"{n}.rx_bytes" for n in range(1, 101)]
    assert "-1 is not a whole number" in validations[0]["detail"]
    row = orjson.dumps(workspace())
    owner.post_json(URL, row)
    assert owner.post_json(URL, row + b"\n{}").status_code == 200
