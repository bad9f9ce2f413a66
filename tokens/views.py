from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderapi.views import APIView
from tokens.permissions import identity_of, scoped
from tokens.policy import token_limit
from tokens.serializers import TokenConfigSerializer
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
        limit = token_limit(target.id, target.roles)
        return Response(TokenConfigSerializer(limit).data)
