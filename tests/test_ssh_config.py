from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from deployment.ssh import parse_options
from tests.client import APIClient

PATH = "/api/v2/deployment/ssh"


def test_defaults_are_coders(member: APIClient) -> None:
    assert member.get(PATH).json() == {
        "hostname_prefix": "coder.",
        "hostname_suffix": "coder",
        "ssh_config_options": {},
    }


def test_options_are_told(settings: Any, member: APIClient) -> None:
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
        (["A=1"], {"A": "1"}),
        (["A 1"], {"A": "1"}),
        (["A=1 2"], {"A": "1 2"}),
        (["A =1"], {"A": "=1"}),
        (["A="], {"A": ""}),
        (["A=1", "A=2"], {"A": "2"}),
        (["a=1", "A=2"], {"a": "1", "A": "2"}),
    ],
)
def test_item_is_split_at_its_first_space_or_equals_sign(
    items: list[str], options: dict[str, str]
) -> None:
    assert parse_options(items) == options


def test_item_with_neither_stops_the_start_and_is_named(settings: Any) -> None:
    settings.SSH_CONFIG_OPTIONS = ["Good=1", "Nonsense"]

    found = [m for m in run_checks() if m.id == "deployment.E001"]

    assert len(found) == 1
    assert "'Nonsense'" in found[0].msg


def test_suffix_with_a_leading_dot_stops_the_start(settings: Any) -> None:
    settings.SSH_HOSTNAME_SUFFIX = ".coder"

    found = [m for m in run_checks() if m.id == "deployment.E002"]

    assert "'.coder'" in found[0].msg
