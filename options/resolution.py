"""Determines the effective value of each option from the settings of all sources."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

from options.option import Option, ValueSource
from options.sources.settings import Gathered, Setting


def resolved(options: Iterable[Option], sources: Iterable[Gathered]) -> dict[str, Setting]:
    """Returns the effective settings by JSON path, in the options' order.

    `sources` must begin with the environment, so that a flag overrides the environment.
    """
    read: dict[str, list[Setting]] = defaultdict(list)
    for gathered in sources:
        for setting in gathered.settings:
            read[setting.option.json_path].append(setting)
    effective: dict[str, Setting] = {}
    for option in options:
        path = option.json_path
        if path in read:
            effective[path] = _combined(read[path])
        elif option.default:
            value = option.type.parse(option.default)
            effective[path] = Setting(option, ValueSource.DEFAULT, "", value)
        elif path not in effective:
            effective[path] = Setting(option, ValueSource.UNSET, "", option.type.zero)
    return effective


def _combined(settings: Sequence[Setting]) -> Setting:
    """Returns the last setting of the source with the highest precedence, with the merged value.

    Values from the environment and flags are merged if the type has `combines`. The YAML file is
    used only if neither the environment nor a flag sets the option.
    """
    stronger = [each for each in settings if each.source is not ValueSource.YAML] or settings
    last = stronger[-1]
    value = last.option.type.zero
    for setting in stronger:
        value = last.option.type.merge(value, setting.value)
    return dataclasses.replace(last, value=value)
