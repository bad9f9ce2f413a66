from __future__ import annotations

from typing import Any

import pytest

from experiments.selectors import expanded, warn_of_unknown_experiments
from tests.support.client import APIClient

ENABLED = "/api/v2/experiments"
SAFE = "/api/v2/experiments/available"


def test_none_is_enabled_by_default(member: APIClient) -> None:
    assert member.get(ENABLED).json() == []


def test_enabled_ones_are_told_in_lower_case_and_order_known_or_not(
    settings: Any, member: APIClient
) -> None:
    settings.EXPERIMENTS = ["Workspace-Usage", "of-our-own", "oauth2"]
    assert member.get(ENABLED).json() == ["workspace-usage", "of-our-own", "oauth2"]


def test_no_experiment_is_safe_today(member: APIClient) -> None:
    assert member.get(SAFE).json() == []
    assert member.get(SAFE, headers={"Coder-Wire": "coderd"}).json() == {"safe": []}


@pytest.mark.parametrize(
    ("names", "safe", "found"),
    [
        ([], ["a"], []),
        (["*"], ["a", "b"], ["a", "b"]),
        (["x", "*", "Y"], ["a"], ["x", "a", "y"]),
        (["a", "*"], ["a", "b"], ["a", "b"]),
        (["*"], [], []),
    ],
)
def test_star_stands_for_the_safe_ones(names: list[str], safe: list[str], found: list[str]) -> None:
    assert expanded(names, safe=safe) == found


def test_unknown_ones_are_logged(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.EXPERIMENTS = ["OAuth2", "typo", "*"]
    warn_of_unknown_experiments()
    assert caplog.messages == ["CODER_EXPERIMENTS: 'typo' is not a known experiment"]
