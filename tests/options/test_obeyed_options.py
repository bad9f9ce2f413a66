"""The effects of options on a running server, as its clients see them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.commands import succeed
from tests.support.databases.tables import query
from tests.support.processes import wait_for
from tests.support.servers.live import Server, obeying, own_server
from tests.support.stats_rows import agent_row

ACCESS_URL = "https://coder.example.com"
HOST = "coder.example.com"
HOUR_NS = 3_600_000_000_000


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs: Path) -> Iterator[Server]:
    """A server with non-default options."""
    options = {
        "ACCESS_URL": ACCESS_URL,
        "WILDCARD_ACCESS_URL": "*.apps.example.com",
        "REDIRECT_TO_ACCESS_URL": "true",
        "STRICT_TRANSPORT_SECURITY": "31536000",
        "STRICT_TRANSPORT_SECURITY_OPTIONS": "includeSubDomains,preload",
        "PROXY_TRUSTED_HEADERS": "X-Real-Ip",
        "PROXY_TRUSTED_ORIGINS": "127.0.0.0/8",
        "SECURE_AUTH_COOKIE": "true",
        "SAMESITE_AUTH_COOKIE": "none",
        "API_RATE_LIMIT": "60",
        "DANGEROUS_ALLOW_CORS_REQUESTS": "true",
        "ADDITIONAL_CSP_POLICY": "frame-src https://frames.example.com",
        "SESSION_DURATION": "2h",
        "DEFAULT_TOKEN_LIFETIME": "3h",
        "MAX_TOKEN_LIFETIME": "5h",
        "MAX_ADMIN_TOKEN_LIFETIME": "4h",
        "EXPERIMENTS": "example",
        "SSH_HOSTNAME_PREFIX": "pre.",
        "WORKSPACE_HOSTNAME_SUFFIX": "suf",
        "SSH_CONFIG_OPTIONS": "ForwardAgent=yes",
        "CLI_UPGRADE_MESSAGE": "Ask the help desk.",
        "TERMS_OF_SERVICE_URL": "https://example.com/terms",
        "SUPPORT_LINKS": '[{"name": "Desk", "target": "https://desk.example.com", "icon": ""}]',
        "DOCS_URL": "https://docs.example.com",
        "SWAGGER_ENABLE": "true",
        "TELEMETRY_ENABLE": "false",
        "AGENT_STATS_REFRESH_INTERVAL": "1h",
        "LOGGING_JSON": str(logs / "json"),
        "LOGGING_STACKDRIVER": str(logs / "stackdriver"),
        "LOG_FILTER": "^coderapi[.]",
        "PG_CONN_MAX_OPEN": "3",
        "PG_CONN_MAX_IDLE": "2",
    }
    variables = {f"CODER_{name}": text for name, text in options.items()}
    with obeying("--web-only", **variables) as found:
        yield found


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server with the defaults, except the path of its pages, and without rate limits."""
    flags = ("--dangerous-disable-rate-limits", "--disable-session-expiry-refresh")
    environ = {
        "CODERAPI_PAGES_PATH": "/coderapi/",
        "CODER_ACCES_URL": "https://typo.example.com",
    }
    with obeying("--web-only", *flags, **environ) as found:
        yield found


def test_only_other_hosts_are_redirected_to_the_access_url(server: Server, plain: Server) -> None:
    answer = server.ask("/api/v2/buildinfo?x=1", method="POST", Host="other.example.com")
    assert (answer.status, answer.headers["Location"]) == (
        307,
        f"{ACCESS_URL}/api/v2/buildinfo?x=1",
    )
    assert answer.headers["X-Coder-Request-Id"]
    for host in (HOST, f"{HOST}:443", "localhost:3000", "[::1]", "app.apps.example.com"):
        assert server.ask("/api/v2/buildinfo", Host=host).status == 200, host
    for path in ("/healthz", "/readyz"):
        assert server.ask(path, Host="10.0.0.7").status == 200
    bound = f"http://127.0.0.1:{plain.port}"
    for each, url in ((server, ACCESS_URL), (plain, bound)):
        assert each.ask("/api/v2/buildinfo").json["dashboard_url"] == url


HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
    "Access-Control-Allow-Origin": "*",
    "X-RateLimit-Limit": "60",
}


def test_headers_are_sent_only_with_their_options(server: Server, plain: Server) -> None:
    origin = "https://elsewhere.example.com"
    sent, unsent = (
        each.ask("/api/v2/buildinfo", Origin=origin).headers for each in (server, plain)
    )
    assert {name: sent[name] for name in HEADERS} == HEADERS
    assert not HEADERS.keys() & dict(unsent).keys()
    assert plain.config()["rate_limit"] == {"disable_all": True, "api": -1}
    name, source = "Content-Security-Policy", "frame-src https://frames.example.com"
    assert source in server.ask("/login").headers[name]
    assert source not in plain.ask("/coderapi/login").headers[name]


