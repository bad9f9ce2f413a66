from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.http.errors import APIError
from tokens import configs, policy
from tokens.arguments import find_user, known_scopes, lifetime_ns
from tokens.configs import Broken, Existing, broken_by
from tokens.models import TokenConfig
from tokens.policy import LIMITS, readable
from users.roles import DISPLAY_NAMES

UNSET = "unset"


class Command(BaseCommand):
    help = (
        "Shows, explains, sets or removes the rules on session tokens. `set --dry-run` lists the "
        "tokens that the rule would break."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("show", help="every rule")
        explain = actions.add_parser("explain", help="the limits of one user, and which rule won")
        explain.add_argument("user")
        self._add_set(actions.add_parser("set", help="makes or changes one rule"))
        _add_subject(actions.add_parser("delete", help="removes one rule; keys stay as they are"))

    def _add_set(self, parser: CommandParser) -> None:
        _add_subject(parser)
        for flag, name, help_text in (
            ("--max-lifetime", policy.MAX_LIFETIME, "such as 30d"),
            ("--default-lifetime", policy.DEFAULT_LIFETIME, "such as 7d"),
            ("--max-live", policy.MAX_LIVE, "how many tokens may live at once"),
            ("--scopes", policy.SCOPES, "with commas between them"),
        ):
            parser.add_argument(flag, dest=name, help=f"{help_text}, or {UNSET}")
        parser.add_argument("--tokens-may-mint", choices=["yes", "no", UNSET])
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
            self.stdout.write("\t".join([rule.subject, *limits]))
        return f"{len(rules)} rules."

    def _explain(self, options: dict[str, Any]) -> str:
        user = find_user(options["user"])
        for name, limit in policy.policy_of(user).items():
            self.stdout.write(f"{name}: {readable(name, limit.value)} ({limit.explanation()})")
        return f"That holds for {user}."

    def _set(self, options: dict[str, Any]) -> str:
        now = timezone.now()
        rule = _with_limits(_rule(options), options)
        broken = self._listed(broken_by(rule, now=now))
        if options["dry_run"]:
            return (
                f"{len(broken)} live tokens break the rule for {rule.subject}; nothing is changed."
            )
        if broken and not options["existing"]:
            choices = ", ".join(Existing)
            raise CommandError(f"{len(broken)} live tokens break it: choose --existing {choices}.")
        existing = Existing(options["existing"]) if options["existing"] else None
        try:
            changed = configs.save_config(rule, existing=existing, actor=SYSTEM, now=now)
        except APIError as error:
            raise CommandError(f"{error.message} {error.detail}") from None
        return f"The rule for {rule.subject} is set; {changed} keys have been changed with it."

    def _delete(self, options: dict[str, Any]) -> str:
        rule = _rule(options)
        if rule.pk is None:
            raise CommandError(f"There is no rule for {rule.subject}.")
        subject, now = rule.subject, timezone.now()
        broken = self._listed(broken_by(rule, now=now, deleted=True))
        configs.delete_config(rule, actor=SYSTEM, now=now)
        return (
            f"The rule for {subject} is removed; {len(broken)} live tokens break those that remain."
        )

    def _listed(self, broken: list[Broken]) -> list[Broken]:
        for one in broken:
            used = f"{one.key.last_used:%Y-%m-%d %H:%M}" if one.key.last_used else "never"
            reasons = "; ".join(one.reasons)
            self.stdout.write(f"{one.key.user}\t{one.key}\tused {used}\t{reasons}")
        return broken


def _add_subject(parser: CommandParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--user", help="for one user")
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
        raise CommandError(f"--max-live {text!r} is not a number up to a million.")
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


def _with_limits(rule: TokenConfig, options: dict[str, Any]) -> TokenConfig:
    for name, read in READERS.items():
        text = options[name]
        if text is not None:
            setattr(rule, name, None if text == UNSET else read(text))
    try:
        rule.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    return rule
