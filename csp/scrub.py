"""What of a report may be stored: everything private is cut out before anything is written."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

import orjson

from csp.coder_addresses import private_host, private_path
from csp.masking import masked, remembered
from csp.parsers import Violation

WEB_SCHEMES = frozenset({"http", "https", "ws", "wss"})
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
LONGEST_EXTRA = 4096
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_QUERY = re.compile(r"[?#][^\s;,]*")
_USERINFO = re.compile(r"(?<=//)[^\s/@;]*@")
_NONCE = re.compile(r"'nonce-[^']*'")


def scrubbed(violation: Violation) -> Violation:
    """The same report without queries, fragments, credentials, tokens, and names of people."""
    return replace(
        violation,
        document_uri=scrubbed_uri(violation.document_uri),
        blocked_uri=scrubbed_uri(violation.blocked_uri),
        source_file=scrubbed_uri(violation.source_file),
        referrer=origin_of(violation.referrer),
        original_policy=scrubbed_policy(violation.original_policy),
        violated_directive=scrubbed_policy(violation.violated_directive),
        effective_directive=masked(violation.effective_directive),
        disposition=masked(violation.disposition),
        sample=masked(_QUERY.sub("", violation.sample)),
        user_agent=masked(violation.user_agent),
        extra=scrubbed_extra(violation.extra),
    )


def split_web(uri: str) -> SplitResult | None:
    """The parts of an http, https, ws or wss address; None for anything else."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        # A port that is no number, or half a pair of brackets.
        return None
    return parts if parts.scheme in WEB_SCHEMES and parts.hostname else None


def scheme_of(uri: str) -> str:
    """The scheme, lower-case, of an address or a bare scheme; "" for a keyword or a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and _SCHEME.fullmatch(scheme.lower()) else ""


def host_of(parts: SplitResult) -> str:
    """Host, and port where it is not the scheme's own, without anybody's name."""
    host = private_host((parts.hostname or "").rstrip("."))
    shown = f"[{host}]" if ":" in host else host
    standard = parts.port in (None, DEFAULT_PORTS[parts.scheme])
    return shown if standard else f"{shown}:{parts.port}"


@remembered(2048)
def scrubbed_uri(uri: str) -> str:
    """The address without query, fragment, credentials, tokens and names.

    Of other schemes than the web's only the host stays, which for an extension is its id.
    """
    parts = split_web(uri)
    if parts is not None:
        return f"{parts.scheme}://{masked(host_of(parts))}{masked(private_path(parts.path))}"
    scheme = scheme_of(uri)
    if not scheme:
        return masked(_QUERY.sub("", uri))
    authority = re.match(r"//([A-Za-z0-9._-]{1,64})", uri[len(scheme) + 1 :])
    return f"{scheme}://{authority[1]}" if authority and "extension" in scheme else scheme


def origin_of(uri: str) -> str:
    parts = split_web(uri)
    return f"{parts.scheme}://{masked(host_of(parts))}" if parts else ""


@remembered(256)
def scrubbed_policy(policy: str) -> str:
    """The policy without what follows a ? or #, without credentials, nonces and tokens."""
    text = _USERINFO.sub("", _QUERY.sub("", policy))
    return masked(_NONCE.sub("'nonce-{nonce}'", text))


def scrubbed_extra(extra: dict[str, Any]) -> dict[str, Any]:
    """Members that no browser is known to send, scrubbed; what makes them too large is left out."""
    kept: dict[str, Any] = {}
    room = LONGEST_EXTRA
    for name, value in extra.items():
        if room < 0 or len(orjson.dumps(value)) > 2 * LONGEST_EXTRA:
            continue
        clean = {masked(name[:64]): _scrubbed_value(value)}
        room -= len(orjson.dumps(clean))
        if room < 0:
            break
        kept |= clean
    return kept


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return masked(scrubbed_uri(value)) if scheme_of(value) else scrubbed_policy(value)
    if isinstance(value, list):
        return [_scrubbed_value(item) for item in value]
    if isinstance(value, dict):
        return {masked(name): _scrubbed_value(item) for name, item in value.items()}
    return value
