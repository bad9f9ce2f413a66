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

from coderapi import __version__
from coderapi.startup import neighbors
from coderapi.startup.neighbors import ADVICE
from tests.support.commands import execute
from tests.support.processes import PACKAGES, PROJECT, own_database
from tests.support.servers.live import Server

COMMIT, REPOSITORY = "0123abcd", "https://git.example.com/platform/coderapi"


def pyproject() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like `site-packages`, with `bin/coderapi` as pip creates it."""
    site = tmp_path_factory.mktemp("site")
    for package in PACKAGES:
        without = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, site / package, ignore=without)
    built = {"commit": COMMIT, "repository": REPOSITORY}
    (site / "coderapi" / "build.json").write_text(json.dumps(built))
    (program := site / "bin" / "coderapi").parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom coderapi.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
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


def test_wheel_has_every_package_and_its_entry_point() -> None:
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) == set(neighbors.PACKAGES) == PACKAGES
    module, _, name = pyproject()["project"]["scripts"]["coderapi"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_program_and_module_print_their_version(installed: Path, elsewhere: Path) -> None:
    shown = f"coderapi {__version__} (commit {COMMIT}, for Coder 2.34.1)\n"
    for argument in ("version", "--version"):
        assert coderapi(installed, argument, cwd=elsewhere).stdout == shown
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
    names = ("CoderAPI", "damaged", "unreadable")
    records = [installed / f"{name}-1.0.dist-info" / "RECORD" for name in names]
    for each in records:
        each.parent.mkdir()
    records[0].write_text("kernel/__init__.py,,\n")
    records[1].write_bytes(b"\xe9.py,,\n")
    records[2].mkdir()
    done = coderapi(installed, "migrate", "--help", cwd=elsewhere)
    for each in records:
        shutil.rmtree(each.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_packages_of_our_names_elsewhere_are_rejected(installed: Path, elsewhere: Path) -> None:
    environment = {"PYTHONPATH": f"{installed}:{elsewhere}", "HOME": str(elsewhere)}
    hidden = (installed / "users").rename(installed / "hidden")
    try:
        done = execute([installed / "bin" / "coderapi", "server"], cwd=elsewhere, env=environment)
    finally:
        hidden.rename(installed / "users")
    origin = f"coderapi: Python would import users from {elsewhere / 'users.py'}, not from "
    assert (done.returncode, done.stderr[: len(origin)]) == (1, origin)


def test_installed_server_serves_from_any_directory(
    installed: Path, elsewhere: Path, tmp_path: Path
) -> None:
    class Installed(Server):
        entry, directory = (str(installed / "bin" / "coderapi"),), elsewhere

    before = set(elsewhere.iterdir())
    settings = {"PYTHONPATH": str(installed)}
    with own_database() as url, Installed(log=tmp_path / "log", DATABASE_URL=url, **settings) as it:
        build = it.ask("/api/v2/buildinfo").json
        assert build["external_url"] == f"{REPOSITORY}/releases/tag/v{__version__}"
        assert {it.get(path) for path in ("/static/coderapi/admin.css", "/login")} == {200}
        assert it.end(signal.SIGTERM) == 0
    assert set(elsewhere.iterdir()) == before
