"""How the API describes itself: component names, the ways to carry a token, the error shape."""

from __future__ import annotations

from kernel.http.schema.errors import ResponseSerializer, ValidationErrorSerializer
from kernel.http.schema.security import SECURITY

__all__ = ["SECURITY", "ResponseSerializer", "ValidationErrorSerializer"]
