from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from kernel.http.views.rendering import WireSerializer
from kernel.text.durations import whole_seconds
from tokens.lifetimes import MIN_LIFETIME_NS, ONE_DAY
from tokens.models import SOURCES
from tokens.policy.resolution import LIMITS
from tokens.token_format import MAX_NAME_LENGTH
from users.allow_lists import ANY, TYPES
from users.names import UUID
from users.requests import (
    BoundedListField,
    OptionalTextField,
    RequestSerializer,
    TextField,
    WholeNumberField,
)
from users.scopes import ALIASES, KNOWN, legacy_name
from users.serializers import LoginTypeField, NullableTimeField


class TokenConfigSerializer(WireSerializer):
    about = "The maximum lifetime of a user's new tokens."
    example = {"max_token_lifetime": 3_155_760_000_000_000_000}

    max_token_lifetime = serializers.IntegerField(
        help_text="The maximum lifetime of a new token of the user, in nanoseconds."
    )


@extend_schema_field(
    {
        "type": ["integer", "boolean", "array", "null"],
        "items": {"type": "string"},
        "format": "int64",
        "description": "The value of a limit: a number of nanoseconds, a number of tokens, a "
        "boolean, or a list of scopes. `null`: no limit.",
        "examples": [604_800_000_000_000],
    },
    component_name="coderapi.TokenLimitValue",
)
class LimitValueField(serializers.JSONField):
    """A field for the value of a limit. The type of the value depends on the limit."""


class RuleSerializer(WireSerializer):
    component = "coderapi.TokenLimitRule"
    about = "A rule that can set a limit: a token policy, an option or the default."
    example = {"source": "option", "name": "CODER_MAX_TOKEN_LIFETIME"}

    source = serializers.ChoiceField(  # type: ignore[assignment]  # a member of the JSON
        choices=SOURCES,
        help_text="`user`, `role` or `deployment` for a token policy, `option`, or `default` if no "
        "rule sets the limit.",
    )
    name = serializers.CharField(
        allow_null=True,
        help_text="The name of the user, the role or the option. Several roles are separated by "
        "commas. Otherwise null.",
    )


class RuleValueSerializer(WireSerializer):
    component = "coderapi.TokenLimitRuleValue"
    about = "The value that one rule sets for a limit."
    example = {"rule": RuleSerializer.example, "value": 3_155_760_000_000_000_000}

    rule = RuleSerializer(help_text="The rule.")
    value = LimitValueField(
        help_text="The value that the rule sets. `null`: the rule does not set this limit."
    )


class LimitSerializer(WireSerializer):
    component = "coderapi.TokenLimit"
    about = "A limit on a user's tokens, and the rule that sets it."
    example = {
        "name": "max_lifetime_ns",
        "value": 3_155_760_000_000_000_000,
        "rule": RuleSerializer.example,
        "explanation": "set by CODER_MAX_TOKEN_LIFETIME: 100 years",
    }

    name = serializers.ChoiceField(
        choices=LIMITS,
        help_text="The name of the limit. `max_lifetime_ns` and `default_lifetime_ns` are in "
        "nanoseconds. `tokens_may_create_tokens` is whether a token may create other tokens.",
    )
    value = LimitValueField(help_text="The effective value.")
    rule = RuleSerializer(help_text="The rule that sets the effective value.")
    explanation = serializers.CharField(
        help_text="A sentence that names the rule that sets the value, and the rules that it "
        "overrides."
    )
    rules = RuleValueSerializer(many=True, help_text="The values of all rules, highest rank first.")


class TokenPolicySerializer(WireSerializer):
    component = "coderapi.TokenPolicy"
    about = "All limits on a user's tokens."
    example = {"user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11", "username": "ada"}

    user_id = serializers.UUIDField(help_text="The user's id.")
    username = serializers.CharField(help_text="The user's name.")
    limits = LimitSerializer(many=True, help_text="The limits.")


_ANY_TYPE = rf"{'|'.join(sorted(TYPES))}|\{ANY}"
_ANY_ID = rf"{UUID}|[0-9A-Za-z]{{10}}|\{ANY}"


class APIAllowListTarget(WireSerializer):
    about = "An object, or all objects of a type, that a key may act on."
    example = {"type": "*", "id": "*"}

    type = serializers.CharField(
        validators=[RegexValidator(f"^({_ANY_TYPE})$")],
        help_text="The type: `user`, `api_key`, `deployment_config` or `deployment_stats`. `*`: "
        "all types.",
    )
    id = serializers.CharField(
        validators=[RegexValidator(f"^({_ANY_ID})$")],
        help_text="The object's id. `*`: all objects of the type.",
    )


class LegacyScopeField(serializers.CharField):
    def to_representation(self, value: Sequence[str]) -> str:
        return legacy_name(value)


class SecondsField(serializers.IntegerField):
    """A field for a number of nanoseconds. Renders whole seconds."""

    def to_representation(self, value: int) -> int:
        return whole_seconds(value)


@extend_schema_serializer(deprecate_fields=["scope"])
class APIKeySerializer(WireSerializer):
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
    last_used = NullableTimeField(
        help_text="The time of the last use, accurate to one hour. `0001-01-01T00:00:00Z`: never "
        "used."
    )
    expires_at = serializers.DateTimeField(
        help_text="The time at which the key expires. Using the key may extend it."
    )
    created_at = serializers.DateTimeField(help_text="The time of creation.")
    updated_at = serializers.DateTimeField(help_text="The time of the last change.")
    login_type = LoginTypeField(help_text="`token` for a named token, `password` for a session.")
    scope = LegacyScopeField(
        source="scopes",
        allow_blank=True,
        help_text="`all` or `application_connect`. Empty for other scopes. Use `scopes` instead.",
    )
    scopes = serializers.ListField(
        child=serializers.CharField(),
        help_text="The scopes of the key, for example `coder:all` or `user:read`. A scope never "
        "allows more than the user's roles.",
    )
    token_name = serializers.CharField(
        allow_blank=True, help_text="The token's name. Empty for a session."
    )
    lifetime_seconds = SecondsField(
        source="lifetime_ns",
        help_text="The lifetime in seconds. Using the key may extend the expiry to the time of "
        "use plus this lifetime.",
    )
    allow_list = APIAllowListTarget(many=True, help_text="The objects that the key may act on.")


