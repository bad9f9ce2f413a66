from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.services import Actor, actor_of
from kernel.http.errors import APIError, forbidden
from kernel.http.results import results_of
from kernel.http.schema import ResponseSerializer, operation
from kernel.http.views.base import APIView, PublicAPIView, json_response, tagged
from users import allow_lists, selectors, services
from users.erasure import delete_user
from users.models import User
from users.permissions import (
    Authenticated,
    KeyIdentity,
    MayListUsers,
    identity_of,
    may,
    require,
    scoped,
)
from users.requests import MAX_LIMIT, MAX_OFFSET, page_parameters, read, whole_number
from users.selectors import user_in_path
from users.serializers import (
    AssignableRolesSerializer,
    AuthorizationRequest,
    AuthorizationResponse,
    CreateFirstUserRequest,
    CreateFirstUserResponse,
    CreateUserRequestWithOrgs,
    GetUsersResponse,
    UpdateRoles,
    UpdateUserPasswordRequest,
    UserLoginType,
    UserRolesSerializer,
    UserSerializer,
)

DEFAULT_LIMIT = 25
CHANGED = "Another request changed the user at the same time. Try again."


class UserRouteView(APIView):
    """The base class for views with `{user}` in the path.

    `actions` maps HTTP methods to the required permissions.
    """

    tag = "Users"
    actions: ClassVar[Mapping[str, str]]

    @property
    def action(self) -> str:
        method = str(self.request.method)
        return self.actions["GET" if method == "HEAD" else method]

    @property
    def caller(self) -> KeyIdentity:
        return identity_of(self.request)

    def get_permissions(self) -> list[BasePermission]:
        return [scoped(self.action)()]

    def user_in_path(self, reference: str) -> User:
        """Returns the user in the path.

        Raises: APIError 400 for an unknown user, or if the caller may not read the user.
        """
        return user_in_path(reference, viewer=self.caller)

    def target(self, reference: str) -> User:
        """Returns the user in the path.

        Raises: APIError as `user_in_path`, and 403 or 404 if the action is not allowed.
        """
        found = self.user_in_path(reference)
        require(self.caller, self.action, on=found)
        return found


def searched(request: Request, query: str = "", *, absent: int) -> tuple[list[User], int]:
    """Returns a page of the users that the caller may list, and the number of all matches.

    `absent` is the page size if the request has no `limit`.
    """
    return selectors.search(
        query,
        ids=allow_lists.ids(identity_of(request).allow_list, "user"),
        limit=whole_number(request, "limit", limit=MAX_LIMIT) or absent,
        offset=whole_number(request, "offset", limit=MAX_OFFSET),
    )


def user_response(user: User, *, status: int = 200) -> HttpResponse:
    return json_response(UserSerializer().to_representation(user), status=status)


class FirstUserView(PublicAPIView):
    tag = "Users"
    rate_limit = "SIGN_IN_RATE_LIMIT"

    @operation(
        "Check initial user created",
        description="Returns whether the deployment has a user. Without a user, clients can "
        "offer to create the first one.",
        answers={
            200: "The initial user has been created.",
            404: "The first user does not exist yet.",
        },
    )
    def get(self, request: Request) -> HttpResponse:
        if not selectors.user_exists():
            raise APIError(404, "The initial user was not found: it does not exist yet.")
        return json_response({"message": "The initial user has been created."})

    @operation(
        "Create initial user",
        description="Creates the first user, with the role owner. Works only before the "
        "deployment has a user. No session token is needed.",
        body=CreateFirstUserRequest,
        answers={201: CreateFirstUserResponse, 409: "The deployment already has a user."},
    )
    def post(self, request: Request) -> HttpResponse:
        services.require_no_user()
        wanted = read(CreateFirstUserRequest, request)
        address = results_of(request).address
        actor, now = Actor(name=wanted["username"][:64], address=address), timezone.now()
        password, user = wanted.pop("password"), User(**wanted)
        services.create_first_user(user, password, actor=actor, now=now)
        answer = {"user_id": user.id, "organization_id": services.organization().organization_id}
        return json_response(CreateFirstUserResponse(answer).data, status=201)


