"""A WSGI function that returns recorded responses: the most that the HTTP server can do.

With a `lookup` path, it first looks up the session token with psycopg. BENCH_ANSWERS names a JSON
file with the status line, the headers and the body of each path.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg_pool import ConnectionPool

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOOK_UP = """
SELECT k.hashed_secret, k.user_id, k.expires_at, k.scopes, u.username, u.status, u.roles
FROM tokens_apikey AS k JOIN users_user AS u ON u.id = k.user_id WHERE k.id = %s
"""
LOOK_UP_PATH = "/lookup"
ANSWERS = {
    path: (status, [(name, value) for name, value in headers], body.encode("latin-1"))
    for path, (status, headers, body) in json.loads(
        Path(os.environ["BENCH_ANSWERS"]).read_text(encoding="utf-8")
    ).items()
}
NOTHING = ("404 Not Found", [("Content-Length", "0")], b"")


def _pool() -> ConnectionPool[Any] | None:
    size = int(os.environ["BENCH_POOL"])
    url = os.environ.get("DATABASE_URL")
    kwargs = {"autocommit": True}
    return ConnectionPool(url, min_size=size, max_size=size, kwargs=kwargs) if url else None


POOL = _pool()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    status, headers, body = ANSWERS.get(path, NOTHING)
    if path == LOOK_UP_PATH and not _is_valid(environ["HTTP_CODER_SESSION_TOKEN"]):
        status = "401 Unauthorized"
    start_response(status, headers)
    return [body]


def _is_valid(token: str) -> bool:
    key_id, _, secret = token.partition("-")
    if POOL is None:
        return False
    with POOL.connection() as connection:
        row = connection.execute(LOOK_UP, [key_id]).fetchone()
    digest = hashlib.sha256(secret.encode()).digest()
    return row is not None and hmac.compare_digest(bytes(row[0]), digest)