def test_trusted_proxy_sends_the_clients_address(server: Server) -> None:
    wait_for(lambda: server.ask("/api/v2/buildinfo", X_Real_Ip="203.0.113.2").status == 429)
    assert server.ask("/api/v2/buildinfo", X_Real_Ip="203.0.113.3").status == 200


def test_secure_cookies_belong_to_this_host(server: Server, plain: Server) -> None:
    """A browser takes such a cookie only with Secure, Path=/ and no Domain."""
    [cookie] = [
        text for text in server.sign_in().cookies if text.startswith("coder_session_token=")
    ]
    assert {"Secure", "SameSite=None"} <= set(cookie.split("; "))
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


def test_pages_are_below_their_path(plain: Server) -> None:
    cookies = plain.admin_cookies()
    page = plain.ask("/coderapi/admin/", Cookie=cookies).body.decode()
    links = set(re.findall(r'(?:href|src|action)="(/[^"]*)"', page))
    assert len(links) > 20
    assert [link for link in links if not link.startswith("/coderapi/")] == []
    statuses = {link: plain.ask(link, Cookie=cookies).status for link in links}
    assert {link: each for link, each in statuses.items() if each not in {200, 302, 405}} == {}
    # Swagger is disabled.
    for path in ("/admin/", "/login", "/static/coderapi/icon.svg", "/coderapi/swagger"):
        assert plain.ask(path).status == 404
    assert plain.ask("/coderapi/favicon.ico").headers["Location"] in links
    (cookie,) = [text for text in plain.sign_in().cookies if "session" in text]
    assert "Path=/coderapi/" in cookie


def test_sessions_and_tokens_have_the_lifetimes_of_the_options(server: Server) -> None:
    session = server.sign_in().json["session_token"]
    key = server.ask(f"/api/v2/users/me/keys/{session[:10]}", token=session).json
    assert key["lifetime_seconds"] == 2 * 3600
    path = "/api/v2/users/me/keys/tokens"
    assert server.ask_as_owner(f"{path}/tokenconfig").json["max_token_lifetime"] == 4 * HOUR_NS
    named = {"token_name": "long", "lifetime": 5 * HOUR_NS}
    assert server.ask_as_owner(path, method="POST", body=named).status == 400
    assert server.ask_as_owner(path, method="POST", body={"token_name": "short"}).status == 201
    assert server.ask_as_owner(f"{path}/short").json["lifetime_seconds"] == 3 * 3600


def test_options_for_clients_are_in_their_answers(server: Server) -> None:
    assert server.ask_as_owner("/api/v2/deployment/ssh").json == {
        "hostname_prefix": "pre.",
        "hostname_suffix": "suf",
        "ssh_config_options": {"ForwardAgent": "yes"},
    }
    info = server.ask("/api/v2/buildinfo").json
    assert (info["upgrade_message"], info["telemetry"]) == ("Ask the help desk.", False)
    # The update check is disabled.
    assert server.ask("/api/v2/updatecheck").json["version"] == info["version"]
    methods = server.ask("/api/v2/users/authmethods").json
    assert methods["terms_of_service_url"] == "https://example.com/terms"
    assert server.ask_as_owner("/api/v2/experiments").json == ["example"]
    assert server.config()["agent_stat_refresh_interval"] == HOUR_NS
    assert server.ask("/swagger").status == 200


def test_admin_shows_docs_and_support_links(server: Server) -> None:
    cookies = server.admin_cookies(Host=HOST, Origin=ACCESS_URL)
    page = server.ask("/admin/", Host=HOST, Cookie=cookies).body.decode()
    for shown in ("https://docs.example.com", "https://desk.example.com", "Desk"):
        assert shown in page


def test_config_has_the_values_computed_at_the_start(plain: Server) -> None:
    config = plain.config()
    assert config["access_url"] == {
        **dict.fromkeys(("opaque", "path", "rawPath", "rawQuery", "fragment", "rawFragment"), ""),
        **dict.fromkeys(("omitHost", "forceQuery"), False),
        "scheme": "http",
        "host": f"127.0.0.1:{plain.port}",
        "user": {},
    }
    assert config["pg_connection_url"] == ""
    assert config["docs_url"]["path"] == "/docs/@v2.34.1"


