"""No output of any process contains a secret. Each secret contains a mark to search for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import manage
from tests.support.samples import MARK, WITH_PASSWORD, planted
from tests.support.servers.live import Server, obeying

DATABASE = f"postgresql://somebody:{MARK}@planted.example.com/none"


def run(*arguments: str, **environ: str) -> str:
    """Returns the command's output and errors."""
    done = manage(*arguments, **environ)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["options"],
        ["options", "--json"],
        ["options", "--changed"],
        ["options", "pg_connection_url", "CODER_SCIM_AUTH_HEADER", "nothing-like-it"],
        ["options", f"--scim-auth-headr={MARK}"],
        ["options", "--scim-auth-header", MARK, "--postgres-url", DATABASE],
        ["server", "--write-config"],
        ["server", "--help"],
        ["server", f"--postgres-ulr={DATABASE}"],
    ],
)
def test_no_command_shows_a_secret(arguments: list[str]) -> None:
    output = run(*arguments, **planted())
    assert output.strip()
    assert MARK not in output


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "coder.yaml"
    file.write_text(f"scimAuthHeader: {MARK}\naccessURL: {MARK}\n", encoding="utf-8")
    wrong = {
        "CODER_PG_CONNECTION_URL": f"host=h password={MARK}",
        "CODER_ACCESS_URL": f"https://me:{MARK}@h:port",
        "CODER_PPROF_ADDRESS": f"me:{MARK}@h",
        "CODER_TLS_ENABLE": "true",
        "CODER_SCIM_AUTH_HEADER_FILE": str(tmp_path),
        "CODER_CONFIG_PATH": str(file),
        "CODER_EXTERNAL_AUTH_1_CLIENT_SECRET": MARK,
        "DATABASE_URL": f"host=h password={MARK}",
        "CODERAPI_REDIS_URL": f"http://me:{MARK}@h",
    }
    for arguments in (["server"], ["options"], ["options", "--check", str(file)]):
        output = run(*arguments, **{**planted(), **wrong})
        assert "CODER_" in output or "coder.yaml" in output
        assert "Traceback" not in output
        assert MARK not in output


@pytest.fixture(scope="module")
def logs_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the JSON logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def server(logs_directory: Path) -> Iterator[Server]:
    with obeying(
        "-v",
        **{
            **planted(),
            "CODERAPI_ALLOWED_HOSTS": "*",
            "CODER_SWAGGER_ENABLE": "true",
            "CODER_PROMETHEUS_ENABLE": "true",
            "CODER_PROMETHEUS_ADDRESS": "127.0.0.1:0",
            "CODER_LOGGING_JSON": str(logs_directory / "json"),
            "CODER_LOGGING_STACKDRIVER": str(logs_directory / "stackdriver"),
        },
    ) as found:
        yield found


PATHS = [
    *("/api/v2/deployment/config", "/api/v2/deployment/ssh", "/api/v2/deployment/stats"),
    *("/api/v2/buildinfo", "/api/v2/users/authmethods", "/api/v2/users/me", "/api/v2/updatecheck"),
    *("/api/v2/experiments", "/api/v2/nothing", "/readyz", "/healthz", "/swagger", "/login"),
    *("/swagger/openapi.json", f"/api/v2/{MARK[:3]}%00"),
]


@pytest.mark.parametrize("wire", ["documented", "coderd"])
def test_no_answer_contains_a_secret(server: Server, wire: str) -> None:
    for path in PATHS:
        answer = server.ask_as_owner(path, Coderapi_Wire_Format=wire, Origin=WITH_PASSWORD)
        assert MARK not in f"{answer.body!r} {answer.headers}", path
    config = server.ask_as_owner("/api/v2/deployment/config", Coderapi_Wire_Format=wire)
    assert (config.status, b"planted.example.com" in config.body) == (200, True)


def test_no_admin_page_contains_a_secret(server: Server) -> None:
    cookies = server.admin_cookies()
    revisions = "/admin/deployment/configrevision/"
    for path in ("/admin/", revisions, f"{revisions}1/change/", f"{revisions}1/1/"):
        page = server.ask(path, Cookie=cookies)
        assert (page.status, MARK.encode() in page.body) == (200, False), path


def test_no_log_contains_a_secret(server: Server, logs_directory: Path) -> None:
    body = {"email": f"{MARK}@example.com", "password": MARK}
    assert server.ask("/api/v2/users/login", method="POST", body=body).status == 401
    for log in (logs_directory / "json", logs_directory / "stackdriver", server.log):
        text = log.read_text()
        assert "Starting on" in text
        assert MARK not in text


def test_history_contains_no_secret(server: Server) -> None:
    for arguments in (["list_config_revisions"], ["list_config_revisions", "--diff", "1", "1"]):
        output = run(*arguments, DATABASE_URL=server.database)
        assert "1" in output or "No differences" in output
        assert MARK not in output
    output = run("dumpdata", "deployment.configrevision", DATABASE_URL=server.database)
    assert "planted.example.com" in output
    assert MARK not in output
