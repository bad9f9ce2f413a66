"""The names that the last minor release has changed. The old names still work, with a warning.

The next minor release removes them (docs/stability.md). Add an entry to RENAMES in the commit that
renames a setting or a command. An operation with a new path keeps its old path in the app's `urls`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from kernel.release import PROGRAM


class Renames(NamedTuple):
    """Maps old names to new names."""

    settings: Mapping[str, str]
    commands: Mapping[str, str]

    def command(self, name: str) -> str:
        """Returns the current name of a command. Warns if the given name is an old one."""
        new = self.commands.get(name, name)
        if new != name:
            _warn(name, new)
        return new

    def rename_settings(self, environ: MutableMapping[str, str]) -> None:
        """Renames the variables, and warns for each. A new name overrides the old one."""
        pairs = [(old + end, new + end) for old, new in self.settings.items() for end in _ENDS]
        for old, new in pairs:
            if old in environ:
                environ.setdefault(new, environ.pop(old))
                _warn(old, new)


# A setting can also be read from a file.
_ENDS = ("", "_FILE")


def _warn(old: str, new: str) -> None:
    end = "The old name will not work in the next minor release."
    sys.stderr.write(f"{PROGRAM}: {old} is now called {new}. {end}\n")


RENAMES = Renames(settings={}, commands={})
