from __future__ import annotations

from typing import cast

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit.services import Actor
from kernel.http.errors import APIError
from kernel.http.identity import IdentifiedRequest
from kernel.http.schema import ResponseSerializer
from kernel.http.views import PublicAPIView
from users import selectors, services
from users.requests import read
from users.serializers import CreateFirstUserRequest, CreateFirstUserResponse


class FirstUserView(PublicAPIView):
    @extend_schema(
        operation_id="check-initial-user-created",
        summary="Check initial user created",
        tags=["Users"],
        description="Whether anybody has been created on this deployment yet.",
        responses={200: ResponseSerializer, 404: ResponseSerializer},
    )
    def get(self, request: Request) -> Response:
        if not selectors.user_exists():
            raise APIError(404, "The initial user was not found: nobody has been created.")
        return Response({"message": "The initial user has been created."})

    @extend_schema(
        operation_id="create-initial-user",
        summary="Create initial user",
        tags=["Users"],
        description="Creates the first user, who becomes an owner. Open until it has been called.",
        request=CreateFirstUserRequest,
        responses={201: CreateFirstUserResponse, 409: ResponseSerializer},
    )
    def post(self, request: Request) -> Response:
        wanted = read(CreateFirstUserRequest, request)
        address = cast("IdentifiedRequest", request._request).client_address
        user = services.create_first_user(
            services.NewUser(**wanted),
            actor=Actor(name=wanted["username"][:64], address=address),
            now=timezone.now(),
        )
        answer = {"user_id": user.id, "organization_id": services.organization_id()}
        return Response(CreateFirstUserResponse(answer).data, status=201)
