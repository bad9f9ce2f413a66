"""A function that returns recorded responses: the most that the HTTP server can do.

With a `lookup` path, a thread first looks up the session token with psycopg. BENCH_ANSWERS names a
JSON file with the status, the headers and the body of each path.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from psycopg_pool import ConnectionPool

from bench.service import THREADS

settings.configure(TRUSTED_PROXY_HEADERS=(), TRUSTED_PROXY_ORIGINS=())

from kernel.http.exchange import Request  # noqa: E402
from kernel.http.responses import Answer, lines_of  # noqa: E402
from kernel.http.results import Ask  # noqa: E402

LOOKUP = """
SELECT k.hashed_secret, k.user_id, k.expires_at, k.scopes, u.username, u.status, u.roles
FROM tokens_apikey AS k JOIN users_user AS u ON u.id = k.user_id WHERE k.id = %s
"""
LOOKUP_PATH = "/lookup"


class Bare:
    """An application. Without a lookup, it responds in the event loop, as the front does."""

    def __init__(self) -> None:
        recorded = json.loads(Path(os.environ["BENCH_ANSWERS"]).read_text(encoding="utf-8"))
        self._answers = {
            path: Answer(status, lines_of(headers.items()), body.encode("latin-1"))
            for path, (status, headers, body) in recorded.items()
        }
        self._threads = ThreadPoolExecutor(THREADS)
        self._pool = _pool()

    def submit(self, request: Request, query: Any) -> Future[Any]:
        raise NotImplementedError

    async def exchange(self, request: Request) -> Answer:
        path = request.call.path
        if path != LOOKUP_PATH:
            return self._answers.get(path) or nothing()
        token = request.call.headers["coder-session-token"]
        is_valid = await Ask(begin=lambda: self._threads.submit(self._is_valid, token))
        return self._answers[LOOKUP_PATH] if is_valid else nothing()

    def _is_valid(self, token: str) -> bool:
        key_id, _, secret = token.partition("-")
        if self._pool is None:
            return False
        with self._pool.connection() as connection:
            row = connection.execute(LOOKUP, [key_id]).fetchone()
        digest = hashlib.sha256(secret.encode()).digest()
        return row is not None and hmac.compare_digest(bytes(row[0]), digest)


def nothing() -> Answer:
    return Answer.whole(404, {})


def _pool() -> ConnectionPool[Any] | None:
    size = int(os.environ["BENCH_POOL"])
    url = os.environ.get("DATABASE_URL")
    kwargs = {"autocommit": True}
    return ConnectionPool(url, min_size=size, max_size=size, kwargs=kwargs) if url else None


build = Bare
