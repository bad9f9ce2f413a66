"""Arguments of the token commands: users, lifetimes, and filters for keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kernel.commands import UsageError
from kernel.durations import DurationError, to_timedelta
from tokens.lifetimes import parse_lifetime
from tokens.models import APIKey, APIKeyQuerySet
from users.models import User
from users.scopes import KNOWN, canonical
from users.selectors import user_by_name


def find_user(name: str) -> User:
    """Returns the user with this username or e-mail address. Raises: CommandError."""
    user = user_by_name(name)
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user


def lifetime_ns(flag: str, text: str) -> int:
    """Parses a duration as nanoseconds. Raises: UsageError. Its message names the flag."""
    try:
        return parse_lifetime(text)
    except DurationError as error:
        raise UsageError(f"{flag} {text!r} {error}.") from None


def known_scopes(flag: str, names: Sequence[str]) -> list[str]:
    """Returns the canonical names of the scopes. Raises: UsageError. Its message names the flag."""
    for name in names:
        if canonical(name) not in KNOWN:
            raise UsageError(f"{flag} {name!r} is not a scope. Scopes: {', '.join(sorted(KNOWN))}.")
    return [canonical(name) for name in names]


def add_key_filters(parser: CommandParser) -> None:
    parser.add_argument(
        "--user", default="", help="only keys of this user (username or e-mail address)"
    )
    parser.add_argument(
        "--id", action="append", default=[], help="only the key with this id; may be repeated"
    )
    parser.add_argument("--name", default="", help="only tokens with this string in their name")
    parser.add_argument(
        "--kind", choices=["token", "session"], help="only tokens, or only sessions"
    )
    parser.add_argument(
        "--unused-for",
        default="",
        metavar="DURATION",
        help="only keys that were not used for this long, for example 90d",
    )
    parser.add_argument(
        "--lifetime-over",
        default="",
        metavar="DURATION",
        help="only keys with a lifetime longer than this, for example 90d",
    )
    parser.add_argument("--scope", default="", help="only keys with this scope")


FILTERS = ("user", "id", "name", "kind", "unused_for", "lifetime_over", "scope")


def live_keys(options: dict[str, Any], *, now: datetime) -> APIKeyQuerySet:
    """Returns the live keys that match a command's filters."""
    keys = APIKey.objects.live(now).select_related("user").order_by("user__username", "id")
    if options["user"]:
        keys = keys.filter(user=find_user(options["user"]))
    if options["id"]:
        keys = keys.filter(id__in=options["id"])
    if options["name"]:
        keys = keys.filter(token_name__icontains=options["name"])
    if options["kind"]:
        kinds = {"token": APIKey.LoginType.TOKEN, "session": APIKey.LoginType.PASSWORD}
        keys = keys.filter(login_type=kinds[options["kind"]])
    return _by_use_and_rights(keys, options, now)


def _by_use_and_rights(
    keys: APIKeyQuerySet, options: dict[str, Any], now: datetime
) -> APIKeyQuerySet:
    if options["unused_for"]:
        since = now - to_timedelta(lifetime_ns("--unused-for", options["unused_for"]))
        keys = keys.filter(created_at__lt=since).exclude(last_used__gte=since)
    if options["lifetime_over"]:
        keys = keys.filter(lifetime_ns__gt=lifetime_ns("--lifetime-over", options["lifetime_over"]))
    if options["scope"]:
        keys = keys.filter(scopes__contains=known_scopes("--scope", [options["scope"]]))
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
