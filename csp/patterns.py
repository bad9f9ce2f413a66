"""What may stand in a noise rule: a pattern that could never match is refused, with what would."""

from __future__ import annotations

import re

from csp.noise import CODE_KEYWORDS, is_localhost, normalised_scheme
from csp.uris import ERROR_PAGE, SCHEME, WEB_SCHEMES

_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_PATH = re.compile(r"(?P<host>[^/?#:@\s*]*)/[^?#\s]+")


def checked_pattern(target: str, pattern: str) -> str:
    """The pattern as it is compared. Raises: ValueError with a sentence that says what to write."""
    match target:
        case "scheme" | "document-scheme":
            return _checked_scheme(normalised_scheme(pattern.strip()))
        case "host":
            return _checked_host(pattern.strip().lower())
        case "path":
            return _checked_path(pattern.strip())
        case _:
            return pattern


def _checked_scheme(scheme: str) -> str:
    if scheme in CODE_KEYWORDS:
        raise ValueError(
            "Inline code and eval may be an attack, and are never noise by themselves; write the "
            "scheme or host of the source file that they come from."
        )
    if scheme in WEB_SCHEMES:
        raise ValueError(
            f"Every site's addresses begin with {scheme}; write the host, with the target host."
        )
    if scheme != ERROR_PAGE and not SCHEME.fullmatch(scheme):
        raise ValueError("Write a scheme alone, such as moz-extension, without host or path.")
    return scheme


def _checked_host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise ValueError(
            "Write a host alone, such as foo.example, or *.foo.example for it and all below it, "
            "without scheme, port or path."
        )
    if is_localhost(host):
        raise ValueError(
            "People develop on localhost, so it is never noise; write another host, "
            "such as foo.example."
        )
    return host


def _checked_path(path: str) -> str:
    found = _PATH.fullmatch(path)
    if not found:
        raise ValueError(
            "Write what the path starts with, such as /inject/, or foo.example/inject/ on one "
            "host, without scheme and query."
        )
    return found["host"].lower() + path[found.end("host") :]
