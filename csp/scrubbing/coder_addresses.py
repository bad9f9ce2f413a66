"""Replaces the names of users and workspaces in URLs of Coder's pages and applications."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from csp.scrubbing.masking import UUID

MAX_SEGMENTS = 12

# These names are not private. They are replaced only in the page of a group, so that one group
# covers all organizations, groups and workspaces. Reports keep the names.
_ROUTES = {
    "organizations": "{organization}",
    "groups": "{group}",
    "workspaces": "{workspace}",
}
# Words in Coder's routes that appear where a name could be, such as `/users/first`. They are kept.
PAGES = frozenset(
    ("new", "create", "members", "groups", "settings", "provisioners", "me", "first", "login")
)
# Words that can follow the name of a template in a path. In the path `/templates/a/b`, `a` is the
# template if `b` is one of these words. Otherwise, `a` is the organization, and `b` is the
# template.
_TEMPLATE_PAGES = frozenset(
    ("docs", "embed", "files", "insights", "resources", "settings", "versions", "workspace")
)
_NAMES_BEHIND = {("organizations", "members"): "{user}", ("users", "workspace"): "{workspace}"}
_NUMBER = re.compile(r"[0-9]+")
_PORT = re.compile(r"[0-9]{1,5}s?")


def path_template(path: str) -> str:
    """Returns the path with placeholders instead of names, numbers and ids."""
    segments = private_segments(path.rstrip("/").split("/"))
    parts = [_generic(*pair) for pair in pairwise(["", *segments])]
    # The first part is empty, because a path begins with a slash.
    parts[MAX_SEGMENTS + 1 :] = ["…"] if len(parts) > MAX_SEGMENTS + 1 else []
    return "/".join(parts) or "/"


def private_segments(segments: Sequence[str]) -> list[str]:
    """Replaces the names of users and workspaces in the segments of a path.

    For example, `/@alice/dev.main/apps/code` becomes `/@{user}/{workspace}/apps/code`.
    """
    return [_placeholder(segments, index) or segment for index, segment in enumerate(segments)]


def _placeholder(segments: Sequence[str], index: int) -> str:
    """Returns the placeholder for the segment, or "" if the segment is not a name."""
    segment = segments[index]
    if segment.startswith("@") and len(segments) > 1:
        return "@{user}"
    before = segments[index - 1] if index else ""
    if not before or not segment:
        return ""
    if before.startswith("@"):
        return "{workspace}"
    return "" if segment in PAGES else _name_in_route(before, segments, index)


def _name_in_route(before: str, segments: Sequence[str], index: int) -> str:
    second = segments[index - 2] if index > 1 else ""
    # The name of a template has no dot. A segment with a dot is a file in a `templates` folder.
    if "templates" in (before, second) and "." not in segments[index]:
        return _template_placeholder(before, segments, index)
    if before in ("members", "workspace") and index > 2:
        return _NAMES_BEHIND.get((segments[index - 3], before), "")
    # This also replaces the user in the path of a home directory, such as `/home/alice`.
    return "{user}" if before.lower() in ("users", "home") else ""


def _template_placeholder(before: str, segments: Sequence[str], index: int) -> str:
    """Returns the placeholder for a segment of a route of templates, or "".

    The routes are `/templates/{template}` and `/templates/{organization}/{template}`.
    """
    if before != "templates":
        return "" if segments[index] in _TEMPLATE_PAGES or before in PAGES else "{template}"
    following = segments[index + 1] if index + 1 < len(segments) else ""
    owned = following and following not in _TEMPLATE_PAGES and "." not in following
    return "{organization}" if owned else "{template}"


def _generic(before: str, segment: str) -> str:
    if before in _ROUTES and segment and segment not in PAGES:
        return _ROUTES[before]
    if _NUMBER.fullmatch(segment):
        return "{number}"
    if UUID.fullmatch(segment):
        return "{id}"
    return segment[:64]


def private_host(host: str) -> str:
    """Replaces the names in the host of a workspace application.

    For example, `8080--main--dev--alice.x` becomes `{port}--{agent}--{workspace}--{user}.x`. If the
    host has the name of an application instead of a port, that name is kept. Two more parts are
    replaced: a prefix that ends in three hyphens, and the suffix of a wildcard URL, which follows
    the name of the user.
    """
    if "--" not in host:
        return host
    return ".".join(map(_private_label, host.split(".")))


def _private_label(label: str) -> str:
    prefix, hyphens, rest = label.rpartition("---")
    app, *names = rest.split("--")
    if not app or len(names) < 2:
        return label
    app = "{port}" if _PORT.fullmatch(app) else app
    named = ["{agent}", "{workspace}", "{user}"][-len(names) :] + ["{suffix}"] * (len(names) - 3)
    return ("{prefix}" if prefix else "") + hyphens + "--".join([app, *named])
