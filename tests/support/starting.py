"""Finds the tests that start programs, by reading the code of the tests and of what they call."""

from __future__ import annotations

import dis
import inspect
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.support.processes import own_database

# The audit events of a program that starts.
EVENTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"})
_is_forbidden = False


def _refuse(event: str, _arguments: object) -> None:
    if _is_forbidden and event in EVENTS:
        raise AssertionError("This test starts a program: mark it with @pytest.mark.slow.")


sys.addaudithook(_refuse)


@contextmanager
def no_programs() -> Iterator[None]:
    """Raises an error in whatever starts a program during the block."""
    global _is_forbidden  # An audit hook has no other state.
    _is_forbidden = True
    try:
        yield
    finally:
        _is_forbidden = False


def leads_to_programs(item: pytest.Item) -> bool:
    return any(_leads_to(each, subprocess, multiprocessing) for each in _parts(item))


def copies_a_database(item: pytest.Item) -> bool:
    return any(_leads_to(each, inspect.unwrap(own_database)) for each in _parts(item))


def _parts(item: pytest.Item) -> Iterator[Any]:
    """Yields the function of a test, its fixtures, and the functions among its parameters."""
    function: Any = item
    yield function.function
    yield from function.callspec.params.values() if hasattr(function, "callspec") else ()
    places = [vars(function.module), *_conftests(item)]
    for name in function.fixturenames:
        yield next((place[name] for place in places if name in place), None)


def _conftests(item: pytest.Item) -> list[dict[str, Any]]:
    """Returns the contents of the conftest modules above a test, the nearest first."""
    files = {
        Path(file).parent: vars(plugin)
        for plugin in item.config.pluginmanager.get_plugins()
        if (file := getattr(plugin, "__file__", "") or "").endswith("conftest.py")
    }
    return [files[folder] for folder in item.path.parents if folder in files]


def _named(code: CodeType, names: dict[str, Any]) -> Iterator[Any]:
    """Yields the global objects that the code names, and the members of modules of the tests."""
    found: Any = None
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            found = names.get(step.argval)
            yield found
        elif step.opname == "LOAD_ATTR" and isinstance(found, ModuleType) and _is_ours(found):
            yield getattr(found, step.argval, None)
        else:
            found = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _named(constant, names)


def _is_ours(thing: Any) -> bool:
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", "")
    return str(name).startswith(("bench.", "bin.", "tests."))


@cache
def _reached(thing: type | FunctionType) -> list[Any]:
    """Returns what the code of a class or function names."""
    if isinstance(thing, type):
        return [*thing.__bases__, *vars(thing).values()]
    cells = [cell.cell_contents for cell in thing.__closure__ or ()]
    return [*cells, *_named(thing.__code__, thing.__globals__)]


def _leads_to(start: Any, *targets: Any) -> bool:
    """Returns whether the code of a function, fixture or class leads to one of the objects."""
    seen, waiting = set(), [start]
    while waiting:
        thing: Any = waiting.pop()
        thing = inspect.unwrap(thing.func if isinstance(thing, partial) else thing)
        if any(thing is target for target in targets):
            return True
        is_code = isinstance(thing, type | FunctionType)
        if is_code and _is_ours(thing) and thing not in seen:
            seen.add(thing)
            waiting += _reached(thing)
    return False
