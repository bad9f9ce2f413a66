from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django.core.management.base import CommandError
from django.db.models import CharField, Q, QuerySet, TextField
from django.db.models.functions import Cast

from csp.export import RANKS
from csp.models import Group, Rejection, Report, SitePolicy, Version
from csp.scrubbing.leak_search import holds_private, holds_private_member, holds_private_source
from kernel.commands import ListingCommand
from kernel.db.paging import in_pages

# The rules of the columns that have rules of their own.
_RULES = {
    **dict.fromkeys(
        ("blocked_source", "original_policy", "policy", "sample"), holds_private_source
    ),
    # One of the service's own sentences, which may name a token.
    "reason": lambda text: False,
    # Hashes look like secrets.
    "digest": lambda text: False,
    "other_members_text": holds_private_member,
}


class Command(ListingCommand):
    help = (
        "Lists where stored CSP reports contain values that look like secrets, without the values."
    )
    fails_if = "there are any"
    examples = "\n--json"

    def handle(self, *args: Any, **options: Any) -> str:
        found = 0
        for table, id, column in findings():
            found += 1
            self.row(f"{table} {id}: {column}", table=table, id=id, column=column)
        if found:
            raise CommandError(
                f"Stored values that look like secrets: {found}. The list does not show the values."
            )
        return "No stored value looks like a secret."


type Finding = tuple[str, str, str]


def findings() -> Iterator[Finding]:
    """Yields the table, id and column of each stored value that looks like a secret."""
    for model in (Group, Version, SitePolicy, Rejection):
        yield from _findings_in(model._default_manager.all())
    # Read `other_members` as text and do not parse it, because it may be nested deeply or contain
    # very large numbers.
    yield from _findings_in(
        Report.objects.annotate(other_members_text=Cast("other_members", TextField()))
    )


def _findings_in(rows: QuerySet[Any]) -> Iterator[Finding]:
    fields = (f for f in rows.model._meta.concrete_fields if f.name not in RANKS)
    columns = [f.attname for f in fields if isinstance(f, CharField | TextField)]
    columns += rows.query.annotations
    ordered = rows.order_by("id").values("id", *columns)
    pages = in_pages(ordered, after=lambda row: Q(id__gt=row["id"]))
    for row in chain.from_iterable(pages):
        for column in columns:
            is_private = _RULES.get(column, holds_private)
            if row[column] is not None and is_private(row[column]):
                name = column.removesuffix("_text")
                yield rows.model._meta.db_table, str(row["id"]), name
