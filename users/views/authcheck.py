from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from kernel.http.views import APIView
from users.authcheck import is_allowed
from users.permissions import identity_of
from users.requests import read
from users.serializers import AuthorizationRequest


class AuthCheckView(APIView):
    @extend_schema(
        operation_id="check-authorization",
        summary="Check authorization",
        tags=["Authorization"],
        description="For each named check, whether the caller would be allowed to do it.",
        request=AuthorizationRequest,
        responses={200: {"type": "object", "additionalProperties": {"type": "boolean"}}},
    )
    def post(self, request: Request) -> Response:
        caller = identity_of(request)
        checks = read(AuthorizationRequest, request)["checks"]
        return Response(
            {
                name: is_allowed(caller, action=check["action"], **check["object"])
                for name, check in checks.items()
            }
        )
