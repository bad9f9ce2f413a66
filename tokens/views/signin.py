from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.middleware.csrf import rotate_token
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http.identity import IdentifiedRequest
from kernel.http.schema import ResponseSerializer
from kernel.http.views import APIView, PublicAPIView
from tokens import signin
from tokens.extraction import COOKIE
from tokens.serializers import AuthMethodsSerializer, LoginRequest, LoginResponse
from users.permissions import actor_of, identity_of
from users.requests import read


class LoginView(PublicAPIView):
    @extend_schema(
        operation_id="log-in-user",
        summary="Log in user",
        tags=["Authorization"],
        description="Signs in with e-mail address and password: the answer holds the session "
        "token, and sets it as a cookie.",
        request=LoginRequest,
        responses={201: LoginResponse, 401: ResponseSerializer, 403: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        identified = cast("IdentifiedRequest", request._request)
        signin.count_try(identified.client_address)
        wanted = read(LoginRequest, request)
        new = signin.sign_in(
            wanted["email"],
            wanted["password"],
            address=identified.client_address,
            now=timezone.now(),
        )
        answer = Response(LoginResponse({"session_token": new.token}).data, status=201)
        answer.headers["Cache-Control"] = "no-store"
        answer.set_cookie(
            COOKIE,
            new.token,
            path="/",
            httponly=True,
            secure=settings.SECURE_COOKIES,
            samesite=settings.SAMESITE,
        )
        # Whoever planted a CSRF cookie before the sign-in must not know the one after it.
        rotate_token(identified)
        return answer


class LogoutView(APIView):
    @extend_schema(
        operation_id="log-out-user",
        summary="Log out user",
        tags=["Users"],
        description="Deletes the session token that the request came with, and its cookie.",
        request=None,
        responses={200: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        signin.sign_out(identity_of(request).key_id, actor=actor_of(request), now=timezone.now())
        answer = Response({"message": "You are signed out."})
        answer.delete_cookie(COOKIE, path="/", samesite=settings.SAMESITE)
        return answer


class AuthMethodsView(PublicAPIView):
    @extend_schema(
        operation_id="get-authentication-methods",
        summary="Get authentication methods",
        tags=["Users"],
        description="How one may sign in here: with a password, if at all.",
        responses={200: AuthMethodsSerializer},
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
