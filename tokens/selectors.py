from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, F, QuerySet
from django.db.models.functions import TruncDate

from kernel.db.connections import fetch
from kernel.db.paging import Condition, pages, where
from kernel.http.errors import not_found
from tokens.models import APIKey, APIKeyQuerySet
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity, Owner, refusal
from users.roles import OWNER


def key_by_id(key_id: str, *, action: str, viewer: KeyIdentity) -> APIKey:
    """Returns the key with this id.

    Raises: APIError 404 for an unknown id, or if the viewer may not do the action on the key.
    """
    return _allowed(APIKey.objects.all(), viewer, action, id=key_id)


def token_by_name(user: User, name: str, *, viewer: KeyIdentity) -> APIKey:
    """Returns the user's token with this name. Raises: APIError 404 as `key_by_id` does."""
    return _allowed(APIKey.objects.filter(user=user), viewer, "api_key:read", token_name=name)


def _allowed(keys: APIKeyQuerySet, viewer: KeyIdentity, action: str, **wanted: str) -> APIKey:
    # PostgreSQL rejects the character NUL.
    key = None if "\0" in "".join(wanted.values()) else keys.filter(**wanted).first()
    if key is None or refusal(viewer, action, of=Owner(str(key.user_id)), object_id=key.id):
        raise not_found()
    return key


class FoundToken(NamedTuple):
    """A token in a list, with the columns of TOKENS in their order."""

    id: str
    user_id: uuid.UUID
    last_used: dt.datetime | None
    expires_at: dt.datetime
    created_at: dt.datetime
    updated_at: dt.datetime
    login_type: str
    scopes: list[str]
    token_name: str
    lifetime_ns: int
    username: str
    allow_list: list[dict[str, str]]


TOKENS = """
SELECT key.id, key.user_id, key.last_used, key.expires_at, key.created_at, key.updated_at,
    key.login_type, key.scopes, key.token_name, key.lifetime_ns, owner.username, key.allow_list
FROM tokens_apikey AS key JOIN users_user AS owner ON owner.id = key.user_id
WHERE key.login_type = 'token' AND {conditions}
ORDER BY key.created_at DESC, key.id LIMIT %s OFFSET %s
"""


def tokens(
    user: User,
    *,
    viewer: KeyIdentity,
    everyone: bool,
    expired: bool,
    now: dt.datetime,
    limit: int = 0,
    offset: int = 0,
) -> Iterator[Sequence[FoundToken]]:
    """Yields pages of tokens, newest first. Takes one query for each page.

    If `everyone` is true, the tokens are those of all users, otherwise those of `user`. Only owners
    get the tokens of other users. If `limit` is above 0, yields one page with at most that many
    tokens.
    """
    conditions = list(_visible(user, viewer=viewer, everyone=everyone))
    if not expired:
        conditions.append(("key.expires_at >= %s", [now]))
    if limit:
        return iter([_tokens(conditions, limit, offset)])

    def read(last: FoundToken | None, rows: int) -> list[FoundToken]:
        if last is None:
            return _tokens(conditions, rows, offset)
        return _tokens([*conditions, _after(last)], rows)

    return pages(read)


def _tokens(conditions: Iterable[Condition], limit: int, offset: int = 0) -> list[FoundToken]:
    text, values = where(conditions)
    rows = fetch(TOKENS.format(conditions=text), [*values, limit, offset])
    return [FoundToken._make([*columns, orjson.loads(listed)]) for *columns, listed in rows]


def _after(last: FoundToken) -> Condition:
    # The second condition implies the first one. The first one is still needed, because PostgreSQL
    # can use the index only for that one.
    later = "key.created_at <= %s AND (key.created_at < %s OR key.id > %s)"
    return later, [last.created_at, last.created_at, last.id]


def _visible(user: User, *, viewer: KeyIdentity, everyone: bool) -> Iterator[Condition]:
    if not viewer.has_role(OWNER):
        yield "key.user_id = %s", [viewer.user_id]
    if not everyone:
        yield "key.user_id = %s", [user.id]
    ids = allow_lists.ids(viewer.allow_list, "api_key")
    if ids is not None:
        yield "key.id = ANY (%s)", [list(ids)]


def own_keys(viewer: KeyIdentity, *, now: dt.datetime) -> APIKeyQuerySet:
    """Returns the viewer's live tokens and sessions, newest first."""
    found = APIKey.objects.live(now).filter(user_id=viewer.user_id)
    ids = allow_lists.ids(viewer.allow_list, "api_key")
    return (found if ids is None else found.filter(id__in=ids)).order_by("-created_at", "id")


def own_token(key_id: str, *, viewer: KeyIdentity, now: dt.datetime) -> APIKey:
    """Returns the viewer's live token with this id if they may change it. Raises: APIError 404."""
    return _allowed(own_keys(viewer, now=now).tokens(), viewer, "api_key:update", id=key_id)


CALENDAR_DAYS = 90


def expiry_days(*, now: dt.datetime) -> QuerySet[APIKey, Any]:
    """Returns the days (UTC) of the next three months on which live tokens expire.

    Each row has the `date`, the `next` date, the `count` of the tokens and their `owners`.
    """
    following = F("expires_at") + dt.timedelta(days=1)
    return (
        APIKey.objects.tokens()
        .live(now)
        .filter(expires_at__lt=now + dt.timedelta(days=CALENDAR_DAYS))
        .annotate(
            date=TruncDate("expires_at", tzinfo=dt.UTC), next=TruncDate(following, tzinfo=dt.UTC)
        )
        .values("date", "next")
        .annotate(count=Count("pk"), owners=ArrayAgg("user__username", distinct=True))
        .values_list("date", "next", "count", "owners", named=True)
        .order_by("date")
    )
