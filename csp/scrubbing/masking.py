"""Replaces secrets in any string with a placeholder.

Secrets are tokens, keys, e-mail addresses, and the values of names such as `password`. All patterns
of secrets are in this file. A limited number of results is cached, because browsers send the same
strings repeatedly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps

from csp.scrubbing.encodings import MAY_CHANGE, decoded
from kernel.text.redaction import SESSION_TOKEN

MASK = "{secret}"
# Longer strings are not cached, so that memory does not grow with the size of request bodies.
MAX_CACHED = 4096
# Shorter strings contain no secret. The shortest secret with its name is `pin=1`.
MIN_LENGTH = 5
# A string that still changes after this number of rounds is replaced by MASK.
MAX_ROUNDS = 4
UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def cached[K: (str, bytes), V](limit: int) -> Callable[[Callable[[K], V]], Callable[[K], V]]:
    """Caches the results for the last `limit` strings of at most MAX_CACHED characters."""

    def decorate(function: Callable[[K], V]) -> Callable[[K], V]:
        results = lru_cache(maxsize=limit)(function)

        @wraps(function)
        def answer(text: K) -> V:
            return results(text) if len(text) <= MAX_CACHED else function(text)

        return answer

    return decorate


def until_stable(limit: int) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Calls the function repeatedly until its result no longer changes. Caches as `cached` does.

    If a rule removes a part of a string, the remaining parts are joined, and together they may
    match another rule. The second call is cheap, because many different strings have the same first
    result.
    """

    def decorate(function: Callable[[str], str]) -> Callable[[str], str]:
        results = lru_cache(maxsize=limit)(function)

        @wraps(function)
        def stable(text: str) -> str:
            for _ in range(MAX_ROUNDS):
                before = text
                text = results(text) if len(text) <= MAX_CACHED else function(text)
                if text == before:
                    return text
            return MASK

        return stable

    return decorate


# --- Names whose values are secrets --------------------------------------------------------------

# After these names a value may follow without a colon or an equals sign, as in `the password is
# hunter2`.
_SPOKEN = (
    r"pass(?:wor[dt]|wd|phrase|code|key)|token|secret"
    r"|(?:api|access|account|auth|client|encryption|function|master|private|secret|session|shared"
    r"|signing|ssh|storage)[_ -]?key"
)
# Short names match only as separate words, because `mapping` contains `pin`.
_WORDS = r"sid|sig|pwd|pswd|jwt|pin|t?otp|mfa|2fa|tfa|cvv|cvc|hmac"
_CODES = (
    r"(?:auth(?:orization)?|verification|access|security|backup|recovery|login|device|otp|mfa|2fa"
    r"|one[_ -]?time)[_ -]?code"
)
_NAMES = (
    rf"{_SPOKEN}|{_CODES}|pass(?![a-z])|key(?![a-z])|credentials?|nonce|cookies?|[cx]srf|signature"
    r"|sess(?:ion)?(?:[_-]?id)?(?![a-z])|jsess|auth(?:orization|entication)?(?![a-z])"
    rf"|kennwort|assertion|samlresponse|mnemonic|(?<![a-z])(?:{_WORDS})(?![a-z])"
    r"|(?-i:(?<=[a-z])(?:Pin|Otp)(?![a-z]))|(?<![a-z0-9_-])code(?![a-z0-9_-])"
)
_SECRET_NAME = re.compile(rf"(?i){_NAMES}|auth(?!or)|session|bearer")
# Matches a word that ends in a secret name, or in a secret name with a number or a suffix, such as
# `password2` and `token_value`.
_ENDS_IN_NAME = re.compile(
    rf"(?i)(?:{_NAMES})(?:[_-]?(?:[0-9]{{1,4}}|value|hash|text|string|header|input|field))?-*\Z"
)
# Matches the names of headers. The value of a header extends to the end of the line, because
# an Authorization header or a cookie can have several parts.
_ENDS_IN_HEADER = re.compile(r"(?i)(?:authorization|cookies?2?)\Z")

