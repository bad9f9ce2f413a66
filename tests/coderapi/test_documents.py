"""The documents describe the commands, settings and files of the code by their names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from django.core.management import get_commands

from coderapi import __version__
from coderapi.settings import BASE_DIR
from jobs import registry
from options.catalogue import CATALOGUE
from tests.support.processes import PACKAGES
from tests.support.screenshots import IMAGES, PAGES

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(BASE_DIR)) for path in (BASE_DIR / "docs").glob("*.md")),
]
COMMANDS = sorted(name for name, app in get_commands().items() if app in PACKAGES)


def read(name: str) -> str:
    return (BASE_DIR / name).read_text(encoding="utf-8")


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    newest = re.search(r"^## .*?(\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.MULTILINE)

    assert newest is not None
    assert {project["version"], newest[1]} == {__version__}
    assert f"coderapi.{__version__}" in read("docs/openapi.yml")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command: str) -> None:
    assert f"`{command}" in read("docs/commands.md")


def test_no_unknown_command_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)", read("docs/commands.md"), re.MULTILINE))

    assert described <= set(COMMANDS)


def test_exactly_the_jobs_are_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", read("docs/scheduling.md"), re.MULTILINE)

    assert described
    assert sorted(described) == sorted(job.name for job in registry.all_jobs())


def test_front_page_links_to_every_document() -> None:
    documents = {path.name for path in (BASE_DIR / "docs").glob("*.md")} - {"README.md"}

    assert {name for name in documents if f"({name})" not in read("docs/README.md")} == set()


def test_every_option_is_described() -> None:
    text = read("docs/options.md")

    assert [option.name for option in CATALOGUE if option.name not in text] == []


def test_every_promise_of_security_names_existing_tests() -> None:
    rows = re.findall(r"^\| (?!promise|-)(.*) \| (.*) \|$", read("docs/security.md"), re.MULTILINE)
    file, missing = "", []
    for promise, tests in rows:
        named = re.findall(r"`([^`]*)::(\w+)`", tests)
        missing += [] if named else [promise]
        for written, test in named:
            file = file if written == "…" else written
            missing += [] if f"\ndef {test}(" in read(file) else [f"{file}::{test}"]

    assert rows
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_work(document: str) -> None:
    folder = (BASE_DIR / document).parent
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", read(document))

    assert [target for target in targets if not Path(folder, target).exists()] == []


@pytest.mark.parametrize("image", sorted(PAGES))
def test_screenshot_is_small_and_shown(image: str) -> None:
    file = IMAGES / f"{image}.png"

    assert 10_000 < file.stat().st_size < 150_000
    documents = [read("README.md"), *(path.read_text() for path in IMAGES.parent.glob("*.md"))]
    assert sum(f"images/{file.name})" in text for text in documents) >= 2


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_paths_exist(document: str) -> None:
    paths = re.findall(r"`((?:[\w<>-]+/)+(?:[\w.-]+\.\w+)?)`", read(document))

    assert [path for path in paths if not any(BASE_DIR.glob(path.replace("<app>", "*")))] == []
