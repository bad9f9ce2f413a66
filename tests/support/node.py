"""Programs for Node.js that read the OpenAPI documents. tests/node/package-lock.json pins them."""

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
    """Runs a program of these packages. Returns its output, and fails if its status is not 0."""
    return execute(HERE / "node_modules" / ".bin" / program, *arguments, directory=directory)


def execute(*command: str | Path, directory: Path) -> str:
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **quiet},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
