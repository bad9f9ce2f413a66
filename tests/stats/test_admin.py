from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from deployment.stats.cells import Cell, Newest
from deployment.stats.history import Point
from deployment.stats.ingest import ingest
from deployment.stats.models import Snapshot
from deployment.stats.services import collect_snapshot
from deployment.stats.timeline import Marker, Series, timeline
from deployment.stats.timelines import RANGES, changes
from tests.support.factories import PASSWORD, make_user, utc
from tests.support.stats_rows import agent_row

PAGE = "/admin/deployment/snapshot/timelines/"


def signed_in(*roles: str) -> Client:
    """Somebody's browser, signed in through the page as far as the page lets them."""
    client = Client()
    client.post("/admin/login/", {"username": make_user(*roles).username, "password": PASSWORD})
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*RANGES, "", "century"])
def test_each_range_is_drawn_with_its_tables(name: str) -> None:
    now = timezone.now()
    row = agent_row(now, session_count_ssh=3, connection_median_latency_ms=40, rx_bytes=3 * 2**29)
    ingest([(1, row)], now=now, kind="agent")
    collect_snapshot(now)
    page = signed_in("owner").get(PAGE, {"range": name}).content.decode()
    assert [page.count(f">{text}</text>") for text in ("1.5 GiB", "768 MiB")] == [1, 1]
    assert page.count(" UTC</text>") == 4
    assert "<td>1,610,612,736</td>" in page
    assert page.count("<polyline") == 5 + 4 + 2 + 2
    assert page.count("<summary>") == 4
    assert "no snapshot" in page
    assert "<td>gap</td>" in page


@pytest.mark.django_db
def test_where_no_latency_was_measured_there_is_no_line_and_no_gap() -> None:
    now = timezone.now()
    ingest([(1, agent_row(now, connection_median_latency_ms=-1))], now=now, kind="agent")
    collect_snapshot(now)
    page = signed_in("owner").get(PAGE, {"range": "1h"}).content.decode()
    assert page.count("<polyline") == 5 + 4 + 2
    assert page.count("<td>none</td>") == 2


@pytest.mark.django_db
def test_alarms_and_errors_are_shown() -> None:
    page = signed_in("auditor").get(PAGE).content.decode()
    assert "No snapshot has been taken yet." in page


@pytest.mark.django_db
def test_the_page_obeys_a_policy_without_inline_styles_and_scripts() -> None:
    collect_snapshot(timezone.now())
    page = signed_in("owner").get(PAGE).content.decode()
    main = page[page.index('id="content"') :]
    assert not re.search(r"style=|<style|on[a-z]+=", main)


@pytest.mark.django_db
def test_members_do_not_see_it() -> None:
    assert signed_in().get(PAGE).status_code != 200


@pytest.mark.django_db
def test_snapshots_are_listed_and_cannot_be_changed() -> None:
    collect_snapshot(timezone.now())
    client = signed_in("owner")
    listed = client.get("/admin/deployment/snapshot/").content.decode()
    assert PAGE in listed
    snapshot = Snapshot.objects.get()
    assert client.post(f"/admin/deployment/snapshot/{snapshot.pk}/delete/").status_code == 403


def drawing(series: list[Series], **options: Any) -> str:
    """The chart of an hour, or of as many as there are steps."""
    hours = [utc(2026, 5, 4) + n * timedelta(hours=1) for n in range(len(series[0].values) or 1)]
    return timeline(series, moments=hours, shown="{:g}".format, **options)


def test_names_are_escaped() -> None:
    drawn = drawing([Series("<b>", [1])], title='"<i>', markers=[Marker(0, "<u>")])
    assert not re.search("<[biu]>", drawn)


values = st.lists(st.one_of(st.none(), st.floats(0, 1e18)), max_size=30)


@settings(deadline=None)
@given(values)
def test_every_stretch_is_a_line_and_every_gap_is_shaded(line: list[float | None]) -> None:
    gaps = [step for step, value in enumerate(line) if value is None]
    drawn = drawing([Series("a", line)], title="A", gaps=gaps)
    stretches = re.findall("v+", "".join("g" if value is None else "v" for value in line))
    assert drawn.count("<polyline") == len(stretches)
    assert drawn.count("<rect") == line.count(None)
    assert "nan" not in drawn


def test_a_new_build_or_configuration_is_marked_also_after_a_gap() -> None:
    versions = [("1", "a"), None, ("2", "a"), ("2", "b"), ("2", "b")]
    points = []
    for step, known in enumerate(versions):
        at = utc(2026, 5, 4) + timedelta(hours=step)
        newest = Newest(at, {}, {}, *known) if known else None
        points.append(Point(at, Cell(at, newest=newest)))
    assert changes(points) == [Marker(2, "build 2"), Marker(3, "configuration changed")]
