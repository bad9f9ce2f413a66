from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand, UsageError, add_json_argument, whole_number
from kernel.text.humanize import plural
from tokens.management.arguments import lifetime, scope
from tokens.models import TokenConfig
from tokens.policy import changes, resolution
from tokens.policy.changes import OnViolation, Violation, violations_of
from tokens.policy.resolution import KINDS, LIMITS, readable
from tokens.serializers import APIKeyWithOwnerSerializer, LimitSerializer
from users.management.arguments import find_user
from users.roles import DISPLAY_NAMES

UNSET = "unset"
ACTIONS = {
    "show": "list the token policies",
    "explain": "list the effective limits of one user, and the rules that set them",
    "set": "create or change a token policy; lists the tokens that violate it",
    "delete": "delete a token policy; existing tokens do not change",
}


# The largest number that fits in the column.
MAX_COUNT = 2**31 - 1


def _limit(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: UNSET if text == UNSET else parse(text)


def _scopes(text: str) -> list[str]:
    return [scope(name) for name in text.replace(",", " ").split()]


FLAGS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "--max-lifetime": (resolution.MAX_LIFETIME, lifetime, "the maximum lifetime, for example 30d"),
    "--default-lifetime": (
        resolution.DEFAULT_LIFETIME,
        lifetime,
        "the default lifetime, for example 7d",
    ),
    "--max-live-tokens": (
        resolution.MAX_LIVE,
        partial(whole_number, minimum=0, limit=MAX_COUNT),
        "the maximum number of live tokens",
    ),
    "--allowed-scopes": (resolution.SCOPES, _scopes, "the allowed scopes, separated by commas"),
}


class Command(ListingCommand):
    help = (
        "Shows, explains, sets or deletes token policies. `set --dry-run` lists the tokens that "
        "would violate the policy."
    )
    examples = (
        "show\nexplain alice\nset --role auditor --max-lifetime 30d --dry-run\n"
        "set --user alice --max-lifetime 7d --on-violation shorten\ndelete --deployment"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        parsers = {
            name: actions.add_parser(name, help=what, description=f"{what.capitalize()}.")
            for name, what in ACTIONS.items()
        }
        parsers["explain"].add_argument("user", metavar="USER", help="username or e-mail address")
        self._add_set(parsers["set"])
        _add_subject(parsers["delete"])
        for each in parsers.values():
            add_json_argument(each)

    def _add_set(self, parser: CommandParser) -> None:
        _add_subject(parser)
        for flag, (name, parse, about) in FLAGS.items():
            metavar = flag.rpartition("-")[2].upper()
            parser.add_argument(
                flag, dest=name, type=_limit(parse), metavar=metavar, help=f"{about}, or {UNSET}"
            )
        parser.add_argument(
            "--tokens-may-create-tokens",
            choices=["yes", "no", UNSET],
            help="whether tokens may create tokens",
        )
        parser.add_argument(
            "--on-violation",
            choices=OnViolation.values,
            help="what to do with tokens that violate the policy; required if such tokens exist",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="list the tokens that would violate the policy, and change nothing",
        )

    def handle(self, *args: Any, **options: Any) -> str:
        action: Callable[[dict[str, Any]], str] = getattr(self, f"_{options['action']}")
        return action(options)

    def _show(self, options: dict[str, Any]) -> str:
        stored = list(TokenConfig.objects.select_related("user"))
        for config in stored:
            members = {name: getattr(config, name) for name in LIMITS}
            limits = [
                f"{KINDS[name].label}: {readable(name, value)}"
                for name, value in members.items()
                if value is not None
            ]
            self.row("\t".join([config.subject, *limits]), rule=config.rule._asdict(), **members)
        return f"Token policies: {len(stored)}."

    def _explain(self, options: dict[str, Any]) -> str:
        user = find_user(options["user"])
        for limit in resolution.policy_of(user).values():
            line = f"{limit.label}: {limit.readable} ({limit.explanation})"
            self.row(line, **LimitSerializer(limit).data)
        return f"These are the limits of {user}."

    def _set(self, options: dict[str, Any]) -> str:
        now, config = timezone.now(), _config(options)
        _set_limits(config, options)
        violations, existing, changed = violations_of(config, now=now), options["on_violation"], 0
        is_rejected = bool(violations) and not (existing or options["dry_run"])
        # Save before printing the list, because a closed pipe (`| head`) stops the command.
        if not (options["dry_run"] or is_rejected):
            changed = changes.save_config(config, on_violation=existing, actor=SYSTEM, now=now)
        self._list(violations)
        if is_rejected:
            choices = "choose --on-violation leave, shorten or expire"
            raise CommandError(f"{_violating(violations)} it: {choices}.")
        name = f"the token policy of {config.subject}"
        if options["dry_run"]:
            return f"{_violating(violations)} {name}. Nothing was changed."
        return f"Set {name}. Changed {plural(changed, 'token')}."

    def _delete(self, options: dict[str, Any]) -> str:
        config = _config(options)
        if config.pk is None:
            raise CommandError(f"There is no token policy for {config.subject}.")
        subject, now = config.subject, timezone.now()
        # A policy without limits has the same effect as no policy.
        without = TokenConfig(pk=config.pk, user=config.user, role=config.role)
        violations = violations_of(without, now=now)
        changes.delete_config(config, actor=SYSTEM, now=now)
        self._list(violations)
        remaining = f"{_violating(violations)} the remaining policies"
        return f"Deleted the token policy of {subject}. {remaining}."

    def _list(self, violations: list[Violation]) -> None:
        for one in violations:
            used = f"{one.key.last_used:%Y-%m-%d %H:%M}" if one.key.last_used else "never"
            reasons = "; ".join(one.reasons)
            self.row(
                f"{one.key.user}\t{one.key}\tused {used}\t{reasons}",
                **APIKeyWithOwnerSerializer(one.key).data,
                violations=one.reasons,
            )


def _violating(violations: list[Violation]) -> str:
    verb = "violates" if len(violations) == 1 else "violate"
    return f"{plural(len(violations), 'live token')} {verb}"


def _add_subject(parser: CommandParser) -> None:
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--user", help="for one user (username or e-mail address)")
    subject.add_argument("--role", choices=list(DISPLAY_NAMES), help="for users with this role")
    subject.add_argument("--deployment", action="store_true", help="for the whole deployment")


def _config(options: dict[str, Any]) -> TokenConfig:
    """Returns the stored policy for the given user, role or deployment, or a new policy."""
    user = find_user(options["user"]) if options["user"] else None
    subject: dict[str, Any] = {"user": user, "role": options["role"] or ""}
    return TokenConfig.objects.filter(**subject).first() or TokenConfig(**subject)


def _set_limits(config: TokenConfig, options: dict[str, Any]) -> None:
    """Sets the limits of the command line. Raises: UsageError, CommandError."""
    given = {name: options[name] for name in LIMITS if options[name] is not None}
    if not given:
        raise UsageError("Add at least one limit, for example --max-lifetime 30d.")
    for name, value in given.items():
        wanted = value == "yes" if name == resolution.MINTING else value
        setattr(config, name, None if value == UNSET else wanted)
    try:
        config.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
