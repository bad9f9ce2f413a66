from __future__ import annotations

from typing import Any

import pytest

from deployment.selectors import parse_options
from options.configuration import ConfigurationError, load
from tests.support.api.client import APIClient

PATH = "/api/v2/deployment/ssh"


def test_defaults_are_coders(member: APIClient) -> None:
    assert member.get(PATH).json() == {
        "hostname_prefix": "coder.",
        "hostname_suffix": "coder",
        "ssh_config_options": {},
    }


def test_options_are_shown(settings: Any, member: APIClient) -> None:
    settings.SSH_HOSTNAME_PREFIX = "dev."
    settings.SSH_HOSTNAME_SUFFIX = "corp"
    settings.SSH_CONFIG_OPTIONS = ["ForwardAgent=yes", "SetEnv LC=a=b"]
    assert member.get(PATH).json() == {
        "hostname_prefix": "dev.",
        "hostname_suffix": "corp",
        "ssh_config_options": {"ForwardAgent": "yes", "SetEnv": "LC=a=b"},
    }


@pytest.mark.parametrize(
    ("items", "options"),
    [
        ([], {}),
        *[([text], {"A": "1"}) for text in ("A=1", "A 1")],
        *[(["A=1 2"], {"A": "1 2"}), (["A =1"], {"A": "=1"}), (["A="], {"A": ""})],
        *[(["A=1", "A=2"], {"A": "2"}), (["a=1", "A=2"], {"a": "1", "A": "2"})],
    ],
)
def test_item_is_split_at_its_first_space_or_equals_sign(
    items: list[str], options: dict[str, str]
) -> None:
    assert parse_options(items) == options


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("CODER_SSH_CONFIG_OPTIONS", "Good=1,Nonsense", "Nonsense"),
        ("CODER_WORKSPACE_HOSTNAME_SUFFIX", ".coder", ".coder"),
    ],
)
def test_unusable_options_stop_the_start_and_are_named(
    variable: str, value: str, named: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({variable: value})
    assert variable in str(raised.value)
    assert named in str(raised.value)
