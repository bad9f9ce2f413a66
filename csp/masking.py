"""Finds what looks like a secret in any text, and puts a placeholder in its place.

Browsers send the same texts again and again, so results are remembered, within bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps

MASK = "{secret}"
# Longer texts are worked out each time: what is remembered must not grow with what is sent.
LONGEST_REMEMBERED = 4096


def remembered[K: (str, bytes), V](most: int) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Keeps the results of the last `most` texts that are not too long."""

    def decorate(function: Callable[[K], V]) -> Callable[[K], V]:
        kept = lru_cache(maxsize=most)(function)

        @wraps(function)
        def answer(text: K) -> V:
            return kept(text) if len(text) <= LONGEST_REMEMBERED else function(text)

        return answer

    return decorate


# In the order in which they are looked for: the more particular first.
_SECRETS = re.compile(
    "|".join(
        (
            r"\bcik_[A-Za-z0-9]{10,}",  # our ingest keys
            r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}",  # JSON web tokens
            r"\b(?:gh[opusr]_|github_pat_|glpat-|xox[abprs]-|sk-|pk_live_|sk_live_|AKIA|AIza)"
            r"[A-Za-z0-9_-]{12,}",
            r"(?<![A-Za-z0-9])[A-Za-z0-9]{10}-[A-Za-z0-9]{22}(?![A-Za-z0-9])",  # Coder's tokens
            r"(?<![A-Za-z0-9])[0-9a-fA-F]{24,}(?![A-Za-z0-9])",
            r"(?i:\b(?:bearer|basic)\s++)(?!\{)[^\s\"',;]{6,}",  # as in a header
        )
    )
)
_LONG_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22,}(?![A-Za-z0-9_-])")
_UNBROKEN = re.compile(r"[A-Za-z0-9]{22}")
UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# Possessive, and only from the start of a word: a local part without its @ would else be looked at
# anew from each of its characters, and a report of 20 KB hold the process for seconds.
# What begins like a version is one: `react@18.2.0`.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)(?![0-9]+\.[0-9])[\w-]+(?:\.[\w-]+)+")
_TELLING = (
    r"pass(?:word|wd|phrase|code)|token|secret|api[_-]?key|session[_-]?id|credentials?|nonce"
    r"|signature|authorization|(?<![a-z])(?:sid|jsess|pwd|jwt)"
)
# A parameter or member whose very name says that its value is a secret, wherever it stands.
_NAMED = re.compile(
    rf"(?i)({_TELLING})([\"']?\s*+(?:=|%3D|:)\s*+[\"']?)(?!\{{(?:secret|nonce)\}})"
    r"(?:(?:bearer|basic)\s++)?[^\s&;'\",]+"
)
_SECRET_NAME = re.compile(rf"(?i){_TELLING}|auth(?!or)|cookie|csrf|xsrf|session|bearer|key$")


@remembered(2048)
def masked(text: str) -> str:
    """The text with tokens, keys and e-mail addresses replaced. Masking twice changes nothing."""
    if len(text) < 6:
        return text
    text = _NAMED.sub(lambda found: f"{found[1]}{found[2]}{MASK}", text)
    text = _SECRETS.sub(MASK, text)
    text = _EMAIL.sub("{email}", text)
    return _LONG_WORD.sub(_if_random, text)


def holds_secret(text: str) -> bool:
    """Whether something in the text looks like a token, a key or an e-mail address."""
    return masked(text) != text


def names_a_secret(name: str) -> bool:
    """Whether a member of this name has a secret for its value."""
    return _SECRET_NAME.search(name) is not None


def _if_random(found: re.Match[str]) -> str:
    """Long words of one case are words; random ones mix both with digits, or have no hyphens.

    Names of built files end in 20 random characters, which say which file it was, and stay.
    """
    word = found[0]
    if UUID.fullmatch(word):
        return word
    digits = sum(c.isdigit() for c in word)
    mixed = digits >= 2 and any(c.islower() for c in word) and any(c.isupper() for c in word)
    return MASK if mixed or (digits >= 3 and _UNBROKEN.search(word)) else word
