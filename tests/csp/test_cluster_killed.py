"""PostgreSQL itself is killed, as by a power cut, while reports come in."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tests.support.clusters import own_cluster
from tests.support.csp_load import Load, assert_counts_agree
from tests.support.live import Server


def test_no_acknowledged_report_is_lost_when_postgresql_is_killed(
    open_directory: Path, tmp_path: Path
) -> None:
    with (
        own_cluster(open_directory) as cluster,
        Server(
            "--web-only",
            log=tmp_path / "log",
            DATABASE_URL=cluster.url,
            CODERAPI_SECRET_KEY="only-for-tests-" + "0123456789" * 4,
            CODERAPI_WEB_WORKERS="2",
            CODERAPI_CSP_ACCESS="public",
            CODER_API_RATE_LIMIT="-1",
        ) as server,
    ):
        with Load(server.port) as load:
            for _ in range(2):
                load.go_on(200)
                cluster.kill()
                cluster.revive()
            load.go_on(200)
        with psycopg.connect(cluster.url) as reader:
            assert_counts_agree(reader, load)
