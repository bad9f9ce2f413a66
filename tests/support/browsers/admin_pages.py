"""Every page of the admin, with rows to show."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.contrib import admin
from django.test import RequestFactory
from django.urls import reverse

from alerts.models import Alert, Channel, Delivery
from beside.models import CoderToken
from csp.models import REPORTS, Group, IngestKey, Report
from jobs.models import JobRun
from stats.models import Snapshot, WorkspaceState
from tests.support.factories import DAY_NS, expire, make_key, make_user
from tokens.models import TokenConfig
from users.models import User


def make_rows(owner: User, *, now: datetime) -> None:
    """Makes rows of every kind that the admin shows."""
    make_key(owner)
    member = make_user(username="zoe", status=User.Status.SUSPENDED)
    for user in (owner, member):
        make_key(user, login_type="token", lifetime_ns=30 * DAY_NS)
        expire(make_key(user))
    TokenConfig.objects.create(user=owner, max_lifetime_ns=DAY_NS)
    run = {"scheduled_at": now, "started_at": now, "process": "here:1"}
    JobRun.objects.create(job_name="prune_job_runs", **run)
    JobRun.objects.create(
        job_name="make_audit_partitions", finished_at=now, error="<b>bold</b>", **run
    )
    IngestKey.objects.create(name="pages", value="cik_example", origins=["https://a.example.com"])
    for job in ({}, {"job_started_at": now}, {"job_completed_at": now, "error": "disk full"}):
        WorkspaceState.objects.create(workspace_id=uuid.uuid4(), transition="start", **job)
    times = dict.fromkeys(("created_at", "expires_at", "violation_found_at", "read_at"), now)
    CoderToken.objects.create(
        id="a" * 10,
        user_id=uuid.uuid4(),
        scopes=["all"],
        lifetime_ns=1,
        violations=["old"],
        **times,
    )
    _make_snapshot(now)
    _make_report(now)
    _make_alert(now)


def _make_snapshot(now: datetime) -> None:
    numbers = dict.fromkeys(
        ("pending", "building", "running", "failed", "stopped", "rx_bytes", "tx_bytes"), 1
    )
    Snapshot.objects.create(
        collected_at=now,
        aggregated_from=now - timedelta(minutes=5),
        latency_p50_ms=1.5,
        latency_p95_ms=2.5,
        session_counts={"ssh": 1},
        latency_method="exact",
        buildinfo_version="v2.29.0",
        row_count=1,
        duration_ms=1.0,
        **numbers,
    )


def _make_report(now: datetime) -> None:
    REPORTS.ensure(now, now)
    group = Group.objects.create(
        id=uuid.uuid4(),
        directive="script-src-elem",
        blocked_source="<i>cdn.example.net",
        first_seen=now,
        last_seen=now,
        reports=1,
    )
    Report.objects.create(
        received_at=now,
        occurred_at=now,
        group=group,
        format="report-uri",
        document_uri="https://coder.example.com/",
        blocked_uri="https://cdn.example.net/<i>",
        client_address_hash=bytes(16),
        original_policy="default-src 'self'; script-src 'self' 'unsafe-inline'",
    )


def _make_alert(now: datetime) -> None:
    channel = Channel.objects.create(
        name="security", type="webhook", address="https://hooks.example.com/x", is_enabled=True
    )
    delivery = Delivery.objects.create(
        channel=channel,
        subject="[coderapi] new: Script from <i>cdn.example.net (12 clients)",
        created_at=now,
        due_at=now,
        attempts=1,
        error="The server returned status <b>500",
    )
    Alert.objects.create(
        channel=channel,
        delivery=delivery,
        kind="csp_group.new",
        subject_key=str(Group.objects.get().pk),
        occurred_at=now,
        severity=2,
        title="Script from <i>cdn.example.net (12 clients)",
        created_at=now,
    )


def addresses(user: User) -> Iterator[str]:
    """Yields every page that the user may open: lists, forms to add, and pages of a first row."""
    request = RequestFactory().get("/admin/")
    request.user = user
    yield reverse("admin:index")
    yield reverse("admin:stats_snapshot_timelines")
    yield reverse("admin:tokens_apikey_calendar")
    yield reverse("admin:csp_group_releases")
    yield reverse("admin:csp_group_site_policy")
    yield reverse("admin:csp_ingestkey_check_site", args=[IngestKey.objects.latest("pk").pk])
    yield reverse("admin:tokens_tokenconfig_explain", query={"user": user.username})
    for app in admin.site.get_app_list(request):
        yield reverse("admin:app_list", args=[app["app_label"]])
    for member in User.objects.exclude(pk=user.pk)[:1]:
        yield reverse("admin:users_user_change", args=[member.pk])
        if user.has_perm("users.delete_user"):
            yield reverse("admin:users_user_delete", args=[member.pk])
    for model, pages in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if pages.has_add_permission(request):
            yield reverse(f"{name}_add")
        row = model._default_manager.first()
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])
            yield reverse(f"{name}_history", args=[row.pk])
            if pages.has_delete_permission(request, row):
                yield reverse(f"{name}_delete", args=[row.pk])
