"""PostgreSQL answers nothing at all: who needs it hears so soon, and all others are served."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.coderapi.test_page_samples import token_in
from tests.support.clusters import own_cluster
from tests.support.live import Server
from tests.support.processes import wait_for

TOKENS = "/api/v2/users/me/keys/tokens"
REPORT = b'{"csp-report": {"blocked-uri": "https://evil.example.com/x.js"}}'
DOCUMENT = "/api/v2/deployment/ssh"


def test_every_answer_comes_within_seconds(
    open_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    with (
        own_cluster(open_directory, durable=False) as cluster,
        Server(
            "--web-only",
            log=log,
            DATABASE_URL=cluster.url,
            CODERAPI_FIRST_OWNER_USERNAME="owner",
            CODERAPI_CSP_ACCESS="public",
        ) as server,
    ):
        token = token_in(log.parent / "first-owner.txt")
        stranger = token[:-1] + ("a" if token[-1] != "a" else "b")

        def asked(path: str, token: str, body: object) -> tuple[int, float]:
            begun = time.monotonic()
            answer = server.ask(
                path, token=token, body=body, method="GET" if body is None else "POST"
            )
            return answer.status, time.monotonic() - begun

        for path in (DOCUMENT, "/readyz"):
            assert server.ask(path, token=token).status == 200
        assert server.ask("/api/v2/csp/reports", body=REPORT, method="POST").status == 200
        wants = [
            ("/healthz", "", None, {200}, 2.0),
            ("/readyz", "", None, {503}, 5.0),
            (DOCUMENT, token, None, {200}, 2.0),
            (DOCUMENT, "0000000001-" + stranger[11:], None, {503}, 5.0),
            (TOKENS, token, {"token_name": "new"}, {503, 504}, 7.0),
            ("/api/v2/csp/reports", "", REPORT, {503, 504}, 7.0),
        ]
        with cluster.frozen(), ThreadPoolExecutor(len(wants)) as pool:
            found = pool.map(asked, *zip(*[want[:3] for want in wants], strict=True))
            for (path, _, _, statuses, seconds), (status, took) in zip(wants, found, strict=True):
                assert (path, status in statuses, took < seconds) == (path, True, True), took
        wait_for(lambda: server.ask("/readyz").status == 200)
        wait_for(lambda: asked(TOKENS, token, {"token_name": "later"})[0] in {201, 409})
        assert "Traceback" not in log.read_text()
