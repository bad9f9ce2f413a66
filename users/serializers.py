from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.http.views.rendering import WireSerializer
from users import names
from users.models import User
from users.passwords import MAX_LENGTH, MIN_LENGTH
from users.requests import (
    BoundedDictField,
    BoundedListField,
    OptionalTextField,
    RequestSerializer,
    TextField,
)
from users.roles import DISPLAY_NAMES, ROLE_NAMES
from users.selectors import RESOURCE_TYPES
from users.services import organization

# Go's zero time. Coder's clients show it as "never".
NEVER = "0001-01-01T00:00:00Z"


# `users.passwords` checks the length, and whether a password is common.
PASSWORD = {"minLength": MIN_LENGTH, "maxLength": MAX_LENGTH}
# An empty string means that the user has no password.
OPTIONAL_PASSWORD = {"pattern": rf"^([\s\S]{{{MIN_LENGTH},{MAX_LENGTH}}})?$"}


class CreateFirstUserRequest(RequestSerializer):
    about = "The first user of the deployment."
    example = {
        "email": "ada@example.com",
        "username": "ada",
        "name": "Ada Lovelace",
        "password": "a-good-long-one",
    }

    email = serializers.EmailField(
        max_length=254,
        help_text="The e-mail address. It must be unique, ignoring case.",
    )
    username = TextField(
        max_length=names.MAX_LENGTH,
        validators=[RegexValidator(names.ANY_CASE, names.INVALID)],
        help_text="1 to 32 letters and digits, with single hyphens between them. It must be "
        "unique, ignoring case.",
    )
    name = OptionalTextField(max_length=128, help_text="The full name.")
    password = TextField(
        max_length=255,
        schema=PASSWORD,
        help_text="The password: 8 to 64 characters. Common passwords are rejected.",
    )


class CreateFirstUserResponse(WireSerializer):
    about = "The first user."
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
        "description": "`active`: the user can use the service. `dormant`: the user can use the "
        "service, and becomes `active` at the first use. `suspended`: the user cannot use the "
        "service.",
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
        "description": "`password`: the user signs in with a password, or the key is a session. "
        "`token`: the key is a named token. `none`: the user is a service account and cannot sign "
        "in.",
    },
    component_name="codersdk.LoginType",
)
class LoginTypeField(serializers.CharField):
    """A field for the login type of a user or a key."""


class CreateUserRequestWithOrgs(CreateFirstUserRequest):
    about = "A user to create."
    example = {**CreateFirstUserRequest.example, "user_status": "active"}

    user_status = StatusField(
        source="status",
        default=User.Status.DORMANT,
        help_text="The initial status. The default is `dormant`.",
    )
    password = OptionalTextField(
        max_length=255,
        schema=OPTIONAL_PASSWORD,
        help_text="The password: 8 to 64 characters. Common passwords are rejected. Omit it for a "
        "service account.",
    )
    login_type = serializers.ChoiceField(
        choices=User.LoginType.choices,
        default=User.LoginType.PASSWORD,
        help_text="`none` creates a service account. A service account cannot sign in, so owners "
        "create its tokens.",
    )
    disable_login = serializers.BooleanField(
        default=False, help_text="`true` has the same effect as the `login_type` `none`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments for `User`, and the password. It is None for a service account."""
        disable_login, login_type = attrs.pop("disable_login"), attrs.pop("login_type")
        is_service_account = disable_login or login_type == User.LoginType.NONE
        password = attrs["password"]
        if is_service_account and password:
            raise serializers.ValidationError(
                {"password": "A service account cannot have a password."}
            )
        if not is_service_account and not password:
            raise serializers.ValidationError({"password": "This field is required."})
        return attrs | {"password": password or None}


class SlimRoleSerializer(WireSerializer):
    about = "A role of a user."
    example = {"name": "owner", "display_name": "Owner"}

    name = serializers.CharField(help_text="The role's name, for use in requests.")
    display_name = serializers.CharField(help_text="The role's display name.")


@extend_schema_field(SlimRoleSerializer(many=True))
class RolesField(serializers.ListField):
    """A field for the names of roles. Renders each with its display name."""

    def to_representation(self, value: Collection[str]) -> list[dict[str, str]]:
        return [
            {"name": name, "display_name": shown}
            for name, shown in DISPLAY_NAMES.items()
            if name in value
        ]


class PermissionSerializer(WireSerializer):
    about = "An action that a role allows."
    example = {"action": "read", "negate": False, "resource_type": "user"}

    action = serializers.CharField(help_text="The action. `*`: all actions.")
    negate = serializers.BooleanField(help_text="Always false.")
    resource_type = serializers.CharField(help_text="The type of the resource. `*`: all types.")


class AssignableRolesSerializer(WireSerializer):
    about = "A role, with its permissions."
    example = {
        "name": "template-admin",
        "display_name": "Template Admin",
        "assignable": True,
        "built_in": True,
        "organization_permissions": [],
        "user_permissions": [],
    }

    name = serializers.CharField(help_text="The role's name, for use in requests.")
    display_name = serializers.CharField(help_text="The role's display name.")
    assignable = serializers.BooleanField(
        help_text="Whether the caller may assign the role to users."
    )
    built_in = serializers.BooleanField(
        help_text="Always true, because custom roles cannot be created."
    )
    site_permissions = PermissionSerializer(
        many=True,
        help_text="The actions that the role allows, in addition to those that every user may do.",
    )
    organization_permissions = PermissionSerializer(many=True, help_text="Always empty.")
    user_permissions = PermissionSerializer(many=True, help_text="Always empty.")


class UserRolesSerializer(WireSerializer):
    about = "The names of a user's roles."
    example = {"roles": ["auditor"], "organization_roles": {}}

    roles = serializers.ListField(
        child=serializers.CharField(),
        help_text="The names of the user's roles, without `member`.",
    )
    organization_roles = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Always empty, because organization roles are not supported.",
    )


