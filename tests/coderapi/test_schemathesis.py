"""A server under valid and invalid requests generated from its OpenAPI document."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.http.schema.document import openapi_yaml
from kernel.http.wire import Wire
from tests.support.commands import execute
from tests.support.live import Server, own_server
from tests.support.processes import PROJECT

SECONDS = 8
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# The first would end the session that all the others need; the second needs an empty deployment.
LEFT_OUT = ("log-out-user", "create-initial-user")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"CODERAPI_FIRST_OWNER_USERNAME": "throw-away", "CODER_API_RATE_LIMIT": "-1"}
    with own_server(log=tmp_path_factory.mktemp("server") / "log", **settings) as server:
        yield server


@pytest.mark.parametrize("wire", list(Wire))
def test_no_answer_is_a_crash_or_violates_the_schema(
    wire: Wire, server: Server, tmp_path: Path
) -> None:
    token = server.owner_token
    document = tmp_path / "openapi.yml"
    document.write_text(openapi_yaml(wire), encoding="utf-8")
    headers = (f"Coder-Session-Token: {token}", f"Coder-Wire: {wire.value}")

    found = execute(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color", "run", str(document)),
            f"--url=http://127.0.0.1:{server.port}/api/v2",
            *(f"--header={header}" for header in headers),
            f"--checks={','.join(CHECKS)}",
            *(f"--exclude-operation-id={name}" for name in LEFT_OUT),
            f"--max-time={SECONDS}",
            "--phases=examples,coverage,fuzzing",
            "--generation-with-security-parameters=false",
            "--suppress-health-check=all",
            "--no-shrink",
            "--warnings=off",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
        },
    )

    assert found.returncode == 0, found.stdout.replace(token, "<token>") + found.stderr
    assert "Tested" in found.stdout
