"""Checks permissions by the user's roles, and by the scopes and the allow list of the key."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from kernel.http.errors import APIError, forbidden, not_found
from kernel.http.identity import Identity
from kernel.http.results import results_of
from users import allow_lists, roles, scopes
from users.allow_lists import EVERYTHING, AllowList

if TYPE_CHECKING:
    # Avoids a circular import: DRF's views import the default permission class from this module.
    from rest_framework.views import APIView

    from users.models import User

# The objects of these resources are users. In an allow list, their type is `user`.
ON_USERS = frozenset({"user", "assign_role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIdentity(Identity):
    """An identity with the limits of its key. A key that `is_minted` was not created by signing in.

    `granted` are the actions on all objects that another service allows; `*` is every action. If it
    is None, the roles decide. Units: `lifetime_ns` nanoseconds.
    """

    allow_list: AllowList = EVERYTHING
    expires_at: datetime
    lifetime_ns: int
    is_minted: bool = False
    granted: frozenset[str] | None = None

    def may(self, action: str) -> bool:
        """Returns whether the roles allow the action on all objects. Ignores the scopes."""
        if self.granted is None:
            return roles.may(self.roles, action)
        return action in self.granted or "*" in self.granted


def identity_of(request: Any) -> KeyIdentity:
    """Returns the identity of the caller.

    Raises: APIError 401, 429 or 503 if the session token was rejected.
    """
    caller = results_of(request).caller
    if caller.identity is None:
        # Every request for the API has an identity or a refusal.
        raise caller.refusal or forbidden()
    return cast("KeyIdentity", caller.identity)


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of an object. The owner of a user is that user.

    `roles` is empty if the user does not exist.
    """

    id: str
    roles: Collection[str] = ()


def refusal(
    identity: KeyIdentity, action: str, *, of: Owner | None = None, object_id: str = allow_lists.ANY
) -> APIError | None:
    """Returns the error if the caller may not do the action, or None.

    `action` has the form `resource:action`. `of` is the owner of the object. If `of` and
    `object_id` are not given, checks whether the caller may do the action on all objects.
    Views and `/authcheck` both use this function.
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
        return forbidden("The session token's allow list does not include all objects.")
    # Creating an object for another user is an action on that user, so the allow list must include
    # that user.
    if of and not own and object_id == allow_lists.ANY:
        return None if allow_lists.covers(identity.allow_list, "user", of.id) else not_found()
    return None


def _role_problem(identity: KeyIdentity, action: str, of: Owner | None, *, own: bool) -> str:
    if own and action == "user:delete":
        return "You cannot delete yourself."
    if own and action in roles.OWN_PERMISSIONS:
        return ""
    if not identity.may(action):
        return f"You need a role with the permission {action}."
    if of is None or action == "user:read":
        return ""
    if roles.OWNER in of.roles and not identity.has_role(roles.OWNER):
        return "Only an owner may act on an owner."
    # A caller who sets the password can sign in as the user, and so gets all rights of the user.
    if action == "user:update_personal" and not all(
        identity.may(right) and scopes.allow(identity.scopes, right)
        for right in roles.rights(of.roles)
    ):
        return "You cannot reset the password of a user who has rights you lack."
    return ""


def page_refusal(caller: User, action: str, *, on: User) -> APIError | None:
    """Returns the error if a user of the admin may not do the action on another user, or None.

    A session of the admin has no scopes and no allow list, so only the roles decide.
    """
    identity = KeyIdentity(
        user_id=caller.pk,
        username=caller.username,
        roles=frozenset(caller.roles),
        key_id="",
        scopes=(scopes.ALL,),
        expires_at=datetime.max.replace(tzinfo=UTC),
        lifetime_ns=0,
    )
    return refusal(identity, action, of=Owner(str(on.pk), tuple(on.roles)))


def require(identity: KeyIdentity, action: str, *, on: User) -> None:
    """Requires that the caller may do the action on the user. Raises: APIError 403 or 404."""
    refused = refusal(identity, action, of=Owner(str(on.id), tuple(on.roles)))
    if refused is not None:
        raise refused


class Authenticated(BasePermission):
    """Requires a valid session token."""

    @staticmethod
    def refusal(identity: KeyIdentity) -> APIError | None:
        """Returns the error if a caller with this identity is rejected, or None."""
        return None

    def has_permission(self, request: Request, view: APIView) -> bool:
        if error := self.refusal(identity_of(request)):
            raise error
        return True


class Undeclared(Authenticated):
    """The default of views, which rejects every caller. Each view declares its own permission."""

    @staticmethod
    def refusal(identity: KeyIdentity) -> APIError | None:
        return forbidden("The operation declares no permission.")


def _permission(refused: Callable[[KeyIdentity], APIError | None]) -> type[Authenticated]:
    return type("Permission", (Authenticated,), {"refusal": staticmethod(refused)})


@cache
def may(action: str) -> type[Authenticated]:
    """Builds a permission class for an action on all objects, in the form `resource:action`."""
    return _permission(lambda identity: refusal(identity, action))


@cache
def scoped(*actions: str) -> type[Authenticated]:
    """Builds a permission class that checks only scopes, for paths below a user.

    If no scope covers any of the actions, the error is 404.
    """

    def refused(identity: KeyIdentity) -> APIError | None:
        covered = any(scopes.allow(identity.scopes, action) for action in actions)
        return None if covered else not_found()

    return _permission(refused)


# Checks roles and scopes, but not the key's allow list. The view must return only users that the
# allow list includes.
MayListUsers = _permission(
    lambda identity: refusal(replace(identity, allow_list=EVERYTHING), "user:read")
)
