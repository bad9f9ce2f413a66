"""Makes a backup of this release with rows in every table.

A server fills its tables through HTTP, commands and jobs, as the service of a user does.
bin/keep_release keeps the backup in this folder, so that the tests of later releases upgrade it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from coderapi import __version__
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.coder.tables import coder_database
from tests.support.commands import succeed, write_lines
from tests.support.csp.reports import CHROME, FIREFOX, legacy, modern
from tests.support.databases.tables import empty_tables, query
from tests.support.servers.live import PASSWORD, Server, obeying
from tests.support.servers.local_server import answering
from tests.support.servers.mail_server import mail_server
from tests.support.servers.webhook_receiver import Receiver
from tests.support.stats_rows import agent_row, workspace_row

FOLDER = Path(__file__).parent
SITE = "https://portal.example.com"
NETWORKS = range(1, 9)
MAX_BYTES = 300_000
# What a machine would leave in the file.
ANONYMOUS = """
UPDATE jobs_jobrun SET process = 'host:1';
UPDATE deployment_configrevision SET host = 'host';
"""


@dataclass
class Filling:
    """A server, and the environment of the commands that fill its database."""

    service: Server
    environ: dict[str, str]
    directory: Path

    def command(self, *arguments: str, typed: str = "", **more: str) -> str:
        return succeed(*arguments, typed=typed, **{**self.environ, **more})

    def job(self, name: str, **more: str) -> None:
        self.command("run_job", name, **more)

    def sql(self, statement: str) -> None:
        query(self.service.database, statement)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.service.ask_as_owner(path, method=method, body=body, **headers)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.json if answer.body else None


def test_release_fills_every_table(tmp_path: Path) -> None:
    with filling(tmp_path) as fill:
        add_people(fill)
        add_alerts(fill)
        add_reports(fill)
        add_rows_from_coder(fill)
        add_stats(fill)
        add_releases(fill)
        fill.sql(ANONYMOUS)
        made = tmp_path / f"{__version__}.backup"
        fill.command("backup", str(made))
        # Changes by the admin are in the audit trail, and Django's own log stays empty. Only 0.1.0
        # writes to the other table.
        assert set(empty_tables(fill.service.database)) == {"csp_otherreport", "django_admin_log"}
        assert made.stat().st_size < MAX_BYTES
        if "KEEP_RELEASE" in os.environ:
            with psycopg.connect(fill.service.database) as connection:
                assert connection.info.server_version < 160_000, "bin/keep_release needs 15"
            shutil.copyfile(made, FOLDER / made.name)


@contextmanager
def filling(directory: Path) -> Iterator[Filling]:
    releases = StandInCoder()
    newest = {"tag_name": "v2.99.0", "html_url": "https://example.com/v2.99.0"}
    releases.answers["/releases"] = (200, json.dumps(newest).encode())
    with mail_server() as mailbox, releases:
        options = {
            "CODERAPI_SECRET_KEY": "the-key-of-a-kept-release-which-is-long-enough-1234567890",
            "CODERAPI_DATA_DIR": str(directory),
            "CODERAPI_WEBHOOK_INTERNAL_NETWORKS": "127.0.0.0/8",
            "CODERAPI_UPDATE_CHECK_URL": f"{releases.url}/releases",
            "CODER_UPDATE_CHECK": "true",
            "CODER_EMAIL_SMARTHOST": f"127.0.0.1:{mailbox.port}",
            "CODER_EMAIL_FROM": "coderapi@example.com",
            "CODER_PROXY_TRUSTED_HEADERS": "X-Real-Ip",
            "CODER_PROXY_TRUSTED_ORIGINS": "127.0.0.1/32",
        }
        with obeying("--web-only", **options) as service:
            environ = {**options, "DATABASE_URL": service.database}
            yield Filling(service, environ, directory)


def add_people(fill: Filling) -> None:
    fill.call("GET", "/api/v2/buildinfo")  # Makes the deployment's identity.
    about = ("--username", "ada", "--email", "ada@example.com", "--role", "auditor")
    fill.command("create_user", *about, typed=f"{PASSWORD}\n")
    fill.command("token_policy", "set", "--role", "auditor", "--max-lifetime", "720h")
    token = {"token_name": "old", "lifetime": 48 * 3_600 * 10**9}
    fill.call("POST", "/api/v2/users/me/keys/tokens", token)
    fill.sql(
        "UPDATE tokens_apikey SET expires_at = now() + interval '20 h' WHERE token_name = 'old'"
    )
    fill.job("send_token_expiry_mail")
    # Django's groups have no page, and no other part of the service writes them.
    fill.sql(
        "INSERT INTO auth_group (name) VALUES ('operators');"
        "INSERT INTO auth_group_permissions (group_id, permission_id)"
        " SELECT max(auth_group.id), min(auth_permission.id) FROM auth_group, auth_permission"
    )


def add_alerts(fill: Filling) -> None:
    with answering(Receiver()) as receiver:
        form = {"name": "security", "type": "webhook", "address": receiver.url, "min_severity": "1"}
        form |= {"min_client_days": "1", "hourly_limit": "10"}
        cookies = fill.service.admin_cookies()
        fill.service.post_form("/admin/alerts/channel/add/", form, Cookie=cookies)
        add_group(fill)
        fill.job("send_alerts")


def add_group(fill: Filling) -> None:
    """Sends reports of a new cause from several networks, with an ingest key."""
    made = fill.command("create_ingest_key", "--origin", SITE, "--name", "portal")
    found = re.search(r"key=([\w-]+)", made)
    assert found, made
    page = {"document_uri": f"{SITE}/start", "blocked_uri": "https://cdn.example.net/lib.js"}
    for number in NETWORKS:
        for version in ("2.29.0", "2.30.0"):
            send_report(fill, f"?key={found[1]}&v={version}", legacy(**page), number)
    send_report(
        fill, f"?key={found[1]}&v=2.30.0", [modern(), {**modern(), "type": "deprecation"}], 1
    )


def send_report(fill: Filling, query: str, report: Any, network: int) -> None:
    kind = "application/reports+json" if isinstance(report, list) else "application/csp-report"
    answer = fill.service.ask(
        f"/api/v2/csp/reports{query}",
        method="POST",
        body=json.dumps(report).encode(),
        Content_Type=kind,
        Origin=SITE,
        User_Agent=CHROME if network % 2 else FIREFOX,
        X_Real_Ip=f"198.51.{network}.7",
    )
    assert answer.status < 300, answer.body


def add_reports(fill: Filling) -> None:
    groups = fill.call("GET", "/api/coderapi/v1/csp/groups")["groups"]
    decision = {"state": "acknowledged", "note": "a known script"}
    fill.call("PATCH", f"/api/coderapi/v1/csp/groups/{groups[0]['id']}", decision)
    refused = fill.service.ask(
        "/api/v2/csp/reports?key=unknown", method="POST", body=b"{}", Origin=SITE
    )
    assert refused.status >= 400
    # Its partition is the one to which the statement below moves rows shortly after midnight.
    earlier = {"received_at": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}
    report = modern(blockedURL="eval") | earlier
    imported = write_lines(fill.directory / "reports.jsonl", report)
    fill.command("import_csp_reports", imported)
    # A policy settles after an hour.
    fill.sql(
        "UPDATE csp_report SET received_at = received_at - interval '61 minutes'"
        " WHERE id % 2 = 0 AND original_policy <> '' AND received_at > now() - interval '1 hour'"
    )
    fill.job("update_csp_site_policies")


def add_stats(fill: Filling) -> None:
    send_rows(fill, minutes_ago=40)
    send_rows(fill, minutes_ago=5)
    row = workspace_row(1, transition="start")
    fill.command("import_workspaces", write_lines(fill.directory / "workspaces.jsonl", row))
    fill.job("collect_deployment_stats")
    # The minute of a late row is stale until the next run.
    send_rows(fill, minutes_ago=6)


def send_rows(fill: Filling, *, minutes_ago: int) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    rows = [agent_row(moment, agent=each, session_count_ssh=1, kind="agent") for each in (1, 2)]
    fill.call("POST", "/api/coderapi/v1/stats/agent-rows", rows)


def add_rows_from_coder(fill: Filling) -> None:
    with StandInCoder() as coder, coder_database(datetime.now(UTC)) as (url, _):
        coder.add(Key(Person("grace"), name="ci"))
        beside = {
            "CODERAPI_CODER_URL": coder.url,
            "CODERAPI_CODER_TOKEN": coder.add(Key(Person("service", ("owner",)))).token,
            "CODERAPI_CODER_TOKEN_POLICY": "report",
            "CODERAPI_CODER_DATABASE_URL": url,
        }
        fill.job("follow_coder_database", **beside)
        fill.job("apply_coder_token_policy", **beside)
        fill.job("collect_deployment_stats", **beside)


def add_releases(fill: Filling) -> None:
    fill.job("check_for_update")
    feed = fill.directory / "feed.json"
    newest = {"version": "99.0.0", "url": "https://example.com/99.0.0", "is_security": True}
    feed.write_text(json.dumps({"releases": [newest]}))
    fill.job("check_for_own_release", CODERAPI_RELEASE_FEED=str(feed))
