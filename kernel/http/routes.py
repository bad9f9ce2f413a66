"""The views of a URL configuration, without importing Django REST framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from django.urls import URLResolver, get_resolver

# The limit of views that name no other one.
API_RATE_LIMIT = "API_RATE_LIMIT"


@cache
def views_by_path(urlconf: str) -> Mapping[str, Any]:
    """Returns the view class of each route of a URL configuration, or `object` for a function.

    In the path of a route with parameters, these have the form `<user:user>`.
    """
    return dict(_views(get_resolver(urlconf)))


def _views(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _views(pattern, path)
        else:
            yield path, getattr(pattern.callback, "cls", object)
