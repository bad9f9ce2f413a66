"""The requests that wrk sends, as Lua scripts."""

from __future__ import annotations

import json
import uuid
from typing import Any

from bench.rows import SECRET

GROUPS = 500
# Each group has its own blocked host. Each report has its own blocked path and line.
REPORT: dict[str, Any] = {
    "document-uri": "https://coder.example.com/templates/docker",
    "referrer": "",
    "violated-directive": "script-src-elem",
    "effective-directive": "script-src-elem",
    "original-policy": "default-src 'self'; report-uri /api/v2/csp/reports",
    "disposition": "enforce",
    "blocked-uri": "https://cdn%d.example.net/lib-%s.js",
    "line-number": "%d",
    "status-code": 200,
}

WITHOUT_TOKEN = ""
# wrk runs a script once in each of its two threads. `number` is that of the thread.
_NUMBERED = """
local thread = 0
function setup(t) t:set("number", thread); thread = thread + 1 end
"""
_KEYS = """
function init() n = 0 end
function key()
    n = n % {half} + 1
    return string.format("r%09d-{secret}", number * {half} + n)
end
"""
_READERS = """
function request()
    wrk.headers["Coder-Session-Token"] = key()
    return wrk.format("GET")
end
"""
_REPORTS = """
local reported = 0
local json = {["Content-Type"] = "application/csp-report", ["Coder-Session-Token"] = "{token}"}
function report()
    reported = reported + 1
    local name = string.format("{run}-%d-%d", number, reported)
    local body = string.format([[{report}]], reported % {groups}, name, reported % 10000)
    return wrk.format("POST", "/api/v2/csp/reports", json, body)
end
"""
_MIXED = """
local turn = 0
local paths = {paths}
function request()
    turn = turn + 1
    local path = paths[turn % (#paths + 2) + 1]
    if path then return wrk.format("GET", path) end
    if turn % 2 == 0 then return report() end
    return wrk.format("GET", "/api/v2/deployment/ssh", {["Coder-Session-Token"] = key()})
end
"""
_MINT = """
wrk.method = "POST"
wrk.body = "{}"
wrk.headers["Content-Type"] = "application/json"
"""


def with_token(token: str, **headers: str) -> str:
    """Returns a script for GET with a session token and these headers."""
    own = {"Coder-Session-Token": token, **headers}
    return "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in own.items()
    )


def readers(keys: int) -> str:
    """Returns a script for GET whose requests use the keys one after another."""
    return _NUMBERED + _key_function(keys) + _READERS


def _key_function(keys: int) -> str:
    return _KEYS.replace("{half}", str(keys // 2)).replace("{secret}", SECRET)


def reports(token: str) -> str:
    """Returns a script that sends CSP reports. No two reports of any run are equal."""
    return _NUMBERED + _report_function(token) + "request = report\n"


def one_report() -> str:
    """Returns the body of a request with one report."""
    blocked = REPORT["blocked-uri"] % (0, uuid.uuid4().hex)
    return json.dumps({"csp-report": REPORT | {"blocked-uri": blocked, "line-number": 1}})


def _report_function(token: str) -> str:
    text = json.dumps({"csp-report": REPORT}).replace('"%d"', "%d")
    values = {"token": token, "run": uuid.uuid4().hex[:8], "report": text, "groups": str(GROUPS)}
    script = _REPORTS
    for name, value in values.items():
        script = script.replace(f"{{{name}}}", value)
    return script


def mixed(token: str, paths: list[str], *, keys: int) -> str:
    """Returns a script that alternates between the paths, reports, and readers' keys."""
    listed = "{" + ", ".join(map(json.dumps, paths)) + "}"
    functions = _NUMBERED + _key_function(keys) + _report_function(token)
    return with_token(token) + functions + _MIXED.replace("{paths}", listed)


def mint(token: str) -> str:
    """Returns a script that creates tokens."""
    return with_token(token) + _MINT
