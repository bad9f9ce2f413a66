"""Members that no browser is known to send: kept within a bound, without what is private."""

from __future__ import annotations

from typing import Any

import orjson

from csp.free_text import scrubbed_text
from csp.masking import MASK, names_a_secret
from csp.parsers import shortened

LONGEST_EXTRA = 4096
LONGEST_NAME = 64
# Under this name stands how many members there was no room for.
LEFT_OUT = "(left out)"


def scrubbed_extra(extra: dict[str, Any]) -> dict[str, Any]:
    """The members scrubbed, as many as there is room for; `LEFT_OUT` counts the others."""
    kept: dict[str, Any] = {}
    room, left_out = LONGEST_EXTRA, 0
    for name, value in extra.items():
        clean = _scrubbed_member(name, value) if room > 0 and _is_bounded(value) else {}
        size = len(orjson.dumps(clean))
        if clean and size <= room and clean.keys().isdisjoint({*kept, LEFT_OUT}):
            kept |= clean
            room -= size
        else:
            left_out += 1
            # What is not kept has cost as much to look at.
            room -= size if clean else 0
    return kept | {LEFT_OUT: left_out} if left_out else kept


def _is_bounded(value: Any) -> bool:
    return len(orjson.dumps(value)) <= 2 * LONGEST_EXTRA


def _scrubbed_member(name: str, value: Any) -> dict[str, Any]:
    clean = scrubbed_text(shortened(name, LONGEST_NAME))[:LONGEST_NAME]
    told = value is not None and names_a_secret(f"{clean} {name}")
    return {clean: MASK if told else _scrubbed_value(value)}


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed_text(value)
    if isinstance(value, list):
        return [_scrubbed_value(item) for item in value]
    if isinstance(value, dict):
        return {
            k: v for name, item in value.items() for k, v in _scrubbed_member(name, item).items()
        }
    return None if _is_too_large(value) else value


def _is_too_large(value: Any) -> bool:
    """Whether PostgreSQL would hand the number back as one that no 64 bits hold."""
    return isinstance(value, int | float) and not -(2**63) <= value < 2**63
