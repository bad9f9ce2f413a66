"""The patterns of secrets that several rooms redact."""

from __future__ import annotations

import re

SESSION_TOKEN = r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}"  # noqa: S105 - a pattern
# The secret half of a token, whatever characters surround the token.
_TOKEN_SECRET = re.compile(r"(?<=[A-Za-z0-9]{10})-[A-Za-z0-9]{22}")
_URL_PASSWORD = re.compile(
    r"""
    (?P<before> [A-Za-z0-9+.-]:// [^/?\#\s:@]* ) : (?:
        [^/?\#\s]* (?=@)                     # the authority holds an @: all up to its last one
      | (?![0-9]*(?:[/?\#\s,"']|\Z)) \S{,1000} (?=@)   # no port: a password with a slash in it
    ) @
    """,
    re.VERBOSE,
)


def redact_token_secrets(text: str, *, mask: str) -> str:
    return _TOKEN_SECRET.sub(f"-{mask}", text)


def redact_url_passwords(text: str, *, mask: str) -> str:
    """Returns the text with the mask for the password of every URL, malformed URLs included."""
    return _URL_PASSWORD.sub(rf"\g<before>:{mask}@", text) if "@" in text else text
