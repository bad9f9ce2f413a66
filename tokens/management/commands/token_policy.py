from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand, UsageError, add_json_argument
from kernel.http.errors import APIError
from kernel.humanize import plural
from tokens import configs, policy
from tokens.arguments import find_user, known_scopes, lifetime_ns
from tokens.configs import Broken, Existing, broken_by
from tokens.models import TokenConfig
from tokens.policy import LIMITS, readable
from tokens.serializers import LimitSerializer, owned_key_object
from users.roles import DISPLAY_NAMES

UNSET = "unset"
ACTIONS = {
    "show": "list every rule",
    "explain": "list the limits of one user, and which rule won",
    "set": "make or change one rule; lists the tokens that break it",
    "delete": "remove one rule; keys stay as they are",
}


class Command(ListingCommand):
    help = (
        "Shows, explains, sets or removes the rules on session tokens. `set --dry-run` lists the "
        "tokens that the rule would break."
    )
    examples = (
        "show\nexplain alice\nset --role auditor --max-lifetime 30d --dry-run\n"
        "set --user alice --max-lifetime 7d --existing shorten\ndelete --deployment"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        parsers = {
            name: actions.add_parser(name, help=what, description=f"{what.capitalize()}.")
            for name, what in ACTIONS.items()
        }
        parsers["explain"].add_argument("user", metavar="USER", help="a name or e-mail address")
        self._add_set(parsers["set"])
        _add_subject(parsers["delete"])
        for each in parsers.values():
            add_json_argument(each)

    def _add_set(self, parser: CommandParser) -> None:
        _add_subject(parser)
        for flag, name, help_text in (
            ("--max-lifetime", policy.MAX_LIFETIME, "such as 30d"),
            ("--default-lifetime", policy.DEFAULT_LIFETIME, "such as 7d"),
            ("--max-live", policy.MAX_LIVE, "how many tokens may live at once"),
            ("--scopes", policy.SCOPES, "with commas between them"),
        ):
            metavar = flag.rpartition("-")[2].upper()
            parser.add_argument(flag, dest=name, metavar=metavar, help=f"{help_text}, or {UNSET}")
        parser.add_argument(
            "--tokens-may-mint", choices=["yes", "no", UNSET], help="may a token make another"
        )
        parser.add_argument(
            "--existing",
            choices=list(Existing),
            help="what to do with the tokens that break it; needed if any does",
        )
        parser.add_argument("--dry-run", action="store_true", help="list them, and change nothing")

    def handle(self, *args: Any, **options: Any) -> str:
        action: Callable[[dict[str, Any]], str] = getattr(self, f"_{options['action']}")
        return action(options)

    def _show(self, options: dict[str, Any]) -> str:
        rules = list(TokenConfig.objects.select_related("user"))
        for rule in rules:
            limits = [
                f"{name}={readable(name, getattr(rule, name))}"
                for name in LIMITS
                if getattr(rule, name) is not None
            ]
            members = {name: getattr(rule, name) for name in LIMITS}
            self.row("\t".join([rule.subject, *limits]), rule=rule.subject, **members)
        return f"{plural(len(rules), 'rule')}."

    def _explain(self, options: dict[str, Any]) -> str:
        user = find_user(options["user"])
        for name, limit in policy.policy_of(user).items():
            why = limit.explanation()
            self.row(
                f"{name}: {readable(name, limit.value)} ({why})",
                **LimitSerializer({**asdict(limit), "explanation": why}).data,
            )
        return f"That holds for {user}."

    def _set(self, options: dict[str, Any]) -> str:
        now = timezone.now()
        limits = _limits(options)
        if not limits:
            raise UsageError("Name at least one limit, such as --max-lifetime 30d.")
        rule = _with_limits(_rule(options), limits)
        broken, existing, changed = broken_by(rule, now=now), options["existing"], 0
        is_refused = bool(broken) and not (existing or options["dry_run"])
        # A change comes before the list, whose reader may leave in its midst.
        if not (options["dry_run"] or is_refused):
            chosen = Existing(existing) if existing else None
            try:
                changed = configs.save_config(rule, existing=chosen, actor=SYSTEM, now=now)
            except APIError as error:
                raise CommandError(f"{error.message} {error.detail}") from None
        self._list(broken)
        if is_refused:
            *others, last = Existing
            choices = f"{', '.join(others)} or {last}"
            raise CommandError(f"{_breaking(broken)} it: choose --existing {choices}.")
        if options["dry_run"]:
            return f"{_breaking(broken)} the rule for {rule.subject}; nothing is changed."
        return f"The rule for {rule.subject} is set, and {plural(changed, 'key')} changed with it."

    def _delete(self, options: dict[str, Any]) -> str:
        rule = _rule(options)
        if rule.pk is None:
            raise CommandError(f"There is no rule for {rule.subject}.")
        subject, now = rule.subject, timezone.now()
        broken = broken_by(rule, now=now, deleted=True)
        configs.delete_config(rule, actor=SYSTEM, now=now)
        self._list(broken)
        return f"The rule for {subject} is removed; {_breaking(broken)} those that remain."

    def _list(self, broken: list[Broken]) -> None:
        for one in broken:
            used = f"{one.key.last_used:%Y-%m-%d %H:%M}" if one.key.last_used else "never"
            reasons = "; ".join(one.reasons)
            self.row(
                f"{one.key.user}\t{one.key}\tused {used}\t{reasons}",
                **owned_key_object(one.key),
                reasons=one.reasons,
            )


def _breaking(broken: list[Broken]) -> str:
    return f"{plural(len(broken), 'live token')} break{'s' if len(broken) == 1 else ''}"


def _add_subject(parser: CommandParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--user", help="for one user, by name or e-mail address")
    subject.add_argument("--role", choices=list(DISPLAY_NAMES), help="for everybody with the role")
    subject.add_argument("--deployment", action="store_true", help="for everybody else")


def _rule(options: dict[str, Any]) -> TokenConfig:
    """Returns the rule for the subject, as stored or a new one."""
    if options["user"]:
        user = find_user(options["user"])
        return TokenConfig.objects.filter(user=user).first() or TokenConfig(user=user)
    role = options["role"] or ""
    found = TokenConfig.objects.filter(user__isnull=True, role=role).first()
    return found or TokenConfig(role=role)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 10**6:
        raise UsageError(f"--max-live {text!r} is not a number up to a million.")
    return int(text)


# Each limit's argument is read so.
READERS: dict[str, Callable[[str], Any]] = {
    policy.MAX_LIFETIME: lambda text: lifetime_ns("--max-lifetime", text),
    policy.DEFAULT_LIFETIME: lambda text: lifetime_ns("--default-lifetime", text),
    policy.MAX_LIVE: _number,
    policy.SCOPES: lambda text: known_scopes(
        "--scopes", [name.strip() for name in text.split(",") if name.strip()]
    ),
    policy.MINTING: lambda text: text == "yes",
}


def _limits(options: dict[str, Any]) -> dict[str, Any]:
    """Returns the limits that were given, by name; None for one to unset. Raises: UsageError."""
    return {
        name: None if options[name] == UNSET else read(options[name])
        for name, read in READERS.items()
        if options[name] is not None
    }


def _with_limits(rule: TokenConfig, limits: dict[str, Any]) -> TokenConfig:
    for name, value in limits.items():
        setattr(rule, name, value)
    try:
        rule.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    return rule
