"""docs/stability.md names parts that exist, and exactly the experimental operations of OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import pytest
import yaml
from django.apps import apps
from django.core.management import get_commands

from coderapi.settings import BASE_DIR
from jobs import registry
from options.catalogue import OWN_OPTIONS
from tests.support.processes import PACKAGES

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
    assert set(re.findall(r"`([^`]+)`", experimental)) <= set(names)


def test_exactly_the_experimental_operations_are_named() -> None:
    named = set(re.findall(r"`([^`]+)`", ROWS["operations of coderapi"][2]))
    assert named == operations("experimental")
