"""Sessions by application: in snapshots, in history, on the pages of the admin and in metrics."""

from __future__ import annotations

from typing import Any

import pytest

from stats.applications import application, by_family, largest
from stats.models import KIND_COLUMNS, Snapshot
from tests.support.commands import run
from tests.support.csp.reports import in_admin
from tests.support.stats_rows import HOUR, MINUTE, NOW, SECOND, Deployment, agent_row, gauges, text

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ("vscode", "cursor", "windsurf", "zed", "jetbrains", "ssh", "my_editor", "trae", "unknown")
FAMILIES = {"jetbrains": 1, "reconnecting_pty": 0, "ssh": 2, "vscode": 4}


def one_of_each(deployment: Deployment) -> None:
    """Sends rows with a session of each application. The row of agent 1 has the older form."""
    deployment.take(
        agent_row(NOW - SECOND, agent=1, session_count_vscode=1, session_count_ssh=1),
        agent_row(NOW - 2 * SECOND, agent=2, session_counts=dict.fromkeys(NAMES[1:5], 1)),
        agent_row(NOW - 3 * SECOND, agent=3, session_counts=dict.fromkeys(NAMES[6:], 1)),
    )


def test_applications_are_in_the_coderd_wire_and_families_in_both(deployment: Deployment) -> None:
    one_of_each(deployment)
    found = deployment.collect()
    assert found["session_count"] == FAMILIES
    assert found["apps"] == dict.fromkeys(NAMES, 1)
    coderd = deployment.at(NOW, wire="coderd")["session_count"]
    assert {family: coderd[family] for family in FAMILIES} == FAMILIES
    names = ("count", "display_name", "family", "icon")
    expected: dict[str, tuple[Any, ...]] = {
        "cursor": (1, "Cursor", "vscode", "/icon/cursor.svg"),
        "my_editor": (1, "my_editor", "unknown", ""),
    }
    for app, values in expected.items():
        assert coderd["apps"][app] == dict(zip(names, values, strict=True))


def test_history_has_the_applications(deployment: Deployment) -> None:
    one_of_each(deployment)
    deployment.collect()
    parameters = {"since": text(NOW), "until": text(NOW + MINUTE), "step": "1h"}
    path = "/api/coderapi/v1/stats/history"
    for wire, expected in (("documented", FAMILIES), ("coderd", {**FAMILIES, "apps": set(NAMES)})):
        answer = deployment.client.get(path, parameters, headers={"Coderapi-Wire-Format": wire})
        (point,) = answer.json()["points"]
        found = point["session_count"]
        assert found | ({"apps": set(found["apps"])} if "apps" in found else {}) == expected


def test_rows_of_the_older_form_can_be_read_and_rebuilt(deployment: Deployment) -> None:
    one_of_each(deployment)
    run("rebuild_stats", "--since", text(NOW - HOUR))
    assert deployment.collect()["session_count"] == FAMILIES


def test_snapshot_has_a_bounded_number_of_names(deployment: Deployment) -> None:
    rows = [
        agent_row(NOW, agent=agent, session_counts={f"app-{agent}-{n}": n + 1 for n in range(64)})
        for agent in range(5)
    ]
    deployment.take(*rows)
    apps = deployment.collect()["apps"]
    assert len(apps) == 257
    assert sum(apps.values()) == 5 * sum(range(65))
    assert min(count for name, count in apps.items() if name != "unknown") == 13
    found = {key: n for key, n in gauges().items() if key[0] == "coderapi_stats_sessions"}
    assert len(found) == 33
    assert sum(found.values()) == 5 * sum(range(65))


def test_pages_show_the_applications_with_the_most_sessions(deployment: Deployment) -> None:
    counts = {name: 20 - number for number, name in enumerate(NAMES)} | {"kiro": 5, "devin": 2}
    deployment.take(agent_row(NOW, session_counts=counts))
    deployment.collect()
    browser = in_admin("auditor")
    page = browser.get("/admin/stats/snapshot/timelines/?range=1h").text
    chart = page.partition("Sessions by application")[2].partition("</figure>")[0]
    legend = chart.partition("</ul>")[0]
    labels = [application(name).display_name for name in NAMES[:8]]
    shown = [name for name in [*labels, "Unknown", "Kiro"] if f"</svg> {name}</li>" in legend]
    assert shown == labels
    # 12 of unknown, 5 of Kiro, 2 of Devin.
    assert "other applications: 19" in chart
    snapshot = Snapshot.objects.get()
    detail = browser.get(f"/admin/stats/snapshot/{snapshot.pk}/change/").text
    assert "VS Code 20, Cursor 19, Windsurf 18, Zed 17, JetBrains 16" in detail


def test_unknown_sessions_are_not_zero(deployment: Deployment) -> None:
    one_of_each(deployment)
    deployment.collect()
    Snapshot.objects.update(session_counts={})
    (point,) = deployment.points(NOW, NOW + MINUTE, "1h")
    assert "session_count" not in point
    assert not [key for key in gauges() if key[0] == "coderapi_stats_sessions"]


def test_largest_keeps_the_sum_within_the_limit_of_the_api() -> None:
    found = largest({"a": 1, "b": 3, "c": 2, "unknown": 4}, 2)
    assert largest(found, 2) == found == {"b": 3, "c": 2, "unknown": 5}
    assert by_family({"cursor": 2**63 - 1, "vscode": 1})["vscode"] == 2**63 - 1
    assert [name.removeprefix("session_count_") for name in KIND_COLUMNS] == [*by_family({})]
