"""Private names of libraries that the service uses. A new release of a library may change them."""

from __future__ import annotations

import argparse
import atexit
import re
from pathlib import Path

import psycopg
import pytest
import urllib3
from django.contrib.admin import ModelAdmin
from django.contrib.auth.admin import UserAdmin
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.forms import BaseForm
from drf_spectacular.openapi import AutoSchema

ROOT = Path(__file__).resolve().parents[2]
# The object that has the name, the name, and the only module of ours that uses it.
PRIVATE: list[tuple[object, str, str]] = [
    (atexit, "_run_exitfuncs", "coderapi/server/children.py"),
    (argparse.ArgumentParser(), "_actions", "kernel/commands.py"),
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
