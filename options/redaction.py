"""Removes secrets from values before the values leave the process.

For a secret option, the whole value is removed. In other values, only the secrets are masked or
removed, such as passwords in URLs. A snapshot of the configuration has digests of the secrets, so
that snapshots can be stored and compared.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from options.configuration import Configuration
from options.option import Option
from options.values.structs import SECRET_MEMBERS
from options.values.urls import ParsedURL, parse_url, without_password

SHORT = 8
_DIGEST_BYTES = 16
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


@dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """The values of Coder's options without secrets, and digests of the secrets.

    Shape: `values` {JSON path: value as a string}; `sources` {JSON path: source}, only for values
    that are set; `secrets` {JSON path: keyed digest}, only for values that are a secret or contain
    one.
    """

    values: dict[str, str]
    sources: dict[str, str]
    secrets: dict[str, str]

    @property
    def digest(self) -> str:
        """Returns a hash of `values` and `secrets`."""
        text = json.dumps([self.values, self.secrets], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def short(self) -> str:
        """Returns the first 8 characters of the digest, for pages and database connection names."""
        return self.digest[:SHORT]


def snapshot(options: Configuration, *, key: str) -> ConfigSnapshot:
    """Returns the snapshot of Coder's options.

    Digests of secrets can be compared only if they were made with the same `key`. Without the key,
    an attacker cannot find a secret by computing the digests of guesses.
    """
    purpose = hashlib.sha256(f"config-history\0{key}".encode()).digest()
    values: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for option in options.leaves:
        path, value = option.json_path, options[option.json_path]
        shown = shown_value(option, options)
        if not option.secret:
            values[path] = option.type.format(shown)
        if shown != value:
            text = f"{path}\0{option.type.format(value)}"
            digest = hmac.new(purpose, text.encode(), hashlib.sha256).hexdigest()
            secrets[path] = digest[: 2 * _DIGEST_BYTES]
    sources = {
        option.json_path: options.sources[option.json_path].value
        for option in options.leaves
        if options.places[option.json_path]
    }
    return ConfigSnapshot(values, sources, secrets)
