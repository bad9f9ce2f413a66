"""The caller of a request as plain values, from a verified session token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum

from django.http import HttpRequest

from kernel.http.errors import APIError


class TokenSource(StrEnum):
    """The part of a request that has the session token."""

    COOKIE = "cookie"
    QUERY = "query"
    HEADER = "header"
    BEARER = "bearer"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - the name of a query parameter


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified key and its user. It is DRF's `request.user`."""

    user_id: uuid.UUID
    username: str
    roles: frozenset[str]
    key_id: str
    scopes: tuple[str, ...]

    is_authenticated = True
    is_active = True

    @property
    def pk(self) -> uuid.UUID:
        return self.user_id

    def has_role(self, *roles: str) -> bool:
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Presented:
    """A session token in a request, not yet verified."""

    token: str
    source: TokenSource


class IdentifiedRequest(HttpRequest):
    """A request after the session token middleware."""

    identity: Identity | None
    refusal: APIError | None
    presented: Presented | None
    request_id: str
    client_address: str
