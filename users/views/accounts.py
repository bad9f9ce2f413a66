from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http.errors import forbidden
from kernel.http.schema import ResponseSerializer
from kernel.http.views import APIView
from users import allow_lists, selectors, services
from users.models import User
from users.permissions import (
    actor_of,
    identity_of,
    listing,
    may,
    require_on_user,
    require_reach,
    scoped,
)
from users.requests import read, whole_number
from users.selectors import DEFAULT_LIMIT, MAX_LIMIT, user_in_path
from users.serializers import (
    CreateUserRequest,
    GetUsersResponse,
    UserLoginType,
    UserSerializer,
)


def user_response(user: User, *, status: int = 200) -> Response:
    context = {"organization_id": services.organization_id()}
    return Response(UserSerializer(user, context=context).data, status=status)


class UsersView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        if self.request.method == "POST":
            return [may("user:create")()]
        return [listing("user:read")()]

    @extend_schema(
        operation_id="get-users",
        summary="Get users",
        tags=["Users"],
        description="The users that a search finds, by name.",
        parameters=[
            OpenApiParameter(
                "q",
                str,
                description="Part of a name or e-mail address; `status:` and `role:` choose.",
            ),
            OpenApiParameter(
                "limit", int, description=f"{DEFAULT_LIMIT} if absent or 0, at most {MAX_LIMIT}."
            ),
            OpenApiParameter("offset", int, description="How many to leave out before the page."),
        ],
        responses={200: GetUsersResponse},
    )
    def get(self, request: Request) -> Response:
        limit = whole_number(request, "limit", default=DEFAULT_LIMIT, most=MAX_LIMIT)
        page = selectors.search(
            request.query_params.get("q", ""),
            ids=allow_lists.ids(identity_of(request).allow_list, "user"),
            limit=limit or DEFAULT_LIMIT,
            offset=whole_number(request, "offset", default=0, most=2**31),
        )
        context = {"organization_id": services.organization_id()}
        return Response(GetUsersResponse(page, context=context).data)

    @extend_schema(
        operation_id="create-new-user",
        summary="Create new user",
        tags=["Users"],
        description="Creates a user without roles.",
        request=CreateUserRequest,
        responses={201: UserSerializer, 409: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        wanted = read(CreateUserRequest, request)
        wanted["status"] = wanted.pop("user_status")
        user = services.create_user(
            services.NewUser(**wanted), actor=actor_of(request), now=timezone.now()
        )
        return user_response(user, status=201)


class UserView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [scoped("user:delete" if self.request.method == "DELETE" else "user:read")()]

    @extend_schema(
        operation_id="get-user-by-name",
        summary="Get user by name",
        tags=["Users"],
        description="One user.",
        responses={200: UserSerializer},
    )
    def get(self, request: Request, user: str) -> Response:
        viewer = identity_of(request)
        target = user_in_path(user, viewer=viewer)
        require_reach(viewer, "user", target.id)
        return user_response(target)

    @extend_schema(
        operation_id="delete-user",
        summary="Delete user",
        tags=["Users"],
        description="Deletes the user with their session tokens and token config.",
        responses={200: ResponseSerializer},
    )
    def delete(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        require_on_user(caller, "user:delete", user_id=target.id, user_roles=target.roles)
        services.delete_user(target, actor=actor_of(request), now=timezone.now())
        return Response({"message": "The user has been deleted."})


class LoginTypeView(APIView):
    permission_classes = [scoped("user:read")]

    @extend_schema(
        operation_id="get-user-login-type",
        summary="Get user login type",
        tags=["Users"],
        description="How one signs in oneself.",
        responses={200: UserLoginType},
    )
    def get(self, request: Request, user: str) -> Response:
        viewer = identity_of(request)
        target = user_in_path(user, viewer=viewer)
        require_reach(viewer, "user", target.id)
        if target.id != viewer.user_id:
            raise forbidden("Everybody sees their own login type only.")
        return Response(UserLoginType({"login_type": "password"}).data)
