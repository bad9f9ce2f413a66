r"""Decodes escapes, so that each rule has to know only one spelling of a mark or a letter.

A question mark may come as `%3F`, `%253F`, `%u003F`, `\u003f`, `\x3f`, `&quest;` or full-width.
All of these become `%3F`. Letters, digits and the marks in `_PLAIN` become themselves.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from urllib.parse import quote, unquote

from csp.parsing.formats import shortened

# Browsers never escape a text more often.
MAX_ROUNDS = 5
# Normalization makes some characters 18 times longer. No browser's text grows by more than this.
MAX_GROWTH = 64
# Marks that rules look for, and what needs no escape. Blanks, quotes, and marks that end an address
# stay escaped: the address around them must not end there.
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
# Characters that no font shows, such as the soft hyphen (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def decoded(text: str) -> str:
    """Returns the text without escapes of letters, invisible characters and full-width marks.

    Decoding twice changes nothing. A text that is escaped too often is cut at its first escape, and
    one that grows too much at its end.
    """
    limit = len(text) + MAX_GROWTH
    for _ in range(MAX_ROUNDS):
        plain = shortened(_decoded_once(text), limit)
        if plain == text:
            return text
        text = plain
    return _ESCAPE_STARTS.split(text, maxsplit=1)[0]


def _decoded_once(text: str) -> str:
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    has_escape = "%" in text or "\\" in text or "&" in text
    return _ESCAPE.sub(_unescaped, text) if has_escape else text


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if escape.startswith("%25"):
        return "%"
    if escape.startswith("%") and len(escape) == len("%3F"):
        return _PLAIN.get(escape.lower(), escape)
    letters = _letters(found)
    # An ampersand may begin the next entity.
    return letters if letters in ("&", escape) else _escaped_marks(letters)


def _letters(found: re.Match[str]) -> str:
    """Returns the characters that the escape stands for, or the escape if there are none."""
    escape = found[0]
    try:
        if found.lastgroup:
            return chr(int(found[found.lastgroup], 16)).encode().decode()
        if escape.startswith("&"):
            return html.unescape(escape)
        return unquote(escape, errors="strict")
    except ValueError:
        # Half a surrogate pair, a number beyond Unicode, or bytes that are not UTF-8.
        return escape


def _escaped_marks(letters: str) -> str:
    normalized = unicodedata.normalize("NFKC", letters)
    return "".join(quote(c, safe="") if c.isascii() or c.isspace() else c for c in normalized)
