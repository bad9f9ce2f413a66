"""Routes that always fail, inside and outside the API."""

from __future__ import annotations

from typing import NoReturn

from django.db import OperationalError
from django.http import HttpRequest
from django.urls import path
from rest_framework.request import Request

from coderapi.urls import handler400, handler403, handler404, handler500
from kernel.http.views import PublicAPIView

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class CrashingView(PublicAPIView):
    def get(self, request: Request) -> NoReturn:
        raise RuntimeError("the secret cause")


class AwayView(PublicAPIView):
    def get(self, request: Request) -> NoReturn:
        raise OperationalError("connection refused")


def crash(request: HttpRequest) -> NoReturn:
    raise RuntimeError("the secret cause")


def away(request: HttpRequest) -> NoReturn:
    raise OperationalError("connection refused")


urlpatterns = [
    path("api/v2/crash", CrashingView.as_view()),
    path("api/v2/away", AwayView.as_view()),
    path("crash", crash),
    path("away", away),
]
