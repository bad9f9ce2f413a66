from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.http.rendering import WireSerializer
from users.models import User
from users.requests import (
    BoundedDictField,
    BoundedListField,
    OptionalTextField,
    RequestSerializer,
    TextField,
)
from users.roles import DISPLAY_NAMES

# What Go's clients take for "never".
NEVER = "0001-01-01T00:00:00Z"


class CreateFirstUserRequest(RequestSerializer):
    component = "codersdk.CreateFirstUserRequest"
    example = {
        "email": "ada@example.com",
        "username": "ada",
        "name": "Ada Lovelace",
        "password": "a-good-long-one",
    }

    email = serializers.EmailField(
        max_length=254, help_text="Used to sign in, and unique in any case."
    )
    username = TextField(
        max_length=255, help_text="Letters, digits and single hyphens between them; at most 32."
    )
    name = OptionalTextField(max_length=128, help_text="The full name.")
    password = TextField(max_length=255, help_text="8 to 64 characters.")


class CreateFirstUserResponse(WireSerializer):
    component = "codersdk.CreateFirstUserResponse"

    user_id = serializers.UUIDField(help_text="The new user's id.")
    organization_id = serializers.UUIDField(help_text="The deployment's one organization.")


class CreateUserRequest(CreateFirstUserRequest):
    component = "codersdk.CreateUserRequestWithOrgs"

    user_status = serializers.ChoiceField(
        choices=User.Status.choices,
        required=False,
        default=User.Status.DORMANT,
        help_text="A dormant user becomes active by the first use.",
    )


class RoleSerializer(WireSerializer):
    component = "codersdk.SlimRole"
    example = {"name": "owner", "display_name": "Owner"}

    name = serializers.CharField(help_text="What the API calls the role.")
    display_name = serializers.CharField(help_text="What people call it.")


class NullableTimeField(serializers.DateTimeField):
    """A time; the year 1 stands for never, as in Go."""

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or NEVER


class UserSerializer(WireSerializer):
    """A user."""

    # The context holds the `organization_id`, read once for each answer.
    component = "codersdk.User"
    example = {
        "id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        "username": "ada",
        "avatar_url": "",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "created_at": "2026-01-20T13:59:29Z",
        "updated_at": "2026-01-20T13:59:29Z",
        "last_seen_at": "2026-01-20T14:59:29Z",
        "status": "active",
        "login_type": "password",
        "theme_preference": "",
        "organization_ids": ["5c2fbb0c-3f8b-4f57-a1d2-2ea0c8b8a7d6"],
        "roles": [{"name": "owner", "display_name": "Owner"}],
    }

    id = serializers.UUIDField(help_text="The user's id, for life.")
    username = serializers.CharField(help_text="Unique in any case.")
    avatar_url = serializers.CharField(help_text="A picture; empty without one.")
    name = serializers.CharField(help_text="The full name; may be empty.")
    email = serializers.EmailField(help_text="Unique in any case.")
    created_at = serializers.DateTimeField(help_text="When the user was created.")
    updated_at = serializers.DateTimeField(help_text="When the user was last changed.")
    last_seen_at = NullableTimeField(
        help_text="The newest use of a session token; the year 1 stands for never."
    )
    status = serializers.ChoiceField(
        choices=User.Status.choices,
        help_text="A suspended user is refused; a dormant one becomes active by use.",
    )
    login_type = serializers.SerializerMethodField(help_text="How the user signs in.")
    theme_preference = serializers.CharField(help_text="The dashboard's theme; may be empty.")
    organization_ids = serializers.SerializerMethodField(
        help_text="The deployment's one organization."
    )
    roles = serializers.SerializerMethodField(
        help_text="Without the role of member, which everybody has."
    )

    def get_login_type(self, user: User) -> str:
        return "password"

    def get_organization_ids(self, user: User) -> list[uuid.UUID]:
        return [self.context["organization_id"]]

    @extend_schema_field(RoleSerializer(many=True))
    def get_roles(self, user: User) -> list[dict[str, str]]:
        return [
            {"name": name, "display_name": shown}
            for name, shown in DISPLAY_NAMES.items()
            if name in user.roles
        ]


class GetUsersResponse(WireSerializer):
    component = "codersdk.GetUsersResponse"

    users = UserSerializer(many=True, help_text="This page's users.")
    count = serializers.IntegerField(help_text="How many there are in all, beyond this page.")


class UpdateUserPasswordRequest(RequestSerializer):
    component = "codersdk.UpdateUserPasswordRequest"

    old_password = OptionalTextField(max_length=255, help_text="Needed to change one's own.")
    password = TextField(max_length=255, help_text="8 to 64 characters.")


class UpdateRoles(RequestSerializer):
    component = "codersdk.UpdateRoles"
    example = {"roles": ["auditor"]}

    roles = BoundedListField(
        child=TextField(max_length=64),
        max_length=32,
        help_text="The roles that the user is to have from now on.",
    )


class UserLoginType(WireSerializer):
    component = "codersdk.UserLoginType"
    example = {"login_type": "password"}

    login_type = serializers.CharField(help_text="How the user signs in.")


class AuthorizationObject(RequestSerializer):
    component = "codersdk.AuthorizationObject"

    resource_type = TextField(
        max_length=64, help_text="Such as user, api_key or deployment_config."
    )
    owner_id = OptionalTextField(max_length=64, help_text="A uuid, or me.")
    resource_id = OptionalTextField(
        max_length=64, help_text="One object of the type; empty for any."
    )


class AuthorizationCheck(RequestSerializer):
    component = "codersdk.AuthorizationCheck"

    object = AuthorizationObject(help_text="What would be acted on.")
    action = TextField(max_length=64, help_text="create, read, update or delete.")


class AuthorizationRequest(RequestSerializer):
    component = "codersdk.AuthorizationRequest"

    checks = BoundedDictField(
        most=500,
        child=AuthorizationCheck(),
        help_text="The questions, under names of the caller's choice.",
    )
