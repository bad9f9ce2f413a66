"""Metrics of users, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count

from kernel.telemetry import metrics
from users.models import User


def _by_status(now: datetime) -> metrics.Values:
    counts = dict(User.objects.order_by().values_list("status").annotate(n=Count("*")))
    return {(status.value,): counts.get(status.value, 0) for status in User.Status}


metrics.database_gauge("coderapi_users", "Users by status.", _by_status, labels=["status"])
