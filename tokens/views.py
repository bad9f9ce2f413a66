from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.services import actor_of
from kernel.http import wire
from kernel.http.errors import APIError, not_found
from kernel.http.results import results_of
from kernel.http.schema import ResponseSerializer, operation
from kernel.http.views.base import (
    APIView,
    DocumentView,
    PublicAPIView,
    json_response,
    tagged,
    whole_list,
)
from kernel.http.views.documents import Document
from kernel.http.views.rendering import render_json
from tokens import minting, selectors, services, signin
from tokens.minting import WantedToken
from tokens.models import APIKey
from tokens.policy.resolution import MAX_LIFETIME, Limit, policy_of
from tokens.serializers import (
    APIKeySerializer,
    APIKeyWithOwnerSerializer,
    AuthMethodsSerializer,
    CreateTokenRequest,
    GenerateAPIKeyResponse,
    LoginWithPasswordRequest,
    LoginWithPasswordResponse,
    TokenConfigSerializer,
    TokenPolicySerializer,
)
from tokens.verification import providers
from users import allow_lists
from users.models import User
from users.permissions import Authenticated, KeyIdentity, identity_of, scoped
from users.requests import MAX_LIMIT, MAX_OFFSET, flag, page_parameters, read, whole_number
from users.selectors import ME
from users.views import CHANGED, UserRouteView

# The maximum age of a user's own token config.
OWN_SECONDS = 30.0


