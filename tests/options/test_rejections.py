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
            "CODER_SESSION_DURATION=720h",
            "CODER_DEFAULT_OAUTH_REFRESH_LIFETIME: Default OAuth Refresh Lifetime: '720h0m0s' must "
            "be longer than CODER_SESSION_DURATION, which is 720h0m0s",
        ),
        (
            "--notifications-dispatch-timeout=3m",
            "--notifications-dispatch-timeout: Notifications: Dispatch Timeout: '3m0s' must be "
            "shorter than CODER_NOTIFICATIONS_LEASE_PERIOD, which is 2m0s",
        ),
        (
            "CODER_OAUTH2_GITHUB_ALLOW_EVERYONE=true CODER_OAUTH2_GITHUB_ALLOWED_ORGS=a",
            "CODER_OAUTH2_GITHUB_ALLOWED_ORGS: OAuth2 GitHub Allowed Orgs: 'a' cannot be used "
            "together with CODER_OAUTH2_GITHUB_ALLOW_EVERYONE",
        ),
        (
            "CODER_AIBRIDGE_ANTHROPIC_KEY=MARKER CODER_AIBRIDGE_BEDROCK_REGION=eu",
            "CODER_AIBRIDGE_ANTHROPIC_KEY: AI Gateway Anthropic Key: cannot be used together with "
            "CODER_AIBRIDGE_BEDROCK_REGION",
        ),
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
