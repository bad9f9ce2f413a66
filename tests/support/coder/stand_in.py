"""A stand-in for a Coder deployment: its API in the coderd wire, its cookies and its pages.

It answers over a real socket, as the contract requires. `coder_releases` has the releases that it
plays. `coder_tables` fills Coder's tables.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.coder.releases import V2_34, Release
from tests.support.processes import DEADLINE_SECONDS

# Coder's own policy names the path of the reports, which a proxy sends to coderapi.
POLICY = "default-src 'self'; script-src 'self'; report-uri /api/v2/csp/reports"
PAGE = """<!doctype html><title>Coder</title><meta name="csrf-token" content="{proof}">
<h1>Workspaces</h1><script src="https://cdn.example.net/widget.js"></script>"""
SIGN_IN_PAGE = """<!doctype html><title>Sign in to Coder</title>
<form><input id="email"><button>Sign in</button></form><script src="/login.js"></script>"""
# Coder's page loads only paths of the API. It treats all others as pages of the dashboard.
SIGN_IN_SCRIPT = """
const wanted = new URLSearchParams(location.search).get("redirect") ?? "/";
document.querySelector("form").onsubmit = async event => {
    event.preventDefault();
    const body = JSON.stringify({email: document.getElementById("email").value});
    const answer = await fetch("/api/v2/users/login", {method: "POST", body});
    if (answer.ok && wanted.startsWith("/api/v2")) location.href = wanted;
    else document.title = "Not found";
};"""
CONFIG: dict[str, Any] = {
    "config": {
        "access_url": "https://coder.example.com",
        "http_address": "0.0.0.0:3000",
        "verbose": True,
        "external_auth": None,
        "session_lifetime": {"max_token_lifetime": 3155760000000000000},
        "unknown_to_us": {"enabled": True},
    },
    "options": [
        {
            "name": "Access URL",
            "description": "The URL of the deployment.",
            "flag": "access-url",
            "env": "CODER_ACCESS_URL",
            "yaml": "accessURL",
            "value": "https://coder.example.com",
            "value_source": "env",
        },
        {
            "name": "Postgres Connection URL",
            "flag": "postgres-url",
            "env": "CODER_PG_CONNECTION_URL",
            "annotations": {"secret": "true"},
            "use_instead": [{"name": "Postgres", "value": "postgresql://planted@db/coder"}],
        },
    ],
}
# The JSON of routes that always answer the same.
CONSTANT: dict[str, Any] = {
    "updatecheck": {"current": True, "version": "v2.29.0", "url": "https://coder.example.com"},
    "ssh": {
        "hostname_prefix": "coder.",
        "hostname_suffix": "corp",
        "ssh_config_options": {"ServerAliveInterval": "30"},
    },
    "available": {"safe": []},
    "tokenconfig": {"max_token_lifetime": 604800000000000},
}
# The actions on all objects that the roles allow, except the role owner.
MAY = {
    "auditor": ("deployment_config:read", "deployment_stats:read", "audit_log:read", "user:read"),
    "user-admin": ("user:read", "user:delete"),
    "template-admin": ("user:read",),
}


def new_token() -> str:
    """Returns a session token in Coder's format."""
    return f"{secrets.token_hex(5)}-{secrets.token_hex(11)}"


@dataclass
class Person:
    """A user of the stand-in. Roles are those that Coder lists, so `member` is not among them."""

    username: str
    roles: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "active"

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "username": self.username,
            "email": self.email,
            "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05Z",
            "last_seen_at": "2026-01-02T03:04:05Z",
            "status": self.status,
            "login_type": "password",
            "organization_ids": ["9d1d1a1e-0000-4000-8000-000000000001"],
            "roles": [{"name": role, "display_name": role.title()} for role in self.roles],
        }


