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
            r"(?<![A-Za-z0-9])[0-9a-fA-F]{32,}(?![A-Za-z0-9])",
        )
    )
)
_LONG_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22,}(?![A-Za-z0-9_-])")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
# Possessive and at most 64 characters (RFC 5321, 4.5.3.1.1): a local part without its @ would else
# be looked at anew from each of its characters, and a report of 20 KB hold the process for seconds.
_EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}+(?:@|%40)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
# A parameter whose very name says that its value is a secret, wherever it stands.
_NAMED = re.compile(
    r"(?i)\b(coder_session_token|access_token|session_token|token|password|secret|api_key|apikey)"
    r"(=|%3D|:\s*)(?!\{secret\})[^\s&;'\",]+"
)


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


def _if_random(found: re.Match[str]) -> str:
    """Long words of one case are words; random ones mix both cases with digits."""
    word = found[0]
    if _UUID.fullmatch(word):
        return word
    digits = sum(c.isdigit() for c in word)
    kinds = (any(c.islower() for c in word), any(c.isupper() for c in word), digits >= 2)
    return MASK if all(kinds) else word
