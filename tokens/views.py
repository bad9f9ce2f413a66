from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from audit.services import actor_of
from kernel.db.connections import release_connection
from kernel.http import wire
from kernel.http.documents import Document
from kernel.http.errors import APIError, not_found
from kernel.http.identity import IdentifiedRequest
from kernel.http.rendering import render_json
from kernel.http.schema.errors import ResponseSerializer
from kernel.http.schema.operations import operation
from kernel.http.views import (
    APIView,
    DocumentView,
    PublicAPIView,
    json_response,
    tagged,
    whole_list,
)
from tokens import minting, providers, selectors, services, signin
from tokens.minting import WantedToken
from tokens.models import APIKey
from tokens.policy import MAX_LIFETIME, policy_of
from tokens.providers import IdentityProvider
from tokens.serializers import (
    APIKeySerializer,
    APIKeyWithOwnerSerializer,
    AuthMethodsSerializer,
    CreateTokenRequest,
    GenerateAPIKeyResponse,
    LoginRequest,
    LoginResponse,
    TokenConfigSerializer,
    TokenPolicySerializer,
)
from users import allow_lists
from users.models import User
from users.passwords import count_try
from users.permissions import KeyIdentity, identity_of, scoped
from users.requests import MAX_LIMIT, MAX_OFFSET, flag, page_parameters, read, whole_number
from users.selectors import ME, user_by_name
from users.views import CHANGED, UserRouteView


class LoginView(PublicAPIView):
    @operation(
        "Log in user",
        tag="Authorization",
        description="Signs in with an e-mail address and a password. The response contains a "
        "session token and also sets it as a cookie. If the request has the cookie of another "
        "session, that session ends. Each client address can try 60 times a minute.",
        body=LoginRequest,
        answers={
            201: LoginResponse,
            401: "The e-mail address or the password is wrong, or the user is suspended.",
            403: "Signing in with a password is disabled.",
        },
    )
    def post(self, request: Request) -> HttpResponse:
        address, now = cast("IdentifiedRequest", request._request).client_address, timezone.now()
        wanted = read(LoginRequest, request)
        count_try(address)
        if settings.DISABLE_PASSWORD_AUTH:
            raise signin.passwords_disabled()
        user, password = user_by_name(wanted["email"]), wanted["password"]
        new = signin.sign_in(user, password, address=address, now=now)
        signin.end_browser_session(request._request, now=now)
        answer = json_response(LoginResponse({"session_token": new.token}).data, status=201)
        signin.set_cookie(answer, new.token)
        return answer


class LogoutView(APIView):
    @operation(
        "Log out user",
        tag="Users",
        description="Signs out: deletes the key of this request, and the session cookie.",
        answers={200: "You are signed out."},
    )
    def post(self, request: Request) -> HttpResponse:
        signin.sign_out(identity_of(request).key_id, actor=actor_of(request), now=timezone.now())
        answer = json_response({"message": "You are signed out."})
        signin.delete_cookie(answer)
        return answer


