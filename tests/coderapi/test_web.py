"""The parts of Django that `coderapi.web` replaces still exist.

Runs in a new process, because the module changes Django permanently. Fails if a new Django moves
its thread-locals.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.commands import execute
from tests.support.processes import PROJECT

STOCK = """
from asgiref.local import Local
from django.urls import base

assert isinstance(base._prefixes, Local)
assert isinstance(base._urlconfs, Local)
"""
REPLACED = """
import threading
import django
django.setup()
import coderapi.web
coderapi.web.preload()

assert type(base._prefixes) is type(base._urlconfs) is threading.local
"""


@pytest.mark.django_db
def test_replaced_parts_of_django_exist() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "coderapi.settings"}
    done = execute([sys.executable, "-c", STOCK + REPLACED], cwd=PROJECT, env=environment)
    assert done.returncode == 0, done.stderr
