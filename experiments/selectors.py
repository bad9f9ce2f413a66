"""Coder's experiments: the known ones, those that are safe, and those that are enabled."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.conf import settings

logger = logging.getLogger(__name__)

ALL_SAFE = "*"
# The experiments that `*` enables: none in the release that we speak for.
SAFE: tuple[str, ...] = ()
KNOWN = frozenset(
    {
        *("example", "auto-fill-parameters", "notifications", "workspace-usage", "web-push"),
        *("oauth2", "mcp-server-http", "workspace-sharing", "ai-template-editor"),
        *("terraform-directory-reuse", "workspace-prebuilds", "aibridge"),
    }
)


def safe_experiments() -> list[str]:
    """Returns the names that `*` enables."""
    return list(SAFE)


def enabled_experiments() -> list[str]:
    """Returns the names that CODER_EXPERIMENTS enables, in its order, `*` replaced."""
    return expanded(settings.EXPERIMENTS, safe=SAFE)


def expanded(names: Iterable[str], *, safe: Iterable[str]) -> list[str]:
    """Returns the names in lower case, each once, in order; unknown ones are kept."""
    found: list[str] = []
    for name in names:
        found += safe if name == ALL_SAFE else [name.lower()]
    return list(dict.fromkeys(found))


def warn_of_unknown_experiments() -> None:
    """Logs enabled experiments that Coder does not know, once a start."""
    for name in enabled_experiments():
        if name not in KNOWN:
            logger.warning("CODER_EXPERIMENTS: %r is not a known experiment", name)
