"""Scrubs each member of a report, and finds its cause. A group has one cause on one site.

Noise has no effect on the cause, so that a group stays the same when noise rules change.
Unknown members are scrubbed too. They are kept up to a total size of MAX_EXTRA.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NamedTuple

import orjson

from csp import trusted_types
from csp.parsing.formats import Violation
from csp.scrubbing.address import Address, address_of, without_query
from csp.scrubbing.free_text import directive_word, scrubbed_agent, scrubbed_policy, scrubbed_text
from csp.scrubbing.masking import MASK, masked, names_a_secret
from csp.trusted_types import POLICY, SINK, split_sample

MAX_SAMPLE = 256
MAX_EXTRA = 4096
MAX_NAME = 64
# The name of the member that stores how many unknown members were left out.
LEFT_OUT = "(left out)"
_WORD = re.compile(r"[A-Za-z-]{0,16}")
# Older versions of Firefox and Safari report inline code as "self".
_KEYWORDS = {"": "unknown", "self": "inline"}
# Browsers send a report within two days or drop it, so a higher age is wrong.
MAX_AGE = timedelta(days=2)


class Scrubbed(NamedTuple):
    """A report without private data, its time and its sender. `columns` has the stored values.

    `cause` is the directive and the blocked source of the report's group. `page` is not scrubbed,
    because only a hash of it is stored.
    """

    document: Address
    blocked: Address
    source: Address
    user_agent: str
    cause: tuple[str, str]
    page: str
    age: timedelta
    columns: dict[str, Any]


def scrubbed(violation: Violation) -> Scrubbed:
    """Removes queries, fragments, credentials, tokens, and names of users from the report."""
    uris = (violation.document_uri, violation.blocked_uri, violation.source_file)
    document, blocked, source, referrer = map(address_of, (*uris, violation.referrer))
    page = without_query(violation.document_uri)
    policy = scrubbed_policy(violation.original_policy)
    violated = scrubbed_policy(violation.violated_directive)
    agent = scrubbed_agent(violation.user_agent)
    effective = directive_word(violation.effective_directive)
    columns: dict[str, Any] = {
        "format": violation.format,
        "document_uri": document.text,
        "blocked_uri": blocked.text,
        "source_file": source.text,
        "referrer": referrer.origin,
        "original_policy": policy,
        "violated_directive": violated,
        "effective_directive": effective,
        "disposition": violation.disposition if _WORD.fullmatch(violation.disposition) else MASK,
        "sample": scrubbed_sample(blocked.text, violation.sample),
        "status_code": violation.status_code,
        "line_number": violation.line_number,
        "column_number": violation.column_number,
        "other_members": scrubbed_members(violation.other_members),
    }
    # Browsers that implement only CSP 1 or 2 do not send an effective directive.
    directive = (effective or directive_word(violated)).lower()
    return Scrubbed(
        document=document,
        blocked=blocked,
        source=source,
        user_agent=agent,
        cause=cause_of(directive, blocked, columns["sample"]),
        page=page,
        age=min(timedelta(milliseconds=violation.age_ms), MAX_AGE),
        columns=columns,
    )


def cause_of(directive: str, blocked: Address, sample: str) -> tuple[str, str]:
    """Returns the directive and the blocked source of the report's group.

    The blocked source is the host of a web URL, the scheme of any other URI, or a keyword such as
    `inline`.
    """
    source = blocked.authority[:255] or _KEYWORDS.get(blocked.word, blocked.word)
    if source in trusted_types.KEYWORDS:
        name, _ = split_sample(source, sample)
        return directive, f"{source} {name}".strip()
    # For an address, some browsers report the directive of elements, and others the general
    # directive. For inline code, elements and attributes are different causes.
    return (directive if source == "inline" else directive.removesuffix("-elem")), source


def scrubbed_sample(blocked: str, sample: str) -> str:
    """Scrubs the sample, but keeps the name of a sink or of a Trusted Types policy.

    Without this, the part of a name after `#` would be removed, as from a URL. If the name itself
    would be scrubbed, it is not kept.
    """
    if not sample:
        return ""
    name, text = split_sample(blocked, sample)
    is_public = bool(name) and masked(name) == name
    if blocked == SINK and is_public:
        return f"{name}|{scrubbed_text(text, MAX_SAMPLE - len(name) - 1)}"
    if blocked == POLICY:
        return name if is_public else MASK
    return scrubbed_text(sample, MAX_SAMPLE)


def scrubbed_members(members: dict[str, Any]) -> dict[str, Any]:
    """Scrubs unknown members, and keeps them up to MAX_EXTRA. `LEFT_OUT` counts the others."""
    kept: dict[str, Any] = {}
    room, left_out = MAX_EXTRA, 0
    for name, value in members.items():
        is_bounded = room > 0 and len(orjson.dumps({name: value})) <= 2 * MAX_EXTRA
        clean = _scrubbed_member(name, value) if is_bounded else {}
        size = len(orjson.dumps(clean))
        if clean and size <= room and clean.keys().isdisjoint({*kept, LEFT_OUT}):
            kept |= clean
            room -= size
        else:
            left_out += 1
            # Scrubbing this member took time, so its size counts against the limit too.
            room -= size if clean else 0
    return kept | {LEFT_OUT: left_out} if left_out else kept


def _scrubbed_member(name: str, value: Any) -> dict[str, Any]:
    clean = scrubbed_text(name, MAX_NAME)
    is_secret = value is not None and names_a_secret(f"{clean} {name}")
    return {clean: MASK if is_secret else _scrubbed_value(value)}


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed_text(value)
    if isinstance(value, list):
        return [_scrubbed_value(item) for item in value]
    if isinstance(value, dict):
        return {
            k: v for name, item in value.items() for k, v in _scrubbed_member(name, item).items()
        }
    # JSON parsers reject numbers of more than 64 bits.
    is_too_large = isinstance(value, int | float) and not -(2**63) <= value < 2**63
    return None if is_too_large else value
