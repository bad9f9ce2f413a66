"""Redacts session tokens and the passwords of URLs in text."""

from __future__ import annotations

import re

SESSION_TOKEN = r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}"  # noqa: S105 - a pattern
# The secret half of a token. Any characters may surround the token.
_TOKEN_SECRET = re.compile(r"(?<=[A-Za-z0-9]{10})-[A-Za-z0-9]{22}")
_URL_PASSWORD = re.compile(
    r"""
    (?P<before> [A-Za-z0-9+.-]:// [^/?\#\s:@]* ) : (?:
        [^/?\#\s]* (?=@)                     # everything up to the last @ of the authority
      | (?![0-9]*(?:[/?\#\s,"']|\Z)) \S{,1000} (?=@)   # not a port, but a password with a slash
    ) @
    """,
    re.VERBOSE,
)


def redact_token_secrets(text: str, *, mask: str) -> str:
    return _TOKEN_SECRET.sub(f"-{mask}", text)


def redact_url_passwords(text: str, *, mask: str) -> str:
    """Replaces the password of each URL in the text, even if the URL is malformed."""
    return _URL_PASSWORD.sub(rf"\g<before>:{mask}@", text) if "@" in text else text
