"""Addresses of Coder's pages and applications, without the names of people and workspaces."""

from __future__ import annotations

import re

MOST_SEGMENTS = 12

# Coder's routes as tuples of segments; a segment in braces stands for any text.
_ROUTES: tuple[tuple[str, ...], ...] = (
    ("templates", "{template}"),
    ("organizations", "{organization}"),
    ("groups", "{group}"),
    ("users", "{user}"),
    ("workspaces", "{workspace}"),
)
# What may follow directly where a name could stand, and is none.
_PAGES = frozenset(
    ("new", "create", "members", "groups", "settings", "provisioners", "me", "first", "login")
)
_NUMBER = re.compile(r"[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def private_path(path: str) -> str:
    """The path without the names of users and workspaces."""
    return "/".join(_without_names(path.split("/")))


def path_template(path: str) -> str:
    """What pages of one kind have in common: names, numbers and ids become placeholders."""
    segments = _without_names(path.rstrip("/").split("/"))
    segments = _with_routes(segments)
    shown = [_generic(segment) for segment in segments[: MOST_SEGMENTS + 1]]
    return "/".join([*shown, "…"] if len(segments) > len(shown) else shown) or "/"


def _without_names(segments: list[str]) -> list[str]:
    """`/@alice/dev.main/apps/code` as `/@{user}/{workspace}/apps/code`, behind any prefix."""
    for index, segment in enumerate(segments):
        if segment.startswith(("@", "%40")):
            rest = segments[index + 1 :]
            named = ["{workspace}", *rest[1:]] if rest and rest[0] else rest
            return [*segments[:index], "@{user}", *named]
        if segment == "users" and index + 1 < len(segments) and segments[index + 1]:
            return [*segments[:index], "users", *_user_route(segments[index + 1 :])]
    return segments


def _user_route(rest: list[str]) -> list[str]:
    """What follows `/users/`: a name, and for some routes a workspace's name further on."""
    user = rest[0] if rest[0] in _PAGES or rest[0] == "{user}" else "{user}"
    if len(rest) > 2 and rest[1] == "workspace":
        return [user, "workspace", "{workspace}", *rest[3:]]
    return [user, *rest[1:]]


def _with_routes(segments: list[str]) -> list[str]:
    for route, placeholder in _ROUTES:
        for index in range(len(segments) - 1):
            following = segments[index + 1]
            if segments[index] == route and following and following not in _PAGES:
                segments = [*segments[: index + 1], placeholder, *segments[index + 2 :]]
                break
    return segments


def _generic(segment: str) -> str:
    if _NUMBER.fullmatch(segment):
        return "{number}"
    if _UUID.fullmatch(segment):
        return "{id}"
    return segment[:64]


def private_host(host: str) -> str:
    """A host without names: `8080--main--dev--alice.x` is `{port}--{agent}--{workspace}--{user}.x`.

    An application's own name in place of the port stays: it says what is blocked, not for whom.
    """
    first, dot, rest = host.partition(".")
    parts = first.split("--")
    if not dot or len(parts) not in (3, 4):
        return host
    app = "{port}" if re.fullmatch(r"[0-9]{2,5}s?", parts[0]) else parts[0]
    names = ["{agent}", "{workspace}", "{user}"][-(len(parts) - 1) :]
    return "--".join([app, *names]) + dot + rest
