"""Redacts session tokens and the passwords of URLs in text."""

from __future__ import annotations

import re

SESSION_TOKEN = r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}"  # noqa: S105 - a pattern
# The secret half of a token. Any characters may surround the token.
_TOKEN_SECRET = re.compile(r"(?<=[A-Za-z0-9]{10})-[A-Za-z0-9]{22}")
_WORD = re.compile(r"\S+")
# Only for a word that ends with an @. Then each search ends at once, and the time is linear.
_URL_PASSWORD = re.compile(
    r"""
    (?P<before> [A-Za-z0-9+.-]:// [^/?\#:@]* ) : (?:
        [^/?\#]*                     # everything up to the last @ of the authority
      | (?![0-9]*[/?\#,"']) .*       # not a port, but a password with a slash
    ) @
    """,
    re.VERBOSE,
)


def redact_token_secrets(text: str, *, mask: str) -> str:
    return _TOKEN_SECRET.sub(f"-{mask}", text)


def redact_url_passwords(text: str, *, mask: str) -> str:
    """Replaces the password of each URL in the text, even if the URL is malformed."""
    if "@" not in text:
        return text

    def redacted(word: re.Match[str]) -> str:
        ending, at, rest = word[0].rpartition("@")
        return _URL_PASSWORD.sub(rf"\g<before>:{mask}@", ending + at) + rest

    return _WORD.sub(redacted, text)
