"""Redaction: every value goes through `without_secrets` before it leaves the process.

A secret option is withheld as a whole; of other values the secrets within them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from options.configuration import Configuration
from options.option import Option
from options.values import ParsedURL
from options.values.structs import EXTERNAL_AUTH_SECRET
from options.values.urls import MASK, without_password

# Stands for a secret in tables and pages.
SECRET = "(secret)"  # noqa: S105  # None itself.


def without_secrets(value: Any) -> Any:
    """Returns the value with masked passwords in URLs and emptied secret members, at any depth."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, ParsedURL):
        return _masked_url(value)
    if isinstance(value, dict):
        return {
            without_password(key): "" if key == EXTERNAL_AUTH_SECRET else without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def shown_value(option: Option, options: Configuration) -> Any:
    """Returns the value without secrets, nothing of a secret option."""
    return option.type.zero if option.secret else without_secrets(options[option.json_path])


def redacted(options: Configuration) -> Configuration:
    """Returns Coder's options alone, without secrets: answers and pages are made of these."""
    shown = {option.json_path: shown_value(option, options) for option in options.options}
    return dataclasses.replace(options, values=shown)


def _masked_url(url: ParsedURL) -> ParsedURL:
    texts = {
        field.name: without_password(text)
        for field in dataclasses.fields(url)
        if isinstance(text := getattr(url, field.name), str)
    }
    user, colon, _ = (url.userinfo or "").partition(":")
    if colon:
        texts["userinfo"] = f"{user}:{MASK}"
    return dataclasses.replace(url, **texts)  # type: ignore[arg-type]  # All of them are texts.
