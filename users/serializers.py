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
    about = "The first user of the deployment."
    example = {
        "email": "ada@example.com",
        "username": "ada",
        "name": "Ada Lovelace",
        "password": "a-good-long-one",
    }

    email = serializers.EmailField(
        max_length=254,
        help_text="The address to sign in with. No other user may have it, in upper or lower case.",
    )
    username = TextField(
        max_length=255,
        help_text="1 to 32 letters and digits, with single hyphens between them. No other user may "
        "have it, in upper or lower case.",
    )
    name = OptionalTextField(max_length=128, help_text="The full name.")
    password = TextField(
        max_length=255, help_text="The password: 8 to 64 characters, not easy to guess."
    )


class CreateFirstUserResponse(WireSerializer):
    component = "codersdk.CreateFirstUserResponse"
    about = "The first user that was created."
    example = {
        "user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        "organization_id": "5c2fbb0c-3f8b-4f57-a1d2-2ea0c8b8a7d6",
    }

    user_id = serializers.UUIDField(help_text="The new user's id.")
    organization_id = serializers.UUIDField(help_text="The id of the deployment's organization.")


@extend_schema_field(
    {
        "type": "string",
        "enum": User.Status.values,
        "description": "`active`: may use the service. `dormant`: may too, and becomes active by "
        "that. `suspended`: is refused.",
    },
    component_name="codersdk.UserStatus",
)
class StatusField(serializers.ChoiceField):
    def __init__(self, **more: Any) -> None:
        super().__init__(choices=User.Status.choices, **more)


@extend_schema_field(
    {
        "type": "string",
        "enum": ["password", "token", "none"],
        "description": "`password`: by e-mail address and password. `token`: by a token that was "
        "made for a program; only keys have it. `none`: not at all; service accounts have it.",
    },
    component_name="codersdk.LoginType",
)
class LoginTypeField(serializers.CharField):
    """Shows how a user signs in, or how a key was made."""


class CreateUserRequest(CreateFirstUserRequest):
    component = "codersdk.CreateUserRequestWithOrgs"
    about = "A user to create."
    example = {**CreateFirstUserRequest.example, "user_status": "active"}

    user_status = StatusField(
        required=False,
        default=User.Status.DORMANT,
        help_text="The status to begin with. Absent: `dormant`.",
    )
    password = OptionalTextField(
        max_length=255,
        help_text="8 to 64 characters, not easy to guess. A service account has no password.",
    )
    login_type = serializers.ChoiceField(
        choices=User.LoginType.choices,
        required=False,
        default=User.LoginType.PASSWORD,
        help_text="`none` creates a service account. It cannot sign in; an owner makes its tokens.",
    )
    disable_login = serializers.BooleanField(
        required=False, default=False, help_text="`true` is the same as `login_type` `none`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Returns what `services.NewUser` takes: a service account's password is None."""
        wanted, password = dict(attrs), attrs["password"]
        has_none = wanted.pop("disable_login") or attrs["login_type"] == User.LoginType.NONE
        del wanted["login_type"]
        if has_none and password:
            raise serializers.ValidationError({"password": "A service account takes none."})
        if not has_none and not password:
            raise serializers.ValidationError({"password": "This field is required."})
        return wanted | {"password": None if has_none else password}


class RoleSerializer(WireSerializer):
    component = "codersdk.SlimRole"
    about = "A role that a user has."
    example = {"name": "owner", "display_name": "Owner"}

    name = serializers.CharField(help_text="The role's name in requests.")
    display_name = serializers.CharField(help_text="The role's name for people.")


def slim_roles(user: User) -> list[dict[str, str]]:
    """Returns the user's roles. Shape: [codersdk.SlimRole]."""
    return [
        {"name": name, "display_name": shown}
        for name, shown in DISPLAY_NAMES.items()
        if name in user.roles
    ]


class PermissionSerializer(WireSerializer):
    component = "codersdk.Permission"
    about = "An action that a role allows."
    example = {"action": "read", "negate": False, "resource_type": "user"}

    action = serializers.CharField(help_text="The action. `*`: every action.")
    negate = serializers.BooleanField(help_text="Always false: no role forbids anything.")
    resource_type = serializers.CharField(help_text="The type of resource. `*`: every type.")


class AssignableRoleSerializer(WireSerializer):
    component = "codersdk.AssignableRoles"
    about = "A role that users can have."
    example = {
        "name": "template-admin",
        "display_name": "Template Admin",
        "assignable": True,
        "built_in": True,
        "organization_permissions": [],
        "user_permissions": [],
    }

    name = serializers.CharField(help_text="The role's name in requests.")
    display_name = serializers.CharField(help_text="The role's name for people.")
    assignable = serializers.BooleanField(help_text="Whether the caller may give it to others.")
    built_in = serializers.BooleanField(help_text="Always true: nobody can add roles.")
    site_permissions = PermissionSerializer(
        many=True, help_text="The actions that the role allows beyond those of every user."
    )
    organization_permissions = PermissionSerializer(many=True, help_text="Always empty.")
    user_permissions = PermissionSerializer(many=True, help_text="Always empty.")


class UserRolesSerializer(WireSerializer):
    component = "codersdk.UserRoles"
    about = "The roles of a user, by their names."
    example = {"roles": ["auditor"], "organization_roles": {}}

    roles = serializers.ListField(
        child=serializers.CharField(),
        help_text="The names of the user's roles. `member` is left out.",
    )
    organization_roles = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Always empty: the organization has no roles of its own.",
    )


