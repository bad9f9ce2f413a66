"""What the WSGI module takes away from Django is still there to be taken, and not missed.

A process of its own, since the module changes Django for good. It fails when a new Django keeps its
thread-locals elsewhere, or no longer does the work that is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import PROJECT

STOCK = """
from asgiref.local import Local
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.urls import base

assert isinstance(base._prefixes, Local)
assert isinstance(base._urlconfs, Local)

def connected():
    return {
        receiver()
        for signal in (request_started, request_finished)
        for _, receiver, *_ in signal.receivers
    }

idle = {close_old_connections, reset_queries, close_caches}
assert idle <= connected()
"""
REPLACED = """
import threading
import coderapi.wsgi

# Connections are still given back when a request ends.
assert idle & connected() == {close_old_connections}
assert type(base._prefixes) is type(base._urlconfs) is threading.local

base.set_script_prefix("/prefix/")
base.set_urlconf("urlconf")
assert (base._prefixes.value, base._urlconfs.value) == ("/prefix/", "urlconf")

seen = []
other = threading.Thread(target=lambda: seen.extend((base.get_script_prefix(), base.get_urlconf())))
other.start()
other.join()
assert seen == ["/", None]
assert (base.get_script_prefix(), base.get_urlconf()) == ("/prefix/", "urlconf")

base.clear_script_prefix()
base.set_urlconf(None)
assert (base.get_script_prefix(), base.get_urlconf()) == ("/", None)
"""


@pytest.mark.django_db
def test_django_keeps_what_is_replaced_where_it_was() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOCK + REPLACED],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "coderapi.settings"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
