r"""Decodes escapes, so that each scrubbing rule handles only one spelling of a character.

For example, a question mark may be written as `%3F`, `%253F`, `%u003F`, `\u003f`, `\x3f`, `&quest;`
or as a full-width character. All become `%3F`. Escaped letters, digits and the marks in
`_PLAIN` are replaced by the character itself. Strings are shortened here too.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from urllib.parse import quote, unquote

MAX_WORD = 64
# The characters that tokens and e-mail addresses can contain.
_WORD = f"{string.ascii_letters}{string.digits}_.@%+=-"
# Browsers never escape a string more than this number of times.
MAX_ROUNDS = 5
# The number of characters by which decoding may lengthen a string. Normalization can turn one
# character into 18 characters, but no string that a browser sends gets longer by more than this.
MAX_GROWTH = 64
# The characters that are decoded: characters that scrubbing rules search for, and characters that
# need no escape. Escaped spaces, quotes and marks that end a URL stay escaped. Otherwise, a rule
# would treat the decoded character as the end of the URL.
_PLAIN = {f"%{ord(c):02x}": c for c in f"{string.ascii_letters}{string.digits}-._~@:="}
_BYTE = r"%[89ab][0-9a-f]"
_ESCAPE = re.compile(
    "(?i)"
    + "|".join(
        (
            r"%(?:25)++(?=[0-9a-f]{2}|u[0-9a-f]{4})",  # the percent sign of an escape
            r"%(?!25)[2-7][0-9a-f]",
            rf"(?:%[cd][0-9a-f]|%e[0-9a-f]{_BYTE}|%f[0-7]{_BYTE}{_BYTE}){_BYTE}",  # UTF-8
            r"(?:%|(?<!\\)\\++)u(?P<four>[0-9a-f]{4})",
            r"(?<!\\)\\++u\{(?P<braced>[0-9a-f]{1,6})\}",
            r"(?<!\\)\\++x(?P<two>[0-9a-f]{2})",
            r"&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});",
        )
    )
)
_ESCAPE_STARTS = re.compile(r"[%\\&]")
# `decoded` does not change a string without one of these characters. Most strings have none.
MAY_CHANGE = re.compile(r"[%\\&\x80-\U0010ffff]")
# Characters that no font shows, such as the soft hyphen (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def shortened(text: str, limit: int) -> str:
    """Shortens the string, but never cuts within a word.

    Otherwise, a token could be cut, and scrubbing would not recognize the first half as a token.
    """
    if len(text) <= limit:
        return text
    return text[:limit].rstrip(_WORD) if text[limit] in _WORD else text[:limit]


def decoded(text: str) -> str:
    """Decodes escapes and full-width characters, and removes invisible characters.

    Decoding the result again does not change it. A string with more than MAX_ROUNDS levels of
    escapes is cut at its first escape. A string that grows by more than MAX_GROWTH is shortened.
    """
    limit = len(text) + MAX_GROWTH
    for _ in range(MAX_ROUNDS):
        plain = text
        if not plain.isascii():
            plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", plain))
        if "%" in plain or "\\" in plain or "&" in plain:
            plain = _ESCAPE.sub(_unescaped, plain)
        plain = shortened(plain, limit)
        if plain == text:
            return text
        text = plain
    return _ESCAPE_STARTS.split(text, maxsplit=1)[0]


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if escape.startswith("%25"):
        return "%"
    if escape.startswith("%") and len(escape) == len("%3F"):
        return _PLAIN.get(escape.lower(), escape)
    letters = _letters(found)
    # Do not escape an ampersand, because it may begin another entity, as in `&amp;quest;`.
    if letters in ("&", escape):
        return letters
    normalized = unicodedata.normalize("NFKC", letters)
    return "".join(quote(c, safe="") if c.isascii() or c.isspace() else c for c in normalized)


def _letters(found: re.Match[str]) -> str:
    """Returns the characters that the escape represents, or the escape itself if it is invalid."""
    escape = found[0]
    try:
        if found.lastgroup:
            return chr(int(found[found.lastgroup], 16)).encode().decode()
        if escape.startswith("&"):
            return html.unescape(escape)
        return unquote(escape, errors="strict")
    except ValueError:
        # The escape is half of a surrogate pair, a number above Unicode's range, or invalid UTF-8.
        return escape