_ESCAPED_BLANK = "%(?:20|0[9ad])"
_BLANK = rf"(?:\s|{_ESCAPED_BLANK})"
# Matches a quote. The quote is escaped if the string is itself part of a quoted string.
_QUOTE = r"""(?:\\*+["'`]|%2[27])"""
# A word before `=`, `:` or a similar mark, as in `user[password]=`, `headers["token"] =`,
# `<pin>…</pin>` and `<input name="pin" value="…">`. A word cannot begin within an escape.
# Otherwise, a search in a long series of `%20` would start again at each `20`.
_ASSIGNED = re.compile(
    r"(?i)(?:(?<![\w-])(?!(?<=%)[0-9a-f]{2})|(?<=%[0-9a-f]{2}))([\w-]++)"
    rf"(?:{_QUOTE}|\]|%5d|(?:\[|%5b)[0-9]{{0,4}}(?:\]|%5d)){{0,4}}+"
    rf"(?:,?{_BLANK}*+{_QUOTE}?+value{_QUOTE}?+)?+{_BLANK}*+(?:->|[=:]++>?+|>){_BLANK}*+"
)
# A mark that follows the word in every match of `_ASSIGNED`. Most strings have none.
_MARK = re.compile(r"[=:>]")


def _spoken(prefix: str, blank: str) -> re.Pattern[str]:
    """Builds a pattern for secret names without a colon or an equals sign before the value.

    Examples are `secret hunter2` and `X-Api-Key hunter2`. A series of such names is one match, so
    that the search does not start again at each name.
    """
    verb = rf"{_BLANK}*+(?:(?:is|was){_BLANK}++)?+"
    digits = rf"(?<![a-z0-9_-])(?:otp|pin|code){blank}{verb}(?=[0-9]{{4,8}}(?![0-9]))"
    return re.compile(rf"(?i){prefix}(?:(?:{_SPOKEN}){_QUOTE}?+{blank}{verb})++|{digits}")


# A name that follows a slash or a dot does not match, because a path or host in a policy may end in
# such a name: `https://h.test/oauth/token https://…`. In a path, spaces are escaped, so
# `_SAID_IN_PATH` requires an escaped space after the name.
_SAID = _spoken(r"(?<![\w/.@-])[\w-]{0,40}?", r"\s")
_SAID_IN_PATH = _spoken("", _ESCAPED_BLANK)
# Only strings that match this are searched for _SAID. Most strings do not match.
_MAY_BE_SAID = re.compile(r"(?i)pass|token|secret|key|otp|pin|code")

# --- Where a value ends --------------------------------------------------------------------------

_OPENING = re.compile(rf"{_QUOTE}|[\[({{]")
_MARKS = re.compile(r"""\\.|["'`\[\](){}]""", re.DOTALL)
_SCHEMES = r"bearer|basic|negotiate|ntlm|dpop|digest|hawk"
_BARE = re.compile(rf"""(?i)(?:(?:{_SCHEMES}|token|apikey){_BLANK}++)?+[^\s&;'",]*+""")
_BEHIND = re.compile(r"""(?![\])}>])[^\s&;'",]*+""")
_LINE = re.compile(r"[^\r\n]*+")


def _line_end(text: str, start: int) -> int:
    opening = _OPENING.match(text, start)
    if opening and opening[0] not in "[({":
        return _closed(text, opening)
    end = _LINE.match(text, start)
    return end.end() if end else start


def _value_end(text: str, start: int) -> int:
    """Returns the position of the value's end.

    A quoted value ends at its closing quote, a list or an object at its closing bracket, and any
    other value at the end of the word.
    """
    end = start
    while opening := _OPENING.match(text, end):
        end = _closed(text, opening)
    rest = (_BARE if end == start else _BEHIND).match(text, end)
    return rest.end() if rest else end


def _closed(text: str, opening: re.Match[str]) -> int:
    """Returns the position after the closing quote or bracket, or the end of the text."""
    mark = opening[0]
    if len(mark) > 1:
        end = text.find(mark, opening.end())
        return len(text) if end < 0 else end + len(mark)
    depth, quote = 0, ""
    for found in _MARKS.finditer(text, opening.start()):
        mark = found[0]
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "\"'`":
            quote = mark
        else:
            depth += (mark in "[({") - (mark in "])}")
        if not quote and depth <= 0 and len(mark) == 1:
            return found.end()
    return len(text)


def _ending(found: re.Match[str]) -> Callable[[str, int], int] | None:
    """Returns the function that finds the end of the value, or None if the value is not a secret.

    The name before the value decides this.
    """
    word = found[1] if found.re is _ASSIGNED else "secret"
    if _ENDS_IN_HEADER.search(word):
        return _line_end
    return _value_end if _ENDS_IN_NAME.search(word) else None


