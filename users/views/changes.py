from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http.errors import Validation, invalid
from kernel.http.views import APIView
from users import services
from users.identity import KeyIdentity
from users.models import User
from users.permissions import actor_of, identity_of, require_on_user, require_reach, scoped
from users.requests import read
from users.selectors import user_in_path
from users.serializers import UpdateRoles, UpdateUserPasswordRequest, UserSerializer
from users.views.accounts import user_response


class StatusView(APIView):
    """The base of the two routes that set a status."""

    permission_classes = [scoped("user:update")]
    status: str

    def answer(self, request: Request, reference: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(reference, viewer=caller)
        require_on_user(caller, "user:update", user_id=target.id, user_roles=target.roles)
        changed = services.set_status(
            target, self.status, actor=actor_of(request), now=timezone.now()
        )
        return user_response(changed)


class ActivateView(StatusView):
    status = User.Status.ACTIVE

    @extend_schema(
        operation_id="activate-user-account",
        summary="Activate user account",
        tags=["Users"],
        description="Lets the user in again.",
        request=None,
        responses={200: UserSerializer},
    )
    def put(self, request: Request, user: str) -> Response:
        return self.answer(request, user)


class SuspendView(StatusView):
    status = User.Status.SUSPENDED

    @extend_schema(
        operation_id="suspend-user-account",
        summary="Suspend user account",
        tags=["Users"],
        description="Refuses the user and every token of theirs until they are activated.",
        request=None,
        responses={200: UserSerializer},
    )
    def put(self, request: Request, user: str) -> Response:
        return self.answer(request, user)


class PasswordView(APIView):
    permission_classes = [scoped("user:update")]

    @extend_schema(
        operation_id="update-user-password",
        summary="Update user password",
        tags=["Users"],
        description="Sets a password: one's own with the old one, anybody's as an owner or user "
        "admin. It ends every other session token of the user.",
        request=UpdateUserPasswordRequest,
        responses={204: None},
    )
    def put(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        wanted = read(UpdateUserPasswordRequest, request)
        _require_password_right(caller, target, wanted["old_password"])
        own = target.id == caller.user_id
        services.set_password(
            target,
            wanted["password"],
            actor=actor_of(request),
            now=timezone.now(),
            kept_key_id=caller.key_id if own else "",
        )
        return Response(status=204)


def _require_password_right(caller: KeyIdentity, target: User, old_password: str) -> None:
    """Raises: APIError unless the caller may set the target's password."""
    if target.id != caller.user_id:
        require_on_user(caller, "user:update", user_id=target.id, user_roles=target.roles)
        return
    require_reach(caller, "user", target.id)
    if not old_password:
        raise invalid(Validation("old_password", "Your old password is needed."))
    if not target.check_password(old_password):
        raise invalid(Validation("old_password", "This is not your old password."))


class RolesView(APIView):
    permission_classes = [scoped("user:update")]

    @extend_schema(
        operation_id="assign-role-to-user",
        summary="Assign role to user",
        tags=["Users"],
        description="Gives the user exactly these roles; everybody is a member besides.",
        request=UpdateRoles,
        responses={200: UserSerializer},
    )
    def put(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        require_on_user(caller, "user:assign_role", user_id=target.id, user_roles=target.roles)
        wanted = read(UpdateRoles, request)
        changed = services.set_roles(
            target, wanted["roles"], actor=actor_of(request), now=timezone.now()
        )
        return user_response(changed)
