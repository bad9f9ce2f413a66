from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from coderapi.durations import parse_duration
from tokens.models import APIKey
from tokens.services import create_api_key
from users.models import User


class Command(BaseCommand):
    help = "Makes a session token for a user and prints it; it is shown only this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="the user's name or e-mail address")
        parser.add_argument("--lifetime", default="", help="such as 24h or 7d; default: the option's")

    def handle(self, *args: Any, **options: Any) -> str:
        user = find_user(options["user"])
        new = create_api_key(
            user,
            lifetime_ns=lifetime_ns(options["lifetime"]),
            now=timezone.now(),
            login_type=APIKey.LoginType.TOKEN,
        )
        return new.token


def find_user(name: str) -> User:
    user = User.objects.filter(username__iexact=name).first()
    user = user or User.objects.filter(email__iexact=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user


def lifetime_ns(text: str) -> int:
    if not text:
        return int(settings.DEFAULT_TOKEN_LIFETIME_NS)
    try:
        nanoseconds = parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--lifetime {text!r}: {error}") from None
    if nanoseconds <= 0:
        raise CommandError(f"--lifetime {text!r}: must be above 0.")
    return nanoseconds
