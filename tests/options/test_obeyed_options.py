"""The effects of options on a running server, as its clients see them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.support.commands import manage
from tests.support.processes import own_database, wait_for
from tests.support.servers.live import Server
from tests.support.servers.servers_with_options import Obeying, obeying
from tests.support.stats_rows import agent_row

ACCESS_URL = "https://coder.example.com"
HOST = "coder.example.com"
HOUR_NS = 3_600_000_000_000


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs: Path) -> Iterator[Obeying]:
    """A server with non-default options."""
    with obeying(
        "--web-only",
        CODER_ACCESS_URL=ACCESS_URL,
        CODER_WILDCARD_ACCESS_URL="*.apps.example.com",
        CODER_REDIRECT_TO_ACCESS_URL="true",
        CODER_STRICT_TRANSPORT_SECURITY="31536000",
        CODER_STRICT_TRANSPORT_SECURITY_OPTIONS="includeSubDomains,preload",
        CODER_PROXY_TRUSTED_HEADERS="X-Real-Ip",
        CODER_PROXY_TRUSTED_ORIGINS="127.0.0.0/8",
        CODER_SECURE_AUTH_COOKIE="true",
        CODER_SAMESITE_AUTH_COOKIE="none",
        CODER_API_RATE_LIMIT="60",
        CODER_DANGEROUS_ALLOW_CORS_REQUESTS="true",
        CODER_ADDITIONAL_CSP_POLICY="frame-src https://frames.example.com",
        CODER_SESSION_DURATION="2h",
        CODER_DEFAULT_TOKEN_LIFETIME="3h",
        CODER_MAX_TOKEN_LIFETIME="5h",
        CODER_MAX_ADMIN_TOKEN_LIFETIME="4h",
        CODER_EXPERIMENTS="example",
        CODER_SSH_HOSTNAME_PREFIX="pre.",
        CODER_WORKSPACE_HOSTNAME_SUFFIX="suf",
        CODER_SSH_CONFIG_OPTIONS="ForwardAgent=yes",
        CODER_CLI_UPGRADE_MESSAGE="Ask the help desk.",
        CODER_TERMS_OF_SERVICE_URL="https://example.com/terms",
        CODER_SUPPORT_LINKS='[{"name": "Desk", "target": "https://desk.example.com", "icon": ""}]',
        CODER_DOCS_URL="https://docs.example.com",
        CODER_SWAGGER_ENABLE="true",
        CODER_TELEMETRY_ENABLE="false",
        CODER_AGENT_STATS_REFRESH_INTERVAL="1h",
        CODER_LOGGING_JSON=str(logs / "json"),
        CODER_LOGGING_STACKDRIVER=str(logs / "stackdriver"),
        CODER_LOG_FILTER="^coderapi[.]",
        CODER_PG_CONN_MAX_OPEN="3",
        CODER_PG_CONN_MAX_IDLE="2",
    ) as found:
        yield found


@pytest.fixture(scope="module")
def plain() -> Iterator[Obeying]:
    """A server with the defaults, except the path of its pages, and without rate limits."""
    with obeying(
        "--web-only",
        "--dangerous-disable-rate-limits",
        "--disable-session-expiry-refresh",
        CODERAPI_PAGES_PATH="/coderapi/",
        CODER_ACCES_URL="https://typo.example.com",
    ) as found:
        yield found


# --- The access URL ---------------------------------------------------------------------------


def test_other_host_is_redirected_to_the_access_url(server: Obeying) -> None:
    answer = server.ask("/api/v2/buildinfo?x=1", method="POST", Host="other.example.com")
    assert answer.status == 307
    assert answer.headers["Location"] == f"{ACCESS_URL}/api/v2/buildinfo?x=1"
    assert answer.headers["X-Coder-Request-Id"]


@pytest.mark.parametrize(
    ("path", "host"),
    [
        *[("/api/v2/buildinfo", host) for host in (HOST, f"{HOST}:443", "localhost:3000", "[::1]")],
        ("/api/v2/buildinfo", "app.apps.example.com"),
        ("/healthz", "10.0.0.7"),
        ("/readyz", "10.0.0.7"),
    ],
)
def test_right_hosts_and_health_checks_are_not_redirected(
    server: Obeying, path: str, host: str
) -> None:
    assert server.ask(path, Host=host).status == 200


def test_access_url_is_the_dashboard_url(server: Obeying, plain: Obeying) -> None:
    assert server.ask("/api/v2/buildinfo").json["dashboard_url"] == ACCESS_URL
    bound = f"http://127.0.0.1:{plain.port()}"
    assert plain.ask("/api/v2/buildinfo").json["dashboard_url"] == bound


# --- Headers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-RateLimit-Limit", "60"),
    ],
)
def test_header_is_sent_only_with_its_option(
    server: Obeying, plain: Obeying, name: str, sent: str
) -> None:
    origin = "https://elsewhere.example.com"
    assert server.ask("/api/v2/buildinfo", Origin=origin).headers[name] == sent
    assert name not in plain.ask("/api/v2/buildinfo", Origin=origin).headers


def test_additional_policy_is_sent_with_pages(server: Obeying, plain: Obeying) -> None:
    name, source = "Content-Security-Policy", "frame-src https://frames.example.com"
    assert source in server.ask("/login").headers[name]
    assert source not in plain.ask("/coderapi/login").headers[name]


def test_disabled_rate_limits_are_reported(plain: Obeying) -> None:
    assert plain.config()["rate_limit"] == {"disable_all": True, "api": -1}


def test_trusted_proxy_sends_the_clients_address(server: Obeying) -> None:
    wait_for(lambda: server.ask("/api/v2/buildinfo", X_Real_Ip="203.0.113.2").status == 429)
    assert server.ask("/api/v2/buildinfo", X_Real_Ip="203.0.113.3").status == 200


# --- Signing in -------------------------------------------------------------------------------


def test_cookie_has_the_attributes_of_the_options(server: Obeying) -> None:
    (cookie,) = [
        text for text in server.sign_in().cookies if text.startswith("coder_session_token=")
    ]
    assert "Secure" in cookie
    assert "SameSite=None" in cookie


def test_secure_cookies_belong_to_this_host(server: Obeying, plain: Obeying) -> None:
    """A browser takes such a cookie only with Secure, Path=/ and no Domain."""
    for one, prefix, session in (
        (server, "__Host-", "coder_session_token"),
        (plain, "", "coderapi_session"),
    ):
        (cookie,) = one.ask(f"{one.pages}login").cookies
        assert cookie.startswith(f"{prefix}coderapi_csrf=")
        assert ("Secure" in cookie, f"Path={one.pages};" in f"{cookie};") == (bool(prefix), True)
        assert "Domain" not in cookie
        names = [part.partition("=")[0] for part in one.admin_cookies().split("; ")]
        assert set(names) == {f"{prefix}coderapi_{each}" for each in ("admin", "csrf")} | {session}


def test_pages_are_below_their_path(plain: Obeying) -> None:
    cookies = plain.admin_cookies()
    page = plain.ask("/coderapi/admin/", Cookie=cookies).body.decode()
    links = set(re.findall(r'(?:href|src|action)="(/[^"]*)"', page))
    assert len(links) > 20
    assert [link for link in links if not link.startswith("/coderapi/")] == []
    statuses = {link: plain.ask(link, Cookie=cookies).status for link in links}
    assert {
        link: status for link, status in statuses.items() if status not in {200, 302, 405}
    } == {}
    for path in ("/admin/", "/login", "/static/coderapi/icon.svg"):
        assert plain.ask(path).status == 404
    assert plain.ask("/coderapi/favicon.ico").headers["Location"] in links
    (cookie,) = [text for text in plain.sign_in().cookies if "session" in text]
    assert "Path=/coderapi/" in cookie


def test_sessions_and_tokens_have_the_lifetimes_of_the_options(server: Obeying) -> None:
    key = server.ask_as_owner(f"/api/v2/users/me/keys/{server.token.partition('-')[0]}").json
    assert key["lifetime_seconds"] == 2 * 3600
    path = "/api/v2/users/me/keys/tokens"
    assert server.ask_as_owner(f"{path}/tokenconfig").json["max_token_lifetime"] == 4 * HOUR_NS
    named = {"token_name": "long", "lifetime": 5 * HOUR_NS}
    assert server.ask_as_owner(path, method="POST", body=named).status == 400
    assert server.ask_as_owner(path, method="POST", body={"token_name": "short"}).status == 201
    made = server.ask_as_owner(f"{path}/short").json
    assert made["lifetime_seconds"] == 3 * 3600


def test_terms_of_service_are_reported(server: Obeying) -> None:
    methods = server.ask("/api/v2/users/authmethods").json
    assert methods["terms_of_service_url"] == "https://example.com/terms"


# --- Answers ----------------------------------------------------------------------------------


def test_options_for_clients_are_in_their_answers(server: Obeying) -> None:
    assert server.ask_as_owner("/api/v2/deployment/ssh").json == {
        "hostname_prefix": "pre.",
        "hostname_suffix": "suf",
        "ssh_config_options": {"ForwardAgent": "yes"},
    }
    info = server.ask("/api/v2/buildinfo").json
    assert info["upgrade_message"] == "Ask the help desk."
    assert info["telemetry"] is False
    assert server.ask_as_owner("/api/v2/experiments").json == ["example"]
    assert server.config()["agent_stat_refresh_interval"] == HOUR_NS


def test_disabled_update_check_answers_the_own_version(server: Obeying) -> None:
    own = server.ask("/api/v2/buildinfo").json["version"]
    assert server.ask("/api/v2/updatecheck").json["version"] == own


def test_swagger_is_served_only_with_its_option(server: Obeying, plain: Obeying) -> None:
    assert server.ask("/swagger").status == 200
    assert plain.ask("/coderapi/swagger").status == 404


def test_admin_shows_docs_and_support_links(server: Obeying) -> None:
    cookies = server.admin_cookies(Host=HOST, Origin=ACCESS_URL)
    page = server.ask("/admin/", Host=HOST, Cookie=cookies).body.decode()
    assert "https://docs.example.com" in page
    assert "https://desk.example.com" in page
    assert "Desk" in page


def test_config_has_the_values_computed_at_the_start(plain: Obeying) -> None:
    config = plain.config()
    assert config["access_url"] == {
        **dict.fromkeys(("opaque", "path", "rawPath", "rawQuery", "fragment", "rawFragment"), ""),
        **dict.fromkeys(("omitHost", "forceQuery"), False),
        "scheme": "http",
        "host": f"127.0.0.1:{plain.port()}",
        "user": {},
    }
    assert config["pg_connection_url"] == ""
    assert config["docs_url"]["path"] == "/docs/@v2.34.1"


# --- Logs -------------------------------------------------------------------------------------


def test_machine_logs_have_their_fields(server: Obeying, logs: Path) -> None:
    server.ask("/healthz")
    for name, level, time in (("json", "level", "ts"), ("stackdriver", "severity", "timestamp")):
        lines = [json.loads(line) for line in (logs / name).read_text().splitlines()]
        assert lines
        for line in lines:
            assert line[level] in {"DEBUG", "INFO", "WARNING", "ERROR"}
            assert line[time].startswith("2")
            assert {"logger_name", "message", "request_id"} <= line.keys()


def test_warning_is_logged_once(plain: Obeying) -> None:
    assert plain.ask("/healthz").status == 200
    assert plain.log.count("CODER_ACCES_URL is unknown and ignored") == 1
    assert "did you mean CODER_ACCESS_URL?" in plain.log


# --- The database -----------------------------------------------------------------------------


def test_connections_stay_within_the_limit(server: Obeying) -> None:
    server.ask_as_owner("/api/v2/deployment/ssh")
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(application_name, 'coderapi@')"
    )
    # A worker has two idle connections in its pool, and two more for notifications.
    wait_for(lambda: count(server, query) >= 2)
    assert count(server, query) <= 3 + 2


# --- Lifetimes and retention ------------------------------------------------------------------


# Returns no row until the use is written.
EXTENDED = """
SELECT expires_at - now() > interval '30 minutes' FROM tokens_apikey
WHERE id = %s AND last_used > now() - interval '1 hour'
"""


def is_extended_by_a_use(server: Obeying) -> bool:
    """Returns whether a request extends a key that was last used hours ago."""
    token = server.sign_in().json["session_token"]
    number = token.partition("-")[0]
    set_back = (
        "UPDATE tokens_apikey SET last_used = now() - interval '90 minutes',"
        " expires_at = now() + interval '20 minutes' WHERE id = %s"
    )
    with psycopg.connect(server.database, autocommit=True) as connection:
        connection.execute(set_back, [number])
        answer = server.ask("/api/v2/users/me", Coder_Session_Token=token)
        assert answer.status == 200
        (row,) = wait_for(lambda: connection.execute(EXTENDED, [number]).fetchall())
    return bool(row[0])


def test_sessions_are_extended_unless_disabled(server: Obeying, plain: Obeying) -> None:
    assert is_extended_by_a_use(server)
    assert not is_extended_by_a_use(plain)


def run_job(server: Obeying, name: str, **options: str) -> None:
    manage("run_job", name, DATABASE_URL=server.database, **options).check_returncode()


def count(server: Obeying, query: str) -> int:
    with psycopg.connect(server.database) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return int(row[0])


def test_expired_keys_are_kept_for_the_retention(plain: Obeying) -> None:
    number = plain.sign_in().json["session_token"].partition("-")[0]
    with psycopg.connect(plain.database, autocommit=True) as connection:
        connection.execute(
            "UPDATE tokens_apikey SET expires_at = now() - interval '2 days' WHERE id = %s",
            [number],
        )
    kept = "SELECT count(*) FROM tokens_apikey WHERE expires_at < now() - interval '1 day'"
    for retention, left in (("3d", 1), ("1d", 0)):
        run_job(plain, "prune_api_keys", CODER_API_KEYS_RETENTION=retention)
        assert count(plain, kept) == left, retention


def test_audit_log_is_kept_for_the_retention(plain: Obeying) -> None:
    with psycopg.connect(plain.database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE audit_entry_p200001010000 PARTITION OF audit_entry"
            " FOR VALUES FROM ('2000-01-01Z') TO ('2000-01-31Z')"
        )
    there = "SELECT count(*) FROM pg_class WHERE relname = 'audit_entry_p200001010000'"
    for retention, left in (("0", 1), ("1d", 0)):
        run_job(plain, "make_audit_partitions", CODER_AUDIT_LOGS_RETENTION=retention)
        assert count(plain, there) == left, retention


def accepted(server: Obeying) -> int:
    """Sends one agent row. Returns how many were accepted."""
    row = agent_row(datetime.now(tz=UTC) - timedelta(seconds=1), kind="agent")
    path = "/api/coderapi/v1/stats/agent-rows"
    # A request without any accepted row is an error.
    return int(server.ask_as_owner(path, method="POST", body=[row]).json.get("accepted", 0))


def test_agent_rows_are_accepted_by_default(plain: Obeying) -> None:
    assert accepted(plain) == 1


def test_jobs_follow_their_options() -> None:
    snapshots = "SELECT count(*) FROM stats_snapshot"
    with obeying(
        CODER_AGENT_STATS_REFRESH_INTERVAL="1s",
        CODER_STATS_COLLECTION_USAGE_STATS_ENABLE="false",
        CODER_UPDATE_CHECK="false",
    ) as server:
        wait_for(lambda: count(server, snapshots) >= 2)
        assert accepted(server) == 0
        looked = "SELECT count(*) FROM jobs_jobrun WHERE job_name = 'check_for_update'"
        assert count(server, looked) == 0


def test_empty_variable_disables_the_human_log(tmp_path: Path) -> None:
    with own_database() as url:
        server = Server(
            "--web-only",
            log=tmp_path / "log",
            DATABASE_URL=url,
            CODER_LOGGING_HUMAN="",
            CODER_LOGGING_JSON="/dev/stderr",
        )
        try:
            server.wait_for_log(' answers"')
        finally:
            server.kill_all()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert "Starting on" in " ".join(line["message"] for line in lines)
