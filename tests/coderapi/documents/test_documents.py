"""The documents describe the commands, settings, files and licences of the code by their names."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Collection
from contextlib import suppress
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from django.apps import apps
from django.core.management import get_commands

from bin.generated import COMPOSE_VARIABLES
from coderapi import __version__
from coderapi.settings import BASE_DIR
from jobs import registry
from options.catalogue import CATALOGUE, OWN_OPTIONS
from tests.support.browsers.screenshots import IMAGES, PAGES
from tests.support.commands import execute
from tests.support.documents import GUIDE, listing
from tests.support.processes import PACKAGES, PROJECT, free_port
from tests.support.servers.containers import composition
from tests.support.servers.proxies import NGINX, make_certificate, needs_nginx

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


def test_listed_licence_is_declared_by_the_package() -> None:
    locked = re.findall(r"^([\w.-]+)==", read("requirements.lock"), re.MULTILINE)
    rows = re.findall(r"^\| ([\w.-]+) \| (.+) \|$", read("docs/licences.md"), re.MULTILINE)
    listed = {name: licence for name, licence in rows if name != "package"}
    assert sorted(listed) == sorted(locked)
    declared = {}
    for package in locked:
        # Some packages are not installed on this kind of machine.
        with suppress(PackageNotFoundError):
            declared[package] = declared_licence(metadata(package))
    assert declared
    assert declared.items() <= listed.items()


def declared_licence(about: PackageMetadata) -> str:
    field = about.get("License-Expression") or about.get("License")
    lines = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
    return field or ", ".join(line.rpartition(" :: ")[2] for line in lines)


ROW = re.compile(r"^\| ([a-z ]+) \| (\[.*?) \| (.*?) \| (.*?) ?\|$", re.MULTILINE)
ROWS = {row[0]: row[1:] for row in ROW.findall((BASE_DIR / "docs/stability.md").read_text())}


def operations(stability: str | None) -> set[str]:
    document = yaml.safe_load((BASE_DIR / "docs/openapi.yml").read_text())
    methods = [each for path in document["paths"].values() for each in path.values()]
    return {
        method["operationId"]
        for method in methods
        if isinstance(method, dict) and method.get("x-stability") == stability
    }


# The names of each kind. All of them stand in the document that lists the kind.
NAMES: dict[str, Callable[[], Collection[str]]] = {
    "operations of coderapi": lambda: operations("stable") | operations("experimental"),
    "settings": lambda: [option.env for option in OWN_OPTIONS],
    "commands": lambda: [name for name, app in get_commands().items() if app in PACKAGES],
    "jobs": lambda: [job.name for job in registry.all_jobs()],
    "tables": lambda: [
        model._meta.db_table for model in apps.get_models() if model._meta.app_label in PACKAGES
    ],
    "metrics": lambda: re.findall(
        r"^\| `(\w+)`", (BASE_DIR / "docs/metrics.md").read_text(), re.MULTILINE
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_each_part_is_listed_where_the_page_says(kind: str) -> None:
    where, _, experimental = ROWS[kind]
    lists = "".join(
        (BASE_DIR / "docs" / name).read_text() for name in re.findall(r"\]\(([^)#]+)", where)
    )
    names = NAMES[kind]()
    assert names
    assert [name for name in names if name not in lists] == []
    # Of a command, an option may be experimental.
    assert {each.split()[0] for each in re.findall(r"`([^`]+)`", experimental)} <= set(names)


def test_exactly_the_experimental_operations_are_named() -> None:
    named = set(re.findall(r"`([^`]+)`", ROWS["operations of coderapi"][2]))
    assert named == operations("experimental")


def test_every_variable_in_the_guide_exists() -> None:
    known = (
        {option.env for option in OWN_OPTIONS}
        | {option.env for option in CATALOGUE}
        | {name for name, _, _ in COMPOSE_VARIABLES}
    )
    named = set(re.findall(r"\b((?:CODER|CODERAPI|PROXY|DATABASE|CACHE)_[A-Z_]+)\b", GUIDE))
    assert named
    assert named <= known


def test_every_service_in_the_guide_is_in_the_composition() -> None:
    named = re.findall(r"docker compose exec (?:-T )?(\w+)", GUIDE)
    stopped = re.findall(r"docker compose stop ([\w ]+)$", GUIDE, re.MULTILINE)
    assert {*named, *(name for names in stopped for name in names.split())} <= set(
        composition()["services"]
    )


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    verifier = shutil.which("systemd-analyze")
    if not verifier:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "coderapi.service"
    text = listing("ini", "# /etc/systemd/system/coderapi.service")
    unit.write_text(text.replace("/opt/coderapi/bin", str(PROJECT / "bin")))
    # Only root may write to /run, the runtime directory of the system's units.
    mode = [] if os.geteuid() == 0 else ["--user"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = execute([verifier, *mode, "verify", "--recursive-errors=no", unit], env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@needs_nginx
def test_nginx_accepts_the_site(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    site = listing("nginx", r"# nginx[.][^\n]*").replace("/etc/ssl/coder", str(tmp_path))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    scratch = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
    site = site.replace("listen 443", f"listen 127.0.0.1:{free_port()}")
    (configuration := tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{scratch}{site}}}\n"
    )
    assert NGINX
    done = execute([NGINX, "-e", "stderr", "-t", "-q", "-c", configuration])
    assert (done.returncode, done.stderr) == (0, "")
