"""Texts in which addresses may stand anywhere, without what is private in them."""

from __future__ import annotations

import re

from csp.masking import MASK, masked, remembered
from csp.parsers import LONGEST_POLICY, shortened
from csp.uris import private_address

# Up to the next quote or blank: what separates parameters for one server is a comma for another.
_QUERY = re.compile(r"""(?:[?#]|%3[fF]|%23)[^\s"'`<>]*""")
_RUN = re.compile(r"""[^\s"'`<>()]+""")
_OPAQUE = re.compile(r"(?i)(?:about|blob|data|filesystem|javascript|mailto|vbscript):")
# In a policy, a semicolon or a comma ends whatever stands before it.
_POLICY_QUERY = re.compile(r"(?:[?#]|%3[fF]|%23)[^\s;,]*")
_POLICY_RUN = re.compile(r"""[^\s"'`<>();,]+""")
_FIRST_WORD = re.compile(r"(^|[;,])(\s*+)([^\s;,]++)")
_NONCE = re.compile(r"(?i)'nonce-[^'\s;,]*'?")
_DIRECTIVE = re.compile(r"[A-Za-z][A-Za-z-]{0,39}")


def directive_word(text: str) -> str:
    """The directive's name; a placeholder for what is no word of the grammar; "" for nothing."""
    words = text.split(maxsplit=1)
    if not words:
        return ""
    return words[0] if _DIRECTIVE.fullmatch(words[0]) else MASK


@remembered(512)
def scrubbed_text(text: str) -> str:
    """The text, each address in it without query, fragment, credentials, tokens and names."""
    bare = _RUN.sub(_private_run, _QUERY.sub("", _without_nonces(text)))
    return masked(shortened(bare, LONGEST_POLICY))


@remembered(256)
def scrubbed_policy(policy: str) -> str:
    """The policy: names of directives, and sources without what is private; nonces cut."""
    bare = _POLICY_RUN.sub(_private_run, _POLICY_QUERY.sub("", _without_nonces(policy)))
    return masked(_FIRST_WORD.sub(_known_directive, shortened(bare, LONGEST_POLICY)))


def _without_nonces(text: str) -> str:
    return _NONCE.sub("'nonce-{nonce}'", text)


def _known_directive(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{directive_word(found[3])}"


def _private_run(found: re.Match[str]) -> str:
    run = found[0]
    if ":" in run and (scheme := _OPAQUE.match(run)):
        return scheme[0]
    if not ("/" in run or "@" in run or "--" in run):
        return run
    # As JSON and scripts may write it.
    run = run.replace("\\/", "/")
    start = run.find("//")
    if start >= 0 or run.startswith("/"):
        end = run.find(";", max(start, 0))
        run = run if end < 0 else run[:end]
    return private_address(run)
