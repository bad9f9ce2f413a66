"""The facts that hold about the catalogue of options as a whole."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from deployment.catalogue import CATALOGUE, GROUPS
from deployment.options import Option, by_env, by_file_variable, by_flag, by_yaml_path
from deployment.values import Choice, Duration, Text, TextList

BY_NAME = {option.name: option for option in CATALOGUE}

every_option = pytest.mark.parametrize("option", CATALOGUE, ids=lambda option: option.name)


def test_catalogue_is_complete() -> None:
    assert len(CATALOGUE) == 227
    assert len(BY_NAME) == 227
    assert len({option.json_path for option in CATALOGUE}) == 212
    assert len(GROUPS) == 34
    assert len([option for option in CATALOGUE if option.secret]) == 13
    assert len([option for option in CATALOGUE if isinstance(option.type, Duration)]) == 30
    assert len([option for option in CATALOGUE if not option.yaml]) == 25


def test_catalogue_keeps_coders_order() -> None:
    names = [option.name for option in CATALOGUE]
    assert names[:3] == ["Access URL", "Wildcard Access URL", "Docs URL"]
    assert names[4] == "Autobuild Poll Interval"
    assert names[-1] == "Enable Authorization Recordings"


@pytest.mark.parametrize("kind", ["env", "flag", "flag_shorthand", "yaml_path"])
def test_no_two_options_have_the_same_spelling(kind: str) -> None:
    spellings = Counter(getattr(option, kind) for option in CATALOGUE)
    del spellings[""]
    assert set(spellings.values()) == {1}


def test_lookups_find_every_option() -> None:
    assert len(by_env(CATALOGUE)) == 225
    assert len(by_flag(CATALOGUE)) == 227 + 4
    assert len(by_yaml_path(CATALOGUE)) == 202
    assert len(by_file_variable(CATALOGUE)) == 11


def test_groups_are_named_once_and_follow_their_parents() -> None:
    assert len({group.path for group in GROUPS}) == len(GROUPS)
    for position, group in enumerate(GROUPS):
        assert group.parent is None or group.parent in GROUPS[:position]
        assert group.description.endswith(".")
    assert [group.name for group in GROUPS if not group.yaml] == ["Config"]


def test_no_group_has_the_key_of_an_option() -> None:
    groups = {group.yaml_path for group in GROUPS}
    assert groups.isdisjoint(by_yaml_path(CATALOGUE))


@every_option
def test_option_is_described(option: Option) -> None:
    for text in (option.description, option.remark):
        assert text == text.strip()
        assert not text or (text.endswith(".") and text[0].isupper())
        assert "  " not in text
    assert len(option.description) > 20
    assert option.group is None or option.group in GROUPS


@every_option
def test_option_has_proper_spellings(option: Option) -> None:
    assert re.fullmatch(r"(CODER_[A-Z0-9_]+|WGTUNNEL_HOST)?", option.env)
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", option.flag)
    assert re.fullmatch(r"[aclv]?", option.flag_shorthand)
    assert re.fullmatch(r"[A-Za-z0-9_.]+", option.json_path)
    assert option.env or option.name in {"Write Config", "External Auth Providers"}
    assert option.flag


@every_option
def test_default_is_a_value_of_its_type(option: Option) -> None:
    if option.default:
        value = option.type.parse(option.default)
        assert option.type.parse(option.type.format(value)) == value


@every_option
def test_deprecated_option_names_its_successors(option: Option) -> None:
    for name in option.use_instead:
        successor = BY_NAME[name]
        assert not successor.use_instead
        assert type(successor.type) is type(option.type) or successor.json_path != option.json_path


def test_options_that_share_a_value_are_one_new_name_and_old_ones() -> None:
    shared: dict[str, list[Option]] = {}
    for option in CATALOGUE:
        shared.setdefault(option.json_path, []).append(option)
    groups = [options for options in shared.values() if len(options) > 1]
    assert len(groups) == 15
    for options in groups:
        (new,) = [option for option in options if not option.use_instead]
        for old in options:
            assert old is new or old.use_instead == (new.name,)
            assert old.default in ("", new.default)
            assert (old.type, old.secret, old.obeyed) == (new.type, new.secret, new.obeyed)


@every_option
def test_secret_is_a_text_that_no_file_holds(option: Option) -> None:
    if option.secret:
        assert isinstance(option.type, Text | TextList)
        assert not option.yaml
        assert not option.default


@every_option
def test_annotations_say_what_clients_need(option: Option) -> None:
    assert set(option.annotations.values()) <= {"true"}
    assert ("secret" in option.annotations) is option.secret
    assert ("format_duration" in option.annotations) is isinstance(option.type, Duration)


def test_enumerations_write_the_bar_as_coder_does() -> None:
    names = {option.type.name for option in CATALOGUE if isinstance(option.type, Choice)}
    assert names == {r"enum[password\|awsiamrds]", r"enum[lax\|none]"}


@every_option
def test_obeyed_option_needs_no_excuse(option: Option) -> None:
    assert not (option.obeyed and option.remark)
