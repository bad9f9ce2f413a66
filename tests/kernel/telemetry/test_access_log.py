"""The access log: a line for each response, including early errors, without queries and secrets."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.telemetry import access, logs
from kernel.telemetry.access import FORMS, AccessLog, Entry, as_common, as_json, blocks
from tests.support.databases.tables import query
from tests.support.processes import DEADLINE_SECONDS, PROJECT, wait_for
from tests.support.servers.live import Server, own_server, send
from tests.support.token_lists import LONG_LIST, TOKENS

TOKEN = "abcdefghij-ABCDEFGHIJKLMNOPQRSTUV"
ENTRY = Entry(
    at=1_795_696_496.25,
    client="203.0.113.9",
    method="GET",
    path="/api/v2/buildinfo",
    protocol="HTTP/1.1",
    status=200,
    size=438,
    seconds=0.0012345,
    request_id="bcbdef06-1ac2-475c-b242-acf849b2e8a1",
    user_agent="curl/8",
)


def test_forms() -> None:
    assert as_common(ENTRY) == (
        b'203.0.113.9 - - [26/Nov/2026:12:34:56 +0000] "GET /api/v2/buildinfo HTTP/1.1" 200 438 '
        b"1.234 bcbdef06-1ac2-475c-b242-acf849b2e8a1\n"
    )
    same = ("client", "method", "path", "protocol", "status", "request_id", "user_agent")
    others = {"ts": "2026-11-26T12:34:56.250Z", "bytes": 438, "duration_ms": 1.234}
    assert json.loads(as_json(ENTRY)) == others | {name: getattr(ENTRY, name) for name in same}


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text(st.characters(max_codepoint=255)))
def test_any_request_makes_one_line(form: str, text: str) -> None:
    sent = ENTRY._replace(method=text, path=text, user_agent=text)
    line = FORMS[form](sent).decode()
    assert line.count("\n") == 1
    if form == "common":
        assert line.count('"') == 2
    else:
        json.loads(line)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", [0, access.MAX_PATH - 20, access.MAX_AGENT - 20])
def test_no_token_and_no_secret_of_an_option_is_written(form: str, before: int) -> None:
    logs.redact(["a-secret-of-an-option"])
    try:
        for secret in (TOKEN, "a-secret-of-an-option"):
            text = f"/{'x' * before}/{secret}"
            line = FORMS[form](ENTRY._replace(path=text, user_agent=text)).decode()
            assert secret[-11:] not in line
            assert len(line) < 2 * access.MAX_PATH
    finally:
        logs.redact([])


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(20, 60))
def test_blocks_hold_whole_lines(lines: list[bytes], limit: int) -> None:
    made = list(blocks(lines, limit=limit))
    assert b"".join(made) == b"".join(lines)
    assert all(len(block) <= limit for block in made)
    ends = {len(b"".join(lines[:n])) for n in range(len(lines) + 1)}
    assert {len(b"".join(made[:n])) for n in range(len(made) + 1)} <= ends


def test_responses_that_cannot_be_written_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = AccessLog(str(tmp_path / "gone" / "log"), "common", max_waiting=2)
    for _ in range(5):
        log.add(ENTRY)
    log.write()
    assert "No such file or directory" in caplog.text
    assert "dropped 5 responses" in caplog.text


def test_a_full_disk_tears_one_line_and_the_rest_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit is far above the size of all other files, so it only affects this log."""
    line, begin = as_common(ENTRY), 1 << 32
    written = tmp_path / "log"
    written.touch()
    os.truncate(written, begin)
    log = AccessLog(str(written), "common")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (begin + len(line) * 3 // 2, before[1]))
    try:
        for _ in range(5):
            log.add(ENTRY)
        log.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in caplog.text
    assert "dropped 4 responses" in caplog.text
    log.add(ENTRY)
    log.write()
    with written.open("rb") as file:
        file.seek(begin)
        whole, _, last = file.readlines()
    assert (whole, last) == (line, line)


WITHOUT_A_READER = f"""
from kernel.telemetry.access import AccessLog, Entry
log = AccessLog("/dev/stdout", "json")
log.start()
for _ in range(2_000):
    log.add(Entry{tuple(ENTRY)})
"""


def test_a_process_ends_while_its_log_is_not_read() -> None:
    command = [sys.executable, "-c", WITHOUT_A_READER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        try:
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            process.kill()
        assert process.stdout
        whole = process.stdout.read().splitlines()
    assert whole
    assert set(whole) == {as_json(ENTRY).rstrip()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


ASKED = [
    ("GET", f"/api/v2/buildinfo?coder_session_token={TOKEN}", 200),
    # Its response is cached.
    *((method, "/api/v2/buildinfo", 200) for method in ("HEAD", "GET")),
    ("GET", f"/api/v2/users/me/{TOKEN}", 404),
    ("GET", "/static/coderapi/admin.css", 200),
    ("GET", f"/x_{TOKEN}", 404),
    ("GET", "/%E4%BD%A0", 404),
    ("POST", "/api/v2/csp/reports", 401),
    ("POST", "/api/v2/users/login", 413),
]


def test_server_logs_every_response(tmp_path: Path) -> None:
    written, moved = tmp_path / "access", tmp_path / "access.1"
    more = {
        "CODERAPI_ACCESS_LOG_PATH": str(written),
        "CODERAPI_ACCESS_LOG_FORMAT": "json",
        "CODER_PROXY_TRUSTED_HEADERS": "X-Forwarded-For",
        "CODER_PROXY_TRUSTED_ORIGINS": "127.0.0.1",
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
    }
    forwarded = "1.2.3.4, 203.0.113.9"
    with own_server("--web-only", log=tmp_path / "log", **more) as server:
        answers = {}
        for method, path, status in ASKED:
            body = b"x" * (5 << 20) if method == "POST" else None
            answer = server.ask(
                path, token=TOKEN, method=method, body=body, X_Forwarded_For=forwarded
            )
            assert answer.status == status
            answers[answer.headers["X-Coder-Request-Id"]] = (method, path, answer)
        wait_for(lambda: {line["request_id"] for line in lines(written)} >= answers.keys())
        for line in lines(written):
            if found := answers.pop(line["request_id"], None):
                method, path, answer = found
                shown = (line["method"], line["status"], line["client"], line["bytes"])
                assert shown == (method, answer.status, "203.0.113.9", len(answer.body))
                assert path.partition("?")[0].startswith(line["path"].partition("***")[0])
                assert line["duration_ms"] > 0
        assert not answers
        assert logged_clients(server, written) == ["127.0.0.1", *["203.0.113.9"] * 3] * 2
        written.rename(moved)
        ask_and_leave(server)
        wait_for(lambda: any(line["path"] == TOKENS for line in lines(written)))
        last = server.ask("/healthz").headers["X-Coder-Request-Id"]
        assert server.end(signal.SIGTERM) == 0
    assert last in {line["request_id"] for line in lines(written)}
    assert TOKEN.partition("-")[2] not in moved.read_text() + (tmp_path / "log").read_text()


def logged_clients(server: Server, written: Path) -> list[str]:
    """Returns the addresses for requests with and without a header that has an underscore.

    It is no header of a proxy. The rate limit and sign-in attempts count for this address, too.
    """
    proxied, forged = {"X-Forwarded-For": "203.0.113.9"}, {"X_Forwarded_For": "203.0.113.1"}
    before = len(lines(written))
    # The first path is handled in the event loop, and the second one by Django.
    for path in ("/api/v2/buildinfo", "/login"):
        for headers in (forged, proxied, proxied | forged, forged | proxied):
            assert send(server.port, path, headers=headers).body
    found = wait_for(lambda: (new := lines(written)[before:])[7:] and new)
    return [line["client"] for line in found]


def ask_and_leave(server: Server) -> None:
    """Asks for a long list, and disconnects after the first bytes of the response."""
    query(server.database, LONG_LIST)
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("GET", TOKENS, headers={"Coder-Session-Token": server.owner_token})
        connection.getresponse().read(10)
