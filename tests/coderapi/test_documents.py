"""The documents describe the commands, settings and files of the code by their names."""

from __future__ import annotations

import re
import tomllib

import pytest

from coderapi import __version__
from coderapi.settings import BASE_DIR
from jobs import registry
from tests.support.browsers.screenshots import IMAGES, PAGES

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(BASE_DIR)) for path in (BASE_DIR / "docs").glob("*.md")),
]


def read(name: str) -> str:
    return (BASE_DIR / name).read_text(encoding="utf-8")


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    newest = re.search(r"^## .*?(\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.MULTILINE)

    assert newest is not None
    assert {project["version"], newest[1]} == {__version__}
    assert f"coderapi.{__version__}" in read("docs/openapi.yml")


def test_exactly_the_jobs_are_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", read("docs/scheduling.md"), re.MULTILINE)

    assert described
    assert sorted(described) == sorted(job.name for job in registry.all_jobs())


def test_front_page_links_to_every_document() -> None:
    documents = {path.name for path in (BASE_DIR / "docs").glob("*.md")} - {"README.md"}

    assert {name for name in documents if f"({name})" not in read("docs/README.md")} == set()


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


def test_links_between_documents_work() -> None:
    targets = [
        (BASE_DIR / document).parent / target
        for document in DOCUMENTS
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", read(document))
    ]

    assert [target for target in targets if not target.exists()] == []


@pytest.mark.parametrize("image", sorted(PAGES))
def test_screenshot_is_small_and_shown(image: str) -> None:
    file = IMAGES / f"{image}.png"

    assert 10_000 < file.stat().st_size < 160_000
    documents = [read("README.md"), *(path.read_text() for path in IMAGES.parent.glob("*.md"))]
    assert sum(f"images/{file.name})" in text for text in documents) >= 2


def test_named_paths_exist() -> None:
    text = "".join(map(read, DOCUMENTS))
    paths = set(re.findall(r"`((?:[\w<>-]+/)+(?:[\w.-]+\.\w+)?)`", text))

    assert [path for path in paths if not any(BASE_DIR.glob(path.replace("<app>", "*")))] == []
