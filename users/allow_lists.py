"""Allow lists: the objects that a key may act on, as (type, id) pairs. `*` matches all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from users.names import is_uuid, normal_id

ANY = "*"
type AllowList = tuple[tuple[str, str], ...]
EVERYTHING: AllowList = ((ANY, ANY),)

TYPES = frozenset({"api_key", "user", "deployment_config", "deployment_stats"})
_KEY_ID = re.compile(r"[A-Za-z0-9]{10}", re.ASCII)


def parse_entry(entry: object) -> tuple[str, str]:
    """Parses an entry, `"type:id"` or `{"type": …, "id": …}`. Raises: ValueError."""
    match entry:
        case str():
            kind, _, value = entry.partition(":")
        case {"type": str(kind), "id": str(value)}:
            pass
        case _:
            raise ValueError(
                "An entry must be a string type:id, or an object with the members type and id."
            )
    if kind != ANY and kind not in TYPES:
        known = ", ".join(sorted(TYPES))
        raise ValueError(f"{kind[:64]!r} is not a resource type. Types: {known} and *.")
    if value == ANY or (kind == "api_key" and _KEY_ID.fullmatch(value)):
        return kind, value
    if not is_uuid(value):
        raise ValueError(f"{value[:64]!r} is neither a UUID nor *.")
    return kind, normal_id(value)


def covers(allowed: AllowList, kind: str, value: str = ANY) -> bool:
    """Returns whether the list includes the object. `value` is an id, or `*` for all objects."""
    return any(t in (ANY, kind) and i in (ANY, value) for t, i in allowed)


def ids(allowed: AllowList, kind: str) -> frozenset[str] | None:
    """Returns the ids of this type in the list, or None if the list includes all objects."""
    if covers(allowed, kind):
        return None
    return frozenset(i for t, i in allowed if t in (ANY, kind))


def stored(allowed: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Returns the list as JSON objects, for the database and for responses."""
    return [{"type": kind, "id": value} for kind, value in allowed]


def loaded(objects: Iterable[Mapping[str, str]]) -> AllowList:
    return tuple((entry["type"], entry["id"]) for entry in objects)
