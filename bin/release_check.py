"""Tests the files of a release: installs, serves, requests, backs up, restores, uninstalls."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bin.release_files import ReleaseError, check_sums, output, the_file

START_SECONDS = 300
STOP_SECONDS = 40
# The ten operations of the reference page.
OPERATIONS = (
    "",
    "buildinfo",
    "deployment/config",
    "deployment/ssh",
    "deployment/stats",
    "experiments",
    "experiments/available",
    "updatecheck",
    "users/me/keys/tokens/tokenconfig",
)
REPORT = {
    "csp-report": {"effective-directive": "img-src", "blocked-uri": "https://x.example/a.png"}
}


def check(directory: Path, *, with_tools: bool) -> None:
    """Raises: ReleaseError for the first thing that does not work."""
    check_sums(directory)
    _say("the files are those of SHA256SUMS")
    with tempfile.TemporaryDirectory(prefix="coderapi-check-") as scratch:
        # The private PostgreSQL of root runs as another user, who needs access.
        Path(scratch).chmod(0o755)
        _check_installed(directory, Path(scratch))
        if with_tools:
            _check_tools(directory, Path(scratch))


def _check_installed(directory: Path, scratch: Path) -> None:
    program = _install(directory, scratch / "environment")
    _say(f"installed {output(program, '--version').strip()}")
    home, other = scratch / "home", scratch / "other"
    for each in (home, other):
        each.mkdir(mode=0o755)
    with _serving(program, home) as port:
        token = _token(home)
        _walk(port, token)
        output(program, "backup", home / "first.backup", env=_environment(home))
    _say("served the ten operations, made a backup, and stopped")
    output(program, "restore", "--yes", home / "first.backup", env=_environment(other))
    with _serving(program, other) as port:
        _walk(port, token)
    _say("restored the backup elsewhere, and served it")
    output(scratch / "environment" / "bin" / "pip", "uninstall", "--yes", "--quiet", "coderapi")
    if program.exists():
        raise ReleaseError(f"{program} still exists after it was uninstalled")
    left = sorted(each.name for each in (home / "data").iterdir())
    _say(f"uninstalled; these files of the data directory are left: {', '.join(left)}")


def _check_tools(directory: Path, scratch: Path) -> None:
    """Installs the wheel with uv and with pipx, each into an environment of its own."""
    wheel, tools = the_file(directory, "*.whl"), scratch / "tools"
    output(sys.executable, "-m", "venv", tools)
    output(tools / "bin" / "pip", "--quiet", "install", "pipx", "uv")
    places = {
        "UV_TOOL_DIR": f"{scratch}/uv",
        "UV_TOOL_BIN_DIR": f"{scratch}/uv-bin",
        "PIPX_HOME": f"{scratch}/pipx",
        "PIPX_BIN_DIR": f"{scratch}/pipx-bin",
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    environment = os.environ | places
    uv = (tools / "bin" / "uv", "tool", "install", "--quiet", "--python", sys.executable)
    output(*uv, wheel, env=environment)
    output(tools / "bin" / "pipx", "install", "--quiet", wheel, env=environment)
    for name in ("uv", "pipx"):
        version = output(scratch / f"{name}-bin" / "coderapi", "--version").strip()
        _say(f"{name} installed {version}")


def _install(directory: Path, environment: Path) -> Path:
    """Installs the release with the commands of the README. Returns the program."""
    output(sys.executable, "-m", "venv", environment)
    pip = (environment / "bin" / "pip", "--quiet", "--disable-pip-version-check", "install")
    output(*pip, "--require-hashes", "-r", directory / "requirements.lock")
    output(*pip, "--no-deps", the_file(directory, "*.whl"))
    return environment / "bin" / "coderapi"


def _environment(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "CODERAPI_DATA_DIR": str(home / "data"),
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
    }


@contextmanager
def _serving(program: Path, home: Path) -> Iterator[int]:
    """Serves until the block ends, and then stops. Yields the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = _environment(home) | {"CODER_HTTP_ADDRESS": f"127.0.0.1:{port}"}
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [program, "server"], env=environment, cwd=home, stdout=log, stderr=log
        )
    try:
        _await(port, process, home / "log")
        yield port
        process.send_signal(signal.SIGTERM)
        if process.wait(STOP_SECONDS):
            raise ReleaseError(f"the server ended with status {process.returncode}")
    finally:
        process.kill()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    if not _until_answered(port, "buildinfo", "", lambda: process.poll() is None):
        raise ReleaseError(f"the server did not start:\n{log.read_text()}")


def _until_answered(port: int, path: str, token: str, goes_on: Callable[[], bool]) -> bool:
    """Sends requests until the status is 200, or the time is up. Returns whether it was 200."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and goes_on():
        try:
            _ask(port, path, {"Coder-Session-Token": token})
        except (ReleaseError, OSError):
            time.sleep(0.2)
        else:
            return True
    return False


def _walk(port: int, token: str) -> None:
    # A new service has no stats before its first snapshot, which a job takes.
    _until_answered(port, "deployment/stats", token, lambda: True)
    headers = {"Coder-Session-Token": token}
    for path in OPERATIONS:
        _ask(port, path, headers)
    _ask(port, "csp/reports", headers | {"Content-Type": "application/csp-report"}, REPORT)


def _ask(port: int, path: str, headers: Mapping[str, str], sent: object = None) -> None:
    """Raises: ReleaseError if the status is not 200, OSError if the port refuses connections."""
    data = json.dumps(sent).encode() if sent else None
    request = Request(f"http://127.0.0.1:{port}/api/v2/{path}", data, dict(headers))
    try:
        with urlopen(request, timeout=30) as response:  # noqa: S310 - a fixed scheme
            response.read()
    except HTTPError as error:
        raise ReleaseError(
            f"/api/v2/{path} returned status {error.code}: {error.read()!r}"
        ) from error


def _token(home: Path) -> str:
    found = re.search(r"session token\s+(\S+)", (home / "data" / "first-owner.txt").read_text())
    if not found:
        raise ReleaseError("first-owner.txt has no session token")
    return found[1]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
