"""Who may call an operation: by role, narrowed by the key's scopes and its allow list."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.services import Actor
from kernel.http.errors import APIError, forbidden, not_found
from kernel.http.identity import IdentifiedRequest
from users import allow_lists, roles, scopes
from users.identity import KeyIdentity

if TYPE_CHECKING:
    # DRF imports this module, its default permission, while its own views are half imported.
    from rest_framework.views import APIView


def identity_of(request: Request) -> KeyIdentity:
    """The caller. Raises: APIError 401 (or 429, 503) with the cause when there is none."""
    identified = cast("IdentifiedRequest", request._request)
    if identified.identity is None:
        # The session-token middleware attaches the one or the other to every request below /api/v2.
        raise identified.refusal or forbidden()
    return cast("KeyIdentity", identified.identity)


def actor_of(request: Request) -> Actor:
    """The caller, as the audit trail names who did something."""
    identity = identity_of(request)
    address = cast("IdentifiedRequest", request._request).client_address
    return Actor(user_id=identity.user_id, name=identity.username, address=address)


def refusal(identity: KeyIdentity, action: str) -> APIError | None:
    """The 403 for who may not do `resource:action` to every object of the resource, else None."""
    if not roles.may(identity.roles, action):
        return forbidden(f"This needs a role that may {action}.")
    if not scopes.allow(identity.scopes, action):
        return forbidden(f"The session token's scopes do not include {action}.")
    if not allow_lists.covers(identity.allow_list, action.partition(":")[0]):
        return forbidden("The session token's allow list does not reach that far.")
    return None


class Authenticated(BasePermission):
    """Anybody with a session token that counts."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        identity_of(request)
        return True


def may(action: str) -> type[BasePermission]:
    """A permission class: role, scopes and allow list all let the caller do `resource:action`."""

    class May(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            refused = refusal(identity_of(request), action)
            if refused is not None:
                raise refused
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


def listing(action: str) -> type[BasePermission]:
    """The same as `may`, but for a list, which shows what the allow list reaches of it."""

    class Listing(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            identity = identity_of(request)
            refused = refusal(replace(identity, allow_list=allow_lists.EVERYTHING), action)
            if refused is not None:
                raise refused
            return True

    return Listing


def require_reach(identity: KeyIdentity, kind: str, object_id: uuid.UUID | str) -> None:
    """Raises: APIError 404 for an object that the key's allow list does not hold."""
    if not allow_lists.covers(identity.allow_list, kind, str(object_id)):
        raise not_found()


def require_on_user(
    identity: KeyIdentity, action: str, *, user_id: uuid.UUID, user_roles: list[str]
) -> None:
    """Raises: APIError unless the role lets them act on that user; only owners on owners."""
    require_reach(identity, "user", user_id)
    if not roles.may(identity.roles, action):
        raise forbidden(f"This needs a role that may {action}.")
    if roles.OWNER in user_roles and not identity.has_role(roles.OWNER):
        raise forbidden("Only an owner may act on an owner.")
