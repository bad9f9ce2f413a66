"""The one function through which values go before they leave the process.

Those who render a secret option withhold it as a whole; here is what hides in other values.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from options.configuration import Configuration
from options.values import ParsedURL
from options.values.structs import EXTERNAL_AUTH_SECRET
from options.values.urls import MASK, without_password


def without_secrets(value: Any) -> Any:
    """The value with masked passwords in URLs and emptied secret members, however deep."""
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


def tellable(options: Configuration) -> Configuration:
    """The same without anything that nobody is told: what answers and pages are made of."""
    return options.replace(
        {
            option.json_path: (
                option.type.zero if option.secret else without_secrets(options[option.json_path])
            )
            for option in options.options
        }
    )


def _masked_url(url: ParsedURL) -> ParsedURL:
    texts = {
        field.name: without_password(text)
        for field in dataclasses.fields(url)
        if isinstance(text := getattr(url, field.name), str)
    }
    return ParsedURL(
        **{**dataclasses.asdict(url), **texts, "password": None if url.password is None else MASK}
    )
