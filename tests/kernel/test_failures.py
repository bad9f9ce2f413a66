from __future__ import annotations

import pytest

from kernel.failures import Failures


def test_failures_are_remembered_until_a_success(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    failures = Failures("A tea pot fails: %s", "The tea pot responds again.")
    begun = failures.add("broken lid")
    assert failures.add("broken lid") == failures.add("no water") == begun == failures.since
    assert (failures.count, failures.reason) == (3, "no water")
    for _ in range(2):
        failures.end()
    assert [failures.count, failures.reason, failures.since] == [0, "", None]
    lines = ["A tea pot fails: broken lid", "A tea pot fails: no water"]
    assert caplog.messages == [*lines, "The tea pot responds again."]
