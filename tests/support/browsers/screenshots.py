"""Takes the screenshots of the documents, of a service with the rows of a team.

`make screenshots` calls it. It needs Chromium and ChromeDriver.
"""

from __future__ import annotations

import math
import random
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.api.paths import full
from tests.support.browsers.browser import Browser, browsing
from tests.support.commands import manage, write_lines
from tests.support.processes import PROJECT
from tests.support.servers.live import Server

OWNER = "ada"
PASSWORD = "correct-horse-battery-staple"
DAY_NS = 86_400 * 10**9
PEOPLE = {
    "grace": ["user-admin"],
    "edsger": ["auditor"],
    "barbara": [],
    "donald": ["template-admin"],
    "margaret": [],
    "linus": [],
}
# Owner, name and lifetime in days of each token.
TOKENS = (
    ("ada", "release", 7),
    ("ada", "laptop", 6),
    ("barbara", "ci", 90),
    ("barbara", "nightly", 2),
    ("donald", "terraform", 28),
    ("margaret", "vscode", 7),
    ("margaret", "retired", 30),
    ("linus", "kernel", 14),
)
USED = {"release", "ci", "terraform"}
RULES = (
    ("--deployment", "--max-lifetime", "90d", "--default-lifetime", "30d"),
    ("--role", "template-admin", "--max-lifetime", "28d", "--max-live-tokens", "5"),
    ("--user", "barbara", "--max-lifetime", "30d", "--tokens-may-create-tokens", "no"),
)
# Directive, blocked address, page and frequency of each kind of report.
BLOCKED = (
    ("script-src-elem", "https://cdn.example.net/analytics.js", "/workspaces", 9),
    ("img-src", "https://avatars.example.org/u/7.png", "/users", 6),
    ("connect-src", "wss://telemetry.example.net/live", "/@ada/dev/terminal", 4),
    ("style-src-elem", "inline", "/templates", 3),
    ("frame-src", "https://docs.example.com/embed", "/templates/docker", 2),
    ("script-src-elem", "chrome-extension", "/workspaces", 5),
)
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:149.0) Gecko/20100101 Firefox/149.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
)
AGENTS = 12
HOURS = 24
NOISE = random.Random(7)  # noqa: S311 - not a secret; every run draws the same numbers
IMAGES = PROJECT / "docs" / "images"
WIDTH = 1280
MAX_HEIGHT = 1220
HEIGHT = "return document.documentElement.scrollHeight"
# The user and the page of each image.
PAGES = {
    "timelines": (OWNER, "/admin/stats/snapshot/timelines/"),
    "csp-front": (OWNER, "/admin/csp/"),
    "csp-groups": (OWNER, "/admin/csp/group/"),
    "keys": (OWNER, "/admin/tokens/apikey/"),
    "account": ("barbara", "/account"),
}


