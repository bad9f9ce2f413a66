"""The packages as a wheel installs them. `bin/release check` installs a real wheel."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from coderapi import __version__, neighbors
from coderapi.neighbors import ADVICE
from tests.support.commands import execute
from tests.support.processes import PACKAGES, PROJECT
from tests.support.servers.live import Server, own_server

COMMIT, REPOSITORY = "0123abcd", "https://git.example.com/platform/coderapi"


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
    built = {"commit": COMMIT, "repository": REPOSITORY}
    (site / "coderapi" / "build.json").write_text(json.dumps(built))
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
    found = coderapi(installed, argument, cwd=elsewhere).stdout
    assert found == f"coderapi {__version__} (commit {COMMIT}, for Coder 2.34.1)\n"


def test_module_prints_the_version_and_the_commit() -> None:
    done = execute([sys.executable, "-m", "coderapi", "--version"], cwd=PROJECT)
    assert re.fullmatch(
        rf"coderapi {__version__} \(commit [0-9a-f]+, for Coder 2.34.1\)\n", done.stdout
    )


@pytest.fixture
def shared(installed: Path) -> Iterator[Path]:
    """The environment, where another distribution has installed packages with two of our names."""
    record = installed / "other_users-1.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("other/__init__.py,,\nusers/forms.py,,\njobs.py,,\n")
    yield installed
    shutil.rmtree(record.parent)


@pytest.mark.parametrize("command", ["server", "worker", "migrate"])
def test_distribution_with_packages_of_our_names_is_rejected(
    shared: Path, elsewhere: Path, command: str
) -> None:
    done = coderapi(shared, command, cwd=elsewhere)
    assert done.returncode == 1
    assert done.stderr == (
        "coderapi: The distribution other_users has installed packages with the same names as "
        f"those of coderapi into {shared}: jobs, users. {ADVICE}\n"
    )


def test_own_and_damaged_lists_of_files_are_accepted(installed: Path, elsewhere: Path) -> None:
    own, damaged, unreadable = (
        installed / f"{name}-1.0.dist-info" / "RECORD"
        for name in ("CoderAPI", "damaged", "unreadable")
    )
    for each in (own, damaged, unreadable):
        each.parent.mkdir()
    own.write_text("kernel/__init__.py,,\n")
    damaged.write_bytes(b"\xe9.py,,\n")
    unreadable.mkdir()
    done = coderapi(installed, "migrate", "--help", cwd=elsewhere)
    for each in (own, damaged, unreadable):
        shutil.rmtree(each.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_packages_of_our_names_elsewhere_are_rejected(installed: Path, elsewhere: Path) -> None:
    environment = {"PYTHONPATH": f"{installed}:{elsewhere}", "HOME": str(elsewhere)}
    shadowed = installed / "users"
    hidden = shadowed.rename(installed / "hidden")
    try:
        done = execute([installed / "bin" / "coderapi", "server"], cwd=elsewhere, env=environment)
    finally:
        hidden.rename(shadowed)
    assert done.returncode == 1
    origin = elsewhere / "users.py"
    assert done.stderr.startswith(f"coderapi: Python would import users from {origin}, not from ")


def test_packages_that_are_checked_are_all_of_them() -> None:
    assert set(neighbors.PACKAGES) == PACKAGES


def test_installed_server_serves_from_any_directory(
    installed: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "entry", [str(installed / "bin" / "coderapi")])
    monkeypatch.setattr(Server, "directory", elsewhere)
    before = set(elsewhere.iterdir())
    with own_server(log=tmp_path / "log", PYTHONPATH=str(installed)) as server:
        build = server.ask("/api/v2/buildinfo").json
        assert build["external_url"] == f"{REPOSITORY}/releases/tag/v{__version__}"
        assert server.get("/static/coderapi/admin.css") == 200
        assert server.get("/login") == 200
        assert server.end(signal.SIGTERM) == 0
    assert set(elsewhere.iterdir()) == before
