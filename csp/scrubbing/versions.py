"""Checks and orders the versions of sites.

A version has one to four numbers, which may be followed by the name of a prerelease and by a build:
2.29.0, v1.4.0-rc.1, 20261130 or 2026.11.30+5b1f0a3. So the versions of most sites are accepted.
"""

from __future__ import annotations

import re

from csp.parsing.formats import MAX_WORD
from csp.scrubbing.masking import holds_secret

_NAME = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"([0-9]+(?:\.[0-9]+){{0,3}})(?:-({_NAME}))?(?:\+{_NAME})?")
_NUMBERS = 4

# The numbers, then whether the version is no prerelease, and the parts of the prerelease.
type Precedence = tuple[list[float], bool, list[tuple[bool, int, str]]]


def checked_version(text: str) -> str:
    """Returns the version without a leading v. Raises: ValueError.

    A version that looks like a secret is not valid, because anyone can put anything into a URL.
    """
    # In a URL, a plus sign means a space.
    name = text[: MAX_WORD + 2].removeprefix("v").replace(" ", "+")
    if len(name) > MAX_WORD or not _VERSION.fullmatch(name) or holds_secret(name):
        raise ValueError("must be a version such as 1.4.0 or 1.4.0-rc.1, with up to 64 characters")
    return name


def precedence(name: str) -> Precedence:
    """Returns a key that orders versions as Semantic Versioning does: 2.9.0 < 2.29.0-rc.1 < 2.29.0.

    Missing numbers are 0. The build does not matter. A name that is not a version comes first. A
    build of Coder from source has the version 0.0.0-devel, whatever its age, so it comes last.
    """
    found = _VERSION.fullmatch(name)
    if found is None:
        return [], False, []
    numbers: list[float] = [int(number) for number in found[1].split(".")]
    numbers += [0] * (_NUMBERS - len(numbers))
    parts = found[2].split(".") if found[2] else []
    # Within a prerelease, numbers come before words.
    order = [(False, int(x), "") if x.isdecimal() else (True, 0, x) for x in parts]
    return numbers if any(numbers) else [float("inf")], not parts, order
