"""Returns the enabled experiments, and those that are safe to enable."""

from __future__ import annotations

import logging

from django.conf import settings

logger = logging.getLogger(__name__)

ALL_SAFE = "*"
# The experiments that `*` enables in Coder 2.34.
SAFE = ("minimum-implicit-member",)
KNOWN = frozenset(
    {
        *("example", "auto-fill-parameters", "notifications", "workspace-usage", "web-push"),
        *("oauth2", "mcp-server-http", "workspace-sharing", "ai-template-editor"),
        *("terraform-directory-reuse", "workspace-prebuilds", "aibridge"),
        *("nats_pubsub", "workspace-build-updates", "minimum-implicit-member"),
        *("ai-gateway-cost-control", "agent-app-tabs"),
    }
)


def enabled_experiments() -> list[str]:
    """Returns the names in CODER_EXPERIMENTS, in lower case and without duplicates.

    Replaces `*` with the safe experiments. Includes unknown names, and keeps the order.
    """
    expanded: list[str] = []
    for name in settings.EXPERIMENTS:
        expanded += SAFE if name == ALL_SAFE else [name.lower()]
    return list(dict.fromkeys(expanded))


def warn_of_unknown_experiments() -> None:
    """Logs a warning for each enabled experiment that is not known. Call it once at startup."""
    for name in enabled_experiments():
        if name not in KNOWN:
            logger.warning("CODER_EXPERIMENTS: %r is not a known experiment", name)
