"""What `GET /deployment/ssh` tells clients to write into their SSH configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

_SEPARATOR = re.compile(r"[ =]")


@dataclass(frozen=True, slots=True)
class SSHConfig:
    hostname_prefix: str
    hostname_suffix: str
    ssh_config_options: dict[str, str]


def ssh_config() -> SSHConfig:
    return SSHConfig(
        hostname_prefix=settings.SSH_HOSTNAME_PREFIX,
        hostname_suffix=settings.SSH_HOSTNAME_SUFFIX,
        ssh_config_options=parse_options(settings.SSH_CONFIG_OPTIONS),
    )


def parse_options(items: Iterable[str]) -> dict[str, str]:
    """Each item split at its first space or `=`; a later one of the same name wins.

    Raises: ValueError that names an item which has neither.
    """
    found = {}
    for item in items:
        parts = _SEPARATOR.split(item, maxsplit=1)
        if len(parts) != 2:
            raise ValueError(f"{item!r} has neither a space nor = between name and value")
        found[parts[0]] = parts[1]
    return found
