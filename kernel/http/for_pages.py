"""The first base of a middleware that the API has no use for."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

API_PREFIX = "/api/v2"


class ForPages(MiddlewareMixin):
    """Lets requests to the API pass by the middleware that comes after it among the bases."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(API_PREFIX):
            return cast("HttpResponseBase", self.get_response(request))
        return super().__call__(request)  # type: ignore[return-value]  # never called as async
