"""Rules over the options' values that Django checks at every start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from deployment.ssh import parse_options


@register()
def check_ssh_options(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        parse_options(settings.SSH_CONFIG_OPTIONS)
    except ValueError as error:
        hint = "Write each option as NAME=VALUE or NAME VALUE."
        return [Error(f"CODER_SSH_CONFIG_OPTIONS: {error}.", hint=hint, id="deployment.E001")]
    return []


@register()
def check_hostname_suffix(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    suffix = settings.SSH_HOSTNAME_SUFFIX
    if not suffix.startswith("."):
        return []
    hint = f"Write {suffix.lstrip('.')!r}."
    text = f"CODER_WORKSPACE_HOSTNAME_SUFFIX: {suffix!r} must not start with a dot."
    return [Error(text, hint=hint, id="deployment.E002")]
