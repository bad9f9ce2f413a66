from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Q
from django.db.models.functions import TruncDate

from kernel.db.pages import in_pages
from kernel.http.errors import not_found
from tokens.models import APIKey, APIKeyQuerySet
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity, Owner, refusal
from users.roles import OWNER

# The columns that an API key in a response needs.
SHOWN = (
    "id", "user_id", "last_used", "expires_at", "created_at", "updated_at", "login_type", "scopes",
    "token_name", "lifetime_ns", "allow_list",
)  # fmt: skip


def key_by_id(key_id: str, *, action: str, viewer: KeyIdentity) -> APIKey:
    """Returns the key with this id.

    Raises: APIError 404 for an unknown id, or if the viewer may not do the action on the key.
    """
    found = None if "\0" in key_id else APIKey.objects.filter(id=key_id).first()
    return _allowed(found, viewer, action)


def token_by_name(user: User, name: str, *, viewer: KeyIdentity) -> APIKey:
    """Returns the user's token with this name. Raises: APIError 404 as `key_by_id` does."""
    found = None if "\0" in name else APIKey.objects.filter(user=user, token_name=name).first()
    return _allowed(found if name else None, viewer, "api_key:read")


def _allowed(key: APIKey | None, viewer: KeyIdentity, action: str) -> APIKey:
    owner = Owner(str(key.user_id)) if key else None
    if key is None or refusal(viewer, action, of=owner, object_id=key.id):
        raise not_found()
    return key


def tokens(
    user: User,
    *,
    viewer: KeyIdentity,
    everyone: bool,
    expired: bool,
    now: dt.datetime,
    limit: int = 0,
    offset: int = 0,
) -> Iterator[Sequence[Any]]:
    """Yields pages of tokens, newest first. Takes one query for each page.

    If `everyone` is true, the tokens are those of all users, otherwise those of `user`. Only owners
    get the tokens of other users. If `limit` is above 0, yields one page with at most that many
    tokens. Shape: dicts of `SHOWN` and `user__username`, because model instances take three times
    as long to build.
    """
    found = _visible(user, viewer=viewer, everyone=everyone)
    ids = allow_lists.ids(viewer.allow_list, "api_key")
    if ids is not None:
        found = found.filter(id__in=ids)
    if not expired:
        found = found.live(now)
    rows = found.order_by("-created_at", "id").values(*SHOWN, "user__username")
    if limit:
        return iter([rows[offset : offset + limit]])
    return in_pages(rows, after=_after, offset=offset)


def _after(row: dict[str, Any]) -> Q:
    # The second condition implies the first one. The first one is still needed, because PostgreSQL
    # can use the index only for that one.
    created = row["created_at"]
    return Q(created_at__lte=created) & (Q(created_at__lt=created) | Q(id__gt=row["id"]))


def _visible(user: User, *, viewer: KeyIdentity, everyone: bool) -> APIKeyQuerySet:
    found = APIKey.objects.tokens()
    if viewer.has_role(OWNER):
        return found if everyone else found.filter(user=user)
    own = found.filter(user_id=viewer.user_id)
    return own if everyone else own.filter(user=user)


def own_keys(viewer: KeyIdentity, *, now: dt.datetime) -> APIKeyQuerySet:
    """Returns the viewer's live tokens and sessions, newest first."""
    found = APIKey.objects.live(now).filter(user_id=viewer.user_id)
    ids = allow_lists.ids(viewer.allow_list, "api_key")
    return (found if ids is None else found.filter(id__in=ids)).order_by("-created_at", "id")


def own_token(key_id: str, *, viewer: KeyIdentity, now: dt.datetime) -> APIKey:
    """Returns the viewer's live token with this id if they may change it. Raises: APIError 404."""
    own = own_keys(viewer, now=now).tokens()
    found = None if "\0" in key_id else own.filter(id=key_id).first()
    return _allowed(found, viewer, "api_key:update")


CALENDAR_DAYS = 90


@dataclass(frozen=True, slots=True)
class Day:
    """A day, UTC, on which tokens expire."""

    date: dt.date
    count: int
    owners: list[str]

    @property
    def next(self) -> dt.date:
        return self.date + dt.timedelta(days=1)


def expiry_days(*, now: dt.datetime) -> list[Day]:
    """Returns the days of the next three months on which live tokens expire."""
    rows = (
        APIKey.objects.tokens()
        .live(now)
        .filter(expires_at__lt=now + dt.timedelta(days=CALENDAR_DAYS))
        .order_by()
        .values(day=TruncDate("expires_at", tzinfo=dt.UTC))
        .annotate(count=Count("pk"), owners=ArrayAgg("user__username", distinct=True))
        .order_by("day")
    )
    return [Day(row["day"], row["count"], row["owners"]) for row in rows]
