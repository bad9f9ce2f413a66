"""Fails a test whose page names an attribute that an object of ours does not have."""

from __future__ import annotations

import logging

from django.template import VariableDoesNotExist

from tests.support.processes import PACKAGES

LOG = logging.getLogger("django.template")


class OnlyExistingNames(logging.Filter):
    """Drops the lines for names that pages of Django look up in vain, and raises for our objects.

    Such a name is rendered as an empty string, so nothing else would show it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, VariableDoesNotExist) and len(error.params) > 1:
            name, holder = error.params[:2]
            if type(holder).__module__.partition(".")[0] in PACKAGES:
                raise AssertionError(f"{type(holder).__name__} has no attribute {name}")
        return record.levelno > logging.DEBUG


_FILTER = OnlyExistingNames()


def watch() -> None:
    """Called before each test, because a test may configure logging."""
    LOG.disabled = False
    LOG.setLevel(logging.DEBUG)
    LOG.addFilter(_FILTER)
