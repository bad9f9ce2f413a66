"""A key as the API shows it.

Made by hand and not by a serializer: a list may hold ten thousand. The serializers describe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kernel.http import wire
from tokens.models import APIKey
from tokens.selectors import SHOWN
from users.scopes import canonical, legacy_name
from users.serializers import NEVER

NANOSECONDS = 1_000_000_000


def key_object(key: APIKey) -> Any:
    """The key on the current wire. Shape: codersdk.APIKey."""
    return wire.apply("codersdk.APIKey", _members({name: getattr(key, name) for name in SHOWN}))


def token_object(row: Mapping[str, Any]) -> Any:
    """A row of `selectors.tokens` on the current wire. Shape: codersdk.APIKeyWithOwner."""
    members = {**_members(row), "username": row["user__username"]}
    return wire.apply("codersdk.APIKeyWithOwner", members)


def _members(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "user_id": row["user_id"],
        "last_used": _time(row["last_used"]),
        "expires_at": _time(row["expires_at"]),
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "login_type": row["login_type"],
        "scope": legacy_name(row["scopes"]),
        "scopes": [canonical(scope) for scope in row["scopes"]],
        "token_name": row["token_name"],
        "lifetime_seconds": row["lifetime_ns"] // NANOSECONDS,
        "allow_list": row["allow_list"],
    }


def _time(moment: datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else NEVER
