from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deployment.history import differences, has_drifted, running
from deployment.models import ConfigRevision


class Command(BaseCommand):
    help = (
        "Lists the revisions of the configuration, the newest first, and where each runs now; "
        "with --diff, says what changed from one to another."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--diff", nargs=2, type=int, metavar=("A", "B"), help="Two revisions by number."
        )

    def handle(self, *args: Any, diff: list[int] | None, **options: Any) -> str:
        if diff is None:
            return self._listing()
        found = differences(_revision(diff[0]), _revision(diff[1]))
        return "\n".join(map(str, found)) or "Nothing is different."

    def _listing(self) -> str:
        hosts = running()
        if has_drifted(hosts):
            self.stderr.write("Servers run with different configurations now.")
        revisions = ConfigRevision.objects.defer("values", "sources", "secrets")
        return "\n".join(_line(revision, hosts) for revision in revisions) or "None is recorded."


def _line(revision: ConfigRevision, hosts: dict[str, list[str]]) -> str:
    where = hosts.get(revision.short)
    now = f", running now on {', '.join(where)}" if where else ""
    return (
        f"{revision.pk}  {revision.recorded_at:%Y-%m-%d %H:%M:%S}  {revision.short}  "
        f"recorded on {revision.host}, version {revision.version}{now}"
    )


def _revision(number: int) -> ConfigRevision:
    found = ConfigRevision.objects.filter(pk=number).first()
    if found is None:
        raise CommandError(f"There is no revision {number}.")
    return found
