from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http import wire
from kernel.http.schema import ResponseSerializer
from kernel.http.views import APIView
from tokens import minting, selectors, services
from tokens.minting import Wanted
from tokens.representation import key_object, token_object
from tokens.serializers import (
    APIKeySerializer,
    APIKeyWithOwnerSerializer,
    CreateTokenRequest,
    GenerateAPIKeyResponse,
)
from users.permissions import actor_of, identity_of, scoped
from users.requests import flag, read
from users.selectors import user_in_path

LIST = "get-user-tokens"


def token_response(token: str) -> Response:
    """The one answer that shows a token; nobody on the way may keep it."""
    answer = Response(GenerateAPIKeyResponse({"key": token}).data, status=201)
    answer.headers["Cache-Control"] = "no-store"
    return answer


class SessionKeysView(APIView):
    permission_classes = [scoped("api_key:create")]

    @extend_schema(
        operation_id="create-new-session-key",
        summary="Create new session key",
        tags=["Users"],
        description="Makes a key as signing in does, with the default lifetime of tokens.",
        request=None,
        responses={201: GenerateAPIKeyResponse},
    )
    def post(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        new = minting.create_session_key(
            target, caller=caller, actor=actor_of(request), now=timezone.now()
        )
        return token_response(new.token)


class TokensView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [scoped("api_key:create" if self.request.method == "POST" else "api_key:read")()]

    @extend_schema(
        operation_id=LIST,
        summary="Get user tokens",
        tags=["Users"],
        description="The user's tokens as far as the caller may see them, newest first.",
        parameters=[
            OpenApiParameter("include_all", bool, description="Everyone's, for an owner."),
            OpenApiParameter("include_expired", bool, description="Those that have ended, too."),
        ],
        responses={200: APIKeyWithOwnerSerializer(many=True)},
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
        return Response(wire.apply(LIST, [token_object(row) for row in found]))

    @extend_schema(
        operation_id="create-token-api-key",
        summary="Create token API key",
        tags=["Users"],
        description="Makes a token within the limits that hold for its user. A refusal says which "
        "rule won.",
        request=CreateTokenRequest,
        responses={201: GenerateAPIKeyResponse, 409: ResponseSerializer},
    )
    def post(self, request: Request, user: str) -> Response:
        caller = identity_of(request)
        target = user_in_path(user, viewer=caller)
        new = minting.create_token(
            target,
            _wanted(read(CreateTokenRequest, request)),
            caller=caller,
            actor=actor_of(request),
            now=timezone.now(),
        )
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

    @extend_schema(
        operation_id="get-api-key-by-token-name",
        summary="Get API key by token name",
        tags=["Users"],
        description="One token of the user, by its name.",
        responses={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, name: str) -> Response:
        viewer = identity_of(request)
        target = user_in_path(user, viewer=viewer)
        return Response(key_object(selectors.token_by_name(target, name, viewer=viewer)))


class KeyView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [scoped("api_key:delete" if self.request.method == "DELETE" else "api_key:read")()]

    @extend_schema(
        operation_id="get-api-key-by-id",
        summary="Get API key by ID",
        tags=["Users"],
        description="One key, by its id.",
        responses={200: APIKeySerializer},
    )
    def get(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        return Response(key_object(selectors.key_by_id(key_id, viewer=viewer)))

    @extend_schema(
        operation_id="delete-api-key",
        summary="Delete API key",
        tags=["Users"],
        description="Ends a key and removes it, also the one that the request came with.",
        responses={204: None},
    )
    def delete(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        key = selectors.key_by_id(key_id, viewer=viewer)
        services.delete_keys([key], actor=actor_of(request), now=timezone.now())
        return Response(status=204)


class ExpireKeyView(APIView):
    permission_classes = [scoped("api_key:update")]

    @extend_schema(
        operation_id="expire-api-key",
        summary="Expire API key",
        tags=["Users"],
        description="Ends a key and keeps it to be looked at. An expired one stays as it is.",
        request=None,
        responses={204: None},
    )
    def put(self, request: Request, user: str, key_id: str) -> Response:
        viewer = identity_of(request)
        user_in_path(user, viewer=viewer)
        key = selectors.key_by_id(key_id, viewer=viewer)
        services.expire_keys([key], actor=actor_of(request), now=timezone.now())
        return Response(status=204)
