"""Who may call an operation: by role, narrowed by the key's scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderapi.errors import forbidden, not_found
from coderapi.identity import Identity, IdentifiedRequest
from tokens import refusals, scopes
from users import roles

if TYPE_CHECKING:
    # DRF imports this module, its default permission, while its own views are half imported.
    from rest_framework.views import APIView


def identity_of(request: Request) -> Identity:
    """The caller. Raises: APIError 401 (or 429, 503) with the cause when there is none."""
    identified = cast("IdentifiedRequest", request._request)
    if identified.identity is None:
        raise identified.refusal or refusals.missing()
    return identified.identity


class Authenticated(BasePermission):
    """Anybody with a session token that counts."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        identity_of(request)
        return True


def may(action: str) -> type[BasePermission]:
    """A permission class: the caller's roles and the key's scopes both allow `resource:action`."""

    class May(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            identity = identity_of(request)
            if not roles.may(identity.roles, action):
                raise forbidden(f"This needs a role that may {action}.")
            if not scopes.allow(identity.scopes, action):
                raise forbidden(f"The session token's scopes do not include {action}.")
            return True

    return May


def scoped(*actions: str) -> type[BasePermission]:
    """A permission class for what hangs below a user: 404 unless a scope covers one action.

    To a key that may not read the user, nothing below the user exists.
    """

    class Scoped(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            identity = identity_of(request)
            if not any(scopes.allow(identity.scopes, action) for action in actions):
                raise not_found()
            return True

    return Scoped
