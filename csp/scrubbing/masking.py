"""Finds what looks like a secret in any text, and puts a placeholder in its place.

Browsers send the same texts again and again, so results are remembered, within bounds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache, wraps

MASK = "{secret}"
# Longer texts are not remembered: memory must not grow with the size of bodies.
MAX_REMEMBERED = 4096


def remembered[K: (str, bytes), V](most: int) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Keeps the results of the last `most` texts that are not too long."""

    def decorate(function: Callable[[K], V]) -> Callable[[K], V]:
        kept = lru_cache(maxsize=most)(function)

        @wraps(function)
        def answer(text: K) -> V:
            return kept(text) if len(text) <= MAX_REMEMBERED else function(text)

        return answer

    return decorate


_ENCODED_AGAIN = re.compile(r"%(?:25)+(?=[0-9a-fA-F]{2})")
# Full-width marks in UTF-8, but for `%`, letters and digits: those could make up new escapes.
_ENCODED_FULL_WIDTH = re.compile(r"(?i)%ef%bc%(8[1-46-9a-f]|9[a-f]|a0|b[b-f])")


def plain_marks(text: str) -> str:
    """Writes the marks of addresses in one way, so that each rule need know only that one.

    A full-width question mark becomes `?`, and of `%253F`, encoded more than once, `%3F` is left.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if "%" not in text:
        return text
    text = _ENCODED_AGAIN.sub("%", text)
    return _ENCODED_FULL_WIDTH.sub(lambda found: chr(int(found[1], 16) - 0x60), text)


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
# Possessive, and only from the start of a word: without, a local part that has no @ is looked at
# from each of its characters, and a report of 20 KB holds the process for seconds.
# What begins like a version is one: `react@18.2.0`.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)(?![0-9]+\.[0-9])[\w-]+(?:\.[\w-]+)+")
_SPOKEN = r"pass(?:word|wd|phrase|code)|token|secret|api[_ -]?key"
_TELLING = (
    rf"{_SPOKEN}|pass(?![a-z])|session(?:[_-]?id)?(?![a-z])|credentials?|nonce"
    r"|signature|authorization|(?<![a-z])(?:sid|jsess|pwd|jwt)"
)
# A placeholder is no value, nor is one whose end was cut off with the text's.
_VALUE = (
    r"(?!\{(?:secret|nonce)\}(?:[\s&;'\",]|\Z)|\{(?:s(?:e(?:c(?:r(?:et?)?)?)?)?)?\Z)"
    r"(?:(?:bearer|basic)\s++)?[^\s&;'\",]+"
)
# A parameter or member whose very name says that its value is a secret, wherever it stands.
_NAMED = re.compile(rf"(?i)({_TELLING})([\"']?\s*+(?:=|%3D|:)\s*+[\"']?){_VALUE}")
# The same in a sentence: `secret hunter2`. A path or a host may end in such a word, as in policies:
# `https://h.test/oauth/token https://other.test`. Without a value it matches too: a long row of
# such words would otherwise be looked at from each of them.
_BLANK = r"[\"']?(?:\s|%20)++(?:is\s++)?[\"']?"
_SAID = re.compile(rf"(?i)(?<![a-z0-9/.@-])((?:(?:{_SPOKEN}){_BLANK})++)({_VALUE})?")
_SECRET_NAME = re.compile(rf"(?i){_TELLING}|auth(?!or)|cookie|csrf|xsrf|session|bearer|key$")


@remembered(2048)
def masked(text: str) -> str:
    """Replaces tokens, keys and e-mail addresses in the text. Masking twice changes nothing."""
    if len(text) < 6:
        return text
    text = _NAMED.sub(lambda found: f"{found[1]}{found[2]}{MASK}", plain_marks(text))
    text = _SAID.sub(lambda found: f"{found[1]}{MASK if found[2] else ''}", text)
    text = _SECRETS.sub(MASK, text)
    text = _EMAIL.sub("{email}", text)
    return _LONG_WORD.sub(_if_random, text)


def holds_secret(text: str) -> bool:
    """Tells if something in the text looks like a token, a key or an e-mail address."""
    return masked(text) != text


def names_a_secret(name: str) -> bool:
    """Tells if a member of this name has a secret for its value."""
    return _SECRET_NAME.search(name) is not None


def _if_random(found: re.Match[str]) -> str:
    """Masks a random word: it mixes cases and digits, or has many digits and no hyphens.

    Names of built files end in 20 random characters, which say which file it was, and stay.
    """
    word = found[0]
    if UUID.fullmatch(word):
        return word
    digits = sum(c.isdigit() for c in word)
    mixed = digits >= 2 and any(c.islower() for c in word) and any(c.isupper() for c in word)
    return MASK if mixed or (digits >= 3 and _UNBROKEN.search(word)) else word
