"""A snapshot of the configuration: values without secrets, and digests of the secrets.

Snapshots can be stored and compared.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass

from options.configuration import Configuration
from options.redaction import shown_value

SHORT = 8
_DIGEST_BYTES = 16


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
