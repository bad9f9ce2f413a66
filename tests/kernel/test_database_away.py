"""The database goes away while requests come, and comes back: 503, then answers, no restart."""

from __future__ import annotations

from pathlib import Path

from kernel import postgres
from tests.coderapi.test_page_samples import token_in
from tests.support.clusters import own_cluster
from tests.support.live import Server
from tests.support.processes import wait_for

TOKENCONFIG = "/api/v2/users/me/keys/tokens/tokenconfig"
REPORTS = "/api/v2/csp/reports"
REPORT = b'{"csp-report": {"blocked-uri": "https://evil.example.com/x.js"}}'


def test_requests_are_503_while_it_is_away_and_answered_when_it_is_back(
    open_directory: Path, tmp_path: Path
) -> None:
    with (
        own_cluster(open_directory, durable=False) as cluster,
        Server(
            log=tmp_path / "log", DATABASE_URL=cluster.url, CODERAPI_FIRST_OWNER_USERNAME="owner"
        ) as server,
    ):
        token = token_in(tmp_path / "first-owner.txt")
        for path in (TOKENCONFIG, "/api/v2/buildinfo"):
            assert server.ask(path, token=token).status == 200

        postgres.stop(open_directory)

        for path, method, body in ((TOKENCONFIG, "GET", None), (REPORTS, "POST", REPORT)):
            away = server.ask(path, token=token, method=method, body=body)
            assert away.status == 503, away
            assert int(away.headers["retry-after"]) > 0
            assert set(away.json) <= {"message", "detail"}
        assert server.ask("/healthz").status == 200
        assert server.ask("/readyz").status == 503
        assert server.ask("/api/v2/buildinfo").status == 200

        with own_cluster(open_directory, durable=False):
            wait_for(lambda: server.ask(TOKENCONFIG, token=token).status == 200)
            wait_for(lambda: server.ask("/readyz").status == 200)
            posted = server.ask(REPORTS, token=token, method="POST", body=REPORT)
            assert (posted.status, posted.body) == (200, b'"ok"')
            assert "Traceback" not in server.log.read_text()
