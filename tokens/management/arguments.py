"""Arguments of the token commands: users, lifetimes, and filters for keys."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from kernel.text.durations import DurationError, to_timedelta
from tokens.lifetimes import parse_lifetime
from tokens.models import APIKey, APIKeyQuerySet
from users.management.arguments import find_user
from users.scopes import canonical, require_known


def lifetime(text: str) -> int:
    """Parses an argument that is a lifetime. Returns nanoseconds."""
    try:
        return parse_lifetime(text)
    except DurationError as error:
        raise ArgumentTypeError(f"{text!r} {error}.") from None


def scope(name: str) -> str:
    """Parses an argument that is a scope. Returns its canonical name."""
    try:
        require_known([name])
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return canonical(name)


def add_key_filters(parser: CommandParser) -> None:
    parser.add_argument("--user", help="only keys of this user (username or e-mail address)")
    parser.add_argument("--id", action="append", help="only the key with this id; may be repeated")
    parser.add_argument("--name", help="only tokens with this string in their name")
    parser.add_argument("--kind", choices=list(KINDS), help="only tokens, or only sessions")
    for flag, what in (
        ("--unused-for", "that were not used for this long"),
        ("--lifetime-over", "with a lifetime longer than this"),
    ):
        about = f"only keys {what}, for example 90d"
        parser.add_argument(flag, type=lifetime, metavar="DURATION", help=about)
    parser.add_argument("--scope", type=scope, help="only keys with this scope")


def _not_used_for(keys: APIKeyQuerySet, span_ns: int, now: datetime) -> APIKeyQuerySet:
    since = now - to_timedelta(span_ns)
    return keys.filter(created_at__lt=since).exclude(last_used__gte=since)


KINDS = {"token": APIKey.LoginType.TOKEN, "session": APIKey.LoginType.PASSWORD}
# Each function takes the keys, the value of its option, and the current time.
FILTERS: dict[str, Callable[[APIKeyQuerySet, Any, datetime], APIKeyQuerySet]] = {
    "user": lambda keys, name, _: keys.filter(user=find_user(name)),
    "id": lambda keys, ids, _: keys.filter(id__in=ids),
    "name": lambda keys, text, _: keys.filter(token_name__icontains=text),
    "kind": lambda keys, kind, _: keys.filter(login_type=KINDS[kind]),
    "unused_for": _not_used_for,
    "lifetime_over": lambda keys, span_ns, _: keys.filter(lifetime_ns__gt=span_ns),
    "scope": lambda keys, name, _: keys.filter(scopes__contains=[name]),
}


def live_keys(options: dict[str, Any], *, now: datetime) -> APIKeyQuerySet:
    """Returns the live keys that match a command's filters."""
    keys = APIKey.objects.live(now).select_related("user").order_by("user__username", "id")
    for name, matching in FILTERS.items():
        if options[name]:
            keys = matching(keys, options[name], now)
    return keys


def key_line(key: APIKey) -> str:
    """Formats a key as one line of tab-separated columns."""
    used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never"
    columns = (
        key.id,
        key.user.username,
        key.token_name or f"({key.login_type})",
        ",".join(key.scopes),
        f"used {used}",
        f"expires {key.expires_at:%Y-%m-%d %H:%M}",
    )
    return "\t".join(columns)
