from __future__ import annotations

from typing import Any

import pytest

from experiments.selectors import warn_of_unknown_experiments
from kernel import memory
from tests.support.api.client import APIClient

ENABLED = "/api/v2/experiments"


def test_enabled_experiments_are_listed_in_lower_case_and_in_order(
    settings: Any, member: APIClient
) -> None:
    assert member.get(ENABLED).json() == []
    settings.EXPERIMENTS = ["Workspace-Usage", "unknown", "oauth2"]
    memory.clear_all()
    assert member.get(ENABLED).json() == ["workspace-usage", "unknown", "oauth2"]


@pytest.mark.parametrize(
    ("names", "enabled"),
    [
        (["*"], ["minimum-implicit-member"]),
        (["x", "*", "Y"], ["x", "minimum-implicit-member", "y"]),
        (["minimum-implicit-member", "*"], ["minimum-implicit-member"]),
    ],
)
def test_star_enables_the_safe_experiments(
    settings: Any, member: APIClient, names: list[str], enabled: list[str]
) -> None:
    settings.EXPERIMENTS = names
    assert member.get(ENABLED).json() == enabled


def test_unknown_experiments_are_logged(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.EXPERIMENTS = ["OAuth2", "typo", "*"]
    warn_of_unknown_experiments()
    messages = [text for text in caplog.messages if "CODER_EXPERIMENTS" in text]
    assert messages == ["CODER_EXPERIMENTS: 'typo' is not a known experiment"]
