from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from beside.token_policy import JOB, Action, Step, apply, enforces, is_on
from jobs.registry import JobFailedError
from jobs.services import job_lock
from kernel.commands import ListingCommand, UsageError
from kernel.text.humanize import plural


class Command(ListingCommand):
    help = (
        "Applies the token policy to the tokens of the Coder deployment, if "
        "CODERAPI_CODER_TOKEN_POLICY is enforce. Lists the tokens that violate the policy, with "
        "the action that enforce takes in this run: report, warn, wait or expire."
    )
    examples = "--dry-run\n--dry-run --json"
    expected = (JobFailedError,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="list the tokens and store and change nothing"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> str:
        if not (settings.CODER_URL and settings.CODER_TOKEN):
            raise CommandError("Set CODERAPI_CODER_URL and CODERAPI_CODER_TOKEN first.")
        if not (is_on() or dry_run):
            raise UsageError("CODERAPI_CODER_TOKEN_POLICY is off. Add --dry-run.")
        with job_lock(JOB) as acquired:
            if not acquired:
                raise CommandError(f"The job {JOB} is running. Try again later.")
            steps = apply(timezone.now(), dry_run=dry_run)
        for step in steps:
            self._show(step)
        expired = sum(1 for step in steps if step.action is Action.EXPIRE)
        is_done = enforces() and not dry_run
        verb = "violates" if len(steps) == 1 else "violate"
        done = f"{expired} expired" if is_done else f"{expired} would be expired now"
        return f"{plural(len(steps), 'token')} of Coder {verb} the token policy; {done}."

    def _show(self, step: Step) -> None:
        token = step.token
        used = f"{token.last_used:%Y-%m-%d %H:%M}" if token.last_used else "never"
        columns = (token.username, token.token_name, token.id, f"used {used}", step.action)
        names = ("id", "username", "token_name", "scopes", "last_used", "expires_at", "violations")
        members = {name: getattr(token, name) for name in names}
        line = "\t".join([*columns, "; ".join(token.violations)])
        self.row(line, **members, action=step.action)
