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

    The configuration refuses an item that has neither, before anybody asks for this.
    """
    return dict(_SEPARATOR.split(item, maxsplit=1) for item in items)
