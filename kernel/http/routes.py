"""The views of a URL configuration, without importing Django REST framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLResolver

# The limit of views that name no other one.
API_RATE_LIMIT = "API_RATE_LIMIT"


def view_classes(resolver: URLResolver, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Yields the path and the view class of each route of a URL configuration.

    For a view that is a function, yields `object` instead of a class.
    """
    for pattern in resolver.url_patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from view_classes(pattern, path)
        else:
            yield path, getattr(pattern.callback, "cls", object)
