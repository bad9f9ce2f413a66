from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from kernel.durations import whole_seconds
from kernel.http import wire
from kernel.http.rendering import WireSerializer
from tokens.models import APIKey
from tokens.selectors import SHOWN
from users.requests import (
    BoundedListField,
    OptionalTextField,
    RequestSerializer,
    TextField,
    WholeNumberField,
)
from users.scopes import canonical, legacy_name
from users.serializers import NEVER


class TokenConfigSerializer(WireSerializer):
    component = "codersdk.TokenConfig"
    example = {"max_token_lifetime": 3_155_760_000_000_000_000}

    max_token_lifetime = serializers.IntegerField(
        help_text="The longest lifetime that a new token of this user may have, in nanoseconds."
    )


class SaidSerializer(WireSerializer):
    component = "coderapi.TokenLimitOpinion"

    rule = serializers.CharField(help_text="Where a limit can come from.")
    value = serializers.JSONField(help_text="null where the rule says nothing.")


class LimitSerializer(WireSerializer):
    component = "coderapi.TokenLimit"

    name = serializers.CharField(help_text="What is limited.")
    value = serializers.JSONField(help_text="Lifetimes in nanoseconds; null is no limit.")
    rule = serializers.CharField(help_text="The rule that won.")
    explanation = serializers.CharField(help_text="The same for people.")
    said = SaidSerializer(many=True, help_text="What each rule says, the strongest first.")


class TokenPolicySerializer(WireSerializer):
    component = "coderapi.TokenPolicy"

    user_id = serializers.UUIDField(help_text="Whom the limits are for.")
    username = serializers.CharField(help_text="The same user's name.")
    limits = LimitSerializer(many=True, help_text="One entry for each limit.")


class AllowListEntry(WireSerializer):
    component = "codersdk.APIAllowListTarget"
    example = {"type": "*", "id": "*"}

    type = serializers.CharField(help_text="A type of resource, or *.")
    id = serializers.CharField(help_text="A uuid, or *.")


class APIKeySerializer(WireSerializer):
    """A key, without its secret."""

    # It describes what `key_object` makes: a list of ten thousand keys is rendered by hand.

    component = "codersdk.APIKey"
    example = {
        "id": "aBcDeFgHiJ",
        "user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        "last_used": "0001-01-01T00:00:00Z",
        "expires_at": "2026-01-27T13:59:29Z",
        "created_at": "2026-01-20T13:59:29Z",
        "updated_at": "2026-01-20T13:59:29Z",
        "login_type": "token",
        "scope": "all",
        "scopes": ["coder:all"],
        "token_name": "ci",
        "lifetime_seconds": 604_800,
    }

    id = serializers.CharField(help_text="The ten characters before the secret.")
    user_id = serializers.UUIDField(help_text="Whose key it is.")
    last_used = serializers.DateTimeField(help_text="The year 1 stands for never.")
    expires_at = serializers.DateTimeField(help_text="From then on it is refused.")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    updated_at = serializers.DateTimeField(help_text="When it was last changed.")
    login_type = serializers.ChoiceField(
        choices=["password", "token"],
        help_text="`password` for a session, `token` for a token with a name.",
    )
    scope = serializers.CharField(
        allow_blank=True, help_text="all, application_connect, or empty for other scopes."
    )
    scopes = serializers.ListField(
        child=serializers.CharField(),
        help_text="What the key may do, within what the user's roles allow.",
    )
    token_name = serializers.CharField(allow_blank=True, help_text="Empty for a session's key.")
    lifetime_seconds = serializers.IntegerField(
        help_text="How long it lives after its last renewal, in seconds."
    )
    allow_list = AllowListEntry(many=True, help_text="What the key may be used on.")


class APIKeyWithOwnerSerializer(APIKeySerializer):
    component = "codersdk.APIKeyWithOwner"
    example = {**APIKeySerializer.example, "username": "ada"}

    username = serializers.CharField(help_text="Whose key it is.")


