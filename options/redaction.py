"""Removes secrets from values before the values leave the process.

For a secret option, the whole value is removed. In other values, only the secrets are masked or
removed, such as passwords in URLs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from options.configuration import Configuration
from options.option import Option
from options.values.structs import SECRET_MEMBERS
from options.values.urls import ParsedURL, parse_url, without_password

# Shown instead of a secret in tables and pages.
SECRET = "(secret)"  # noqa: S105  # Not a secret itself.


def without_secrets(value: Any) -> Any:
    """Returns the value with passwords in URLs masked and secrets emptied, at any depth."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, ParsedURL):
        text = str(value)
        shown = without_password(text)
        return value if shown == text else parse_url(shown)
    if isinstance(value, dict):
        return {
            without_password(key): "" if key in SECRET_MEMBERS else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def shown_value(option: Option, options: Configuration) -> Any:
    """Returns the value without secrets, or the type's zero value for a secret option."""
    return option.type.zero if option.secret else without_secrets(options[option.json_path])


def redacted(options: Configuration) -> Configuration:
    """Returns a copy of the configuration without secrets, for responses and pages."""
    shown = {option.json_path: shown_value(option, options) for option in options.leaves}
    return dataclasses.replace(options, values=shown)
