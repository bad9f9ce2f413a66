"""Each name has one spelling. Renamed settings and commands work for one minor release."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.template import Context, Template

from coderapi.startup import bootstrap
from coderapi.startup.renames import RENAMES, Renames
from jobs.models import JobRun
from kernel.release import ROOT
from options.catalogue import OWN_OPTIONS
from tests.support.commands import execute

# Names from before the first release. Measurements of earlier versions keep them.
GONE = """
CACHE_URL CODERAPI_PG_DIRECT_URL CODERAPI_ADMIN_PATH CODERAPI_STATS_P95_ALARM_MS
CODERAPI_STATS_APP_ALARMS CODERAPI_STATS_RAW_RETENTION CODERAPI_OUTGOING_NETWORKS CODERAPI_WIRE
CODERAPI_CSP_MAX_DISK_MIB CODERAPI_IDENTITY CODERAPI_STATS_SESSION_ALARMS CODERAPI_ACCESS_LOG

beside_coder coder_tokens config_history create_session_token csp_advice csp_audit csp_gate csp_top
audit_partitions keep_stats_hours_ahead make_documents token_expiry_digest

coderapi_cache_server_away coderapi_coder_away coderapi_coder_look_ups_total
coderapi_coder_version_current coderapi_csp_batch_size coderapi_csp_commit_seconds
coderapi_csp_max_bytes coderapi_csp_noise_total coderapi_csp_rejected_total
coderapi_csp_stored_bytes coderapi_database_pool coderapi_http_request_seconds
coderapi_job_age_seconds coderapi_job_run_seconds coderapi_listener_hearing
coderapi_snapshot_age_seconds coderapi_stats_latency_milliseconds coderapi_stats_snapshot_seconds
coderapi_stats_window_rows coderapi_coder_database_lag_seconds coderapi_stats_rollup_lag_seconds
coderapi_coder_lookups_total coderapi_stats_agent_rows coderapi_csp_reports_total
coderapi_coder_version_is_newest coderapi_update_check_age_seconds

Coder-Wire X-Coderapi-Version Sunset deployment/stats/history deployment/stats/reports
cache_server ignored_reach min_clients min-clients min_reach rule_values silenced week_reports
tokens_may_mint tokens-may-mint
csp_newgroups csp_reachmember looked_at rows_went
csp_hourcount e_mail raw_row raw_rows
CODERAPI_CSP_ACCESS client_hash csp_settledpolicy min_risk reports_last_week settle_csp_policies
move_csp_windows state_client_days
build_version configuration_hash deployment_newrelease deployment_updatecheck reported_at server_url
send_digest send_weekly_digest CODERAPI_WEBHOOK_NETWORKS
url_digest
configuration_digest workspaces_source
"""

RENAMED = Renames(
    settings={"CODERAPI_WAVES": "CODERAPI_WIRE_FORMAT", "CODERAPI_ENVS": "CODERAPI_ENV_FILE"},
    commands={"choices": "options"},
)


def test_no_old_name_is_left() -> None:
    patterns = [part for name in GONE.split() for part in ("-e", name)]
    elsewhere = [".", f":!{Path(__file__).relative_to(ROOT)}", ":!bench/results"]
    found = execute(["git", "grep", "-nwF", *patterns, "--", *elsewhere], cwd=ROOT)
    assert (found.stdout, found.stderr) == ("", "")


def test_old_names_of_settings_and_commands_name_the_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := tmp_path / "env").write_text("CODERAPI_WAVES=coderd\n")
    environ = {"CODERAPI_ENVS": str(file)}
    arguments = bootstrap.prepare(["coderapi", "choices", "--json"], environ, renames=RENAMED)
    assert arguments == ["coderapi", "options", "--json"]
    assert environ == {"CODERAPI_ENV_FILE": str(file), "CODERAPI_WIRE_FORMAT": "coderd"}
    end = "The old name will not work in the next minor release.\n"
    assert capsys.readouterr().err == (
        f"coderapi: choices is now called options. {end}"
        f"coderapi: CODERAPI_ENVS is now called CODERAPI_ENV_FILE. {end}"
        f"coderapi: CODERAPI_WAVES is now called CODERAPI_WIRE_FORMAT. {end}"
    )


def test_new_name_of_a_setting_overrides_the_old_one() -> None:
    environ = {"CODERAPI_WAVES_FILE": "old", "CODERAPI_WIRE_FORMAT_FILE": "new"}
    RENAMED.rename_settings(environ)
    assert environ == {"CODERAPI_WIRE_FORMAT_FILE": "new"}


def test_page_may_name_only_attributes_that_exist() -> None:
    """The tests of pages rely on this rule of all tests."""
    run = {"run": JobRun(affected_rows=3)}
    assert Template("{{ run.affected_rows }}{{ other.rows }}").render(Context(run)) == "3"
    with pytest.raises(AssertionError, match="JobRun has no attribute rows"):
        Template("{{ run.rows }}").render(Context(run))


def test_new_names_exist_and_old_names_do_not() -> None:
    settings, commands = {option.env for option in OWN_OPTIONS}, bootstrap.known_commands().keys()
    assert settings >= set(RENAMES.settings.values())
    assert commands >= set(RENAMES.commands.values())
    assert settings.isdisjoint(RENAMES.settings)
    assert commands.isdisjoint(RENAMES.commands)
