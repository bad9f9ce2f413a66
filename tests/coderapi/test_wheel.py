"""The packages without a checkout, as a wheel installs them. bin/prove installs a real wheel."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from coderapi import __version__
from tests.support.commands import execute
from tests.support.live import Server, own_server
from tests.support.processes import PACKAGES, PROJECT


def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like `site-packages`, with `bin/coderapi` as pip creates it."""
    site = tmp_path_factory.mktemp("site")
    for package in pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(
            PROJECT / package, site / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    (site / "bin").mkdir()
    (site / "bin" / "coderapi").write_text(
        f"#!{sys.executable}\nimport sys\nfrom coderapi.__main__ import main\nsys.exit(main())\n"
    )
    (site / "bin" / "coderapi").chmod(0o755)
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory with modules that have our packages' names and fail when imported."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    for package in PACKAGES:
        (directory / f"{package}.py").write_text(f"raise SystemExit({package!r})\n")
    return directory


def coderapi(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(installed), "HOME": str(cwd)}
    return execute([installed / "bin" / "coderapi", *arguments], cwd=cwd, env=environment)


def test_wheel_has_every_package() -> None:
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == PACKAGES


def test_entry_point_of_the_wheel_exists() -> None:
    module, _, name = pyproject()["project"]["scripts"]["coderapi"].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_program_prints_its_version(installed: Path, elsewhere: Path, argument: str) -> None:
    assert coderapi(installed, argument, cwd=elsewhere).stdout == f"coderapi {__version__}\n"


def test_installed_server_serves_from_any_directory(
    installed: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "entry", [str(installed / "bin" / "coderapi")])
    monkeypatch.setattr(Server, "directory", elsewhere)
    before = set(elsewhere.iterdir())
    with own_server(log=tmp_path / "log", PYTHONPATH=str(installed)) as server:
        build = server.ask("/api/v2/buildinfo").json
        assert build["external_url"].endswith(f"v{__version__}")
        assert server.get("/static/coderapi/admin.css") == 200
        assert server.get("/login") == 200
        assert server.end(signal.SIGTERM) == 0
    assert set(elsewhere.iterdir()) == before
