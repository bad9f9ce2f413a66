"""Runs the steps that every request takes before its view or its cached response.

A step is a function of the request as a `Call`, and of the results of earlier steps. Steps do not
depend on the server, on Django or on threads. `coderapi.steps.STEPS` has all steps in their order.

The server runs the steps before Django, and passes the results on with the request. If it has not,
`kernel.http.middleware` runs the same steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from kernel.http import single_slashes, wire
from kernel.http.call import Call
from kernel.http.errors import APIError
from kernel.http.identity import Caller
from kernel.http.responses import Answer, common_headers
from kernel.telemetry import logs

if TYPE_CHECKING:
    from kernel.http.rate_limit import Verdict

# The key of the results in a WSGI environment or an ASGI scope.
KEY = "coderapi.results"
# RFC 8594. A client can log this header as a warning that its key expires soon.
SUNSET = "Sunset"
NOBODY = Caller()
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
# RFC 9562, 5.4: the bits of the version and of the variant are constant.
ID_BITS = ~(0xF000 << 64 | 0xC000 << 48)
ID_VERSION = 0x4000 << 64 | 0x8000 << 48


def new_request_id() -> str:
    """Returns a UUID of version 4, in the form of RFC 9562, 4. It is unique, but not secret.

    `random` seeds its generator again in a forked process. A system call for each id would make the
    thread wait for the interpreter's lock.
    """
    # Python's class UUID would take four times as long.
    digits = f"{random.getrandbits(128) & ID_BITS | ID_VERSION:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(slots=True)
class Results:
    """The results of the steps. With an `answer`, a step has ended the request.

    `cors` are headers of the response.
    """

    call: Call
    request_id: str = field(default_factory=new_request_id)
    path: str = ""
    address: str = ""
    wire: wire.Wire = wire.Wire.DOCUMENTED
    cors: Mapping[str, str] = NO_HEADERS
    caller: Caller = NOBODY
    limit: Verdict | None = None
    answer: Answer | None = None


class Step(NamedTuple):
    """A step, and the name of its result in `Results`, or "" if it has none.

    `of` returns the result, an Answer to end the request, an Ask, or None. It may raise an APIError
    to end the request.
    """

    result: str
    of: Callable[[Call, Results], Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """A result that is not in memory.

    `query` returns the result, or an Answer. It blocks, so an event loop calls it in a thread. If
    `begin` is set, an event loop awaits its future instead.
    """

    query: Callable[[], Any]
    begin: Callable[[], Future[Any]] | None = None


def walk(steps: Sequence[Step], results: Results) -> Generator[Ask, Any]:
    """Runs the steps. Yields each Ask, and continues with its result.

    Raises: errors that `kernel.http.handlers` does not know. They are errors of this program.
    """
    call = results.call
    for result, step in steps:
        try:
            found = step(call, results)
            if type(found) is Ask:
                found = yield found
        except Exception as error:
            refusal = _api_error(error)
            if refusal is None:
                raise
            found = refusal.answer()
        if found is None:
            continue
        if type(found) is Answer:
            results.answer = found
            return
        setattr(results, result, found)


def run(steps: Sequence[Step], results: Results) -> None:
    """Runs the steps in this thread. Raises: the errors of `walk`."""
    walking = walk(steps, results)
    ask = next(walking, None)
    while ask is not None:
        with logs.request_context(results.request_id):
            ask = _answered(walking, ask)


def _answered(walking: Generator[Ask, Any], ask: Ask) -> Ask | None:
    """Continues with the result of the Ask. Returns the next Ask, or None at the end."""
    try:
        try:
            found = ask.query()
        except Exception as error:  # noqa: BLE001 - `walk` converts it
            return walking.throw(error)
        return walking.send(found)
    except StopIteration:
        return None


def _api_error(error: Exception) -> APIError | None:
    if isinstance(error, APIError):
        return error
    # Imported here, because it imports DRF, which imports the permissions of the apps.
    from kernel.http.handlers import to_api_error

    return to_api_error(error)


def single_slashed(call: Call, found: Results) -> str:
    return single_slashes(call.path) if "//" in call.path else call.path


def finish(results: Results, headers: Any) -> None:
    """Adds the headers from the steps, and the headers that all responses have.

    `headers` is the dict of an Answer, or Django's headers of a response.
    """
    if results.limit:
        for name, value in results.limit.headers().items():
            # If an array of reports exceeds the limit, the response already has newer headers.
            headers.setdefault(name, value)
    if results.caller.sunset:
        headers[SUNSET] = results.caller.sunset
    for name, value in results.cors.items():
        varied = headers.get(name, "") if name == "Vary" else ""
        headers[name] = f"{varied}, {value}" if varied else value
    for name, value in common_headers(results.request_id).items():
        headers[name] = value