class UsersView(APIView):
    tag = "Users"

    def get_permissions(self) -> list[BasePermission]:
        return [may("user:create")() if self.request.method == "POST" else MayListUsers()]

    @operation(
        "Get users",
        description="Searches for users and returns one page of the matches. Requires the role "
        "owner, auditor, user admin or template admin.",
        parameters=[
            OpenApiParameter(
                "q",
                str,
                description="The search. Users must match all words. A word is a part of a "
                "username, name or e-mail address, or a filter. Filters: `status:active`, "
                "`role:owner`, `login_type:none`, and times: "
                '`last_seen_before:"2026-01-31T12:00:00Z"`, `last_seen_after:`, `created_before:` '
                "and `created_after:`.",
            ),
            *page_parameters(absent=str(DEFAULT_LIMIT), skipped="users"),
        ],
        answers={200: GetUsersResponse, 304: None, 403: ResponseSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        users, count = searched(request, request.query_params.get("q", ""), absent=DEFAULT_LIMIT)
        return tagged(GetUsersResponse({"users": users, "count": count}).data, request=request)

    @operation(
        "Create new user",
        description="Creates a user without roles. With the `login_type` `none`, creates a "
        "service account. Requires the role owner or user admin.",
        body=CreateUserRequestWithOrgs,
        answers={
            201: UserSerializer,
            403: ResponseSerializer,
            409: "Another user has the e-mail address or the username.",
        },
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = read(CreateUserRequestWithOrgs, request)
        password, user = wanted.pop("password"), User(**wanted)
        services.create_user(user, password, actor=actor_of(request), now=timezone.now())
        return user_response(user, status=201)


class UserView(UserRouteView):
    actions = {"GET": "user:read", "DELETE": "user:delete"}

    @operation(
        "Get user by name",
        description="Returns a user. Members can only get their own account.",
        answers={200: UserSerializer},
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        return user_response(self.target(user))

    @operation(
        "Delete user",
        description="Deletes a user, and the user's session tokens and token policy. Requires the "
        "role owner or user admin. The last active owner cannot be deleted.",
        answers={200: "The user has been deleted.", 403: ResponseSerializer, 409: CHANGED},
    )
    def delete(self, request: Request, user: str) -> HttpResponse:
        delete_user(self.target(user), actor=actor_of(request), now=timezone.now())
        return json_response({"message": "The user has been deleted."})


class LoginTypeView(UserRouteView):
    actions = {"GET": "user:read"}

    @operation(
        "Get user login type",
        description="Returns the login type of the caller. Works only for your own account.",
        answers={200: UserLoginType, 403: "The user in the path is not the caller."},
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        found = self.target(user)
        if found.id != self.caller.user_id:
            raise forbidden("You can only get your own login type.")
        return json_response(UserLoginType(found).data)


class StatusView(UserRouteView):
    """The base class of the views that set a user's status."""

    actions = {"PUT": "user:update"}
    status: str

    def answer(self, reference: str) -> HttpResponse:
        target, actor, now = self.target(reference), actor_of(self.request), timezone.now()
        return user_response(services.set_status(target, self.status, actor=actor, now=now))


class ActivateView(StatusView):
    status = User.Status.ACTIVE

    @operation(
        "Activate user account",
        description="Activates a suspended user. Requires the role owner or user admin.",
        answers={200: UserSerializer, 403: ResponseSerializer, 409: CHANGED},
    )
    def put(self, request: Request, user: str) -> HttpResponse:
        return self.answer(user)


class SuspendView(StatusView):
    status = User.Status.SUSPENDED

    @operation(
        "Suspend user account",
        description="Suspends a user. The user's session tokens are rejected until the user is "
        "activated. Requires the role owner or user admin. The last active owner cannot be "
        "suspended.",
        answers={200: UserSerializer, 403: ResponseSerializer, 409: CHANGED},
    )
    def put(self, request: Request, user: str) -> HttpResponse:
        return self.answer(user)


class PasswordView(UserRouteView):
    actions = {"PUT": "user:update_personal"}

    @operation(
        "Update user password",
        description="Sets the password of a user, and deletes the user's other session tokens. To "
        "change your own password, send the old password. To set the password of another user, you "
        "need the role owner or user admin.",
        body=UpdateUserPasswordRequest,
        answers={204: None, 403: ResponseSerializer, 409: CHANGED},
    )
    def put(self, request: Request, user: str) -> HttpResponse:
        target, caller = self.target(user), self.caller
        wanted = read(UpdateUserPasswordRequest, request)
        new, old = wanted["password"], wanted["old_password"]
        actor, now = actor_of(request), timezone.now()
        if target.id == caller.user_id:
            services.change_own_password(
                target, new, old_password=old, actor=actor, now=now, key_id=caller.key_id
            )
        else:
            services.set_password(target, new, actor=actor, now=now)
        return HttpResponse(status=204)


class RolesView(UserRouteView):
    actions = {"GET": "user:read", "PUT": "assign_role:assign"}

    @operation(
        "Get user roles",
        description="Returns the names of the user's roles.",
        answers={200: UserRolesSerializer},
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        found = {"roles": self.target(user).roles, "organization_roles": {}}
        return json_response(UserRolesSerializer(found).data)

    @operation(
        "Assign role to user",
        description="Replaces the roles of a user. Requires the role owner. You cannot change your "
        "own roles. You cannot remove the last active owner.",
        body=UpdateRoles,
        answers={200: UserSerializer, 403: ResponseSerializer, 409: CHANGED},
    )
    def put(self, request: Request, user: str) -> HttpResponse:
        target, roles = self.target(user), read(UpdateRoles, request)["roles"]
        actor, now = actor_of(request), timezone.now()
        return user_response(services.set_roles(target, roles, actor=actor, now=now))


class SiteRolesView(APIView):
    tag = "Members"
    permission_classes = [may("assign_role:read")]

    @operation(
        "Get site member roles",
        description="Lists all roles with their permissions.",
        answers={200: AssignableRolesSerializer(many=True), 403: ResponseSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        found = selectors.assignable_roles(identity_of(request))
        return json_response(AssignableRolesSerializer(found, many=True).data)


class AuthCheckView(APIView):
    tag = "Authorization"
    writes = False
    permission_classes = [Authenticated]

    @operation(
        "Check authorization",
        description="Returns for each check whether the caller may do the action. The result "
        "depends on the user's roles, and on the scopes and the allow list of the session token.",
        body=AuthorizationRequest,
        answers={200: AuthorizationResponse},
    )
    def post(self, request: Request) -> HttpResponse:
        checks = read(AuthorizationRequest, request)["checks"]
        return json_response(selectors.authorization(identity_of(request), checks))
