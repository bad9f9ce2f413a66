"""Deciding who may do what: by role, narrowed by the key's scopes and its allow list."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from kernel.http.errors import APIError, Validation, forbidden, invalid, not_found
from kernel.http.identity import IdentifiedRequest, Identity
from users import allow_lists, roles, scopes
from users.allow_lists import EVERYTHING, AllowList

if TYPE_CHECKING:
    # DRF imports this module, its default permission, while its own views are half imported.
    from rest_framework.views import APIView

# Every type of resource that Coder's clients ask about. What this service lacks of them, nobody but
# an owner may touch.
_TYPES = """
* aibridge_interception api_key assign_org_role assign_role audit_log connection_log crypto_key
debug_info deployment_config deployment_stats file group group_member idpsync_settings
inbox_notification license notification_message notification_preference notification_template
oauth2_app oauth2_app_code_token oauth2_app_secret organization organization_member
prebuilt_workspace provisioner_daemon provisioner_jobs replicas system tailnet_coordinator task
template usage_event user user_secret webpush_subscription workspace workspace_agent_devcontainers
workspace_agent_resource_monitor workspace_dormant workspace_proxy
"""
RESOURCE_TYPES = frozenset(_TYPES.split())


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


def refusal(identity: KeyIdentity, action: str) -> APIError | None:
    """Returns the 403 for a caller who may not do it to every object of the resource, else None."""
    if not roles.may(identity.roles, action):
        return forbidden(f"This needs a role that may {action}.")
    if not scopes.allow(identity.scopes, action):
        return forbidden(f"The session token's scopes do not include {action}.")
    if not allow_lists.covers(identity.allow_list, action.partition(":")[0]):
        return forbidden("The session token's allow list does not reach that far.")
    return None


class Authenticated(BasePermission):
    """Lets in anybody with a valid session token."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        identity_of(request)
        return True


def may(action: str) -> type[BasePermission]:
    """Makes a permission class for `resource:action`: role, scopes and allow list must agree."""

    class May(BasePermission):
        def has_permission(self, request: Request, view: APIView) -> bool:
            refused = refusal(identity_of(request), action)
            if refused is not None:
                raise refused
            return True

    return May


def scoped(*actions: str) -> type[BasePermission]:
    """Makes a permission class for a path below a user: 404 unless a scope covers one action.

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
    """Makes the class of `may` for a list, which shows only what the allow list reaches."""

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


def is_allowed(
    identity: KeyIdentity, *, action: str, resource_type: str, owner_id: str, resource_id: str
) -> bool:
    """Tells if role, scopes and allow list would let the caller do it.

    Raises: APIError 400 for a type of resource that Coder does not have.
    """
    if resource_type not in RESOURCE_TYPES:
        raise invalid(Validation("resource_type", f"{resource_type!r} is not a known resource."))
    wanted = f"{resource_type}:{action}"
    own = owner_id in ("me", str(identity.user_id))
    return (
        roles.may_on(identity.roles, wanted, own=own)
        and scopes.allow(identity.scopes, wanted)
        and allow_lists.covers(identity.allow_list, resource_type, resource_id or allow_lists.ANY)
    )
