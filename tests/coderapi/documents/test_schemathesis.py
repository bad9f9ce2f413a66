"""A server under valid and invalid requests generated from its OpenAPI document."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from coderapi.openapi.document import openapi_yaml
from kernel.http.wire import WireFormat
from tests.support.commands import execute
from tests.support.processes import PROJECT
from tests.support.servers.live import own_server

# The number of generated requests of an operation, for each format.
EXAMPLES = 20
# The time for the requests of another seed.
SECONDS = 60
# The first would end the session that all the others need; the second needs an empty deployment.
LEFT_OUT = ("log-out-user", "create-initial-user")


@pytest.mark.parametrize("wire", list(WireFormat))
def test_server_and_document_agree(wire: WireFormat, tmp_path: Path) -> None:
    """Runs all phases and all checks. Each format has a test, so that two workers share them.

    Each run generates the same requests, so that a failure comes from the change at hand.
    """
    document = tmp_path / "openapi.yml"
    document.write_text(openapi_yaml(wire), encoding="utf-8")
    settings = {"CODERAPI_FIRST_OWNER_USERNAME": "throw-away", "CODER_API_RATE_LIMIT": "-1"}
    log = tmp_path / "log"
    with own_server(log=log, CODERAPI_WIRE_FORMAT=wire.value, **settings) as server:
        token = server.owner_token
        found = execute(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color", "run", str(document)),
                f"--url=http://127.0.0.1:{server.port}",
                f"--header=Coder-Session-Token: {token}",
                *(f"--exclude-operation-id={name}" for name in LEFT_OUT),
                *how_many(os.environ.get("SCHEMATHESIS_SEED", "")),
                "--generation-with-security-parameters=false",
                "--suppress-health-check=all",
                "--no-shrink",
                "--warnings=off",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "SCHEMATHESIS_HOOKS": "tests.support.api.schemathesis_hooks",
                "OWN_KEY_ID": token.partition("-")[0],
            },
        )
    assert found.returncode == 0, found.stdout.replace(token, "<token>") + found.stderr
    assert "Tested" in found.stdout
    assert "Stateful" in found.stdout


def how_many(seed: str) -> list[str]:
    """Returns the options that choose the requests: always the same ones, or those of a seed."""
    if seed:
        return [f"--seed={seed}", f"--max-time={SECONDS}"]
    return ["--generation-deterministic", f"--max-examples={EXAMPLES}"]
