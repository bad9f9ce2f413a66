from __future__ import annotations

import re
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from stats.history.charts import RANGES, changes
from stats.history.points import Point
from stats.models import Snapshot
from tests.support.commands import run, write_lines
from tests.support.csp.reports import in_admin
from tests.support.factories import utc
from tests.support.stats_rows import (
    MINUTE,
    NOW,
    Deployment,
    agent_row,
    reference_workspaces,
    text,
    workspace_row,
)

PAGE = "/admin/stats/snapshot/timelines/"


def test_each_range_has_charts_with_tables(deployment: Deployment) -> None:
    members = {"connection_median_latency_ms": 40, "rx_bytes": 3 * 2**29}
    deployment.take(agent_row(deployment.now, session_count_ssh=3, **members))
    deployment.collect()
    client = in_admin("owner")
    for name in (*RANGES, "", "century"):
        page = client.get(PAGE, {"range": name}).text
        assert "<td>1.5 GiB</td>" in page, name
        assert page.count('class="chart-line ') == 2 * (5 + 4 + 2 + 2), name
        assert page.count("<summary>") == 4, name
        assert "chart-gap" in page, name
        assert "<td>no data</td>" in page, name
        assert not re.search(r"style=|<style|on[a-z]+=", page[page.index('id="content"') :]), name


def test_steps_without_a_latency_have_neither_line_nor_gap(deployment: Deployment) -> None:
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=-1))
    deployment.collect()
    page = in_admin("owner").get(PAGE, {"range": "1h"}).text
    assert page.count('class="chart-line ') == 2 * (5 + 4 + 2) + 2
    assert page.count("<td>none</td>") == 2


def test_charts_show_traffic_without_snapshots(deployment: Deployment) -> None:
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=40, rx_bytes=2**20))
    deployment.travel(timedelta(minutes=2))
    deployment.collect()
    Snapshot.objects.all().delete()
    page = in_admin("owner").get(PAGE, {"range": "1h"}).text
    assert "<td>1 MiB</td>" in page
    assert len(re.findall(r"<td>40(\.\d+)? ms</td>", page)) == 2
    # Workspaces and sessions are unknown without snapshots.
    assert page.count('class="chart-line ') == (5 + 4 + 2 + 2) + 2 + 2


def test_charts_omit_the_traffic_of_the_unfinished_step(deployment: Deployment) -> None:
    for ago in (timedelta(), timedelta(minutes=5)):
        deployment.take(agent_row(deployment.now - ago, rx_bytes=2**20))
    deployment.collect()
    page = in_admin("owner").get(PAGE, {"range": "6h"}).text
    assert page.count("<td>1 MiB</td>") == 1


def test_imported_rows_are_charted_in_steps_with_data(
    deployment: Deployment, tmp_path: Path
) -> None:
    rows = [agent_row(NOW - n * MINUTE, connection_median_latency_ms=40) for n in range(150)]
    run("import_agent_stats", write_lines(tmp_path / "rows.jsonl", *rows))
    page = in_admin("owner").get(PAGE, {"range": "1h"}).text
    assert "every 5 minutes, last value" in page
    # The current interval of 5 minutes has no snapshot yet.
    assert page.count("<td>no data</td>") == 5 + 4
    outage = Snapshot.objects.filter(collected_at__range=(NOW - 50 * MINUTE, NOW - 20 * MINUTE))
    outage.delete()
    page = in_admin("owner").get(PAGE, {"range": "1h"}).text
    assert "every 5 minutes, last value" in page
    assert page.count("<td>no data</td>") == (5 + 4) * 7


@pytest.mark.django_db
def test_the_page_shows_alarms_and_members_cannot_see_it() -> None:
    assert "No snapshot has been taken yet." in in_admin("auditor").get(PAGE).text
    assert in_admin().get(PAGE).status_code != 200


def test_snapshots_are_listed_and_cannot_be_changed(deployment: Deployment) -> None:
    deployment.collect()
    client = in_admin("owner")
    snapshot = Snapshot.objects.get()
    Snapshot.objects.update(buildinfo_version="")
    listed = client.get("/admin/stats/snapshot/").text
    assert PAGE in listed
    assert '<a href="?buildinfo_version=">unknown</a>' in listed
    assert client.post(f"/admin/stats/snapshot/{snapshot.pk}/delete/").status_code == 403


def test_workspaces_are_filtered_by_the_states_of_snapshots(deployment: Deployment) -> None:
    at, states = text(deployment.now), list(product((None, 1), (None, 1), (None, 1), "es "))
    rows = [
        workspace_row(
            number,
            transition="stop" if word == "s" else "start",
            job_started_at=started and at,
            job_canceled_at=canceled and at,
            job_completed_at=completed and at,
            error="disk full" if word == "e" else "",
        )
        for number, (started, canceled, completed, word) in enumerate(states)
        # A job that ended without a start counts in two states.
        if started or not (canceled or completed)
    ]
    deployment.take(*rows, kind="workspace")
    deployment.collect()
    client = in_admin("auditor")
    for word, number in reference_workspaces(rows).items():
        listed = client.get("/admin/stats/workspacestate/", {"state": word})
        assert listed.context["cl"].result_count == number, word
    page = client.get("/admin/stats/workspacestate/", {"state": "failed"}).text
    assert '<span class="state state-failed">failed</span>' in page
    assert "disk full" in page


def test_a_backfilled_snapshot_shows_unknown_states(deployment: Deployment) -> None:
    deployment.collect()
    Snapshot.objects.update(workspaces_method="backfill")
    client, snapshot = in_admin("auditor"), Snapshot.objects.get()
    page = client.get(f"/admin/stats/snapshot/{snapshot.pk}/change/").text
    values = re.findall(r'<div class="readonly">(.*?)</div>', page)
    assert "-1" not in "".join(values)
    assert values.count("unknown") == 4
    assert values.count("none") == 2
    assert "History" not in page
    listed = client.get("/admin/stats/snapshot/").text
    assert '<td class="field-failed_state">unknown</td>' in listed


def test_a_new_build_or_configuration_is_marked_even_after_a_gap() -> None:
    versions = [("1", "a"), None, ("2", "a"), ("2", "b"), ("", "", "backfill"), ("2", "b")]
    points = []
    for step, version in enumerate(versions):
        at = utc(2026, 5, 4) + timedelta(hours=step)
        names = ("buildinfo_version", "own_options_digest", "workspaces_method")
        newest = Snapshot(**dict(zip(names, version, strict=False))) if version else None
        points.append(Point(at, newest))
    assert changes(points) == {2: "build 2", 3: "configuration changed"}