class AuthMethodsView(PublicAPIView):
    @operation(
        "Get authentication methods",
        tag="Users",
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
    allowed = caller.allow_list
    covered = allow_lists.covers(allowed, "user", str(user_id))
    return None if covered or allow_lists.covers(allowed, "api_key") else not_found()


def _own_limits_refusal(caller: KeyIdentity) -> APIError | None:
    return _limits_refusal(caller, caller.user_id)


def _token_config(user: User) -> dict[str, Any]:
    limit = policy_of(user).max_token_lifetime
    return TokenConfigSerializer({"max_token_lifetime": limit}).data


def _own_token_config(caller: KeyIdentity) -> bytes:
    user = User(id=caller.user_id, username=caller.username, roles=sorted(caller.roles))
    return render_json(_token_config(user))


class TokenConfigView(LimitsView, DocumentView):
    """Returns a document for the path with `me`. A trigger announces changed token policies."""

    document = Document("tokenconfig", _own_token_config, topic="policy", own=True)

    @classmethod
    def refusals(cls) -> tuple[Callable[[Any], APIError | None], ...]:
        return (*super().refusals(), _own_limits_refusal)

    @operation(
        "Get token config",
        tag="General",
        description="Returns the maximum lifetime of a new token of the user.",
        answers={200: TokenConfigSerializer},
    )
    def get(self, request: Request, user: str = ME) -> HttpResponse:
        other = providers.other()
        if other is not None and self.caller.granted is not None:
            return tagged(self._config_of(other, user), request=request)
        if user != ME:
            return tagged(_token_config(self.limited_user(user)), request=request)
        if refused := _own_limits_refusal(self.caller):
            raise refused
        return super().get(request)

    def _config_of(self, other: IdentityProvider, user: str) -> dict[str, Any]:
        """Returns the limit of our token policies, or the limit of the other service."""
        limit = policy_of(self.limited_user(user))[MAX_LIFETIME]
        lifetime_ns = limit.value
        presented = cast("IdentifiedRequest", self.request._request).presented
        if limit.is_from_option and presented is not None:
            release_connection()
            lifetime_ns = other.max_token_lifetime(presented.token, self.caller, user)
        return TokenConfigSerializer({"max_token_lifetime": lifetime_ns}).data


class ExplainTokenConfigView(LimitsView):
    @operation(
        "Explain token config",
        tag="Users",
        description="Returns all limits on the user's tokens. Each limit has its value, the rule "
        "that sets the value, and the values of all rules.",
        answers={200: TokenPolicySerializer},
    )
    def get(self, request: Request, user: str) -> HttpResponse:
        target = self.limited_user(user)
        limits = [
            {**asdict(limit), "explanation": limit.explanation()}
            for limit in policy_of(target).values()
        ]
        found = {"user_id": target.id, "username": target.username, "limits": limits}
        return json_response(TokenPolicySerializer(found).data)


def token_response(token: str) -> HttpResponse:
    return json_response({"key": token}, status=201)


class SessionKeysView(UserRouteView):
    actions = {"POST": "api_key:create"}

    @operation(
        "Create new session key",
        tag="Users",
        description="Creates a session token without a name. It has the user's default lifetime. "
        "Only owners can create session tokens for other users.",
        answers={201: GenerateAPIKeyResponse, 403: ResponseSerializer, 409: CHANGED},
    )
    def post(self, request: Request, user: str) -> HttpResponse:
        target, actor, now = self.user_in_path(user), actor_of(request), timezone.now()
        new = minting.create_session_key(target, caller=self.caller, actor=actor, now=now)
        return token_response(new.token)


class TokensView(UserRouteView):
    actions = {"GET": "api_key:read", "POST": "api_key:create"}

    @operation(
        "Get user tokens",
        tag="Users",
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
        limit = whole_number(request, "limit", default=0, limit=MAX_LIMIT)
        render = APIKeyWithOwnerSerializer().to_representation
        found = selectors.tokens(
            self.user_in_path(user),
            viewer=self.caller,
            everyone=flag(request, "include_all"),
            expired=flag(request, "include_expired"),
            now=timezone.now(),
            limit=limit,
            offset=whole_number(request, "offset", default=0, limit=MAX_OFFSET),
        )
        if limit:
            page = [render(token) for token in next(found)]
            return tagged(wire.apply("get-user-tokens", page), request=request)
        return whole_list(request, found, render=render, operation_id="get-user-tokens")

    @operation(
        "Create token API key",
        tag="Users",
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
        wanted = _wanted(read(CreateTokenRequest, request))
        actor, now = actor_of(request), timezone.now()
        new = minting.create_token(target, wanted, caller=self.caller, actor=actor, now=now)
        return token_response(new.token)


def _wanted(members: dict[str, Any]) -> WantedToken:
    # Older clients send one scope, newer ones a list.
    several, one = members["scopes"], members["scope"]
    return WantedToken(
        lifetime_ns=members["lifetime"],
        token_name=members["token_name"],
        scopes=tuple(several or filter(None, [one])),
        scopes_member="scope" if one and not several else "scopes",
        allow_list=tuple(members["allow_list"]),
    )


class TokenByNameView(UserRouteView):
    actions = {"GET": "api_key:read"}

    @operation(
        "Get API key by token name",
        tag="Users",
        description="Returns the user's token with this name.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, name: str) -> HttpResponse:
        target = self.user_in_path(user)
        found = selectors.token_by_name(target, name, viewer=self.caller)
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
        tag="Users",
        description="Returns the key with this id. Owners can get the keys of other users.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, key_id: str) -> HttpResponse:
        return json_response(APIKeySerializer(self.key(user, key_id)).data)

    @operation(
        "Delete API key",
        tag="Users",
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
        tag="Users",
        description="Expires a key. Its session token is then rejected immediately. The key stays "
        "in lists that include expired keys. If the key has already expired, nothing changes.",
        answers={204: None},
    )
    def put(self, request: Request, user: str, key_id: str) -> HttpResponse:
        key = self.key(user, key_id)
        services.expire_keys([key], actor=actor_of(request), now=timezone.now())
        return HttpResponse(status=204)