class Example:
    """A running service, which this class fills through its API and its commands."""

    def __init__(self, server: Server, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.now = datetime.now(UTC)
        self.token = self.manage("create_token", "--user", OWNER, "--name", "filler")

    def manage(self, *arguments: str) -> str:
        done = manage(*arguments, CODERAPI_DATA_DIR=str(self.directory / "data"))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(self, method: str, path: str, body: object = None, **headers: Any) -> Any:
        answer = self.server.ask(full(path), method=method, body=body, token=self.token, **headers)
        assert answer.status < 300, (path, answer.body)
        return answer.json if answer.body else None

    def fill(self) -> None:
        self._people()
        self._tokens()
        self._workspaces()
        self._agents()
        self._reports()

    def _people(self) -> None:
        for name, roles in PEOPLE.items():
            person = {"username": name, "email": f"{name}@example.com", "name": name.title()}
            self.ask("POST", "/users", person | {"password": PASSWORD, "user_status": "active"})
            if roles:
                self.ask("PUT", f"/users/{name}/roles", {"roles": roles})

    def _tokens(self) -> None:
        for owner, name, days in TOKENS:
            wanted = {"token_name": name, "lifetime": days * DAY_NS}
            made = self.ask("POST", f"/users/{owner}/keys/tokens", wanted)
            if name in USED:
                self.server.ask("/api/v2/users/me", token=made["key"])
        retired = self.ask("GET", "/users/margaret/keys/tokens/retired")["id"]
        self.ask("PUT", f"/users/margaret/keys/{retired}/expire")
        for rule in RULES:
            self.manage("token_policy", "set", *rule, "--on-violation", "leave")
        self.ask("PUT", "/users/linus/status/suspend")

    def _workspaces(self) -> None:
        rows = [self._workspace(number) for number in range(AGENTS + 6)]
        self.ask("POST", "/api/coderapi/v1/stats/agent-rows", rows)

    def _workspace(self, number: int) -> dict[str, Any]:
        ago = [(self.now - timedelta(minutes=7 * number + m)).isoformat() for m in range(3)]
        begun = {"job_started_at": ago[2], "job_updated_at": ago[0]}
        ended = {**begun, "job_completed_at": ago[1]}
        states: list[dict[str, Any]] = [
            {},
            begun,
            {**ended, "transition": "stop"},
            {**ended, "error": "terraform apply: no space left on device"},
            {**begun, "job_canceled_at": ago[1], "job_completed_at": ago[1]},
            {**ended, "transition": "delete", "deleted": True},
        ]
        state = {**ended, "transition": "start"} if number < AGENTS else states[number - AGENTS]
        return {
            "kind": "workspace",
            "workspace_id": str(uuid.UUID(int=number + 1, version=4)),
            "build_number": number + 1,
            "transition": "start",
            **state,
        }

    def _agents(self) -> None:
        rows = [
            row
            for step in range(HOURS * 12)
            for row in self._at(self.now - timedelta(minutes=5 * step + 1))
        ]
        self.manage("import_agent_stats", write_lines(self.directory / "agents.jsonl", *rows))
        past = (self.now - timedelta(hours=2)).isoformat()
        self.manage("collect_deployment_stats", "--since", past, "--every", "5m")
        self.manage("collect_deployment_stats")

    def _at(self, moment: datetime) -> Iterator[dict[str, Any]]:
        """Yields the rows of one moment. More agents are busy by day."""
        busy = 0.15 + 0.85 * max(0.0, math.sin((moment.hour - 6 + moment.minute / 60) / 12 * 3.14))
        for agent in range(max(1, round(AGENTS * busy))):
            yield {
                "id": str(uuid.uuid4()),
                "created_at": moment.isoformat(),
                "user_id": str(uuid.UUID(int=agent // 3 + 1, version=4)),
                "agent_id": str(uuid.UUID(int=agent + 1, version=4)),
                "workspace_id": str(uuid.UUID(int=agent + 1, version=4)),
                "template_id": str(uuid.UUID(int=1, version=4)),
                "rx_bytes": round(busy * NOISE.uniform(1, 9) * 2**20),
                "tx_bytes": round(busy * NOISE.uniform(5, 30) * 2**20),
                "connection_median_latency_ms": round(NOISE.lognormvariate(3, 0.5), 2),
                "session_count_vscode": agent % 2,
                "session_count_ssh": (agent + 1) % 3 % 2,
                "session_count_jetbrains": int(agent % 5 == 0),
            }

    def _reports(self) -> None:
        past = [self._past_report() for _ in range(600)]
        self.manage("import_csp_reports", write_lines(self.directory / "reports.jsonl", *past))
        for number in range(90):
            self.ask(
                "POST",
                "/csp/reports",
                _report(),
                Content_Type="application/csp-report",
                X_Forwarded_For=f"203.0.113.{number % 23 + 1}",
                User_Agent=BROWSERS[number % 4 == 0],
            )

    def _past_report(self) -> dict[str, Any]:
        received = self.now - timedelta(days=NOISE.triangular(0, 6.9, 1))
        return {**_report(), "received_at": received.isoformat(), "version": "2.29.0"}


def _report() -> dict[str, Any]:
    """Returns a random report in the format of `report-uri`."""
    directive, blocked, page, _ = NOISE.choices(BLOCKED, [weight for *_, weight in BLOCKED])[0]
    body = {
        "document-uri": f"https://coder.example.com{page}",
        "effective-directive": directive,
        "violated-directive": directive,
        "blocked-uri": blocked,
        "original-policy": "default-src 'self'; report-uri /api/v2/csp/reports",
        "disposition": "report" if directive == "frame-src" else "enforce",
        "status-code": 200,
    }
    return {"csp-report": body}


@contextmanager
def example(directory: Path) -> Iterator[Example]:
    """Starts a service with a private PostgreSQL, and fills it."""
    with Server(
        log=directory / "server.log",
        CODERAPI_DATA_DIR=str(directory / "data"),
        CODERAPI_FIRST_OWNER_USERNAME=OWNER,
        CODERAPI_FIRST_OWNER_PASSWORD=PASSWORD,
        CODERAPI_FIRST_OWNER_EMAIL=f"{OWNER}@example.com",
        CODER_SWAGGER_ENABLE="true",
        CODER_PROXY_TRUSTED_HEADERS="X-Forwarded-For",
        CODER_PROXY_TRUSTED_ORIGINS="127.0.0.0/8",
    ) as server:
        service = Example(server, directory)
        service.fill()
        yield service


def take(browser: Browser, service: str, image: str) -> None:
    name, path = PAGES[image]
    browser.resize(WIDTH, 300)
    browser.open(f"{service}/login?next={path}")
    browser.sign_in(name, PASSWORD, next_page=f"{service}{path}")
    browser.resize(WIDTH, min(browser.run(HEIGHT), MAX_HEIGHT))
    browser.screenshot(IMAGES / f"{image}.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coderapi-screenshots-") as directory:
        # Where root starts the service, PostgreSQL's account must be able to enter.
        Path(directory).chmod(0o711)
        with example(Path(directory)) as service:
            for image in PAGES:
                profile = Path(directory) / image
                with browsing(profile, flags=["--hide-scrollbars"]) as browser:
                    browser.prefer("light")
                    take(browser, f"http://127.0.0.1:{service.server.port}", image)
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.stat().st_size:>8} {path}")  # noqa: T201 - the result of this command


if __name__ == "__main__":
    main()
