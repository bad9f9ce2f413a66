"""Finds what looks like a secret in any text, and puts a placeholder in its place.

Browsers send the same texts again and again, so results are remembered, within bounds.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from functools import lru_cache, wraps
from urllib.parse import quote, unquote

from kernel.redaction import SESSION_TOKEN

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


# The marks that rules look for, and what needs no escape. Blanks, quotes, and marks that end a text
# stay escaped: what they stand in must not end at them.
_PLAIN = {f"%{ord(c):02x}": c for c in f"{string.ascii_letters}{string.digits}-._~%@:="}
_BYTE = r"%[89ab][0-9a-f]"
_ESCAPE = re.compile(
    r"(?i)%(?:25)++(?=[0-9a-f]{2})|%(?!25)[2-7][0-9a-f]"
    rf"|(?:%[cd][0-9a-f]|%e[0-9a-f]{_BYTE}|%f[0-7]{_BYTE}{_BYTE}){_BYTE}"
)
# Nothing that browsers make is escaped more often.
MAX_ESCAPED = 5


def plain_marks(text: str) -> str:
    """Writes marks and letters in one way, so that each rule need know only that one.

    A full-width question mark becomes `?`, `%40` becomes `@`, and `%25%33%46`, which is escaped
    twice, becomes `%3F`. A text that is escaped too often is cut.
    """
    for _ in range(MAX_ESCAPED):
        text = text if text.isascii() else unicodedata.normalize("NFKC", text)
        plain = _ESCAPE.sub(_unescaped, text) if "%" in text else text
        if plain == text:
            return text
        text = plain
    return text.partition("%")[0]


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0].lower()
    if escape.startswith("%25"):
        return "%"
    if len(escape) == len("%3f"):
        return _PLAIN.get(escape, found[0])
    try:
        letters = unicodedata.normalize("NFKC", unquote(escape, errors="strict"))
    except UnicodeDecodeError:
        return found[0]
    return "".join(quote(c, safe="") if c.isascii() or c.isspace() else c for c in letters)


_ESCAPED_BLANK = "%(?:20|0[9ad])"
_BLANK = rf"(?:\s|{_ESCAPED_BLANK})"
# In the order in which they are looked for: the more particular first.
_SECRETS = re.compile(
    "|".join(
        (
            r"\bcik_[A-Za-z0-9]{10,}",  # our ingest keys
            r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}",  # JSON web tokens
            r"\b(?:gh[opusr]_|github_pat_|glpat-|xox[abprs]-|sk-|pk_live_|sk_live_|AKIA|AIza)"
            r"[A-Za-z0-9_-]{12,}",
            rf"(?<![A-Za-z0-9]){SESSION_TOKEN}(?![A-Za-z0-9])",
            r"(?<![A-Za-z0-9])[0-9a-fA-F]{24,}(?![A-Za-z0-9])",
            rf"(?i:\b(?:bearer|basic){_BLANK}++)(?!\{{)[^\s\"',;]{{6,}}",  # as in a header
        )
    )
)
_LONG_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22,}(?![A-Za-z0-9_-])")
_UNBROKEN = re.compile(r"[A-Za-z0-9]{22}")
UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# Possessive, and only from the start of a word: without, a local part that has no @ is looked at
# from each of its characters, and a report of 20 KB holds the process for seconds.
# What begins like a version is one: `react@18.2.0`.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?![0-9]+\.[0-9])[\w-]+(?:\.[\w-]+)+")
_SPOKEN = r"pass(?:word|wd|phrase|code)|token|secret|api[_ -]?key"
_TELLING = (
    rf"{_SPOKEN}|pass(?![a-z])|session(?:[_-]?id)?(?![a-z])|credentials?|nonce|cookie|[cx]srf"
    r"|signature|authorization|(?<![a-z])(?:sid|jsess|pwd|jwt)"
)
# A placeholder is no value, nor is the beginning of one where the text was cut.
_VALUE = (
    r"(?!\{(?:secret|nonce)\}(?:[\s&;'\",]|\Z)|\{(?:s(?:e(?:c(?:r(?:et?)?)?)?)?)?\Z)"
    r"(?:(?:bearer|basic)\s++)?[^\s&;'\",]+"
)
# A parameter or member whose very name says that its value is a secret, wherever it stands.
_NAMED = re.compile(rf"(?i)({_TELLING})([\"']?\s*+(?:->|[=:]++>?+)[\s\"'\[(]*+){_VALUE}")


def _said(before: str, blank: str) -> re.Pattern[str]:
    """Finds the same in a sentence: `secret hunter2`.

    Without a value it matches too: a long row of such words would otherwise be looked at from each
    of them.
    """
    word = rf"{before}(?:{_SPOKEN})[\"']?{blank}{_BLANK}*+(?:(?:is|was){_BLANK}++)?[\"']?"
    return re.compile(rf"(?i)((?:{word})++)({_VALUE})?")


# A path or a host may end in such a word, as in policies: `https://h.test/oauth/token https://…`.
# Behind an escaped blank it goes on.
_SAID = _said(r"(?<![a-z0-9/.@-])", r"\s")
_SAID_IN_PATH = _said("", _ESCAPED_BLANK)
_SECRET_NAME = re.compile(rf"(?i){_TELLING}|auth(?!or)|session|bearer|key$")


@remembered(2048)
def masked(text: str) -> str:
    """Replaces tokens, keys and e-mail addresses in the text. Masking twice changes nothing."""
    if len(text) < 6:
        return text
    text = _NAMED.sub(lambda found: f"{found[1]}{found[2]}{MASK}", plain_marks(text))
    text = _SAID.sub(_masked_value, text)
    if "%" in text:
        text = _SAID_IN_PATH.sub(_masked_value, text)
    text = _SECRETS.sub(MASK, text)
    text = _EMAIL.sub("{email}", text)
    return _LONG_WORD.sub(_if_random, text)


def _masked_value(found: re.Match[str]) -> str:
    return f"{found[1]}{MASK}" if found[2] else found[1]


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
