"""HTTP below the apps: everything between the server and a view.

On the way in: `body` runs before Django. It reads the body whole, within its cap and deadline.
`middleware` assigns the request id and the wire. `hosts` checks the Host header, redirects to the
access URL and finds the client's address. An app finds out who the caller is, as the plain values
of `identity`. `rate_limit` counts the request. `pages` and `content_policy` are for HTML pages; the
API skips them.

Views inherit from those in `views` and raise the `APIError` of `errors`. `rendering` makes JSON, in
the form of the `wire`. `handlers` turns every exception into the one shape of errors. Answers that
seldom change are `documents`: rendered once, and served from memory. `schema` describes the API as
OpenAPI, and `metrics` counts requests.

**A slow client** can occupy only a part of the threads: `body` limits those that read bodies,
`views.STREAMS` those that send streamed answers. All other answers are sent whole, by threads of
the server that cannot be blocked. **A frozen database** blocks no document: `documents` are served
from memory, and so are verified keys. Other requests get 503 within six seconds. See
`kernel.limiter`, `kernel.memory` and `kernel.db`.

Nothing here imports an app or knows its paths. Caps and limits by path are in the settings.
"""

from __future__ import annotations

import re

API_PREFIX = "/api/v2"
_SLASHES = re.compile("//+")


def single_slashes(path: str) -> str:
    """Replaces repeated slashes. Clients often have a base URL that ends in one."""
    return _SLASHES.sub("/", path)