def key_object(key: APIKey) -> Any:
    """Renders a key for the current wire. Shape: codersdk.APIKey."""
    return wire.apply("codersdk.APIKey", _members({name: getattr(key, name) for name in SHOWN}))


def token_object(row: Mapping[str, Any]) -> Any:
    """Renders a row of `selectors.tokens` likewise. Shape: codersdk.APIKeyWithOwner."""
    members = {**_members(row), "username": row["user__username"]}
    return wire.apply("codersdk.APIKeyWithOwner", members)


def _members(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "user_id": row["user_id"],
        "last_used": _time(row["last_used"]),
        "expires_at": _time(row["expires_at"]),
        "created_at": _time(row["created_at"]),
        "updated_at": _time(row["updated_at"]),
        "login_type": row["login_type"],
        "scope": legacy_name(row["scopes"]),
        "scopes": [canonical(scope) for scope in row["scopes"]],
        "token_name": row["token_name"],
        "lifetime_seconds": whole_seconds(row["lifetime_ns"]),
        "allow_list": row["allow_list"],
    }


def _time(moment: datetime | None) -> str:
    return moment.isoformat().replace("+00:00", "Z") if moment else NEVER


class CreateTokenRequest(RequestSerializer):
    component = "codersdk.CreateTokenRequest"
    example = {"lifetime": 604_800_000_000_000, "token_name": "ci", "scopes": ["coder:all"]}

    lifetime = WholeNumberField(
        required=False, default=0, help_text="In nanoseconds; absent or 0 is the default lifetime."
    )
    token_name = OptionalTextField(help_text="Absent or empty: a random readable one.")
    scope = OptionalTextField(max_length=64, help_text="One scope, as older clients send it.")
    scopes = BoundedListField(
        child=TextField(max_length=64),
        required=False,
        default=list,
        max_length=64,
        help_text="What the key may do; absent is everything.",
    )
    allow_list = BoundedListField(
        child=serializers.JSONField(),
        required=False,
        default=list,
        max_length=64,
        help_text="What the key may be used on; absent is everything.",
    )


class GenerateAPIKeyResponse(WireSerializer):
    component = "codersdk.GenerateAPIKeyResponse"
    example = {"key": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    key = serializers.CharField(help_text="The session token; it is shown only this once.")


class LoginRequest(RequestSerializer):
    component = "codersdk.LoginWithPasswordRequest"
    example = {"email": "ada@example.com", "password": "a-good-long-one"}

    email = serializers.EmailField(max_length=254, help_text="The user's e-mail address.")
    password = TextField(max_length=255, help_text="The user's password.")


class LoginResponse(WireSerializer):
    component = "codersdk.LoginWithPasswordResponse"

    session_token = serializers.CharField(
        help_text="A session token, `<id>-<secret>`; the cookie carries the same."
    )


class AuthMethodSerializer(WireSerializer):
    component = "codersdk.AuthMethod"

    enabled = serializers.BooleanField(help_text="Whether one can sign in this way.")


class GithubAuthMethodSerializer(WireSerializer):
    component = "codersdk.GithubAuthMethod"

    enabled = serializers.BooleanField(help_text="Always false here.")
    default_provider_configured = serializers.BooleanField(help_text="Always false here.")


class OIDCAuthMethodSerializer(WireSerializer):
    component = "codersdk.OIDCAuthMethod"

    enabled = serializers.BooleanField(help_text="Always false here.")
    signInText = serializers.CharField(allow_blank=True, help_text="What the button says.")  # noqa: N815 - Coder's own name
    iconUrl = serializers.CharField(allow_blank=True, help_text="What the button shows.")  # noqa: N815 - Coder's own name


class AuthMethodsSerializer(WireSerializer):
    component = "codersdk.AuthMethods"

    terms_of_service_url = serializers.CharField(
        required=False, help_text="What is to be accepted first; absent when there is nothing."
    )
    password = AuthMethodSerializer(help_text="Signing in with a password.")
    github = GithubAuthMethodSerializer(help_text="Signing in through GitHub.")
    oidc = OIDCAuthMethodSerializer(help_text="Signing in through OpenID Connect.")