class LoginView(PublicAPIView):
    tag = "Authorization"
    rate_limit = "SIGN_IN_RATE_LIMIT"

    @operation(
        "Log in user",
        description="Signs in with an e-mail address and a password. The response contains a "
        "session token and also sets it as a cookie. If the request has the cookie of another "
        "session, that session ends. Each client address can try 60 times a minute.",
        body=LoginWithPasswordRequest,
        answers={
            201: LoginWithPasswordResponse,
            401: "The e-mail address or the password is wrong, or the user is suspended.",
            403: "Signing in with a password is disabled.",
        },
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = read(LoginWithPasswordRequest, request)
        new = signin.sign_in(request._request, wanted["email"], wanted["password"], by="api")
        created = LoginWithPasswordResponse({"session_token": new.token})
        answer = json_response(created.data, status=201)
        signin.set_cookie(answer, new.token)
        return answer


class LogoutView(APIView):
    tag = "Users"
    permission_classes = [Authenticated]

    @operation(
        "Log out user",
        description="Signs out: deletes the key of this request, and the session cookie.",
        answers={200: "You are signed out."},
    )
    def post(self, request: Request) -> HttpResponse:
        key_id, actor = identity_of(request).key_id, actor_of(request)
        signin.sign_out(key_id, actor=actor, now=timezone.now(), by="api")
        answer = json_response({"message": "You are signed out."})
        signin.delete_cookie(answer)
        return answer


class AuthMethodsView(PublicAPIView):
    tag = "Users"

    @operation(
        "Get authentication methods",
        description="Lists the sign-in methods and whether each is enabled. No session token is "
        "needed.",
        answers={200: AuthMethodsSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return json_response(AuthMethodsSerializer(_methods()).data)


def _methods() -> dict[str, Any]:
    found: dict[str, Any] = {
        "password": {"enabled": not settings.DISABLE_PASSWORD_AUTH},
        "github": {"enabled": False, "default_provider_configured": False},
        # Coder returns two empty strings here if OpenID Connect is disabled, even if the options
        # `OIDC sign in text` and `OpenID connect icon URL` are set.
        "oidc": {"enabled": False, "signInText": "", "iconUrl": ""},
    }
    terms = settings.CONFIGURATION["terms_of_service_url"]
    return found | ({"terms_of_service_url": str(terms)} if terms else {})


class LimitsView(UserRouteView):
    """The base class of the two views for a user's limits."""

    permission_classes = (scoped("user:read", "api_key:read"),)

    def get_permissions(self) -> list[BasePermission]:
        return [permission() for permission in self.permission_classes]

    def limited_user(self, reference: str) -> User:
        """Returns the user in the path.

        Raises: APIError 400 for an unknown user, 404 if the caller's allow list excludes the user.
        """
        target = self.user_in_path(reference)
        if refused := _limits_refusal(self.caller, target.id):
            raise refused
        return target


def _limits_refusal(caller: KeyIdentity, user_id: uuid.UUID) -> APIError | None:
    """Returns the error if the caller's allow list excludes the user's limits, or None."""
    covers = partial(allow_lists.covers, caller.allow_list)
    return None if covers("user", str(user_id)) or covers("api_key") else not_found()


def _token_config(lifetime_ns: int) -> dict[str, Any]:
    return TokenConfigSerializer({"max_token_lifetime": lifetime_ns}).data


def _own_token_config(caller: KeyIdentity, token: str) -> bytes:
    user = User(id=caller.user_id, username=caller.username, roles=sorted(caller.roles))
    limit = policy_of(user)[MAX_LIFETIME]
    return render_json(_token_config(_lifetime(limit, caller, token, ME)))


def _lifetime(limit: Limit, caller: KeyIdentity, token: str, user: str) -> int:
    """Returns the limit of our token policies, or the limit of the other service."""
    other = providers.other()
    if not (other and token and caller.granted is not None and limit.is_from_option):
        return int(limit.value)
    return other.max_token_lifetime(token, caller, user)


class TokenConfigView(LimitsView, DocumentView):
    """Returns a document for the path with `me`. A trigger announces changed token policies.

    Another service does not announce changes, so the document is cached only for some seconds.
    """

    tag = "General"
    document = Document(
        "tokenconfig", _own_token_config, topic="policy", own=True, max_age=OWN_SECONDS
    )

    @classmethod
    def refusals(cls) -> tuple[Callable[[Any], APIError | None], ...]:
        return (*super().refusals(), lambda caller: _limits_refusal(caller, caller.user_id))

    @operation(
        "Get token config",
        description="Returns the maximum lifetime of a new token of the user.",
        answers={200: TokenConfigSerializer},
    )
    def get(self, request: Request, user: str = ME) -> HttpResponse:
        if user == ME:
            if refused := _limits_refusal(self.caller, self.caller.user_id):
                raise refused
            return super().get(request)
        limit = policy_of(self.limited_user(user))[MAX_LIFETIME]
        token = results_of(request).caller.token
        found = _token_config(_lifetime(limit, self.caller, token, user))
        return tagged(found, request=request)


class TokenPolicyView(LimitsView):
    tag = "Token policies"

    @operation(
        "Get token policy",
        description="Returns all limits on the user's tokens. Each limit has its value, the rule "
        "that sets the value, and the values of all rules.",
        answers={200: TokenPolicySerializer},
        stability="stable",
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        target = self.limited_user(user)
        limits = policy_of(target).values()
        found = {"user_id": target.id, "username": target.username, "limits": limits}
        return json_response(TokenPolicySerializer(found).data)


class CreateKeyView(UserRouteView):
    """The base class of the views that create keys."""

    def create(self, user: User, wanted: WantedToken) -> HttpResponse:
        actor, now = actor_of(self.request), timezone.now()
        new = minting.create_key(user, wanted, caller=self.caller, actor=actor, now=now)
        return json_response({"key": new.token}, status=201)


class SessionKeysView(CreateKeyView):
    actions = {"POST": "api_key:create"}

    @operation(
        "Create new session key",
        description="Creates a session token without a name. It has the user's default lifetime. "
        "Only owners can create session tokens for other users.",
        answers={201: GenerateAPIKeyResponse, 403: ResponseSerializer, 409: CHANGED},
    )
    def post(self, request: Request, user: str) -> HttpResponse:
        return self.create(self.user_in_path(user), WantedToken())


class TokensView(CreateKeyView):
    actions = {"GET": "api_key:read", "POST": "api_key:create"}

    @operation(
        "Get user tokens",
        description="Lists the user's tokens without their secrets, newest first. Only owners can "
        "list the tokens of another user. Other callers get an empty list.",
        parameters=[
            OpenApiParameter(
                "include_all",
                bool,
                description="List the tokens of all users. Only owners get the tokens of others.",
            ),
            OpenApiParameter("include_expired", bool, description="Include expired tokens."),
            *page_parameters(absent="all tokens", skipped="tokens"),
        ],
        answers={200: APIKeyWithOwnerSerializer(many=True), 304: None},
    )
    def get(self, request: Request, user: str) -> HttpResponseBase:
        limit = whole_number(request, "limit", limit=MAX_LIMIT)
        render = APIKeyWithOwnerSerializer().to_representation
        found = selectors.tokens(
            self.user_in_path(user),
            viewer=self.caller,
            everyone=flag(request, "include_all"),
            expired=flag(request, "include_expired"),
            now=timezone.now(),
            limit=limit,
            offset=whole_number(request, "offset", limit=MAX_OFFSET),
        )
        if limit:
            page = [render(token) for token in next(found)]
            return tagged(wire.apply("get-user-tokens", page), request=request)
        return whole_list(request, found, render=render, operation_id="get-user-tokens")

    @operation(
        "Create token API key",
        description="Creates a named token, for programs. The limits on the user's tokens apply. "
        "If a limit is exceeded, the error contains the rule that sets it. Only owners can create "
        "tokens for other users.",
        body=CreateTokenRequest,
        answers={
            201: GenerateAPIKeyResponse,
            403: ResponseSerializer,
            409: "The user has another token with that name.",
        },
    )
    def post(self, request: Request, user: str) -> HttpResponse:
        target = self.target(user)
        return self.create(target, WantedToken(**read(CreateTokenRequest, request)))


class TokenByNameView(UserRouteView):
    actions = {"GET": "api_key:read"}

    @operation(
        "Get API key by token name",
        description="Returns the user's token with this name.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, name: str) -> HttpResponse:
        found = selectors.token_by_name(self.user_in_path(user), name, viewer=self.caller)
        return json_response(APIKeySerializer(found).data)


class KeyRouteView(UserRouteView):
    """The base class of the views for one key. The user in the path need not be its owner."""

    def key(self, user: str, key_id: str) -> APIKey:
        self.user_in_path(user)
        return selectors.key_by_id(key_id, action=self.action, viewer=self.caller)


class KeyView(KeyRouteView):
    actions = {"GET": "api_key:read", "DELETE": "api_key:delete"}

    @operation(
        "Get API key by ID",
        description="Returns the key with this id. Owners can get the keys of other users.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, key_id: str) -> HttpResponse:
        return json_response(APIKeySerializer(self.key(user, key_id)).data)

    @operation(
        "Delete API key",
        description="Deletes a key. Its session token is then rejected immediately. A request can "
        "delete its own key.",
        answers={204: None},
    )
    def delete(self, request: Request, user: str, key_id: str) -> HttpResponse:
        key, actor = self.key(user, key_id), actor_of(request)
        if not services.delete_keys([key], actor=actor, now=timezone.now()):
            raise not_found()
        return HttpResponse(status=204)


class ExpireKeyView(KeyRouteView):
    actions = {"PUT": "api_key:update"}

    @operation(
        "Expire API key",
        description="Expires a key. Its session token is then rejected immediately. The key stays "
        "in lists that include expired keys. If the key has already expired, nothing changes.",
        answers={204: None},
    )
    def put(self, request: Request, user: str, key_id: str) -> HttpResponse:
        key = self.key(user, key_id)
        services.expire_keys([key], actor=actor_of(request), now=timezone.now())
        return HttpResponse(status=204)
