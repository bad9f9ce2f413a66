"""Rules for the whole catalogue of options."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from options.catalogue import CATALOGUE, GROUP_BY_KEY, GROUPS
from options.option import Group, Option
from options.values.lists import TextList
from options.values.scalars import Choice, Text

TLS, PPROF = GROUP_BY_KEY["tls"], GROUP_BY_KEY["pprof"]

BY_NAME = {option.name: option for option in CATALOGUE}


@pytest.mark.parametrize("kind", ["env", "flag", "flag_shorthand", "yaml_path"])
def test_no_two_options_have_the_same_spelling(kind: str) -> None:
    spellings = Counter(getattr(option, kind) for option in CATALOGUE)
    del spellings[""]
    assert set(spellings.values()) == {1}


def test_groups_are_named_once_and_follow_their_parents() -> None:
    assert len({group.path for group in GROUPS}) == len(GROUPS)
    for position, group in enumerate(GROUPS):
        assert group.parent is None or group.parent in GROUPS[:position]
        assert group.description.endswith(".")
    assert [group.name for group in GROUPS if not group.yaml] == ["Config"]


def wrong(is_wrong: Callable[[Option], object]) -> list[str]:
    """Returns the names of the options that break a rule."""
    return [option.name for option in CATALOGUE if is_wrong(option)]


def test_descriptions_are_sentences() -> None:
    assert not wrong(lambda option: option.obeyed and option.remark)
    sentence = re.compile(r"([A-Z]|coderapi ).*\.")
    assert not wrong(lambda option: not sentence.fullmatch(option.description))
    assert not wrong(lambda option: option.remark and not sentence.fullmatch(option.remark))
    assert not wrong(lambda option: "  " in option.description + option.remark)
    assert not wrong(lambda option: option.group and option.group not in GROUPS)


def test_spellings_are_valid() -> None:
    variable = re.compile(r"(CODER_[A-Z0-9_]+|WGTUNNEL_HOST)?")
    flag = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
    assert not wrong(lambda option: not variable.fullmatch(option.env))
    assert not wrong(lambda option: not flag.fullmatch(option.flag))
    assert not wrong(lambda option: not re.fullmatch(r"[A-Za-z0-9_.]+", option.json_path))
    assert wrong(lambda option: option.flag_shorthand) == [
        *("Address", "Verbose", "Log Filter", "Config Path")
    ]
    assert wrong(lambda option: not option.env) == ["Write Config", "External Auth Providers"]


@pytest.mark.parametrize(
    ("env", "group", "secret", "flag", "yaml_path", "json_path"),
    [
        ("CODER_SOME_URL", None, False, "some-url", "someURL", "some_url"),
        ("CODER_SOME_KEY", None, True, "some-key", "", "some_key"),
        ("CODER_TLS_CA_ID", TLS, False, "tls-ca-id", "networking.tls.caID", "tls.ca_id"),
        ("CODER_PPROF_X", PPROF, False, "pprof-x", "introspection.pprof.x", "pprof.x"),
    ],
)
def test_spellings_are_derived_from_variable_and_group(
    env: str, group: Group | None, secret: bool, flag: str, yaml_path: str, json_path: str
) -> None:
    option = Option("Name", "Text.", Text(), env=env, group=group, secret=secret)
    assert (option.flag, option.yaml_path, option.json_path) == (flag, yaml_path, json_path)


def test_shared_value_has_one_current_name() -> None:
    shared: dict[str, list[Option]] = {}
    for option in CATALOGUE:
        shared.setdefault(option.json_path, []).append(option)
    families = [options for options in shared.values() if len(options) > 1]
    assert len(families) == 49
    for options in families:
        (new,) = [option for option in options if not option.use_instead]
        for old in options:
            assert old is new or old.use_instead == (new.name,)
            assert old.default in ("", new.default)
            assert (old.type, old.secret, old.obeyed) == (new.type, new.secret, new.obeyed)


def test_deprecated_options_name_their_successors() -> None:
    successors = {name for option in CATALOGUE for name in option.use_instead}
    assert successors <= BY_NAME.keys()
    assert not [name for name in successors if BY_NAME[name].use_instead]
    assert len(wrong(lambda option: option.use_instead)) == 53


def test_secrets_are_texts_that_yaml_cannot_set() -> None:
    secrets = [option for option in CATALOGUE if option.secret]
    assert all(isinstance(option.type, Text | TextList) for option in secrets)
    assert not [option.name for option in secrets if option.yaml or option.default]


def test_annotations_have_the_values_that_clients_need() -> None:
    assert not wrong(lambda option: set(option.annotations.values()) - {"true"})
    assert not wrong(lambda option: ("secret" in option.annotations) is not option.secret)
    assert len(wrong(lambda option: "format_duration" in option.annotations)) == 34
    assert len(wrong(lambda option: "enterprise" in option.annotations)) == 5
    names = {option.type.name for option in CATALOGUE if isinstance(option.type, Choice)}
    assert names == {
        *("enum[password|awsiamrds]", "enum[lax|none]"),
        *("enum[highest]", "enum[month]"),
    }
