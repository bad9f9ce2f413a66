from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from kernel.durations import whole_seconds
from kernel.http import wire
from kernel.http.rendering import WireSerializer
from tokens.lifetimes import not_a_number
from tokens.models import APIKey
from tokens.policy import LIMITS
from tokens.selectors import SHOWN
from users.requests import (
    BoundedListField,
    OptionalTextField,
    RequestSerializer,
    TextField,
    WholeNumberField,
)
from users.scopes import canonical, legacy_name
from users.serializers import NEVER, LoginTypeField


class TokenConfigSerializer(WireSerializer):
    component = "codersdk.TokenConfig"
    about = "The longest lifetime of a user's tokens."
    example = {"max_token_lifetime": 3_155_760_000_000_000_000}

    max_token_lifetime = serializers.IntegerField(
        help_text="The longest lifetime that a new token of the user may have, in nanoseconds."
    )


@extend_schema_field(
    {
        "type": ["integer", "boolean", "array", "null"],
        "items": {"type": "string"},
        "format": "int64",
        "description": "The value of a limit: nanoseconds or a number of tokens, true or false, or "
        "a list of scopes. `null` is no limit.",
        "examples": [604_800_000_000_000],
    },
    component_name="coderapi.TokenLimitValue",
)
class LimitValueField(serializers.JSONField):
    """Renders the value of a limit in its own type."""


class RuleValueSerializer(WireSerializer):
    component = "coderapi.TokenLimitRule"
    about = "The value that one rule sets for a limit."
    example = {"rule": "CODER_MAX_TOKEN_LIFETIME", "value": 3_155_760_000_000_000_000}

    rule = serializers.CharField(
        help_text="The rule: an option, or the token policy of a user, a role or the deployment."
    )
    value = LimitValueField(help_text="The value. `null`: the rule does not set this limit.")


class LimitSerializer(WireSerializer):
    component = "coderapi.TokenLimit"
    about = "A limit on a user's tokens, and the rule that sets it."
    example = {
        "name": "max_token_lifetime",
        "value": 3_155_760_000_000_000_000,
        "rule": "CODER_MAX_TOKEN_LIFETIME",
        "explanation": "set by CODER_MAX_TOKEN_LIFETIME: 100 years",
    }

    name = serializers.ChoiceField(
        choices=LIMITS,
        help_text="The limit: `max_token_lifetime` and `default_token_lifetime` in nanoseconds, "
        "`max_live_tokens`, `allowed_scopes`, and `tokens_may_mint`: whether a token may create "
        "tokens.",
    )
    value = LimitValueField(help_text="The effective value.")
    rule = serializers.CharField(help_text="The rule that sets it.")
    explanation = serializers.CharField(
        help_text="The rule and the rules that it overrides, as text."
    )
    rule_values = RuleValueSerializer(
        many=True, help_text="The value of each rule. The rule with the highest rank comes first."
    )


class TokenPolicySerializer(WireSerializer):
    component = "coderapi.TokenPolicy"
    about = "All limits on a user's tokens."
    example = {"user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11", "username": "ada"}

    user_id = serializers.UUIDField(help_text="The user's id.")
    username = serializers.CharField(help_text="The user's name.")
    limits = LimitSerializer(many=True, help_text="The limits.")


class AllowListEntry(WireSerializer):
    component = "codersdk.APIAllowListTarget"
    about = "An object, or all objects of a type, that a key may act on."
    example = {"type": "*", "id": "*"}

    type = serializers.CharField(
        help_text="The type: `user`, `api_key`, `deployment_config` or `deployment_stats`. `*`: "
        "every type."
    )
    id = serializers.CharField(help_text="The object's id. `*`: every object of the type.")


@extend_schema_serializer(deprecate_fields=["scope"])
class APIKeySerializer(WireSerializer):
    """Describes what `key_object` returns. Lists of 10,000 keys are too slow through DRF."""

    component = "codersdk.APIKey"
    about = "A key: a session token without its secret."
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

    id = serializers.CharField(
        help_text="The key's id: the ten characters of the session token before the hyphen."
    )
    user_id = serializers.UUIDField(help_text="The id of the key's user.")
    last_used = serializers.DateTimeField(
        help_text="The time of the last use, accurate to an hour. `0001-01-01T00:00:00Z`: never."
    )
    expires_at = serializers.DateTimeField(
        help_text="The time after which the key is rejected. Using the key may move it."
    )
    created_at = serializers.DateTimeField(help_text="The time of creation.")
    updated_at = serializers.DateTimeField(help_text="The time of the last change.")
    login_type = LoginTypeField(
        help_text="How the key was created: `password` by signing in, `token` as a named token."
    )
    scope = serializers.CharField(
        allow_blank=True,
        help_text="`all` or `application_connect`; empty for other scopes. Read `scopes` instead.",
    )
    scopes = serializers.ListField(
        child=serializers.CharField(),
        help_text="What the key may do, for example `coder:all` or `user:read`. A scope never "
        "allows more than the user's roles.",
    )
    token_name = serializers.CharField(
        allow_blank=True, help_text="The token's name. Empty for a session."
    )
    lifetime_seconds = serializers.IntegerField(
        help_text="The lifetime in seconds. Using the key may renew it for this time."
    )
    allow_list = AllowListEntry(many=True, help_text="The objects that the key may act on.")


