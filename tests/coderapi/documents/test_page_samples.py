"""The reference page's curl samples, with our host and token."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator

import pytest

from tests.support.commands import execute
from tests.support.servers.live import own_server

HOST = "http://coder-server:8080"
ACCEPT = "-H 'Accept: application/json'"
TOKEN = "-H 'Coder-Session-Token: API_KEY'"

SAMPLES: list[tuple[str, int]] = [
    (f"curl -X GET {HOST}/api/v2/ {ACCEPT}", 200),
    (f"curl -X GET {HOST}/api/v2/buildinfo {ACCEPT}", 200),
    # The page's sample sends no report.
    (f"curl -X POST {HOST}/api/v2/csp/reports -H 'Content-Type: application/json' {TOKEN}", 400),
    (f"curl -X GET {HOST}/api/v2/deployment/config {ACCEPT} {TOKEN}", 200),
    (f"curl -X GET {HOST}/api/v2/deployment/ssh {ACCEPT} {TOKEN}", 200),
    (f"curl -X GET {HOST}/api/v2/deployment/stats {ACCEPT} {TOKEN}", 200),
    (f"curl -X GET {HOST}/api/v2/experiments {ACCEPT} {TOKEN}", 200),
    (f"curl -X GET {HOST}/api/v2/experiments/available {ACCEPT} {TOKEN}", 200),
    (f"curl -X GET {HOST}/api/v2/updatecheck {ACCEPT}", 200),
    (f"curl -X GET {HOST}/api/v2/users/me/keys/tokens/tokenconfig {ACCEPT} {TOKEN}", 200),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL and the owner's token of a server that has taken a snapshot."""
    log = tmp_path_factory.mktemp("served") / "log"
    with own_server("-v", log=log, CODERAPI_FIRST_OWNER_USERNAME="owner") as server:
        server.wait_for_log("Job collect_deployment_stats")
        yield f"http://127.0.0.1:{server.port}", server.owner_token


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(("sample", "status"), SAMPLES)
def test_sample_is_answered(served: tuple[str, str], sample: str, status: int) -> None:
    address, token = served
    command = shlex.split(sample.replace(HOST, address).replace("API_KEY", token))
    found = execute([*command, "--silent", "--write-out", "\n%{http_code}"])
    body, _, code = found.stdout.rpartition("\n")
    assert int(code) == status, body
    answer = json.loads(body)
    assert status == 200 or set(answer) <= {"message", "detail", "validations"}
