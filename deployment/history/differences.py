"""What a revision of the configuration says, and what changed between two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deployment.history.models import ConfigRevision
from options.catalogue import CATALOGUE

_SECRET = "(secret)"  # noqa: S105 - what is shown instead of one
_NAMES = {option.json_path: option.name for option in CATALOGUE if not option.use_instead}


@dataclass(frozen=True, slots=True)
class Difference:
    """One option that two revisions set differently; a secret is only ever said to differ."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name}: {self.before or '(empty)'} → {self.after or '(empty)'}"


@dataclass(frozen=True, slots=True)
class Setting:
    """One option as a revision has it; where nobody set it, there is no source."""

    name: str
    value: str
    source: str


def settings_of(revision: ConfigRevision) -> list[Setting]:
    """All that is set, and then the defaults, both in the options' order."""
    found = [
        Setting(_NAMES.get(path, path), _shown(revision, path), revision.sources.get(path, ""))
        for path in _paths(revision)
        if path in revision.values or path in revision.secrets
    ]
    return sorted(found, key=lambda setting: not setting.source)


def differences(before: ConfigRevision, after: ConfigRevision) -> list[Difference]:
    """By the options' order; those that one of the two releases does not know come last."""
    return [found for path in _paths(before, after) for found in _difference(path, before, after)]


def _paths(*revisions: ConfigRevision) -> list[str]:
    """Of every option, this release's first."""
    others = {path for revision in revisions for path in revision.values} - set(_NAMES)
    return [*_NAMES, *sorted(others)]


def _difference(path: str, before: ConfigRevision, after: ConfigRevision) -> Iterator[Difference]:
    old, new = _shown(before, path), _shown(after, path)
    if old != new:
        yield Difference(_NAMES.get(path, path), old, new)
    elif before.secrets.get(path) != after.secrets.get(path):
        yield Difference(_NAMES.get(path, path), old, f"{new}, changed")


def _shown(revision: ConfigRevision, path: str) -> str:
    if path in revision.values:
        return str(revision.values[path])
    return _SECRET if path in revision.secrets else ""
