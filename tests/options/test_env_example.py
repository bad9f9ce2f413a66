"""`.env.example` says all that can be set, and says it truly."""

from __future__ import annotations

import re

import pytest

from coderapi import own_settings
from coderapi.env_example import CODERS_FIRST, COMPOSE_VARIABLES, as_text, render
from coderapi.own_settings import SETTINGS, OwnSetting
from options.catalogue import CATALOGUE

LINES = render().splitlines()
ASSIGNMENT = re.compile(r"#([A-Z0-9_]+)=(\S*)")


def assignments() -> dict[str, str]:
    matches = (ASSIGNMENT.fullmatch(line) for line in LINES)
    return {found[1]: found[2] for found in matches if found}


def test_every_setting_stands_in_it_once_and_nothing_else() -> None:
    expected = [s.name for s in SETTINGS] + [
        *CODERS_FIRST,
        *(name for name, _, _ in COMPOSE_VARIABLES),
    ]
    found = [match[1] for line in LINES if (match := ASSIGNMENT.fullmatch(line))]

    assert found == expected


def test_every_line_is_empty_a_sentence_or_a_setting() -> None:
    assert all(not line or line.startswith("# ") or ASSIGNMENT.fullmatch(line) for line in LINES)
    assert max(map(len, LINES)) <= 100


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_default_that_is_shown_is_the_one_that_holds(setting: OwnSetting) -> None:
    shown = assignments()[setting.name]

    assert own_settings.read({setting.name: shown})[setting.name] == setting.default


def test_no_setting_with_a_default_is_shown_empty() -> None:
    shown = assignments()

    assert all(shown[s.name] == as_text(s.default) for s in SETTINGS)
    assert all(shown[s.name] for s in SETTINGS if s.default not in (None, ""))


def test_options_of_coder_that_come_first_are_obeyed() -> None:
    options = {option.env: option for option in CATALOGUE}

    assert all(options[name].obeyed and not options[name].deprecated for name in CODERS_FIRST)


def test_secrets_can_come_from_files_and_the_file_says_so() -> None:
    for setting in SETTINGS:
        assert (f"{setting.name}_FILE" in render()) == setting.secret
