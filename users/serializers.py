from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coderapi.serializers import WireSerializer
from users.models import User
from users.requests import RequestSerializer, TextField
from users.roles import DISPLAY_NAMES

# What Go's clients take for "never".
NEVER = "0001-01-01T00:00:00Z"


class CreateFirstUserRequest(RequestSerializer):
    component = "codersdk.CreateFirstUserRequest"

    email = serializers.EmailField(max_length=254)
    username = TextField(max_length=255)
    name = TextField(max_length=128, required=False, allow_blank=True, default="")
    password = TextField(max_length=255)


class CreateFirstUserResponse(WireSerializer):
    component = "codersdk.CreateFirstUserResponse"

    user_id = serializers.UUIDField()
    organization_id = serializers.UUIDField()


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

    name = serializers.CharField()
    display_name = serializers.CharField()


class NullableTimeField(serializers.DateTimeField):
    """A time; the year 1 stands for never, as in Go."""

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or NEVER


class UserSerializer(WireSerializer):
    """A user. The context's `organization_id` is asked for once an answer, not once a user."""

    component = "codersdk.User"

    id = serializers.UUIDField()
    username = serializers.CharField()
    avatar_url = serializers.CharField()
    name = serializers.CharField()
    email = serializers.EmailField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_seen_at = NullableTimeField()
    status = serializers.ChoiceField(choices=User.Status.choices)
    login_type = serializers.SerializerMethodField()
    theme_preference = serializers.CharField()
    organization_ids = serializers.SerializerMethodField()
    roles = serializers.SerializerMethodField()

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

    users = UserSerializer(many=True)
    count = serializers.IntegerField(help_text="How many there are in all, beyond this page.")


class UpdateUserPasswordRequest(RequestSerializer):
    component = "codersdk.UpdateUserPasswordRequest"

    old_password = TextField(max_length=255, required=False, allow_blank=True, default="")
    password = TextField(max_length=255)


class UpdateRoles(RequestSerializer):
    component = "codersdk.UpdateRoles"

    roles = serializers.ListField(child=TextField(max_length=64), max_length=32)


class UserLoginType(WireSerializer):
    component = "codersdk.UserLoginType"

    login_type = serializers.CharField()


class AuthorizationObject(RequestSerializer):
    component = "codersdk.AuthorizationObject"

    resource_type = TextField(max_length=64)
    owner_id = TextField(
        max_length=64, required=False, allow_blank=True, default="", help_text="A uuid, or me."
    )
    resource_id = TextField(max_length=64, required=False, allow_blank=True, default="")


class AuthorizationCheck(RequestSerializer):
    component = "codersdk.AuthorizationCheck"

    object = AuthorizationObject()
    action = TextField(max_length=64)


class AuthorizationRequest(RequestSerializer):
    component = "codersdk.AuthorizationRequest"

    checks = serializers.DictField(child=AuthorizationCheck())