def test_machine_logs_have_their_fields_and_a_warning_is_logged_once(
    server: Server, plain: Server, logs: Path
) -> None:
    server.ask("/healthz")
    for name, level, time in (("json", "level", "ts"), ("stackdriver", "severity", "timestamp")):
        lines = [json.loads(line) for line in (logs / name).read_text().splitlines()]
        assert lines
        for line in lines:
            assert line[level] in {"DEBUG", "INFO", "WARNING", "ERROR"}
            assert line[time].startswith("2")
            assert {"logger_name", "message", "request_id"} <= line.keys()
    text = plain.log.read_text()
    assert text.count("CODER_ACCES_URL is unknown and ignored") == 1
    assert "did you mean CODER_ACCESS_URL?" in text


def test_connections_stay_within_the_limit(server: Server) -> None:
    server.ask_as_owner("/api/v2/deployment/ssh")
    ours = (
        "pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(application_name, 'coderapi@')"
    )
    # A worker has two idle connections in its pool, and two more for notifications.
    wait_for(lambda: count(server, ours) >= 2)
    assert count(server, ours) <= 3 + 2


# Returns no row until the use is written.
EXTENDED = """
SELECT expires_at - now() > interval '30 minutes' FROM tokens_apikey
WHERE id = %s AND last_used > now() - interval '1 hour'
"""
SET_BACK = """
UPDATE tokens_apikey SET last_used = now() - interval '90 minutes',
    expires_at = now() + interval '20 minutes' WHERE id = %s
"""


def test_sessions_are_extended_unless_disabled(server: Server, plain: Server) -> None:
    for each, is_extended in ((server, True), (plain, False)):
        token = each.sign_in().json["session_token"]
        query(each.database, SET_BACK, token[:10])
        assert each.ask("/api/v2/users/me", Coder_Session_Token=token).status == 200
        found = wait_for(lambda: query(each.database, EXTENDED, token[:10]))  # noqa: B023
        assert found == [(is_extended,)]


def count(server: Server, rows: str) -> int:
    return int(query(server.database, f"SELECT count(*) FROM {rows}")[0][0])  # noqa: S608


PAST = "CREATE TABLE audit_entry_p200001010000 PARTITION OF audit_entry FOR VALUES FROM"


@pytest.mark.parametrize(
    ("job", "option", "retentions", "before", "rows"),
    [
        (
            *("prune_api_keys", "CODER_API_KEYS_RETENTION", ("3d", "1d")),
            "UPDATE tokens_apikey SET expires_at = now() - interval '2 days' WHERE id = %s",
            "tokens_apikey WHERE expires_at < now() - interval '1 day'",
        ),
        (
            *("make_audit_partitions", "CODER_AUDIT_LOGS_RETENTION", ("0", "1d")),
            f"SELECT %s; {PAST} ('2000-01-01Z') TO ('2000-01-31Z')",
            "pg_class WHERE relname = 'audit_entry_p200001010000'",
        ),
    ],
)
def test_rows_are_kept_for_the_retention(
    plain: Server, job: str, option: str, retentions: tuple[str, str], before: str, rows: str
) -> None:
    key = plain.sign_in().json["session_token"][:10]
    for statement in before.replace("%s", f"'{key}'").split("; "):
        query(plain.database, statement)
    for retention, left in zip(retentions, (1, 0), strict=True):
        succeed("run_job", job, DATABASE_URL=plain.database, **{option: retention})
        assert count(plain, rows) == left, retention


def accepted(server: Server) -> int:
    """Sends one agent row. Returns how many were accepted."""
    row = agent_row(datetime.now(tz=UTC) - timedelta(seconds=1), kind="agent")
    path = "/api/coderapi/v1/stats/agent-rows"
    # A request without any accepted row is an error.
    return int(server.ask_as_owner(path, method="POST", body=[row]).json.get("accepted", 0))


def test_jobs_follow_their_options_and_agent_rows_are_accepted_by_default(plain: Server) -> None:
    assert accepted(plain) == 1
    with obeying(
        CODER_AGENT_STATS_REFRESH_INTERVAL="1s",
        CODER_STATS_COLLECTION_USAGE_STATS_ENABLE="false",
        CODER_UPDATE_CHECK="false",
    ) as server:
        wait_for(lambda: count(server, "stats_snapshot") >= 2)
        assert accepted(server) == 0
        assert count(server, "jobs_jobrun WHERE job_name = 'check_for_update'") == 0


def test_empty_variable_disables_the_human_log(tmp_path: Path) -> None:
    logging = {"CODER_LOGGING_HUMAN": "", "CODER_LOGGING_JSON": "/dev/stderr"}
    with own_server("--web-only", log=tmp_path / "log", **logging) as server:
        assert server.logged("Starting on")
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert "Starting on" in " ".join(line["message"] for line in lines)
