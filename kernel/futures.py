"""Futures that a thread of this process resolves."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future


def settle[T](result: Future[T], find: Callable[[], T]) -> None:
    """Sets the result, or the error of `find`, unless the future was canceled."""
    if result.set_running_or_notify_cancel():
        try:
            result.set_result(find())
        except Exception as error:  # noqa: BLE001 - the request that waits must get a response
            result.set_exception(error)
