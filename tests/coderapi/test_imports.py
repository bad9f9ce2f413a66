"""What a process imports at its start: little, but all that registers something."""

from __future__ import annotations

import os
import sys

from tests.support.commands import execute
from tests.support.processes import PROJECT

START = r"""
import sys
import django
django.setup()
print(*sys.modules, sep="\n")
from users.erasure import rules
print(*(rule.data for rule in rules), sep="\n")
"""


def test_start_imports_no_pages_and_knows_all_data_about_a_user() -> None:
    environ = os.environ | {
        "DJANGO_SETTINGS_MODULE": "coderapi.settings",
        "CODERAPI_CODER_URL": "https://coder.example.com",
    }
    done = execute([sys.executable, "-c", START], cwd=PROJECT, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    found = set(done.stdout.splitlines())
    pages = {"coderapi.urls", "users.admin", "rest_framework.views", "drf_spectacular.plumbing"}
    assert pages & found == set()
    assert found >= {
        *("audit entries", "admin sessions", "session tokens", "agent rows"),
        "tokens of the Coder deployment",
    }
