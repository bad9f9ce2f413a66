"""Documents: answers that seldom change, rendered once and served from memory as bytes.

buildinfo, the configuration, ssh, the experiments and the newest stats are asked for all the time
and change seldom. Rendering one for each request took most of its time: 140 KB of configuration
cost ten times what sending them costs. So a document is rendered through its DRF serializer once
for each wire format, into bytes. Beside them stand a strong ETag, which is their digest, and a gzip
form where the document is larger than a packet. A caller who sends the ETag back gets a 304.

A document that stands on the database names a topic. Whoever changes what it shows announces the
topic with NOTIFY in the same transaction; every process hears it through `kernel.db.listener` and
forgets the document, and the next request renders it again. While a process does not hear (its
listening connection is down) and the database answers, it trusts no such document and renders each
time. A document whose
topic was announced while it was being rendered is answered once and not kept.

`answer` is a plain function of plain values, so that whoever has a method, headers and an identity
can call it without Django. Nothing is rendered ahead of a request, and nothing is kept on disk: the
first request after a start or a change pays, some milliseconds.
"""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kernel.db import listener
from kernel.http import wire
from kernel.http.errors import JSON_CONTENT_TYPE
from kernel.http.wire import Wire

GZIP_FROM_BYTES = 1400  # below one packet, compression saves nothing


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document's bytes in one wire."""

    body: bytes
    etag: str
    gzipped: bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


_all: list[Document] = []


class Document:
    """One remembered answer. `render` makes its bytes for the current wire.

    `public` documents need no token; others must not be kept by shared caches.
    """

    def __init__(
        self, name: str, render: Callable[[], bytes], *, topic: str = "", public: bool = False
    ) -> None:
        self.name = name
        self.topic = topic
        self.public = public
        self._render = render
        self._lock = threading.Lock()
        self._generation = 0
        self._remembered: dict[Wire, Rendered] = {}
        self._rendered_at = 0.0
        _all.append(self)
        if topic:
            listener.subscribe(topic, self.forget)

    def forget(self, _argument: str = "") -> None:
        with self._lock:
            self._generation += 1
            self._remembered = {}

    @property
    def age_seconds(self) -> float:
        """Seconds since it was rendered last; 0 while nothing is remembered."""
        return time.monotonic() - self._rendered_at if self._remembered else 0.0

    def peek(self, chosen: Wire) -> Rendered | None:
        """Returns the remembered form if it is still to be trusted, else None."""
        if self.topic and not listener.is_fresh():
            return None
        return self._remembered.get(chosen)

    def rendered(self, chosen: Wire) -> Rendered:
        """Returns the document in that wire, from memory where possible."""
        return self.peek(chosen) or self._make(chosen)

    def _make(self, chosen: Wire) -> Rendered:
        generation = self._generation
        with wire.using(chosen):
            made = _rendered(self._render())
        with self._lock:
            # An announcement that came while this was rendered has outdated it already.
            if generation == self._generation:
                self._remembered[chosen] = made
                self._rendered_at = time.monotonic()
        return made


def discard(document: Document) -> None:
    """Ends a document, which then hears of nothing any more."""
    _all.remove(document)
    listener.unsubscribe(document.topic, document.forget)


def ages() -> dict[str, float]:
    """Returns the age of every document in seconds, by name."""
    return {document.name: document.age_seconds for document in _all}


def forget_all() -> None:
    for document in _all:
        document.forget()


def _rendered(body: bytes, *, zipped: bool = True) -> Rendered:
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    is_large = len(body) >= GZIP_FROM_BYTES
    gzipped = gzip.compress(body, mtime=0) if zipped and is_large else None
    return Rendered(body, f'"{digest}"', gzipped)


def answer(
    document: Document, *, chosen: Wire, if_none_match: str = "", accept_encoding: str = ""
) -> Answer:
    """Returns the document as an answer: 200, or 304 where the caller has it already."""
    return _answer(
        document.rendered(chosen),
        public=document.public,
        if_none_match=if_none_match,
        accept_encoding=accept_encoding,
    )


def answer_once(body: bytes, *, if_none_match: str = "", accept_encoding: str = "") -> Answer:
    """Returns the body as an answer in the same way; nothing is remembered."""
    return _answer(
        _rendered(body, zipped=_accepts_gzip(accept_encoding)),
        public=False,
        if_none_match=if_none_match,
        accept_encoding=accept_encoding,
    )


def _answer(
    rendered: Rendered, *, public: bool, if_none_match: str, accept_encoding: str
) -> Answer:
    zipped = rendered.gzipped if _accepts_gzip(accept_encoding) else None
    # The two forms are different bytes, so a strong ETag must tell them apart (RFC 9110, 8.8.3).
    etag = rendered.etag if zipped is None else f'{rendered.etag[:-1]}-gzip"'
    headers = _headers(etag, public=public)
    if matches(if_none_match, etag):
        return Answer(304, headers, b"")
    if zipped is not None:
        headers["Content-Encoding"] = "gzip"
    return Answer(200, headers, rendered.body if zipped is None else zipped)


def _headers(etag: str, *, public: bool) -> dict[str, str]:
    kept_by = "public" if public else "private"
    return {
        "Content-Type": JSON_CONTENT_TYPE,
        "ETag": etag,
        "Cache-Control": f"{kept_by}, no-cache",
        "Vary": "Coder-Wire, Accept-Encoding",
    }


def matches(if_none_match: str, etag: str) -> bool:
    """Tells whether If-None-Match names the ETag, by weak comparison (RFC 9110, 13.1.2)."""
    if not if_none_match:
        return False
    candidates = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in candidates)


def _accepts_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
