from __future__ import annotations

from rest_framework import serializers

from coderapi.serializers import WireSerializer
from users.requests import RequestSerializer, TextField, WholeNumberField


class TokenConfigSerializer(WireSerializer):
    component = "codersdk.TokenConfig"
    example = {"max_token_lifetime": 3_155_760_000_000_000_000}

    max_token_lifetime = serializers.IntegerField(
        help_text="The longest lifetime that a new token of this user may have, in nanoseconds."
    )


class SaidSerializer(WireSerializer):
    component = "TokenLimitOpinion"

    rule = serializers.CharField()
    value = serializers.JSONField(help_text="null where the rule says nothing.")


class LimitSerializer(WireSerializer):
    component = "TokenLimit"

    name = serializers.CharField()
    value = serializers.JSONField(help_text="Lifetimes in nanoseconds; null is no limit.")
    rule = serializers.CharField(help_text="The rule that won.")
    explanation = serializers.CharField(help_text="The same for people.")
    said = SaidSerializer(many=True, help_text="What each rule says, the strongest first.")


class TokenPolicySerializer(WireSerializer):
    component = "TokenPolicy"

    user_id = serializers.UUIDField()
    username = serializers.CharField()
    limits = LimitSerializer(many=True)


class AllowListEntry(WireSerializer):
    component = "codersdk.APIAllowListTarget"

    type = serializers.CharField(help_text="A type of resource, or *.")
    id = serializers.CharField(help_text="A uuid, or *.")


class APIKeySerializer(WireSerializer):
    """Describes what `representation.key_object` makes."""

    component = "codersdk.APIKey"

    id = serializers.CharField()
    user_id = serializers.UUIDField()
    last_used = serializers.DateTimeField(help_text="The year 1 stands for never.")
    expires_at = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    login_type = serializers.ChoiceField(choices=["password", "token"])
    scope = serializers.CharField(
        allow_blank=True, help_text="all, application_connect, or empty for other scopes."
    )
    scopes = serializers.ListField(child=serializers.CharField())
    token_name = serializers.CharField(allow_blank=True)
    lifetime_seconds = serializers.IntegerField()
    allow_list = AllowListEntry(many=True)


class APIKeyWithOwnerSerializer(APIKeySerializer):
    component = "codersdk.APIKeyWithOwner"

    username = serializers.CharField()


class CreateTokenRequest(RequestSerializer):
    component = "codersdk.CreateTokenRequest"

    lifetime = WholeNumberField(
        required=False, default=0, help_text="In nanoseconds; absent or 0 is the default lifetime."
    )
    token_name = TextField(required=False, allow_blank=True, default="")
    scope = TextField(required=False, allow_blank=True, default="", max_length=64)
    scopes = serializers.ListField(
        child=TextField(max_length=64), required=False, default=list, max_length=64
    )
    allow_list = serializers.ListField(child=serializers.JSONField(), required=False, default=list)


class GenerateAPIKeyResponse(WireSerializer):
    component = "codersdk.GenerateAPIKeyResponse"

    key = serializers.CharField(help_text="The session token; it is shown only this once.")


class LoginRequest(RequestSerializer):
    component = "codersdk.LoginWithPasswordRequest"

    email = serializers.EmailField(max_length=254)
    password = TextField(max_length=255)


class LoginResponse(WireSerializer):
    component = "codersdk.LoginWithPasswordResponse"

    session_token = serializers.CharField()


class AuthMethodSerializer(WireSerializer):
    component = "codersdk.AuthMethod"

    enabled = serializers.BooleanField()


class GithubAuthMethodSerializer(WireSerializer):
    component = "codersdk.GithubAuthMethod"

    enabled = serializers.BooleanField()
    default_provider_configured = serializers.BooleanField()


class OIDCAuthMethodSerializer(WireSerializer):
    component = "codersdk.OIDCAuthMethod"

    enabled = serializers.BooleanField()
    signInText = serializers.CharField(allow_blank=True)  # noqa: N815 - Coder's own name
    iconUrl = serializers.CharField(allow_blank=True)  # noqa: N815 - Coder's own name


class AuthMethodsSerializer(WireSerializer):
    component = "codersdk.AuthMethods"

    terms_of_service_url = serializers.CharField(required=False)
    password = AuthMethodSerializer()
    github = GithubAuthMethodSerializer()
    oidc = OIDCAuthMethodSerializer()
