"""Documents: responses that rarely change, rendered once and served as bytes from memory.

Clients request buildinfo, the configuration, ssh, the experiments and the newest stats very often,
but these rarely change. Rendering took most of the time of such a request: for the configuration of
140 KB it took ten times as long as sending. So a document is rendered once for each wire format
with its DRF serializer. Its bytes are cached with a strong ETag, which is a digest of the bytes. If
the bytes do not fit into one packet, a gzip version of them is cached, too. A client that sends the
ETag gets a 304 response.

A document that depends on the database has a topic. The transaction that changes the document's
content announces the topic. Then every process renders the document again at the next request.
`kernel.memory` explains when a cached document may be used.

`answer` takes and returns plain values, so it can be called without Django. Documents are not
rendered in advance, so the first request after a start or a change takes some milliseconds longer.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property, partial
from typing import NamedTuple

from kernel.http import wire
from kernel.http.call import Call
from kernel.http.headers import WIRE_FORMAT
from kernel.http.identity import Identity
from kernel.http.responses import JSON_CONTENT_TYPE, Answer, length_of, lines_of
from kernel.http.results import NO_HEADERS
from kernel.http.wire import WireFormat
from kernel.memory import CachedValue, Memory

# The maximum number of users whose own documents are cached.
OWNERS = 10_000
# Smaller bodies are not compressed, because they fit into one packet.
GZIP_FROM_BYTES = 1400
# Further tags of If-None-Match are ignored.
MAX_TAGS = 50
# The maximum age of bytes from another server.
SOURCE_SECONDS = 10.0
VARY = f"{WIRE_FORMAT}, Accept-Encoding"


class Variant(NamedTuple):
    """The bytes of a document in one encoding, and lines of the heads of its responses.

    A 304 response has the `unchanged_lines`.
    """

    body: bytes
    etag: str
    lines: bytes
    unchanged_lines: bytes


class Rendered:
    """A document in one wire format. It is compressed when a client first accepts gzip.

    If it `is_final`, it will not be compressed later.
    """

    def __init__(self, body: bytes, *, public: bool = False) -> None:
        self.is_final = len(body) < GZIP_FROM_BYTES
        self._digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        self._policy = f"{'public' if public else 'private'}, no-cache"
        self.plain = self._variant(body, self._digest)

    @cached_property
    def gzipped(self) -> Variant:
        body = gzip.compress(self.plain.body, mtime=0)
        self.is_final = True
        # The plain and the compressed bytes differ, so their strong ETags must differ (RFC 9110,
        # 8.8.3).
        return self._variant(body, f"{self._digest}-gzip", {"Content-Encoding": "gzip"})

    def _variant(self, body: bytes, tag: str, more: Mapping[str, str] = NO_HEADERS) -> Variant:
        unchanged = {"ETag": f'"{tag}"', "Cache-Control": self._policy, "Vary": VARY}
        whole = [("Content-Type", JSON_CONTENT_TYPE), *more.items(), length_of(body)]
        lines = lines_of(unchanged.items())
        return Variant(body, unchanged["ETag"], lines + lines_of(whole), lines)


# Takes the caller's session token. Returns the bytes in the current wire format.
type Source = Callable[[str], bytes]


class Document:
    """A response that is cached for each wire format.

    `render` returns its bytes in the current wire format. A `public` document needs no token.
    Shared caches may store only public documents. An `own` document is cached for each user:
    `render` takes the caller and its session token, and the bytes depend only on the caller's id
    and roles. A document is cached for at most `max_age` seconds.

    With `use_source`, the bytes come from another server. They are then cached for SOURCE_SECONDS,
    because the other server does not announce changes.
    """

    def __init__(
        self,
        name: str,
        render: Callable[..., bytes],
        *,
        topic: str = "",
        public: bool = False,
        own: bool = False,
        max_age: float = float("inf"),
    ) -> None:
        self.public = public
        self._own = own
        self._render = render
        self._source: Source | None = None
        self._memory: Memory[Hashable, Rendered] = Memory(
            f"document {name}",
            capacity=len(WireFormat) * (OWNERS if own else 1),
            topics=(topic,) if topic else (),
            max_age=max_age,
        )

    def use_source(self, source: Source | None) -> None:
        """Takes the bytes from `source` instead of `render`. None undoes this."""
        self._source = source
        self._memory.clear()

    def peek(self, chosen: WireFormat, caller: Identity | None) -> Rendered | None:
        """Returns the cached document, or None if it is not cached or may not be used."""
        return self._memory.get(self._key(chosen, caller))

    def rendered(self, caller: Identity | None, *, token: str) -> Rendered:
        """Returns the document in the current wire format. Renders it if it is not cached.

        `token` is the caller's session token, for the source of the bytes.
        """
        key = self._key(wire.current(), caller)
        make = partial(self._make, caller, token)
        return self._memory.load(key, make)

    def _key(self, chosen: WireFormat, caller: Identity | None) -> Hashable:
        # A user whose roles change gets another document.
        return (chosen, caller.user_id, caller.roles) if self._own and caller else chosen

    def _make(self, caller: Identity | None, token: str) -> CachedValue[Rendered]:
        if self._source is not None:
            found = Rendered(self._source(token), public=self.public)
            return CachedValue(found, max_age=SOURCE_SECONDS, lasting=True)
        body = self._render(caller, token) if self._own else self._render()
        return CachedValue(Rendered(body, public=self.public))


def answer(found: Rendered, call: Call) -> Answer:
    """Returns a rendered document as a response: 200, or 304 if the client has this version.

    Compressing the document for the first time takes milliseconds.
    """
    accepted, variant = call.headers.get("accept-encoding"), found.plain
    if accepted and len(variant.body) >= GZIP_FROM_BYTES and _accepts_gzip(accepted):
        variant = found.gzipped
    known = call.headers.get("if-none-match")
    if known and matches(known, variant.etag):
        return Answer(304, variant.unchanged_lines)
    return Answer(200, variant.lines, variant.body)


def matches(if_none_match: str, etag: str) -> bool:
    """Returns whether If-None-Match contains the ETag, by weak comparison (RFC 9110, 13.1.2)."""
    tags = if_none_match.split(",", MAX_TAGS)[:MAX_TAGS]
    candidates = (tag.strip().removeprefix("W/") for tag in tags)
    return any(tag in ("*", etag) for tag in candidates)


def _accepts_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
