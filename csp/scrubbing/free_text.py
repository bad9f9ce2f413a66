"""Scrubs policies, and strings that may contain URLs at any position."""

from __future__ import annotations

import re

from csp.parsing.tolerant_json import cleaned_text
from csp.scrubbing.address import private_address
from csp.scrubbing.encodings import decoded, shortened
from csp.scrubbing.masking import MASK, cached, masked, names_a_secret, until_stable
from csp.trusted_types import DIRECTIVE, is_policy_name

# A query ends only at white space, a quote or an angle bracket. Other characters may belong to the
# query, because servers use different characters to separate parameters.
_QUERY = re.compile(r"""(?:[?#]|%3[fF]|%23)[^\s"'`<>]*""")
_RUN = re.compile(r"""[^\s"'`<>()]+""")
_OPAQUE = re.compile(r"(?i)(?:about|blob|data|filesystem|javascript|mailto|vbscript):")
# In a policy, a semicolon or a comma also ends a URL.
_POLICY_QUERY = re.compile(r"(?:[?#]|%3[fF]|%23)[^\s;,]*")
_POLICY_RUN = re.compile(r"""[^\s"'`<>();,]+""")
_NO_BLANK = re.compile(r"\S+")
_MAY_BE_PRIVATE = re.compile(r"[/@\\]|--|%[25]")
_FIRST_WORD = re.compile(r"(?s)(\s*+)(\S*+)(.*)")
_NONCE = re.compile(r"(?i)'nonce-[^'\s;,]*'?")
MAX_AGENT = 256
MAX_POLICY = 8192
MAX_SOURCES = 64
_DIRECTIVE = re.compile(r"[A-Za-z][A-Za-z-]{0,39}")


def directive_word(text: str) -> str:
    """Returns the first word if it may be a directive. Otherwise, returns a placeholder."""
    words = text.split(maxsplit=1)
    if not words:
        return ""
    return words[0] if _DIRECTIVE.fullmatch(words[0]) else MASK


def scrubbed_text(text: str, limit: int = MAX_POLICY) -> str:
    """Removes query, fragment, credentials, tokens and names from each URL in the string.

    The string is shortened before scrubbing, and again afterwards, because a placeholder may be
    longer than the part that it replaces.
    """
    if not text:
        return ""
    # Remove nonces first. They differ in every report, so a result with a nonce is never reused
    # from the cache.
    return shortened(_scrubbed_text(_without_nonces(shortened(text, limit))), limit)


@cached(512)
def scrubbed_agent(text: str) -> str:
    return scrubbed_text(cleaned_text(text), MAX_AGENT)


@until_stable(512)
def _scrubbed_text(text: str) -> str:
    bare = _RUN.sub(_private_run, _QUERY.sub("", _without_nonces(text)))
    return masked(shortened(bare, MAX_POLICY))


@cached(256)
def scrubbed_policy(policy: str) -> str:
    """Removes nonces and private data from a policy. Keeps directives and public sources.

    Keeps at most MAX_SOURCES sources of each directive, so that matching them takes little time.
    """
    bare = _scrubbed_policy(_without_nonces(shortened(policy, MAX_POLICY)))
    return shortened(_bounded(bare), MAX_POLICY)


def _bounded(policy: str) -> str:
    directives = (directive.split() for directive in policy.split(";"))
    if all(len(words) <= MAX_SOURCES + 1 for words in directives):
        return policy
    kept = (directive.split()[: MAX_SOURCES + 1] for directive in policy.split(";"))
    return "; ".join(map(" ".join, kept))


@until_stable(256)
def _scrubbed_policy(policy: str) -> str:
    bare = ";".join(map(_public_part, _without_nonces(policy).split(";")))
    return masked(";".join(map(_known_directives, shortened(bare, MAX_POLICY).split(";"))))


def _public_part(directive: str) -> str:
    """Removes private data from each URL. Keeps the names of Trusted Types policies with a `#`."""
    if directive.strip().lower().startswith(DIRECTIVE):
        return _NO_BLANK.sub(_policy_name, directive)
    return _POLICY_RUN.sub(_private_run, _POLICY_QUERY.sub("", directive))


def _policy_name(found: re.Match[str]) -> str:
    word = found[0]
    if is_policy_name(word):
        return word
    return _POLICY_RUN.sub(_private_run, _POLICY_QUERY.sub("", word))


def _without_nonces(text: str) -> str:
    return _NONCE.sub("'nonce-{nonce}'", decoded(text))


def _known_directives(text: str) -> str:
    """Masks words that cannot be directives. A comma separates two policies in one header."""
    kept: list[str] = []
    for directive in text.split(","):
        [(blank, name, rest)] = _FIRST_WORD.findall(directive)[:1]
        word = directive_word(name)
        if names_a_secret(name):
            # Mask everything after the name, because a secret may contain a comma.
            return ",".join([*kept, blank + (MASK if word == MASK else f"{word} {MASK}")])
        kept.append(blank + (MASK if word == MASK else word + rest))
    return ",".join(kept)


def _private_run(found: re.Match[str]) -> str:
    run = found[0]
    if ":" in run and (scheme := _OPAQUE.match(run)):
        return scheme[0]
    if not _MAY_BE_PRIVATE.search(run):
        return run
    # JSON and scripts may escape a slash as `\/`.
    run = run.replace("\\/", "/")
    start = run.find("//")
    if start >= 0 or run.startswith("/"):
        end = run.find(";", max(start, 0))
        run = run if end < 0 else run[:end]
    return private_address(run)
