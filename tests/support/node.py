"""Programs for Node.js that read the OpenAPI documents; tests/node/package-lock.json pins them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import PROJECT

HERE = PROJECT / "tests" / "node"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(
    not (NODE and (HERE / "node_modules").is_dir()) and os.environ.get("CI_REQUIRES_NODE") != "1",
    reason="Node.js is not installed, or `npm ci --prefix tests/node` was not run",
)


def run(program: str, *arguments: str | Path, directory: Path = HERE) -> str:
    """Returns what a program of the packages prints. Fails with it if its status is not 0."""
    return execute(HERE / "node_modules" / ".bin" / program, *arguments, directory=directory)


def execute(*command: str | Path, directory: Path) -> str:
    found = subprocess.run(
        command,
        cwd=directory,
        env={
            **os.environ,
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout + found.stderr