class APIKeyWithOwnerSerializer(APIKeySerializer):
    component = "codersdk.APIKeyWithOwner"
    about = "A key with the name of its user."
    example = {**APIKeySerializer.example, "username": "ada"}

    username = serializers.CharField(help_text="The name of the key's user.")


def key_object(key: APIKey) -> Any:
    """Renders a key for the current wire. Shape: codersdk.APIKey."""
    return wire.apply("codersdk.APIKey", _members({name: getattr(key, name) for name in SHOWN}))


def owned_key_object(key: APIKey) -> Any:
    """Renders a key with its owner's name. Shape: codersdk.APIKeyWithOwner."""
    row = {name: getattr(key, name) for name in SHOWN}
    return token_object({**row, "user__username": key.user.username})


def token_object(row: Mapping[str, Any]) -> Any:
    """Renders a row of `selectors.tokens`. Shape: codersdk.APIKeyWithOwner."""
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


@extend_schema_field(
    {
        "anyOf": [
            {"$ref": "#/components/schemas/codersdk.APIAllowListTarget"},
            {"type": "string", "description": "The same, as text.", "examples": ["*:*"]},
        ]
    }
)
class AllowListField(serializers.JSONField):
    """Accepts an entry of an allow list as an object or as text."""


class LifetimeField(WholeNumberField):
    """A number of nanoseconds. A client that sends text gets a hint."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str | float):
            raise serializers.ValidationError(not_a_number(data))
        return super().to_internal_value(data)


@extend_schema_serializer(deprecate_fields=["scope"])
class CreateTokenRequest(RequestSerializer):
    component = "codersdk.CreateTokenRequest"
    about = "A token to create. Without members it has the default lifetime and full access."
    example = {"lifetime": 604_800_000_000_000, "token_name": "ci", "scopes": ["coder:all"]}

    lifetime = LifetimeField(
        required=False,
        default=0,
        help_text="The lifetime in nanoseconds, at least one second. Absent or 0: the user's "
        "default lifetime.",
    )
    token_name = OptionalTextField(
        help_text="The name, unique among the user's tokens. Absent or empty: a random name."
    )
    scope = OptionalTextField(
        max_length=64, help_text="One scope. Ignored if `scopes` is sent: use that instead."
    )
    scopes = BoundedListField(
        child=TextField(max_length=64),
        required=False,
        default=list,
        max_length=64,
        help_text="What the token may do. Absent or empty: full access.",
    )
    allow_list = BoundedListField(
        child=AllowListField(),
        required=False,
        default=list,
        max_length=64,
        help_text="The objects that the token may act on. Absent or empty: all.",
    )


class GenerateAPIKeyResponse(WireSerializer):
    component = "codersdk.GenerateAPIKeyResponse"
    about = "A new session token."
    example = {"key": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    key = serializers.CharField(
        help_text="The session token, `<id>-<secret>`. Store it: it is not shown again."
    )


class LoginRequest(RequestSerializer):
    component = "codersdk.LoginWithPasswordRequest"
    about = "An e-mail address and a password."
    example = {"email": "ada@example.com", "password": "a-good-long-one"}

    email = serializers.EmailField(max_length=254, help_text="The user's e-mail address.")
    password = TextField(max_length=255, help_text="The user's password.")


class LoginResponse(WireSerializer):
    component = "codersdk.LoginWithPasswordResponse"
    about = "A new session."
    example = {"session_token": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    session_token = serializers.CharField(
        help_text="The session token, `<id>-<secret>`. The cookie has the same value."
    )


class AuthMethodSerializer(WireSerializer):
    component = "codersdk.AuthMethod"
    about = "A way to sign in."
    example = {"enabled": True}

    enabled = serializers.BooleanField(help_text="Whether users can sign in this way.")


class GithubAuthMethodSerializer(WireSerializer):
    component = "codersdk.GithubAuthMethod"
    about = "Signing in through GitHub, which this service does not offer."
    example = {"enabled": False, "default_provider_configured": False}

    enabled = serializers.BooleanField(help_text="Always false.")
    default_provider_configured = serializers.BooleanField(help_text="Always false.")


class OIDCAuthMethodSerializer(WireSerializer):
    component = "codersdk.OIDCAuthMethod"
    about = "Signing in through OpenID Connect, which this service does not offer."
    example = {"enabled": False, "signInText": "", "iconUrl": ""}

    enabled = serializers.BooleanField(help_text="Always false.")
    signInText = serializers.CharField(allow_blank=True, help_text="Always empty.")  # noqa: N815 - Coder's own name
    iconUrl = serializers.CharField(allow_blank=True, help_text="Always empty.")  # noqa: N815 - Coder's own name


class AuthMethodsSerializer(WireSerializer):
    component = "codersdk.AuthMethods"
    about = "The ways to sign in."
    example = {"terms_of_service_url": "https://example.com/terms"}

    terms_of_service_url = serializers.CharField(
        required=False,
        help_text="The address of the terms that users accept by signing in. Absent: none.",
    )
    password = AuthMethodSerializer(help_text="Signing in with a password.")
    github = GithubAuthMethodSerializer(help_text="Signing in through GitHub.")
    oidc = OIDCAuthMethodSerializer(help_text="Signing in through OpenID Connect.")