class NullableTimeField(serializers.DateTimeField):
    """A time; the year 1 stands for never, as in Go."""

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or NEVER


class UserSerializer(WireSerializer):
    """Shows a user. The context holds the `organization_id`, read once for each answer."""

    component = "codersdk.User"
    about = "A user account."
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

    id = serializers.UUIDField(help_text="The user's id. It never changes.")
    username = serializers.CharField(help_text="The name in paths. No two users share it.")
    avatar_url = serializers.CharField(help_text="The address of a picture. Empty: none.")
    name = serializers.CharField(help_text="The full name. It may be empty.")
    email = serializers.EmailField(help_text="The e-mail address. No two users share it.")
    created_at = serializers.DateTimeField(help_text="The time when the user was created.")
    updated_at = serializers.DateTimeField(help_text="The time of the newest change to the user.")
    last_seen_at = NullableTimeField(
        help_text="The time when the user's session tokens were last used, to within an hour. "
        "`0001-01-01T00:00:00Z`: never."
    )
    status = StatusField(help_text="Whether the user may use the service.")
    login_type = LoginTypeField(help_text="The way in which the user signs in.")
    theme_preference = serializers.CharField(
        help_text="The theme of the dashboard. Empty: the dashboard chooses."
    )
    organization_ids = serializers.SerializerMethodField(
        help_text="The organizations of the user: always the deployment's only one."
    )
    roles = serializers.SerializerMethodField(
        help_text="The user's roles. `member`, which every user has, is left out."
    )

    def get_organization_ids(self, user: User) -> list[uuid.UUID]:
        return [self.context["organization_id"]]

    @extend_schema_field(RoleSerializer(many=True))
    def get_roles(self, user: User) -> list[dict[str, str]]:
        return slim_roles(user)


class GetUsersResponse(WireSerializer):
    component = "codersdk.GetUsersResponse"
    about = "A page of the users that were found."
    example = {"count": 1}

    users = UserSerializer(many=True, help_text="The users on this page, sorted by name.")
    count = serializers.IntegerField(
        help_text="The number of users that were found, on all pages together."
    )


class UpdateUserPasswordRequest(RequestSerializer):
    component = "codersdk.UpdateUserPasswordRequest"
    about = "A new password."
    example = {"old_password": "a-good-long-one", "password": "an-even-better-one"}

    old_password = OptionalTextField(
        max_length=255, help_text="The present password. Required to change one's own."
    )
    password = TextField(
        max_length=255, help_text="The new password: 8 to 64 characters, not easy to guess."
    )


class UpdateRoles(RequestSerializer):
    component = "codersdk.UpdateRoles"
    about = "The roles of a user."
    example = {"roles": ["auditor"]}

    roles = BoundedListField(
        child=TextField(max_length=64),
        max_length=32,
        help_text="The names of all roles that the user has from now on. `member` may be left out.",
    )


class UserLoginType(WireSerializer):
    component = "codersdk.UserLoginType"
    about = "The way in which a user signs in."
    example = {"login_type": "password"}

    login_type = LoginTypeField(help_text="The way in which the user signs in.")


class AuthorizationObject(RequestSerializer):
    component = "codersdk.AuthorizationObject"
    about = "The objects that a check is about."
    example = {"resource_type": "deployment_config"}

    resource_type = TextField(
        max_length=64,
        help_text="The type of the objects, such as `user`, `api_key` or `deployment_config`.",
    )
    owner_id = OptionalTextField(
        max_length=64,
        help_text="The id of the user who owns them, or `me`. Empty: whoever owns them.",
    )
    resource_id = OptionalTextField(
        max_length=64, help_text="The UUID of one object. Empty: all objects of the type."
    )


class AuthorizationCheck(RequestSerializer):
    component = "codersdk.AuthorizationCheck"
    about = "A question: whether the caller may do this to these objects."
    example = {"action": "read"}

    object = AuthorizationObject(help_text="The objects.")
    action = TextField(
        max_length=64, help_text="The action, such as `create`, `read`, `update` or `delete`."
    )


class AuthorizationRequest(RequestSerializer):
    component = "codersdk.AuthorizationRequest"
    about = "Questions about what the caller may do."
    example = {
        "checks": {
            "may-read-config": {
                "object": {"resource_type": "deployment_config"},
                "action": "read",
            }
        }
    }

    checks = BoundedDictField(
        most=500,
        required=False,
        default=dict,
        child=AuthorizationCheck(),
        help_text="The questions. The caller names each; the answers have the same names.",
    )


class AuthorizationResponse(WireSerializer):
    component = "codersdk.AuthorizationResponse"
    about = "The answers, each under the name of its question."
    example = {"may-read-config": True}
    schema = {"type": "object", "additionalProperties": {"type": "boolean"}}
