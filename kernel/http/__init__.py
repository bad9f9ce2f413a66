"""HTTP below every app: everything that a request meets before a view, and an answer after it.

A request comes in through `body`, outside Django: it is complete and within its cap, or refused.
`middleware` gives it an id, a client address and a wire format, sends it on to the access URL where
the operator wishes that, and puts the common headers on its answer. `rate_limit` counts it; who is
asking is found out in between by an app, and kept as the plain values of `identity`. `pages` and
`content_policy` hold what only HTML pages need; the API passes those by.

Views stand on `views`. They parse with `parsing`, raise the `APIError` of `errors` and answer
through `rendering`, which turns what a serializer made into the form of the `wire`. Whatever is
raised ends in `handlers`, in one shape. Answers that seldom change are `documents`: rendered once,
kept as bytes; those of any length are `streaming`, few at a time. `schema` describes all of it as
OpenAPI, and `metrics` counts it.

Nothing here imports an app or knows a path of one. What differs by path (caps, limits, where CSP
reports go) stands in the settings, which the project composes.
"""

from __future__ import annotations

import re

API_PREFIX = "/api/v2"
_SLASHES = re.compile("//+")


def single_slashes(path: str) -> str:
    """Returns the path with repeated slashes as one: a base URL that ends in one is common."""
    return _SLASHES.sub("/", path)
