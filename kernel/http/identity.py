"""The identity of a request's caller, from a verified session token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import NamedTuple

# Clients may send their session token in one of these query parameters.
TOKEN_PARAMETERS = ("coder_session_token", "access_token")


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified key and its user. In DRF views it is `request.user`."""

    user_id: uuid.UUID
    username: str
    roles: frozenset[str]
    key_id: str
    scopes: tuple[str, ...]

    @property
    def pk(self) -> uuid.UUID:
        return self.user_id

    def has_role(self, *roles: str) -> bool:
        return not self.roles.isdisjoint(roles)


class PresentedToken(NamedTuple):
    """A session token from a request, not yet verified."""

    token: str
    is_cookie: bool
