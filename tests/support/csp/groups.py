"""Violation groups, and changes to them through the API."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from csp.models import Group
from tests.support.api.client import APIClient

GROUPS = "/api/coderapi/v1/csp/groups"
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def make_group(**values: Any) -> Group:
    group = unsaved_group(**values)
    group.save(force_insert=True)
    return group


def unsaved_group(**values: Any) -> Group:
    defaults = {
        "id": uuid.uuid4(),
        "directive": "img-src",
        "blocked_source": "img.example.net",
        "first_seen": NOW - 3 * DAY,
        "last_seen": NOW - DAY,
        "created_at": NOW - 3 * DAY,
        "reports": 10,
        "pages": 2,
        "client_days": 5,
        "client_days_since_state_set": 5,
        "window_start": NOW.date(),
        "state": "new",
    }
    return Group(**{**defaults, **values})


def patch(client: APIClient, path: str, body: object) -> Any:
    return client.patch(path, body, content_type="application/json")
