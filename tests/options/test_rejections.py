"""Values with which neither Coder's server nor coderapi starts."""

from __future__ import annotations

import pytest

from options.configuration import ConfigurationError
from options.start import load_for_start
from tests.support.option_sources import parsed


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "CODER_SAMESITE_AUTH_COOKIE=strict",
            "CODER_SAMESITE_AUTH_COOKIE: SameSite Auth Cookie: 'strict' is not one of the choices",
        ),
        (
            "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY=owner",
            "CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY: Prometheus Aggregate Agent Stats By: "
            "'owner' is not accepted",
        ),
    ],
)
def test_start_fails_with_values_with_which_coder_does_not_start(line: str, error: str) -> None:
    environ, flags = parsed(line)
    with pytest.raises(ConfigurationError) as raised:
        load_for_start({"HOME": "/none", **environ}, flags=flags)
    (found,) = str(raised.value).splitlines()
    assert found.startswith(error)
    assert "MARKER" not in found
