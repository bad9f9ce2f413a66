"""A function that returns recorded responses: the most that the HTTP server can do.

With a `lookup` path, a thread first looks up the session token with psycopg. BENCH_ANSWERS names a
JSON file with the status, the headers and the body of each path.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from psycopg_pool import ConnectionPool

from bench.service import THREADS
from kernel.http.responses import Answer
from kernel.http.threads import Send, send_whole

LOOK_UP = """
SELECT k.hashed_secret, k.user_id, k.expires_at, k.scopes, u.username, u.status, u.roles
FROM tokens_apikey AS k JOIN users_user AS u ON u.id = k.user_id WHERE k.id = %s
"""
LOOK_UP_PATH = b"/lookup"
NOTHING = Answer(404, {"Content-Length": "0"}, b"")


class Bare:
    """An ASGI application. Without a look-up, it responds in the event loop, as the front does."""

    def __init__(self) -> None:
        recorded = json.loads(Path(os.environ["BENCH_ANSWERS"]).read_text(encoding="utf-8"))
        self._answers = {
            path.encode(): Answer(status, dict(headers), body.encode("latin-1"))
            for path, (status, headers, body) in recorded.items()
        }
        self._threads = ThreadPoolExecutor(THREADS)
        self._pool = _pool()

    def answer_at_once(self, scope: Mapping[str, Any]) -> Answer | None:
        path = scope["raw_path"]
        return None if path == LOOK_UP_PATH else self._answers.get(path, NOTHING)

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        token = dict(scope["headers"])[b"coder-session-token"].decode()
        loop = asyncio.get_running_loop()
        is_valid = await loop.run_in_executor(self._threads, self._is_valid, token)
        answer = self._answers[LOOK_UP_PATH] if is_valid else NOTHING
        await send_whole(send, answer.status, answer.headers.items(), answer.body)

    def _is_valid(self, token: str) -> bool:
        key_id, _, secret = token.partition("-")
        if self._pool is None:
            return False
        with self._pool.connection() as connection:
            row = connection.execute(LOOK_UP, [key_id]).fetchone()
        digest = hashlib.sha256(secret.encode()).digest()
        return row is not None and hmac.compare_digest(bytes(row[0]), digest)


def _pool() -> ConnectionPool[Any] | None:
    size = int(os.environ["BENCH_POOL"])
    url = os.environ.get("DATABASE_URL")
    kwargs = {"autocommit": True}
    return ConnectionPool(url, min_size=size, max_size=size, kwargs=kwargs) if url else None


build = Bare
