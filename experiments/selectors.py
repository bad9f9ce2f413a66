"""Which experiments are safe, and which are on."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from experiments.catalogue import KNOWN

ALL_SAFE = "*"


def safe_experiments() -> list[str]:
    """The names that `*` stands for; empty today."""
    return [experiment.name for experiment in KNOWN if experiment.safe]


def enabled_experiments() -> list[str]:
    """The names that CODER_EXPERIMENTS enables, in its order, `*` replaced by the safe ones."""
    return expanded(settings.EXPERIMENTS, safe=safe_experiments())


def expanded(names: Iterable[str], *, safe: Iterable[str]) -> list[str]:
    """The names in lower case, each once, in order; unknown ones are kept."""
    found: list[str] = []
    for name in names:
        found += safe if name == ALL_SAFE else [name.lower()]
    return list(dict.fromkeys(found))


def unknown_experiments(names: Iterable[str]) -> list[str]:
    """The names that the catalogue does not have."""
    known = {experiment.name for experiment in KNOWN}
    return [name for name in names if name not in known]
