"""The operations for the only organization. All users are its members.

Coder's clients need an organization, for example to create a user.
"""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from kernel.http.errors import not_found
from kernel.http.schema import ResponseSerializer, operation
from kernel.http.views.base import APIView, json_response, tagged, whole_list
from kernel.http.views.rendering import WireSerializer
from users import allow_lists, selectors, services
from users.models import Organization, User
from users.names import normal_id
from users.permissions import MayListUsers, identity_of, may
from users.requests import MAX_LIMIT, page_parameters
from users.serializers import AccountSerializer, RolesField, SlimRoleSerializer
from users.views import UserRouteView, searched

# Coder's clients use this name in paths for the default organization.
DEFAULT = "default"


class OrganizationSerializer(WireSerializer):
    about = "The only organization. All users are members."
    example = {
        "id": "5c2fbb0c-3f8b-4f57-a1d2-2ea0c8b8a7d6",
        "name": "coder",
        "display_name": "Coder",
        "description": "",
        "icon": "",
        "created_at": "2026-01-20T13:59:29Z",
        "updated_at": "2026-01-20T13:59:29Z",
        "is_default": True,
    }

    id = serializers.UUIDField(
        source="organization_id", help_text="The organization's id. It never changes."
    )
    name = serializers.CharField(source="NAME", help_text="The name, for use in paths.")
    display_name = serializers.CharField(source="DISPLAY_NAME", help_text="The display name.")
    description = serializers.CharField(default="", help_text="Always empty.")
    icon = serializers.CharField(default="", help_text="Always empty.")
    created_at = serializers.DateTimeField(help_text="The time of creation.")
    updated_at = serializers.DateTimeField(
        source="created_at", help_text="The same as `created_at`."
    )
    is_default = serializers.BooleanField(default=True, help_text="Always true.")


class MemberSerializer(AccountSerializer):
    component = "codersdk.OrganizationMemberWithUserData"
    about = "A user as a member of the organization."
    example = {
        "user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        "organization_id": OrganizationSerializer.example["id"],
        **AccountSerializer.example,
        "roles": [],
        "global_roles": [SlimRoleSerializer.example],
    }

    id = None  # type: ignore[assignment]  # Removes the field.
    user_id = serializers.UUIDField(source="id", help_text="The user's id.")
    organization_id = serializers.SerializerMethodField(help_text="The organization's id.")
    roles = serializers.SerializerMethodField(
        help_text="Always empty, because organization roles are not supported."
    )
    global_roles = RolesField(source="roles", help_text="The user's roles, without `member`.")

    def get_organization_id(self, user: User) -> uuid.UUID:
        return services.organization().organization_id

    @extend_schema_field(SlimRoleSerializer(many=True))
    def get_roles(self, user: User) -> list[dict[str, str]]:
        return []


class PaginatedMembersResponse(WireSerializer):
    about = "A page of the organization's members."
    example = {"members": [MemberSerializer.example], "count": 1}

    members = MemberSerializer(
        many=True, help_text="The members on this page, ordered by username."
    )
    count = serializers.IntegerField(help_text="The number of members on all pages.")


def organization_in_path(reference: str) -> Organization:
    """Returns the organization if the reference is its id or name. Raises: APIError 404."""
    found = services.organization()
    if normal_id(reference).lower() not in {str(found.organization_id), Organization.NAME, DEFAULT}:
        raise not_found()
    return found


def organizations_response(request: Request) -> HttpResponse:
    found = OrganizationSerializer([services.organization()], many=True)
    return tagged(found.data, request=request)


class OrganizationsView(APIView):
    tag = "Organizations"
    permission_classes = [may("organization:read")]

    @operation(
        "Get organizations",
        description="Lists all organizations. There is exactly one.",
        answers={200: OrganizationSerializer(many=True), 304: None, 403: ResponseSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return organizations_response(request)


class OrganizationView(APIView):
    tag = "Organizations"
    permission_classes = [may("organization:read")]

    @operation(
        "Get organization by ID",
        description="Returns the organization.",
        answers={200: OrganizationSerializer, 403: ResponseSerializer},
    )
    def get(self, request: Request, organization: str) -> HttpResponse:
        return json_response(OrganizationSerializer(organization_in_path(organization)).data)


class OfUserView(UserRouteView):
    actions = {"GET": "user:read"}

    @operation(
        "Get organizations by user",
        description="Lists the organizations of the user. There is exactly one.",
        answers={200: OrganizationSerializer(many=True), 304: None},
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        self.target(user)
        return organizations_response(request)


class OneOfUserView(UserRouteView):
    actions = {"GET": "user:read"}

    @operation(
        "Get organization by user and organization name",
        description="Returns the organization.",
        answers={200: OrganizationSerializer},
    )
    def get(self, request: Request, user: str, organization: str) -> HttpResponse:
        self.target(user)
        return json_response(OrganizationSerializer(organization_in_path(organization)).data)


class MembersView(APIView):
    tag = "Members"
    permission_classes = [MayListUsers]

    @operation(
        "List organization members",
        description="Lists all members, ordered by username. Requires a role that may list users.",
        answers={200: MemberSerializer(many=True), 403: ResponseSerializer},
    )
    def get(self, request: Request, organization: str) -> HttpResponseBase:
        organization_in_path(organization)
        ids = allow_lists.ids(identity_of(request).allow_list, "user")
        return whole_list(
            request,
            selectors.matching_users(ids=ids),
            render=MemberSerializer().to_representation,
            operation_id="list-organization-members",
        )


class PaginatedMembersView(APIView):
    tag = "Members"
    permission_classes = [MayListUsers]

    @operation(
        "Paginated organization members",
        description="Lists one page of the members, ordered by username. Requires a role that may "
        "list users.",
        parameters=page_parameters(absent=str(MAX_LIMIT), skipped="members"),
        answers={200: PaginatedMembersResponse, 304: None, 403: ResponseSerializer},
    )
    def get(self, request: Request, organization: str) -> HttpResponse:
        organization_in_path(organization)
        members, count = searched(request, absent=MAX_LIMIT)
        found = {"members": members, "count": count}
        return tagged(PaginatedMembersResponse(found).data, request=request)
