"""Deciding who may do what: by role, narrowed by the key's scopes and its allow list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from kernel.http.errors import APIError, forbidden, not_found
from kernel.http.identity import IdentifiedRequest, Identity
from users import allow_lists, roles, scopes
from users.allow_lists import EVERYTHING, AllowList

if TYPE_CHECKING:
    # DRF imports this module, its default permission, while its own views are half imported.
    from rest_framework.views import APIView

    from users.models import User

# Resources of which each object is a user, as the allow list names it.
ON_USERS = frozenset({"user", "assign_role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity(Identity):
    """An identity with all that its key says; a `minted` key was not made by signing in."""

    allow_list: AllowList = EVERYTHING
    expires_at: datetime
    minted: bool = False


def identity_of(request: Request) -> KeyIdentity:
    """Returns the caller. Raises: APIError 401 (or 429, 503) with the cause when there is none."""
    identified = cast("IdentifiedRequest", request._request)
    if identified.identity is None:
        # The session-token middleware attaches the one or the other to every request below /api/v2.
        raise identified.refusal or forbidden()
    return cast("KeyIdentity", identified.identity)


@dataclass(frozen=True, slots=True)
class Owner:
    """The user whom an object is or belongs to. `roles` is empty for one who does not exist."""

    id: str
    roles: Collection[str] = ()


def refusal(
    identity: KeyIdentity, action: str, *, of: Owner | None = None, object_id: str = allow_lists.ANY
) -> APIError | None:
    """Returns why the caller may not do `resource:action`, or None where they may.

    `of` names the user that it is done to, or whose object it is done to; without it and without
    `object_id` it is done to every object. Views and `/authcheck` both decide by this function.
    """
    own = of is not None and of.id == str(identity.user_id)
    if problem := _role_problem(identity, action, of, own=own):
        return forbidden(problem)
    if not scopes.allow(identity.scopes, action):
        return forbidden(f"The session token's scopes do not include {action}.")
    kind = action.partition(":")[0]
    if kind in ON_USERS:
        kind, object_id = "user", of.id if of else allow_lists.ANY
    if not allow_lists.covers(identity.allow_list, kind, object_id):
        if object_id != allow_lists.ANY:
            return not_found()
        return forbidden("The session token's allow list does not reach that far.")
    # To make something for another user is to act on that user.
    if of and not own and object_id == allow_lists.ANY:
        return None if allow_lists.covers(identity.allow_list, "user", of.id) else not_found()
    return None


def _role_problem(identity: KeyIdentity, action: str, of: Owner | None, *, own: bool) -> str:
    if own and action == "user:delete":
        return "Nobody deletes themselves."
    if own and action in roles.ON_ONESELF:
        return ""
    if not roles.may(identity.roles, action):
        return f"This needs a role that may {action}."
    if of is None or action == "user:read":
        return ""
    if roles.OWNER in of.roles and not identity.has_role(roles.OWNER):
        return "Only an owner may act on an owner."
    # With the password one signs in as the other, with all that the other may do.
    if action == "user:update_personal" and not _has_rights(identity, roles.rights(of.roles)):
        return "Nobody resets the password of somebody with rights that they lack."
    return ""


def _has_rights(identity: KeyIdentity, wanted: Iterable[str]) -> bool:
    """Tells if the caller's roles and scopes both allow all of the actions."""
    return all(roles.may(identity.roles, a) and scopes.allow(identity.scopes, a) for a in wanted)


def require(identity: KeyIdentity, action: str, *, on: User) -> None:
    """Raises: APIError 403 or 404 unless the caller may do it to that user, or for that user."""
    refused = refusal(identity, action, of=Owner(str(on.id), tuple(on.roles)))
    if refused is not None:
        raise refused


class Authenticated(BasePermission):
    """Allows a request with a valid session token."""

    @staticmethod
    def refusal(identity: KeyIdentity) -> APIError | None:
        """Returns why a caller with that identity is refused, or None."""
        return None

    def has_permission(self, request: Request, view: APIView) -> bool:
        if error := self.refusal(identity_of(request)):
            raise error
        return True


def _permission(refused: Callable[[KeyIdentity], APIError | None]) -> type[Authenticated]:
    class Permission(Authenticated):
        @staticmethod
        def refusal(identity: KeyIdentity) -> APIError | None:
            return refused(identity)

    return Permission


def may(action: str) -> type[Authenticated]:
    """Makes a permission class for `resource:action`: role, scopes and allow list must agree."""
    return _permission(lambda identity: refusal(identity, action))


def scoped(*actions: str) -> type[Authenticated]:
    """Makes a permission class for a path below a user: 404 unless a scope covers one action.

    To a key that may not read the user, nothing below the user exists.
    """

    def refused(identity: KeyIdentity) -> APIError | None:
        covered = any(scopes.allow(identity.scopes, action) for action in actions)
        return None if covered else not_found()

    return _permission(refused)


def listing(action: str) -> type[Authenticated]:
    """Makes the class of `may` for a list, which shows only what the allow list reaches."""
    return _permission(lambda identity: refusal(replace(identity, allow_list=EVERYTHING), action))
