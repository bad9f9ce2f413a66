"""The results of the steps of a request, and the `Ask` for a value that is not in memory.

This module imports no step, so each step can import it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from kernel.futures import Later
from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.identity import Identity, PresentedToken
from kernel.http.wire import WireFormat

# The key of the results in a WSGI environment.
KEY = "coderapi.results"
UNKNOWN = "unknown"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def new_request_id() -> str:
    """Returns a UUID of version 4, in the form of RFC 9562, 4. It is unique, but not secret.

    `random` seeds its generator again in a forked process. A system call for each id would make the
    thread wait for the interpreter's lock.
    """
    # Python's class UUID would take four times as long. `4` is the version, and `a` the variant.
    digits = f"{random.getrandbits(120):030x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:]}"


class Caller(NamedTuple):
    """The caller of a request. A `refusal` is the error for a rejected token.

    `key_expires` is the expiry time of the caller's key as an HTTP date, or "" if it is not soon.
    """

    identity: Identity | None = None
    refusal: APIError | None = None
    presented: PresentedToken | None = None
    key_expires: str = ""

    @property
    def token(self) -> str:
        return self.presented.token if self.presented else ""


ANONYMOUS = Caller()


@dataclass(slots=True)
class Results:
    """The results of the steps.

    `address` is the client's IP address. `cors` and `limit` are headers of the response.
    `operation` is the label of the request in metrics. `permitted_by` is the class of the view, if
    its permissions were checked before Django.
    """

    call: Call
    address: str
    request_id: str = field(default_factory=new_request_id)
    wire_format: WireFormat = WireFormat.DOCUMENTED
    cors: Mapping[str, str] = NO_HEADERS
    caller: Caller = ANONYMOUS
    limit: Mapping[str, str] = NO_HEADERS
    permitted_by: type[Any] | None = None
    operation: str = UNKNOWN


def results_of(request: Any) -> Results:
    """Returns the results for a request of Django or of DRF. The middleware has attached them."""
    results: Results = request.results
    return results


class Step(NamedTuple):
    """A step, and the name of its result in `Results`, or "" if it has none.

    `of` returns the result, an Answer to end the request, a coroutine for one of them, or None. It
    may raise an APIError to end the request.
    """

    result: str
    of: Callable[[Call, Results], Any]


def _no_query() -> Any:
    raise NotImplementedError


@dataclass(slots=True)
class Ask[T]:
    """A value that is not in memory. A coroutine awaits it (`kernel.http.asking`).

    `query` returns the value. It blocks, so an event loop calls it in a thread. `begin` returns the
    future value at once. One of the two is enough. With both, a thread calls `query`, and an event
    loop calls `begin`. After `seconds`, the `await` raises a TimeoutError.
    """

    query: Callable[[], T] = _no_query
    begin: Callable[[], Later[T]] | None = None
    seconds: float | None = None

    def __await__(self) -> Generator[Ask[Any], Any, T]:
        value: T = yield self
        return value

    def value(self) -> T:
        """Returns the value. Blocks until it is there."""
        if self.begin and self.query is _no_query:
            return self.begin().result(self.seconds)
        return self.query()