class APIKeyWithOwnerSerializer(APIKeySerializer):
    about = "A key with the name of its user."
    example = {**APIKeySerializer.example, "username": "ada"}

    username = serializers.CharField(help_text="The name of the key's user.")


@extend_schema_field(
    {
        "anyOf": [
            {"$ref": "#/components/schemas/codersdk.APIAllowListTarget"},
            {
                "type": "string",
                "pattern": f"^({_ANY_TYPE}):({_ANY_ID})$",
                "description": "The entry as a string `type:id`.",
                "examples": ["*:*"],
            },
        ]
    }
)
class AllowListField(serializers.JSONField):
    """A field for an entry of an allow list, as an object or as a string `type:id`."""


@extend_schema_field(
    {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "not": {"type": "integer", "minimum": 1, "exclusiveMaximum": MIN_LIFETIME_NS},
    }
)
class LifetimeField(WholeNumberField):
    """A field for nanoseconds. The error for a string or a float states the correct unit."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str | float):
            text = f"lifetime is in nanoseconds, not {str(data)[:64]!r}. {ONE_DAY}"
            raise serializers.ValidationError(text)
        return super().to_internal_value(data)


_SCOPES = sorted({*KNOWN, *ALIASES})


@extend_schema_serializer(deprecate_fields=["scope"])
class CreateTokenRequest(RequestSerializer):
    about = "A token to create. By default it has the default lifetime and full access."
    example = {"lifetime": 604_800_000_000_000, "token_name": "ci", "scopes": ["coder:all"]}

    lifetime = LifetimeField(
        default=0,
        help_text="The lifetime in nanoseconds, at least one second. If it is absent or 0, the "
        "user's default lifetime is used.",
    )
    # `tokens.minting` also rejects names with invisible characters, and unknown scopes.
    token_name = OptionalTextField(
        schema={"maxLength": MAX_NAME_LENGTH, "pattern": r"^([^\s/]([^/]*[^\s/])?)?$"},
        help_text="The name, without invisible characters. It must be unique among the user's "
        "tokens. If it is absent or empty, the server chooses a random name.",
    )
    scope = OptionalTextField(
        max_length=64,
        schema={"enum": ["", *_SCOPES]},
        help_text="One scope. It is ignored if `scopes` is present. Use `scopes` instead.",
    )
    scopes = BoundedListField(
        child=TextField(max_length=64, schema={"enum": _SCOPES}),
        default=list,
        max_length=64,
        help_text="The scopes of the token. Absent or empty: full access.",
    )
    allow_list = BoundedListField(
        child=AllowListField(),
        default=list,
        max_length=64,
        help_text="The objects that the token may act on. Absent or empty: all objects.",
    )


class GenerateAPIKeyResponse(WireSerializer):
    about = "A new session token."
    example = {"key": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    key = serializers.CharField(
        help_text="The session token, `<id>-<secret>`. Store it, because it cannot be retrieved "
        "again."
    )


class LoginWithPasswordRequest(RequestSerializer):
    about = "The credentials of a user."
    example = {"email": "ada@example.com", "password": "a-good-long-one"}

    email = serializers.EmailField(max_length=254, help_text="The user's e-mail address.")
    password = TextField(max_length=255, help_text="The user's password.")


class LoginWithPasswordResponse(WireSerializer):
    about = "A new session."
    example = {"session_token": "aBcDeFgHiJ-0123456789abcdefghijkl"}

    session_token = serializers.CharField(
        help_text="The session token, `<id>-<secret>`. The cookie has the same value."
    )


class AuthMethodSerializer(WireSerializer):
    about = "A sign-in method."
    example = {"enabled": True}

    enabled = serializers.BooleanField(help_text="Whether users can sign in with this method.")


class GithubAuthMethodSerializer(WireSerializer):
    about = "Sign-in through GitHub. This service does not support it."
    example = {"enabled": False, "default_provider_configured": False}

    enabled = serializers.BooleanField(help_text="Always false.")
    default_provider_configured = serializers.BooleanField(help_text="Always false.")


class OIDCAuthMethodSerializer(WireSerializer):
    about = "Sign-in through OpenID Connect. This service does not support it."
    example = {"enabled": False, "signInText": "", "iconUrl": ""}

    enabled = serializers.BooleanField(help_text="Always false.")
    signInText = serializers.CharField(allow_blank=True, help_text="Always empty.")  # noqa: N815 - Coder's own name
    iconUrl = serializers.CharField(allow_blank=True, help_text="Always empty.")  # noqa: N815 - Coder's own name


class AuthMethodsSerializer(WireSerializer):
    about = "The sign-in methods."
    example = {"terms_of_service_url": "https://example.com/terms"}

    terms_of_service_url = serializers.CharField(
        required=False,
        help_text="The URL of the terms of service. Absent if there are none.",
    )
    password = AuthMethodSerializer(help_text="Sign-in with a password.")
    github = GithubAuthMethodSerializer(help_text="Sign-in through GitHub.")
    oidc = OIDCAuthMethodSerializer(help_text="Sign-in through OpenID Connect.")
