"""Ingest keys: public, write-only, good for the reports of named origins and for nothing else.

`cik_`, 22 random characters, and 6 that are the CRC-32 of those before, so that a mistyped or
made-up key is refused without asking the database.
"""

from __future__ import annotations

import re
import secrets
import string
import threading
import time
import zlib
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from csp.models import IngestKey
from kernel.db import listener
from kernel.http.errors import APIError

PARAMETER = "key"
PREFIX = "cik_"
TOPIC = "ingest_key"
REMEMBERED_SECONDS = 5.0
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(r"cik_[0-9A-Za-z]{28}")


@dataclass(frozen=True, slots=True)
class Known:
    origins: frozenset[str]
    retired_at: datetime | None


def new_key() -> str:
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(22))
    return body + checksum(body)


def checksum(body: str) -> str:
    """The CRC-32 of the text in six characters of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def is_well_formed(key: str) -> bool:
    return bool(_FORM.fullmatch(key)) and checksum(key[:-6]) == key[-6:]


class Memory:
    """Every ingest key, until the table's trigger announces a change.

    A process that does not hear of it, for want of a listener or of a connection, is a few seconds
    behind: forgetting everything at once would let strangers' keys ask the database each time.
    """

    def __init__(self) -> None:
        self._keys: dict[str, Known] = {}
        self._until = 0.0
        self._generation = self._read = 0
        self._lock = threading.Lock()

    def forget(self, _argument: str = "") -> None:
        # Without the lock: a listener must not wait for a query.
        self._generation += 1

    def find(self, key: str) -> Known | None:
        with self._lock:
            if time.monotonic() > self._until or self._read != self._generation:
                # What is announced while this is read has outdated it already.
                self._read = self._generation
                self._keys = {
                    row.key: Known(frozenset(row.origins), row.retired_at)
                    for row in IngestKey.objects.all()
                }
                self._until = time.monotonic() + REMEMBERED_SECONDS
            return self._keys.get(key)


memory = Memory()
listener.subscribe(TOPIC, memory.forget)


def is_for(key: str, origin: str) -> bool:
    """Whether it is a key for this origin, retired or not: a page must be able to read the 410."""
    known = memory.find(key) if is_well_formed(key) else None
    return known is not None and origin in known.origins


def check(key: str, *, origin: str) -> None:
    """Returns if the key lets this origin report.

    A request without an Origin header, as a same-origin report is in some browsers, is not held to
    the list: the header is the browser's word, and what has no browser can write any. `null` is an
    origin like the others, as any page can have it by a sandbox: the list must name it.
    Raises: APIError 401, 403, 410.
    """
    known = memory.find(key) if is_well_formed(key) else None
    if known is None:
        raise APIError(401, "The ingest key is unknown.", detail="Keys are cik_ and 28 characters.")
    if known.retired_at is not None and known.retired_at <= timezone.now():
        raise APIError(410, "The ingest key is retired.", detail="Stop reporting to this address.")
    if origin and origin not in known.origins:
        raise APIError(403, "Forbidden.", detail="The ingest key is not for this origin.")
