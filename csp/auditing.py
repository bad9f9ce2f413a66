"""Proof that nothing private was stored: every text of every row, looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from csp.export import rows_in_pages
from csp.masking import holds_secret
from csp.models import Group, Report

_TEXTS: tuple[tuple[type[Group] | type[Report], tuple[str, ...]], ...] = (
    (Group, ("directive", "blocked", "document", "disposition")),
    (
        Report,
        (
            "document_uri",
            "referrer",
            "blocked_uri",
            "effective_directive",
            "violated_directive",
            "original_policy",
            "disposition",
            "sample",
            "source_file",
            "user_agent",
            "extra",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where something looks like a secret; never what."""

    table: str
    key: str
    column: str


def findings() -> Iterator[Finding]:
    for model, columns in _TEXTS:
        for row in rows_in_pages(model._default_manager.all(), ("id", *columns)):
            for column in columns:
                if holds_secret(_text(row[column])):
                    yield Finding(model._meta.db_table, str(row["id"]), column)


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