@dataclass
class Key:
    """A token of a person. It is narrowed if it has other scopes than `all`, or an allow list.

    `last_used` is None if the token was never used.
    """

    person: Person
    token: str = field(default_factory=new_token)
    scopes: tuple[str, ...] = ("all",)
    name: str = ""
    lifetime_seconds: int = 86_400
    expires_at: str = "2099-01-01T00:00:00Z"
    last_used: str | None = "2026-01-02T03:04:05Z"
    allow_list: tuple[str, ...] = ("*:*",)

    @property
    def id(self) -> str:
        return self.token.partition("-")[0]

    def may(self, action: str, release: Release, *, own: bool) -> bool:
        roles = self.person.roles
        by_role = "owner" in roles or own or any(action in MAY.get(role, ()) for role in roles)
        return by_role and (self._allows if release.enforces_scopes else self._scope_allows)(action)

    def _allows(self, action: str) -> bool:
        types = {allowed.partition(":")[0] for allowed in self.allow_list}
        by_scope = "all" in self.scopes or action in self.scopes
        return by_scope and not types.isdisjoint({"*", action.partition(":")[0]})

    def _scope_allows(self, _: str) -> bool:
        return self.scope == "all"

    @property
    def scope(self) -> str:
        """The member `scope`, which has only two values."""
        return "application_connect" if "application_connect" in self.scopes else "all"

    def as_json(self, release: Release) -> dict[str, Any]:
        found = {
            "id": self.id,
            "user_id": self.person.id,
            "username": self.person.username,
            "last_used": release.never_used if self.last_used is None else self.last_used,
            "expires_at": self.expires_at,
            "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05Z",
            "login_type": "token",
            "scope": self.scope,
            "scopes": list(self.scopes),
            "token_name": self.name,
            "lifetime_seconds": self.lifetime_seconds,
            "allow_list": list(self.allow_list),
        }
        return {name: value for name, value in found.items() if name not in release.without}


