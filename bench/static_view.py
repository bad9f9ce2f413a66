"""A view that returns BENCH_BYTES bytes of JSON behind the service's middlewares."""

from __future__ import annotations

import os

from django.http import HttpRequest, HttpResponse
from django.urls import path

PATH = "/api/v2/static-view"
BYTES = "BENCH_BYTES"
BODY = b'"' + b"x" * (int(os.environ.get(BYTES, "2")) - 2) + b'"'


def static_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(BODY, content_type="application/json")


urlpatterns = [path(PATH.lstrip("/"), static_view)]