class NullableTimeField(serializers.DateTimeField):
    """A field for a time. Renders None as Go's zero time."""

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or NEVER


class AccountSerializer(WireSerializer):
    """The members that users and members of the organization share."""

    example = {
        "username": "ada",
        "avatar_url": "",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "created_at": "2026-01-20T13:59:29Z",
        "updated_at": "2026-01-20T13:59:29Z",
    }

    id = serializers.UUIDField(help_text="The user's id. It never changes.")
    username = serializers.CharField(help_text="The username. It is unique.")
    avatar_url = serializers.CharField(help_text="The URL of a picture, or empty.")
    name = serializers.CharField(help_text="The full name, or empty.")
    email = serializers.EmailField(help_text="The e-mail address. It is unique.")
    created_at = serializers.DateTimeField(help_text="The time of creation.")
    updated_at = serializers.DateTimeField(help_text="The time of the last change.")


class UserSerializer(AccountSerializer):
    about = "A user account."
    example = {
        "id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        **AccountSerializer.example,
        "last_seen_at": "2026-01-20T14:59:29Z",
        "status": "active",
        "login_type": "password",
        "theme_preference": "",
        "organization_ids": ["5c2fbb0c-3f8b-4f57-a1d2-2ea0c8b8a7d6"],
        "roles": [SlimRoleSerializer.example],
    }

    last_seen_at = NullableTimeField(
        help_text="The time of the last use of a session token, accurate to one hour. "
        "`0001-01-01T00:00:00Z`: never used."
    )
    status = StatusField(help_text="The status of the account.")
    login_type = LoginTypeField(help_text="The login type of the user.")
    theme_preference = serializers.CharField(
        help_text="The theme of the dashboard. Empty for the dashboard's default theme."
    )
    organization_ids = serializers.SerializerMethodField(
        help_text="The ids of the user's organizations. There is exactly one."
    )
    roles = RolesField(help_text="The user's roles, without `member`.")

    def get_organization_ids(self, user: User) -> list[uuid.UUID]:
        return [organization().organization_id]


class GetUsersResponse(WireSerializer):
    about = "A page of the matching users."
    example = {"count": 1}

    users = UserSerializer(many=True, help_text="The users on this page, ordered by username.")
    count = serializers.IntegerField(help_text="The number of matching users on all pages.")


class UpdateUserPasswordRequest(RequestSerializer):
    about = "A new password of a user."
    example = {"old_password": "a-good-long-one", "password": "an-even-better-one"}

    old_password = OptionalTextField(
        max_length=255, help_text="The current password. It is required for your own account."
    )
    password = TextField(
        max_length=255,
        schema=PASSWORD,
        help_text="The new password: 8 to 64 characters. Common passwords are rejected.",
    )


class UpdateRoles(RequestSerializer):
    about = "The new roles of a user."
    example = {"roles": ["auditor"]}

    roles = BoundedListField(
        child=TextField(max_length=64, schema={"enum": list(ROLE_NAMES)}),
        max_length=32,
        help_text="The names of the new roles. They replace all roles of the user. `member` may "
        "be omitted.",
    )


class UserLoginType(WireSerializer):
    about = "The login type of a user."
    example = {"login_type": "password"}

    login_type = LoginTypeField(help_text="The login type of the user.")


class AuthorizationObject(RequestSerializer):
    about = "The objects of an authorization check."
    example = {"resource_type": "deployment_config"}

    # `users.selectors` rejects unknown types and ids.
    resource_type = TextField(
        max_length=64,
        schema={"enum": sorted(RESOURCE_TYPES)},
        help_text="The type of the objects, for example `user`, `api_key` or `deployment_config`.",
    )
    owner_id = OptionalTextField(
        max_length=64,
        help_text="The id of the user who owns the objects, or `me`. Empty: any owner.",
    )
    resource_id = OptionalTextField(
        max_length=64,
        schema={"pattern": f"^({names.UUID})?$"},
        help_text="The UUID of one object. Empty: all objects of the type.",
    )


class AuthorizationCheck(RequestSerializer):
    about = "An authorization check: whether the caller may do an action on objects."
    example = {"action": "read"}

    object = AuthorizationObject(help_text="The objects.")
    action = TextField(
        max_length=64, help_text="The action, for example `create`, `read`, `update` or `delete`."
    )


class AuthorizationRequest(RequestSerializer):
    about = "A set of authorization checks for the caller."
    example = {
        "checks": {
            "may-read-config": {
                "object": {"resource_type": "deployment_config"},
                "action": "read",
            }
        }
    }

    checks = BoundedDictField(
        limit=500,
        default=dict,
        child=AuthorizationCheck(),
        help_text="The checks by name. The caller chooses the names.",
    )


class AuthorizationResponse(WireSerializer):
    about = "The results by the name of the check. `true`: the action is allowed."
    example = {"may-read-config": True}
    schema = {"type": "object", "additionalProperties": {"type": "boolean"}}
