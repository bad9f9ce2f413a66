"""Checks and orders the versions of sites.

A version has one to four numbers, which may be followed by the name of a prerelease and by a build:
2.29.0, v1.4.0-rc.1, 20261130 or 2026.11.30+5b1f0a3. So the versions of most sites are accepted.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

from csp.scrubbing.encodings import MAX_WORD
from csp.scrubbing.masking import holds_secret

_NAME = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"([0-9]+(?:\.[0-9]+){{0,3}})(?:-({_NAME}))?(?:\+{_NAME})?")
# The JSON schema of a version in a URL, where a plus sign means a space.
SCHEMA = {
    "type": "string",
    "maxLength": MAX_WORD,
    "pattern": f"^v?{_VERSION.pattern.replace(r'(?:\+', '(?:[+ ]')}$",
}
_NUMBERS = 4
# The precedence of a build from source, after all numbers.
_LAST = "~"


@lru_cache(maxsize=512)
def checked_version(text: str) -> str:
    """Returns the version without a leading v. Raises: ValueError.

    A version that looks like a secret is not valid, because anyone can put anything into a URL.
    """
    # In a URL, a plus sign means a space.
    name = text[: MAX_WORD + 2].removeprefix("v").replace(" ", "+")
    if len(name) > MAX_WORD or not _VERSION.fullmatch(name) or holds_secret(name):
        raise ValueError("must be a version such as 1.4.0 or 1.4.0-rc.1, with up to 64 characters")
    return name


def precedence(name: str) -> str:
    """Returns a string that orders versions as Semantic Versioning does: 2.9 < 2.29-rc.1 < 2.29.

    The strings are compared by code points. Missing numbers are 0. The build does not matter. A
    name that is not a version comes first. A build of Coder from source has the version
    0.0.0-devel, whatever its age, so it comes last.
    """
    found = _VERSION.fullmatch(name)
    if found is None:
        return ""
    numbers = [int(number) for number in found[1].split(".")]
    if not any(numbers):
        return _LAST
    numbers += [0] * (_NUMBERS - len(numbers))
    return "".join(map(_number, numbers)) + _prerelease(found[2] or "")


def _prerelease(text: str) -> str:
    """Orders numbers before words, and every prerelease before the release.

    A space ends a word. It comes before all characters that a word can contain.
    """
    parts = text.split(".") if text else []
    return "".join(_number(int(x)) if x.isdecimal() else f"w{x} " for x in parts) or "~"


def _number(value: int) -> str:
    """Puts the number of digits before the digits, so that a longer number comes later."""
    digits = str(value)
    return f"{len(digits):02}{digits}"


def rank(name: str, first_seen: datetime) -> str:
    """Returns a string that orders the versions of a site.

    If two versions have the same precedence, the one that was reported first comes first.
    """
    return f"{precedence(name)} {first_seen.timestamp():020.6f}"
