from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from kernel.durations import whole_seconds
from kernel.http import wire
from kernel.http.rendering import WireSerializer
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
    """Shows the value of a limit in its own type."""


class SaidSerializer(WireSerializer):
    component = "coderapi.TokenLimitOpinion"
    about = "The value that one rule gives to a limit."
    example = {"rule": "CODER_MAX_TOKEN_LIFETIME", "value": 3_155_760_000_000_000_000}

    rule = serializers.CharField(
        help_text="The rule: an option, or the token config of a user, a role or the deployment."
    )
    value = LimitValueField(help_text="The value. `null`: the rule sets no limit.")


class LimitSerializer(WireSerializer):
    component = "coderapi.TokenLimit"
    about = "A limit on a user's tokens, and the rule that decided it."
    example = {
        "name": "max_token_lifetime",
        "value": 3_155_760_000_000_000_000,
        "rule": "CODER_MAX_TOKEN_LIFETIME",
        "explanation": "CODER_MAX_TOKEN_LIFETIME says 36525 days and wins",
    }

    name = serializers.ChoiceField(
        choices=LIMITS,
        help_text="The limit: `max_token_lifetime` and `default_token_lifetime` in nanoseconds, "
        "`max_live_tokens` at the same time, `allowed_scopes`, and `tokens_may_mint`: whether a "
        "token may make other tokens.",
    )
    value = LimitValueField(help_text="The value that holds.")
    rule = serializers.CharField(help_text="The rule that decided.")
    explanation = serializers.CharField(help_text="The decision in a sentence for people.")
    said = SaidSerializer(
        many=True, help_text="What each rule says. The rule that counts most comes first."
    )


class TokenPolicySerializer(WireSerializer):
    component = "coderapi.TokenPolicy"
    about = "All limits on a user's tokens."
    example = {"user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11", "username": "ada"}

    user_id = serializers.UUIDField(help_text="The user's id.")
    username = serializers.CharField(help_text="The user's name.")
    limits = LimitSerializer(many=True, help_text="The limits, each with its cause.")


class AllowListEntry(WireSerializer):
    component = "codersdk.APIAllowListTarget"
    about = "An object, or a type of objects, that a key may act on."
    example = {"type": "*", "id": "*"}

    type = serializers.CharField(
        help_text="The type: `user`, `api_key`, `deployment_config` or `deployment_stats`. `*`: "
        "every type."
    )
    id = serializers.CharField(help_text="The object's id. `*`: every object of the type.")


@extend_schema_serializer(deprecate_fields=["scope"])
class APIKeySerializer(WireSerializer):
    """Describes what `key_object` makes: a list of ten thousand keys is rendered by hand."""

    component = "codersdk.APIKey"
    about = "A key: what stands behind a session token, without its secret."
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
    user_id = serializers.UUIDField(help_text="The id of the user whom the key belongs to.")
    last_used = serializers.DateTimeField(
        help_text="The time of the newest use, to within an hour. `0001-01-01T00:00:00Z`: never."
    )
    expires_at = serializers.DateTimeField(
        help_text="The time from which on the key is refused. Use may move it."
    )
    created_at = serializers.DateTimeField(help_text="The time when the key was made.")
    updated_at = serializers.DateTimeField(help_text="The time of the newest change to the key.")
    login_type = LoginTypeField(
        help_text="How the key was made: `password` by signing in, `token` as a token with a name."
    )
    scope = serializers.CharField(
        allow_blank=True,
        help_text="`all` or `application_connect`; empty for other scopes. Read `scopes` instead.",
    )
    scopes = serializers.ListField(
        child=serializers.CharField(),
        help_text="What the key may do, such as `coder:all` or `user:read`. The user's roles bound "
        "it.",
    )
    token_name = serializers.CharField(
        allow_blank=True, help_text="The token's name. Empty for a key from signing in."
    )
    lifetime_seconds = serializers.IntegerField(
        help_text="The lifetime of the key, in seconds. Where use renews a key, it then lives this "
        "long again."
    )
    allow_list = AllowListEntry(
        many=True, help_text="The objects that the key may act on: those of any entry."
    )


class APIKeyWithOwnerSerializer(APIKeySerializer):
    component = "codersdk.APIKeyWithOwner"
    about = "A key, with the name of its user."
    example = {**APIKeySerializer.example, "username": "ada"}

    username = serializers.CharField(help_text="The name of the user whom the key belongs to.")


def key_object(key: APIKey) -> Any:
    """Renders a key for the current wire. Shape: codersdk.APIKey."""
    return wire.apply("codersdk.APIKey", _members({name: getattr(key, name) for name in SHOWN}))


def owned_key_object(key: APIKey) -> Any:
    """Renders a key with its owner's name. Shape: codersdk.APIKeyWithOwner."""
    row = {name: getattr(key, name) for name in SHOWN}
    return token_object({**row, "user__username": key.user.username})


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


@extend_schema_field(
    {
        "anyOf": [
            {"$ref": "#/components/schemas/codersdk.APIAllowListTarget"},
            {"type": "string", "description": "The same as text.", "examples": ["*:*"]},
        ]
    }
)
class AllowListField(serializers.JSONField):
    """Takes an entry of an allow list, in either spelling."""


@extend_schema_serializer(deprecate_fields=["scope"])
class CreateTokenRequest(RequestSerializer):
    component = "codersdk.CreateTokenRequest"
    about = "A token to make. Without members it gets the usual lifetime and may do everything."
    example = {"lifetime": 604_800_000_000_000, "token_name": "ci", "scopes": ["coder:all"]}

    lifetime = WholeNumberField(
        required=False,
        default=0,
        help_text="The lifetime in nanoseconds. Absent or 0: the user's default lifetime.",
    )
    token_name = OptionalTextField(
        help_text="The token's name. The user may have no other token of that name. Absent or "
        "empty: a random one."
    )
    scope = OptionalTextField(
        max_length=64, help_text="One scope. Send `scopes` instead, which wins over it."
    )
    scopes = BoundedListField(
        child=TextField(max_length=64),
        required=False,
        default=list,
        max_length=64,
        help_text="What the token may do. Absent or empty: everything that its user may do.",
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
        help_text="The session token, `<id>-<secret>`. Keep it: it is shown only now."
    )


class LoginRequest(RequestSerializer):
    component = "codersdk.LoginWithPasswordRequest"
    about = "An e-mail address and a password."
    example = {"email": "ada@example.com", "password": "a-good-long-one"}

    email = serializers.EmailField(max_length=254, help_text="The user's e-mail address.")
    password = TextField(max_length=255, help_text="The user's password.")


class LoginResponse(WireSerializer):
    component = "codersdk.LoginWithPasswordResponse"
    about = "The session that signing in has begun."
    example = {"session_token": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    session_token = serializers.CharField(
        help_text="The session token, `<id>-<secret>`. The cookie holds the same."
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
    example = {"enabled": False, "signInText": "OpenID Connect", "iconUrl": ""}

    enabled = serializers.BooleanField(help_text="Always false.")
    signInText = serializers.CharField(allow_blank=True, help_text="The text on the button.")  # noqa: N815 - Coder's own name
    iconUrl = serializers.CharField(allow_blank=True, help_text="The address of its icon.")  # noqa: N815 - Coder's own name


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
