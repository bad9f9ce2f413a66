"""The applications that open sessions in workspaces: their names, families and icons.

Agents report sessions by the name of the application. A family groups applications of the same
kind, and Coder's older figures count sessions by family.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from kernel.db.sql import MAX_INTEGER

UNKNOWN = "unknown"
# Each family has the name of one of its applications. UNKNOWN is not among them.
FAMILIES = VSCODE, JETBRAINS, TERMINAL, SSH = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
MAX_NAME = 64
# The maximum number of names in one report. The sessions of all others count as UNKNOWN.
MAX_REPORTED = 64
# The maximum number of names in a snapshot.
MAX_STORED = 256


@dataclass(frozen=True, slots=True)
class Application:
    """Describes an application. `icon` is a path in Coder's dashboard, or "" without an icon."""

    display_name: str
    family: str
    icon: str


def _known(family: str, *names: tuple[str, str, str]) -> Iterator[tuple[str, Application]]:
    for name, display_name, icon in names:
        path = f"/icon/{icon}.svg" if icon else ""
        yield name, Application(display_name, family, path)


_KNOWN = dict(
    [
        *_known(
            VSCODE,
            ("vscode", "VS Code", "code"),
            ("vscode_insiders", "VS Code Insiders", "code-insiders"),
            ("vscode_web", "VS Code Web", "code"),
            ("code_server", "code-server", "code"),
            ("cursor", "Cursor", "cursor"),
            ("windsurf", "Windsurf", "windsurf"),
            ("positron", "Positron", "positron"),
            ("vscodium", "VSCodium", ""),
            ("codium", "Codium", ""),
            ("antigravity", "Antigravity", "antigravity"),
            ("trae", "Trae", ""),
            ("kiro", "Kiro", "kiro"),
            ("devin", "Devin", "devin"),
        ),
        *_known(JETBRAINS, ("jetbrains", "JetBrains", "jetbrains")),
        *_known(TERMINAL, ("reconnecting_pty", "Web Terminal", "terminal")),
        *_known(SSH, ("ssh", "SSH", "terminal"), ("zed", "Zed", "zed")),
        *_known(UNKNOWN, (UNKNOWN, "Unknown", "")),
    ]
)


def application(name: str) -> Application:
    """Returns the description of an application. A name that is not known is its own label."""
    return _KNOWN.get(name) or Application(name, UNKNOWN, "")


@lru_cache(maxsize=1_000)
def clean_name(name: str) -> str:
    """Returns the name in the form that is stored, as Coder does: `Cursor` becomes `cursor`."""
    visible = "".join(letter for letter in name if unicodedata.category(letter) != "Cc")
    return visible.strip().lower().replace("-", "_")[:MAX_NAME] or UNKNOWN


def cleaned(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the counts of a report with clean names, without zeros.

    Sums the counts of names that become the same.
    """
    found: Counter[str] = Counter()
    for name, count in counts.items():
        if count:
            found[clean_name(name)] += count
    return {name: min(n, MAX_INTEGER) for name, n in largest(found, MAX_REPORTED).items()}


def largest(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """Returns the applications with the most sessions. The others are summed as UNKNOWN."""
    names = sorted(counts.keys() - {UNKNOWN}, key=lambda name: (-counts[name], name))
    found = {name: counts[name] for name in names[:limit]}
    rest = sum(counts[name] for name in names[limit:]) + counts.get(UNKNOWN, 0)
    return found | ({UNKNOWN: rest} if rest else {})


def by_family(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns the number of sessions of each family. Sessions of UNKNOWN are not counted."""
    found = dict.fromkeys(FAMILIES, 0)
    for name, count in counts.items():
        family = application(name).family
        if family in found:
            found[family] += count
    return {family: min(count, MAX_INTEGER) for family, count in found.items()}
