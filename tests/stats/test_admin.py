from __future__ import annotations

import re
from datetime import timedelta
from itertools import product

import pytest
from django.test import Client

from stats.history.charts import RANGES, changes
from stats.history.points import Point
from stats.models import Snapshot
from tests.support.factories import PASSWORD, make_user, utc
from tests.support.stats_rows import (
    Deployment,
    agent_row,
    reference_workspaces,
    text,
    workspace_row,
)

PAGE = "/admin/stats/snapshot/timelines/"


def signed_in(*roles: str) -> Client:
    """Somebody's browser, signed in through the page as far as the page lets them."""
    client = Client()
    client.post("/admin/login/", {"username": make_user(*roles).username, "password": PASSWORD})
    return client


@pytest.mark.parametrize("name", [*RANGES, "", "century"])
def test_each_range_is_drawn_with_its_tables(deployment: Deployment, name: str) -> None:
    members = {"connection_median_latency_ms": 40, "rx_bytes": 3 * 2**29}
    deployment.take(agent_row(deployment.now, session_count_ssh=3, **members))
    deployment.collect()
    page = signed_in("owner").get(PAGE, {"range": name}).content.decode()
    assert "<td>1.5 GiB</td>" in page
    assert page.count('class="chart-line ') == 2 * (5 + 4 + 2 + 2)
    assert page.count("<summary>") == 4
    assert "chart-gap" in page
    assert "<td>no data</td>" in page


def test_where_no_latency_was_measured_there_is_no_line_and_no_gap(deployment: Deployment) -> None:
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=-1))
    deployment.collect()
    page = signed_in("owner").get(PAGE, {"range": "1h"}).content.decode()
    assert page.count('class="chart-line ') == 2 * (5 + 4 + 2) + 2
    assert page.count("<td>none</td>") == 2


def test_rows_are_drawn_where_no_snapshot_was_taken(deployment: Deployment) -> None:
    deployment.take(agent_row(deployment.now, connection_median_latency_ms=40, rx_bytes=2**20))
    deployment.travel(timedelta(minutes=2))
    deployment.collect()
    Snapshot.objects.all().delete()
    page = signed_in("owner").get(PAGE, {"range": "1h"}).content.decode()
    assert "<td>1 MiB</td>" in page
    assert len(re.findall(r"<td>40(\.\d+)? ms</td>", page)) == 2
    # Of workspaces and sessions nothing is known then.
    assert page.count('class="chart-line ') == (5 + 4 + 2 + 2) + 2 + 2


@pytest.mark.django_db
def test_alarms_and_errors_are_shown() -> None:
    page = signed_in("auditor").get(PAGE).content.decode()
    assert "No snapshot has been taken yet." in page


def test_the_page_obeys_a_policy_without_inline_styles_and_scripts(deployment: Deployment) -> None:
    deployment.collect()
    page = signed_in("owner").get(PAGE).content.decode()
    main = page[page.index('id="content"') :]
    assert not re.search(r"style=|<style|on[a-z]+=", main)


@pytest.mark.django_db
def test_members_do_not_see_it() -> None:
    assert signed_in().get(PAGE).status_code != 200


def test_snapshots_are_listed_and_cannot_be_changed(deployment: Deployment) -> None:
    deployment.collect()
    client = signed_in("owner")
    listed = client.get("/admin/stats/snapshot/").content.decode()
    assert PAGE in listed
    snapshot = Snapshot.objects.get()
    assert client.post(f"/admin/stats/snapshot/{snapshot.pk}/delete/").status_code == 403


def test_workspaces_are_listed_by_the_states_that_are_counted(deployment: Deployment) -> None:
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
        # A job that ends without a start is counted twice.
        if started or not (canceled or completed)
    ]
    deployment.take(*rows, kind="workspace")
    deployment.collect()
    client = signed_in("auditor")
    for word, number in reference_workspaces(rows).items():
        listed = client.get("/admin/stats/workspacestate/", {"state": word})
        assert listed.context["cl"].result_count == number, word
    page = client.get("/admin/stats/workspacestate/", {"state": "failed"}).content.decode()
    assert '<span class="state state-failed">failed</span>' in page
    assert "disk full" in page


def test_a_snapshot_shows_no_figure_that_nobody_knows(deployment: Deployment) -> None:
    deployment.collect()
    Snapshot.objects.update(source="backfill")
    client, snapshot = signed_in("auditor"), Snapshot.objects.get()
    page = client.get(f"/admin/stats/snapshot/{snapshot.pk}/change/").content.decode()
    values = re.findall(r'<div class="readonly">(.*?)</div>', page)
    assert "-1" not in "".join(values)
    assert values.count("unknown") == 4
    assert values.count("none") == 2
    assert "History" not in page
    listed = client.get("/admin/stats/snapshot/").content.decode()
    assert '<td class="field-failed_then">unknown</td>' in listed


def test_build_without_a_name_can_be_chosen(deployment: Deployment) -> None:
    deployment.collect()
    Snapshot.objects.update(build_version="")
    page = signed_in("auditor").get("/admin/stats/snapshot/").content.decode()
    assert '<a href="?build_version=">unknown</a>' in page


def test_a_new_build_or_configuration_is_marked_also_after_a_gap() -> None:
    versions = [("1", "a"), None, ("2", "a"), ("2", "b"), ("", "", "backfill"), ("2", "b")]
    points = []
    for step, known in enumerate(versions):
        at = utc(2026, 5, 4) + timedelta(hours=step)
        names = ("build_version", "configuration_hash", "source")
        newest = Snapshot(**dict(zip(names, known, strict=False))) if known else None
        points.append(Point(at, newest))
    assert changes(points) == {2: "build 2", 3: "configuration changed"}
