from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from deployment.history import differences, has_drifted, running
from deployment.models import ConfigRevision
from kernel.commands import ListingCommand


class Command(ListingCommand):
    help = (
        "Lists the revisions of the configuration, the newest first, and where each runs now; "
        "with --diff, says what changed from one to another."
    )
    examples = "\n--diff 1 2"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--diff", nargs=2, type=int, metavar=("A", "B"), help="two revisions by number"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, diff: list[int] | None, **options: Any) -> str:
        if diff is None:
            return self._listing()
        found = differences(_revision(diff[0]), _revision(diff[1]))
        for each in found:
            self.row(str(each), **asdict(each))
        return "" if found else "Nothing is different."

    def _listing(self) -> str:
        hosts = running()
        if has_drifted(hosts):
            self.stderr.write("Servers run with different configurations now.")
        revisions = ConfigRevision.objects.defer("values", "sources", "secrets")
        for revision in revisions:
            self._show(revision, hosts.get(revision.short, []))
        return "" if revisions else "None is recorded."

    def _show(self, revision: ConfigRevision, running_on: list[str]) -> None:
        now = f", running now on {', '.join(running_on)}" if running_on else ""
        self.row(
            f"{revision.pk}  {revision.recorded_at:%Y-%m-%d %H:%M:%S}  {revision.short}  "
            f"recorded on {revision.host}, version {revision.version}{now}",
            id=revision.pk,
            recorded_at=revision.recorded_at,
            digest=revision.digest,
            host=revision.host,
            version=revision.version,
            running_on=running_on,
        )


def _revision(number: int) -> ConfigRevision:
    found = ConfigRevision.objects.filter(pk=number).first()
    if found is None:
        raise CommandError(f"There is no revision {number}.")
    return found
