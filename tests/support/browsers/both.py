"""The parameters of tests in both browsers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.browsers.browser import browsing, needs_browser
from tests.support.browsers.firefox import browsing_firefox, needs_firefox

FLAGS = ("--ignore-certificate-errors", "--short-reporting-delay")
# A context manager that opens a window of a browser, with a profile in this folder.
type Browsing = Callable[[Path], AbstractContextManager[Any]]


def chromium(*values: str) -> Any:
    """Returns the parameters of a test in Chromium: how to open a window, and the values."""
    opened = partial(browsing, flags=FLAGS)
    return pytest.param(opened, *values, id=":".join(["chromium", *values]), marks=needs_browser)


def firefox(*values: str) -> Any:
    """Returns the parameters of a test in Firefox."""
    identity = ":".join(["firefox", *values])
    return pytest.param(browsing_firefox, *values, id=identity, marks=needs_firefox)
