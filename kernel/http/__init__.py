"""HTTP for all apps: everything between the server and the views.

`exchange` has the sequence of a request: the steps, the `body`, a route without Django or Django in
`threads`, and the response. It is a coroutine that asks for values that are not in memory
(`asking`). The functions of the steps are in `steps`, `wire` and an app. A step reads the request
as a `call`, and adds to its `results`. `middleware` passes the results to Django.

Views inherit from the classes in `views.base` and raise the `APIError` of `errors`.
`views.rendering` renders JSON in the format of `wire`. `views.handlers` converts every exception to
an error response. Responses that rarely change are `views.documents`: they are rendered once and
served from memory. `responses` has the form of responses that are made without Django. `schema`
has the decorator that describes an operation, and `metrics` counts requests.

docs/architecture.md ("Slow clients, a frozen database, revoked keys") describes how these modules,
`kernel.limiter`, `kernel.memory` and `kernel.db` work together.

This package does not import apps, and does not know their paths. A view states its limits:
`max_body` and `rate_limit`.
"""

from __future__ import annotations

# Coder's operations are below the first prefix, and coderapi's own are below the second one.
CODER_API = "/api/v2"
OWN_API = "/api/coderapi/v1"
_ROOTS = (CODER_API, OWN_API)
_BELOW = tuple(f"{root}/" for root in _ROOTS)


def is_api_path(path: str) -> bool:
    return path.startswith(_BELOW) or path in _ROOTS