class StandInCoder(ThreadingHTTPServer):
    """A Coder deployment on a free port of 127.0.0.1, while used as a context manager.

    `fault` is one of "", "hang", "500", "html", "redirect" and "no date". Each answer takes `delay`
    seconds. `seen` are the requests, as method and path, `tokens` their tokens, and `headers` the
    headers of the last one.
    `answers` replaces answers by path.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, release: Release = V2_34) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: dict[str, Key] = {}
        self.seen: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.headers: dict[str, str] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.fault, self.delay = "", 0.0
        self.release = release
        self.version = f"{release}+stand-in"
        # The version in the header, if it is another one.
        self.build = ""
        self.experiments: list[str] = []
        self.config = json.loads(json.dumps(CONFIG))
        self.policy, self.domain = POLICY, ""
        self.dashboard = self.url
        self.clock_ahead = 0.0
        self.may_go_on = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, key: Key) -> Key:
        self.keys[key.token] = key
        return key

    @contextmanager
    def playing(self, release: Release) -> Iterator[None]:
        """Plays another release in the block."""
        before, self.release = self.release, release
        self.version = f"{release}+stand-in"
        yield
        self.release, self.version = before, f"{before}+stand-in"

    def count(self, path: str) -> int:
        return sum(1 for _, seen in self.seen if urlsplit(seen).path == path)

    def __enter__(self) -> Self:
        # `shutdown` waits for the end of a poll.
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: StandInCoder
    protocol_version = "HTTP/1.1"
    routes: ClassVar[list[tuple[str, str, str]]] = [
        ("GET", r"/api/v2/buildinfo", "buildinfo"),
        ("GET", r"/api/v2/updatecheck", "updatecheck"),
        ("POST", r"/api/v2/users/login", "login"),
        ("POST", r"/api/v2/authcheck", "authcheck"),
        ("GET", r"/api/v2/users", "users"),
        ("GET", r"/api/v2/users/me", "me"),
        ("GET", r"/api/v2/deployment/config", "deployment_config"),
        ("GET", r"/api/v2/deployment/ssh", "ssh"),
        ("GET", r"/api/v2/experiments", "enabled_experiments"),
        ("GET", r"/api/v2/experiments/available", "available"),
        ("GET", r"/api/v2/users/([^/]+)/keys/tokens/tokenconfig", "tokenconfig"),
        ("GET", r"/api/v2/users/([^/]+)/keys/tokens", "tokens"),
        ("GET", r"/api/v2/users/me/keys/([^/]+)", "own_key"),
        ("PUT", r"/api/v2/users/([^/]+)/keys/([^/]+)/expire", "expire"),
        ("DELETE", r"/api/v2/users/([^/]+)/keys/([^/]+)", "delete"),
        ("PUT", r"/api/v2/users/([^/]+)/profile", "profile"),
        ("POST", r"/api/v2/files", "files"),
        ("GET", r"/api/v2/workspacebuilds/([^/]+)/logs", "logs"),
        ("GET", r"/api/v2/workspaceagents/([^/]+)/pty", "pty"),
    ]
    public = frozenset({"buildinfo", "updatecheck", "login", "files", "logs", "pty"})

    def handle_any(self) -> None:
        body = self._read()
        self.server.seen.append((self.command, self.path))
        self.server.headers = dict(self.headers)
        self.server.tokens.append(self.headers.get("Coder-Session-Token", ""))
        if self._plays_fault():
            return None
        path = urlsplit(self.path).path
        if path in self.server.answers:
            status, content = self.server.answers[path]
            return self._send(status, content, "application/json")
        for method, pattern, name in self.routes:
            matched = re.fullmatch(pattern, path)
            if matched and method == self.command:
                return self._route(name, matched.groups(), json.loads(body) if body else None)
        if path.startswith("/api/"):
            return self._json(404, {"message": "Route not found."})
        if path == "/login.js":
            return self._send(200, SIGN_IN_SCRIPT.encode(), "text/javascript")
        return self._page(SIGN_IN_PAGE if path == "/login" else PAGE)

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names of http.server

    def _plays_fault(self) -> bool:
        fault = self.server.fault
        if self.server.delay:
            self.server.released.wait(self.server.delay)
        if fault == "hang":
            self.server.released.wait(DEADLINE_SECONDS)
            self.close_connection = True
            return True
        if fault == "500":
            self._json(500, {"message": "An internal server error occurred."})
        if fault == "html":
            self._send(200, b"<!doctype html><title>Maintenance</title>", "text/html")
        if fault == "redirect":
            self._send(302, b"", "text/plain", Location="http://192.0.2.1/")
        return fault in {"500", "html", "redirect"}

    def _route(self, name: str, parts: tuple[str, ...], body: Any) -> None:
        key = self._key()
        if name not in self.public:
            if key is None:
                return self._json(401, {"message": "You are signed out or your session expired."})
            if key.person.status == "suspended":
                return self._json(401, {"message": 'User is not active (status = "suspended").'})
            if self._lacks_csrf_proof():
                return self._json(400, {"message": "Something is wrong with your CSRF token."})
        if name in CONSTANT:
            return self._json(200, CONSTANT[name])
        getattr(self, f"_{name}")(key, parts, body)
        return None

    def _cookie(self, name: str) -> str:
        found = SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return found.value if found else ""

    def _key(self) -> Key | None:
        token = self._cookie("coder_session_token") or self.headers.get("Coder-Session-Token", "")
        return self.server.keys.get(token)

    def _lacks_csrf_proof(self) -> bool:
        """A write with the cookie needs the header X-CSRF-TOKEN with the value of the cookie."""
        if self.command == "GET" or not self._cookie("coder_session_token"):
            return False
        proof = self._cookie("csrf_token")
        return not proof or self.headers.get("X-CSRF-TOKEN", "") != proof

    def _login(self, _: Key | None, parts: tuple[str, ...], body: Any) -> None:
        for key in self.server.keys.values():
            if key.person.email == body.get("email"):
                cookie = f"coder_session_token={key.token}; Path=/; HttpOnly; SameSite=Lax"
                return self._json(201, {"session_token": key.token}, **{"Set-Cookie": cookie})
        return self._json(401, {"message": "Incorrect email or password."})

    def _buildinfo(self, *_: Any) -> None:
        self._json(
            200,
            {
                "external_url": "https://github.com/coder/coder/releases",
                "version": self.server.version,
                "dashboard_url": self.server.dashboard,
                "telemetry": False,
                "workspace_proxy": False,
                "agent_api_version": "1.0",
                "provisioner_api_version": "1.14",
                "upgrade_message": "",
                "deployment_id": "9d1d1a1e-0000-4000-8000-000000000002",
                **self.server.release.build_info,
            },
        )

    def _me(self, key: Key, *_: Any) -> None:
        if not key.may("user:read", self.server.release, own=True):
            return self._json(404, {"message": "Resource not found or you do not have access."})
        return self._json(200, key.person.as_json())

    def _authcheck(self, key: Key, _: tuple[str, ...], body: Any) -> None:
        answer = {}
        for name, check in body["checks"].items():
            target = check["object"]
            own = target.get("owner_id") in {"me", key.person.id}
            action = f"{target['resource_type']}:{check['action']}"
            answer[name] = key.may(action, self.server.release, own=own)
        self._json(200, answer)

    def _deployment_config(self, key: Key, *_: Any) -> None:
        if not key.may("deployment_config:read", self.server.release, own=False):
            return self._json(403, {"message": "Forbidden."})
        return self._json(200, self.server.config)

    def _enabled_experiments(self, *_: Any) -> None:
        self._json(200, self.server.experiments)

    def _tokens(self, key: Key, *_: Any) -> None:
        wants_all = "include_all" in parse_qs(urlsplit(self.path).query)
        everyone = wants_all and "owner" in key.person.roles
        release, now = self.server.release, datetime.now(UTC).isoformat()
        # Sessions are keys without a name. They are not listed.
        found = [
            each.as_json(release)
            for each in self.server.keys.values()
            if each.name and (everyone or each.person is key.person)
            if release.lists_expired or each.expires_at > now
        ]
        self._json(200, found or None)

    def _own_key(self, key: Key, parts: tuple[str, ...], _: Any) -> None:
        assert key.id == parts[0]
        self._json(200, key.as_json(self.server.release))

    def _users(self, key: Key, *_: Any) -> None:
        query = parse_qs(urlsplit(self.path).query)
        people = {each.person.username: each.person for each in self.server.keys.values()}
        limit, offset = int(query["limit"][0]), int(query.get("offset", ["0"])[0])
        ordered = [people[name].as_json() for name in sorted(people)]
        self._json(200, {"users": ordered[offset : offset + limit], "count": len(ordered)})

    def _expire(self, _: Key, parts: tuple[str, ...], body: Any) -> None:
        if self.server.release.expire != 204:
            return self._json(self.server.release.expire, {"message": "Route not found."})
        return self._delete(_, parts, body)

    def _delete(self, _: Key, parts: tuple[str, ...], body: Any) -> None:
        for token, key in list(self.server.keys.items()):
            if key.id == parts[1]:
                del self.server.keys[token]
                return self._send(204, b"", "")
        return self._json(404, {"message": "Resource not found or you do not have access."})

    def _profile(self, key: Key, *_: Any) -> None:
        """A write of the dashboard, which fails if another service has replaced `csrf_token`."""
        self._json(200, key.person.as_json())

    def _files(self, _: Key | None, parts: tuple[str, ...], body: Any) -> None:
        self._json(201, {"size": len(body)})

    def _logs(self, *_: Any) -> None:
        """Sends a line, and the next one when the test allows it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"6\r\nfirst\n\r\n")
        self.server.may_go_on.wait(DEADLINE_SECONDS)
        self.wfile.write(b"5\r\nlast\n\r\n0\r\n\r\n")

    def _pty(self, *_: Any) -> None:
        """Switches to the protocol of WebSockets, and returns what it reads."""
        self.send_response(101)
        self.send_header("Upgrade", self.headers.get("Upgrade", ""))
        self.send_header("Connection", "upgrade")
        self.end_headers()
        self.wfile.write(self.rfile.read(5))
        self.close_connection = True

    def _page(self, page: str) -> None:
        headers = {"Content-Security-Policy": self.server.policy}
        proof = self._cookie("csrf_token")
        if not proof:
            # Coder's token has another length and alphabet than Django's.
            proof = secrets.token_urlsafe(32) + "="
            headers["Set-Cookie"] = (
                f"csrf_token={proof}; Path=/; HttpOnly; SameSite=Lax{self.server.domain}"
            )
        content = page.replace("{proof}", proof).encode()
        self._send(200, content, "text/html; charset=utf-8", **headers)

    def _json(self, status: int, value: object, **headers: str) -> None:
        self._send(status, json.dumps(value).encode(), "application/json; charset=utf-8", **headers)

    def _send(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": content_type,
            "X-Coder-Build-Version": self.server.build or self.server.version,
        } | headers
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_header(self, keyword: str, value: str) -> None:
        if (keyword, self.server.fault) != ("Date", "no date"):
            super().send_header(keyword, value)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.server.clock_ahead)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the test output clean."""
