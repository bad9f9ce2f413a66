"""The scenarios that `make bench` measures, and the ratios that it compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.load import Figure, pgbench, wrk
from bench.service import KEYS, SECRET, Service

CONNECTIONS = 64

# The default request of wrk, which keeps the connection.
PLAIN = ""

AUTHENTICATED = 'wrk.headers["Coder-Session-Token"] = "{token}"'

# Each of wrk's two threads walks through half of the keys.
FIRST_SEEN = """
local thread = 0
function setup(t) t:set("number", thread); thread = thread + 1 end
function init() n = number * {half} end
function request()
    n = n + 1
    if n > (number + 1) * {half} then n = number * {half} + 1 end
    wrk.headers["Coder-Session-Token"] = string.format("%010d-{secret}", n)
    return wrk.format("GET")
end
"""

REPORT = (
    '{"csp-report":{"document-uri":"https://coder.example.com/templates/docker","referrer":"",'
    '"violated-directive":"script-src-elem","effective-directive":"script-src-elem",'
    '"original-policy":"default-src \'self\'; report-uri /api/v2/csp/reports","disposition":'
    '"enforce","blocked-uri":"https://cdn.example.net/lib.js","line-number":10,"status-code":200}}'
)

POST_REPORT = """
wrk.method = "POST"
wrk.body = [[{report}]]
wrk.headers["Content-Type"] = "application/csp-report"
wrk.headers["Coder-Session-Token"] = "{token}"
"""

# A copy of the service's table and indexes, for the other ways to write a report.
MAKE_TABLE = "CREATE TABLE IF NOT EXISTS bench_report (LIKE csp_report INCLUDING ALL)"
# The row of a report in one of 500 groups.
INSERT_REPORT = """\\set group random(1, 500)
INSERT INTO bench_report (
    received_at, occurred_at, group_id, format, document_uri, referrer, blocked_uri,
    effective_directive, violated_directive, original_policy, disposition, status_code, sample,
    source_file, line_number, browser, user_agent, client, coder_version, extra)
VALUES (now(), now(), lpad(:group::text, 32, '0')::uuid, 'report-uri',
    'https://coder.example.com/templates/docker', '', 'https://cdn.example.net/lib.js',
    'script-src-elem', 'script-src-elem', 'default-src ''self''; report-uri /api/v2/csp/reports',
    'enforce', 200, '', '', 10, '', '', '\\x00112233445566778899aabbccddeeff', '', '{}');
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement: `run` takes the service and the number of seconds."""

    name: str
    run: Callable[[Service, int], Figure]


def _get(path: str, script: str = PLAIN) -> Callable[[Service, int], Figure]:
    def run(service: Service, seconds: int) -> Figure:
        text = script.replace("{token}", service.token)
        return wrk(service.url + path, script=text, connections=CONNECTIONS, seconds=seconds)

    return run


def _reference(service: Service, seconds: int) -> Figure:
    return wrk(service.reference_url, script=PLAIN, connections=CONNECTIONS, seconds=seconds)


def _list(service: Service, seconds: int) -> Figure:
    """Measures with few connections how long one request takes."""
    script = AUTHENTICATED.replace("{token}", service.token)
    url = f"{service.url}/api/v2/users/me/keys/tokens"
    return wrk(url, script=script, connections=2, seconds=seconds)


def _static(service: Service, seconds: int) -> Figure:
    return wrk(service.static_url, script=PLAIN, connections=CONNECTIONS, seconds=seconds)


def _pgbench(service: Service, seconds: int) -> Figure:
    return pgbench(
        service.binaries,
        service.database_url,
        statement=INSERT_REPORT,
        clients=CONNECTIONS,
        seconds=seconds,
    )


_first_seen = FIRST_SEEN.replace("{half}", str(KEYS // 2)).replace("{secret}", SECRET)

SCENARIOS = (
    Scenario("bare granian function", _reference),
    Scenario("static view", _get("/healthz")),
    Scenario("buildinfo", _get("/api/v2/buildinfo")),
    Scenario("buildinfo, remembered key", _get("/api/v2/buildinfo", AUTHENTICATED)),
    Scenario("ssh, remembered key", _get("/api/v2/deployment/ssh", AUTHENTICATED)),
    Scenario("ssh, first-seen keys", _get("/api/v2/deployment/ssh", _first_seen)),
    Scenario("static view of the config's size", _static),
    Scenario("config, remembered key", _get("/api/v2/deployment/config", AUTHENTICATED)),
    Scenario("list of 10,000 tokens", _list),
    Scenario("pgbench insert, one commit each", _pgbench),
    Scenario("CSP reports", _get("/api/v2/csp/reports", POST_REPORT.replace("{report}", REPORT))),
)

# (name, of, over, at least)
RATIOS = (
    ("authenticated over unauthenticated", "buildinfo, remembered key", "buildinfo", 0.6),
    ("buildinfo over bare granian", "buildinfo", "bare granian function", 0.12),
    (
        "config over a static view of its size",
        "config, remembered key",
        "static view of the config's size",
        0.5,
    ),
    ("first-seen over remembered keys", "ssh, first-seen keys", "ssh, remembered key", None),
    ("CSP reports over pgbench", "CSP reports", "pgbench insert, one commit each", 0.2),
)
