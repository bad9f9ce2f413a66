from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from audit.services import actor_of
from kernel.http import wire
from kernel.http.errors import not_found
from kernel.http.identity import IdentifiedRequest
from kernel.http.schema.errors import ResponseSerializer
from kernel.http.schema.operations import operation
from kernel.http.views import APIView, PublicAPIView
from tokens import minting, selectors, services, signin
from tokens.minting import Wanted
from tokens.policy import policy_of
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
    key_object,
    token_object,
)
from users import allow_lists
from users.models import User
from users.passwords import count_try
from users.permissions import identity_of, scoped
from users.requests import flag, read
from users.selectors import user_by_email, user_in_path


class LoginView(PublicAPIView):
    @operation(
        "Log in user",
        tag="Authorization",
        description="Signs in with e-mail address and password: the answer holds the session "
        "token, and sets it as a cookie.",
        body=LoginRequest,
        answers={201: LoginResponse, 401: ResponseSerializer, 403: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        identified = cast("IdentifiedRequest", request._request)
        count_try(identified.client_address)
        wanted = read(LoginRequest, request)
        new = signin.sign_in(
            user_by_email(wanted["email"]),
            wanted["password"],
            address=identified.client_address,
            now=timezone.now(),
        )
        answer = Response(LoginResponse({"session_token": new.token}).data, status=201)
        answer.headers["Cache-Control"] = "no-store"
        signin.give_cookie(answer, new.token)
        return answer


class LogoutView(APIView):
    @operation(
        "Log out user",
        tag="Users",
        description="Deletes the session token that the request came with, and its cookie.",
        answers={200: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        signin.sign_out(identity_of(request).key_id, actor=actor_of(request), now=timezone.now())
        answer = Response({"message": "You are signed out."})
        signin.take_cookie(answer)
        return answer


class AuthMethodsView(PublicAPIView):
    @operation(
        "Get authentication methods",
        tag="Users",
        description="Tells how one may sign in here: with a password, if at all.",
        answers={200: AuthMethodsSerializer},
    )
    def get(self, request: Request) -> Response:
        return Response(AuthMethodsSerializer(_methods()).data)


def _methods() -> dict[str, Any]:
    found: dict[str, Any] = {
        "password": {"enabled": not settings.DISABLE_PASSWORD_AUTH},
        "github": {"enabled": False, "default_provider_configured": False},
        "oidc": {
            "enabled": False,
            "signInText": settings.CONFIGURATION["oidc.sign_in_text"],
            "iconUrl": str(settings.CONFIGURATION["oidc.icon_url"] or ""),
        },
    }
    terms = settings.CONFIGURATION["terms_of_service_url"]
    return found | ({"terms_of_service_url": str(terms)} if terms else {})


def _limited_user(request: Request, reference: str) -> User:
    """Returns the user whose limits are asked for. Raises: APIError 400, 404."""
    viewer = identity_of(request)
    target = user_in_path(reference, viewer=viewer)
    allowed = viewer.allow_list
    if allow_lists.covers(allowed, "user", str(target.id)) or allow_lists.covers(
        allowed, "api_key"
    ):
        return target
    raise not_found()


class TokenConfigView(APIView):
    permission_classes = [scoped("user:read", "api_key:read")]

    @operation(
        "Get token config",
        tag="General",
        description="Tells how long a new session token of this user may live at most.",
        answers={200: TokenConfigSerializer},
    )
    def get(self, request: Request, user: str) -> Response:
        target = _limited_user(request, user)
        return Response(TokenConfigSerializer(policy_of(target)).data)


class ExplainTokenConfigView(APIView):
    permission_classes = [scoped("user:read", "api_key:read")]

    @operation(
        "Explain token config",
        tag="Users",
        description="Every limit on this user's tokens, the rule that won, and what each said.",
        answers={200: TokenPolicySerializer},
    )
    def get(self, request: Request, user: str) -> Response:
        target = _limited_user(request, user)
        limits = [
            {**asdict(limit), "explanation": limit.explanation()}
            for limit in policy_of(target).limits.values()
        ]
        found = {"user_id": target.id, "username": target.username, "limits": limits}
        return Response(TokenPolicySerializer(found).data)


def token_response(token: str) -> Response:
    """Makes the one answer that shows a token; nobody on the way may keep it."""
    answer = Response(GenerateAPIKeyResponse({"key": token}).data, status=201)
    answer.headers["Cache-Control"] = "no-store"
    return answer


class SessionKeysView(APIView):
    permission_classes = [scoped("api_key:create")]

    @operation(
        "Create new session key",
        tag="Users",
        description="Makes a key without a name and with the default lifetime, within the limits "
        "that hold for its user.",
        answers={201: GenerateAPIKeyResponse, 409: ResponseSerializer},
    )
    def post(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        actor, now = actor_of(request), timezone.now()
        new = minting.create_session_key(target, caller=caller, actor=actor, now=now)
        return token_response(new.token)


class TokensView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [scoped("api_key:create" if self.request.method == "POST" else "api_key:read")()]

    @operation(
        "Get user tokens",
        tag="Users",
        description="The user's tokens as far as the caller may see them, newest first.",
        parameters=[
            OpenApiParameter("include_all", bool, description="Everyone's, for an owner."),
            OpenApiParameter("include_expired", bool, description="Those that have ended, too."),
        ],
        answers={200: APIKeyWithOwnerSerializer(many=True)},
    )
    def get(self, request: Request, user: str) -> Response:
        viewer = identity_of(request)
        found = selectors.tokens(
            user_in_path(user, viewer=viewer),
            viewer=viewer,
            everyone=flag(request, "include_all"),
            expired=flag(request, "include_expired"),
            now=timezone.now(),
        )
        return Response(wire.apply("get-user-tokens", [token_object(row) for row in found]))

    @operation(
        "Create token API key",
        tag="Users",
        description="Makes a token within the limits that hold for its user. A refusal says which "
        "rule won.",
        body=CreateTokenRequest,
        answers={201: GenerateAPIKeyResponse, 409: ResponseSerializer},
    )
    def post(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        wanted = _wanted(read(CreateTokenRequest, request))
        actor, now = actor_of(request), timezone.now()
        new = minting.create_token(target, wanted, caller=caller, actor=actor, now=now)
        return token_response(new.token)


def _wanted(members: dict[str, Any]) -> Wanted:
    # Older clients name one scope, newer ones several.
    several, one = members["scopes"], members["scope"]
    return Wanted(
        lifetime_ns=members["lifetime"],
        token_name=members["token_name"],
        scopes=tuple(several or filter(None, [one])),
        scopes_member="scope" if one and not several else "scopes",
        allow_list=tuple(members["allow_list"]),
    )


class TokenByNameView(APIView):
    permission_classes = [scoped("api_key:read")]

    @operation(
        "Get API key by token name",
        tag="Users",
        description="One token of the user, by its name.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, name: str) -> Response:
        viewer = identity_of(request)
        target = user_in_path(user, viewer=viewer)
        return Response(key_object(selectors.token_by_name(target, name, viewer=viewer)))


class KeyView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [scoped("api_key:delete" if self.request.method == "DELETE" else "api_key:read")()]

    @operation(
        "Get API key by ID",
        tag="Users",
        description="One key, by its id.",
        answers={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        key = selectors.key_by_id(key_id, action="read", viewer=viewer)
        return Response(key_object(key))

    @operation(
        "Delete API key",
        tag="Users",
        description="Ends a key and removes it, also the one that the request came with.",
        answers={204: None},
    )
    def delete(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        key = selectors.key_by_id(key_id, action="delete", viewer=viewer)
        if not services.delete_keys([key], actor=actor_of(request), now=timezone.now()):
            raise not_found()
        return Response(status=204)


class ExpireKeyView(APIView):
    permission_classes = [scoped("api_key:update")]

    @operation(
        "Expire API key",
        tag="Users",
        description="Ends a key and keeps it to be looked at. An expired one stays as it is.",
        answers={204: None},
    )
    def put(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        key = selectors.key_by_id(key_id, action="update", viewer=viewer)
        services.expire_keys([key], actor=actor_of(request), now=timezone.now())
        return Response(status=204)
