from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from kernel.commands import ListingCommand
from kernel.text.humanize import plural
from users.models import User
from users.roles import MEMBER
from users.selectors import matching_users
from users.serializers import UserSerializer


class Command(ListingCommand):
    help = (
        "Lists users: username, e-mail address, status, roles, kind of account, and when the user "
        "was last seen. A user must match all words of the search, which are the same as in "
        "GET /api/v2/users."
    )
    examples = "\nrole:owner\nstatus:suspended --json\nlogin_type:none\nalice"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "words",
            metavar="WORD",
            nargs="*",
            help="a part of a name or an e-mail address, or a filter such as role:owner, "
            "status:active, login_type:none or last_seen_before:2026-01-31T12:00:00Z",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        count = 0
        for page in matching_users(" ".join(options["words"])):
            for user in page:
                self.row(_line(user), **UserSerializer().to_representation(user))
            count += len(page)
        return f"{plural(count, 'user')}."


def _line(user: User) -> str:
    """Formats a user as one line of tab-separated columns."""
    seen = f"{user.last_seen_at:%Y-%m-%d %H:%M}" if user.last_seen_at else "never"
    columns = (
        user.username,
        user.email,
        user.status,
        ",".join(user.roles) or MEMBER,
        _kind(user),
        f"seen {seen}",
    )
    return "\t".join(columns)


def _kind(user: User) -> str:
    if user.is_copy:
        return "user of Coder"
    return "user" if user.has_usable_password() else "service account"
