from __future__ import annotations

from dataclasses import asdict

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http.views import APIView
from tokens.policy import policy_of
from tokens.serializers import TokenConfigSerializer, TokenPolicySerializer
from users.permissions import identity_of, scoped
from users.selectors import user_in_path


class TokenConfigView(APIView):
    permission_classes = [scoped("user:read", "api_key:read")]

    @extend_schema(
        operation_id="get-token-config",
        summary="Get token config",
        tags=["General"],
        description="How long a new session token of this user may live at most.",
        responses={200: TokenConfigSerializer},
    )
    def get(self, request: Request, user: str) -> Response:
        target = user_in_path(user, viewer=identity_of(request))
        return Response(TokenConfigSerializer(policy_of(target)).data)


class ExplainTokenConfigView(APIView):
    permission_classes = [scoped("user:read", "api_key:read")]

    @extend_schema(
        operation_id="explain-token-config",
        summary="Explain token config",
        tags=["Users"],
        description="Every limit on this user's tokens, the rule that won, and what each said.",
        responses={200: TokenPolicySerializer},
    )
    def get(self, request: Request, user: str) -> Response:
        target = user_in_path(user, viewer=identity_of(request))
        limits = [
            {**asdict(limit), "explanation": limit.explanation()}
            for limit in policy_of(target).limits.values()
        ]
        found = {"user_id": target.id, "username": target.username, "limits": limits}
        return Response(TokenPolicySerializer(found).data)
