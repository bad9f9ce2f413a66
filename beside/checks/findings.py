"""The results of checks, and the commands that print them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.core.management.base import CommandError

from kernel.admin import State
from kernel.commands import ListingCommand
from kernel.text.humanize import plural


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `fix` is the setting or the line of configuration to change."""

    check: str
    state: State
    message: str
    fix: str = ""

    @classmethod
    def ok(cls, check: str, message: str) -> Finding:
        return cls(check, State.GOOD, message)

    @classmethod
    def failed(cls, check: str, message: str, fix: str) -> Finding:
        return cls(check, State.BAD, message, fix)


class FindingsCommand(ListingCommand):
    """The base class of commands that print findings, and fail if a check failed."""

    fails_if = "a check fails"

    def show(self, findings: Iterable[Finding]) -> None:
        failed = 0
        for each in findings:
            failed += each.state is State.BAD
            fix = f"\n{'':9}fix: {each.fix}" if each.fix else ""
            self.row(f"{each.state:9}{each.check}: {each.message}{fix}", **asdict(each))
        if failed:
            raise CommandError(f"{plural(failed, 'check')} failed.")