def _values_masked(text: str, names: re.Pattern[str]) -> str:
    parts: list[str] = []
    copied = start = 0
    while found := names.search(text, start):
        start = found.end()
        if ending := _ending(found):
            end = ending(text, start)
            value = _masked_value(text[start:end], is_last=end == len(text))
            parts += (text[copied:start], value)
            copied = start = end
    return "".join([*parts, text[copied:]]) if parts else text


def _masked_value(value: str, *, is_last: bool) -> str:
    """Masks a value, but keeps its quotes.

    A value that is masked already stays unchanged, even if shortening has cut its placeholder.
    """
    inner = value.replace(MASK, "").replace("{nonce}", "").strip(" \t\r\n\"'`[](){},\\=:>-")
    is_cut = is_last and value.endswith(f"{{{inner}") and MASK.startswith(f"{{{inner}")
    if not inner or is_cut:
        return value
    quote = value[0] if value[0] in "\"'`" and value[-1] == value[0] else ""
    return f"{quote}{MASK}{quote}"


# --- Secrets with a known format -----------------------------------------------------------------

# More specific patterns come first. Except for PEM keys, every secret starts at the beginning of a
# word. So the pattern looks for the beginning of a word before it tries any alternative, which is
# fast, because most positions in a string are inside a word.
_SECRETS = re.compile(
    r"(?s:-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END|\Z))|(?<![A-Za-z0-9])(?:"
    + "|".join(
        (
            r"cik_[A-Za-z0-9]{10,}",  # our ingest keys
            r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}",  # JSON web tokens
            r"(?:gh[opusr]_|github_pat_|glpat-|xox[abprs]-|sk-|pk_live_|sk_live_|AKIA|ASIA|AIza"
            r"|npm_|pypi-|dckr_pat_|hf_|shpat_)[A-Za-z0-9_-]{12,}",
            rf"{SESSION_TOKEN}(?![A-Za-z0-9])",
            r"[0-9a-fA-F]{24,}(?![A-Za-z0-9])",
            # Schemes of an Authorization header, with parameters or with one word.
            rf"(?i:(?:digest|hawk|oauth|aws4-hmac-sha256){_BLANK}++(?=\w{{1,40}}=))[^\r\n]++",
            rf"(?i:(?:{_SCHEMES}){_BLANK}++)(?!\{{)[^\s\"',;]{{6,}}",
        )
    )
    + ")"
)
_LONG_WORD = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22,}(?![A-Za-z0-9_-])")
_UNBROKEN = re.compile(r"[A-Za-z0-9]{22}")
# The quantifier is possessive, and the match starts at the beginning of a word. Otherwise, the
# search in a string without an @ starts again at each character, and a report of 20 KB takes
# seconds.
# If a number with a dot follows the @, it is a version, as in `react@18.2.0`.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?![0-9]+\.[0-9])[\w-]+(?:\.[\w-]+)+")


@until_stable(2048)
def masked(text: str) -> str:
    """Replaces tokens, keys and e-mail addresses. Masking the result again does not change it."""
    if len(text) < MIN_LENGTH:
        return text
    text = decoded(text) if MAY_CHANGE.search(text) else text
    if _MARK.search(text):
        text = _values_masked(text, _ASSIGNED)
    if _MAY_BE_SAID.search(text):
        text = _values_masked(text, _SAID)
        text = _values_masked(text, _SAID_IN_PATH) if "%" in text else text
    text = _SECRETS.sub(MASK, text)
    text = _EMAIL.sub("{email}", text) if "@" in text else text
    return _LONG_WORD.sub(_if_random, text)


def holds_secret(text: str) -> bool:
    """Returns whether the string contains a token, a key or an e-mail address."""
    return masked(text) != text


def names_a_secret(name: str) -> bool:
    """Returns whether the value of a member with this name is a secret."""
    return _SECRET_NAME.search(name) is not None


def _if_random(found: re.Match[str]) -> str:
    """Masks a word that looks random.

    A word looks random if it mixes upper case, lower case and digits, or if it has at least three
    digits and 22 characters without a hyphen. The names of files from a build end in 20 random
    characters, so they are not masked.
    """
    word = found[0]
    if UUID.fullmatch(word):
        return word
    digits = sum(c.isdigit() for c in word)
    mixed = digits >= 2 and any(c.islower() for c in word) and any(c.isupper() for c in word)
    return MASK if mixed or (digits >= 3 and _UNBROKEN.search(word)) else word
