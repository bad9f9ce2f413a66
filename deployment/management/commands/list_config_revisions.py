from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from deployment.history import differences, has_drifted, hosts_by_configuration
from deployment.models import ConfigRevision
from kernel.commands import ListingCommand
from kernel.db.replicas import replicas


class Command(ListingCommand):
    help = (
        "Lists the revisions of the configuration, newest first, and the hosts that run each "
        "revision. With --diff, lists the differences between two revisions."
    )
    examples = "\n--diff 1 2"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--diff",
            nargs=2,
            type=int,
            metavar=("A", "B"),
            help="list the differences between the revisions with these numbers",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, diff: list[int] | None, **options: Any) -> str:
        if diff is None:
            return self._listing()
        changes = differences(_revision(diff[0]), _revision(diff[1]))
        for change in changes:
            self.row(str(change), **asdict(change))
        return "" if changes else "No differences."

    def _listing(self) -> str:
        hosts = hosts_by_configuration(replicas())
        if has_drifted(hosts):
            self.stderr.write("Servers run different configurations.")
        revisions = ConfigRevision.objects.defer("values", "sources", "secret_digests")
        for revision in revisions:
            self._show(revision, hosts.get(revision.short, []))
        return "" if revisions else "No revisions."

    def _show(self, revision: ConfigRevision, running_on: list[str]) -> None:
        origin = f", from {revision.coder_url}" if revision.coder_url else ""
        now = f", running on {', '.join(running_on)}" if running_on else ""
        self.row(
            f"{revision.pk}  {revision.recorded_at:%Y-%m-%d %H:%M:%S}  {revision.short}  "
            f"recorded on {revision.host}, version {revision.server_version}{origin}{now}",
            id=revision.pk,
            recorded_at=revision.recorded_at,
            digest=revision.digest,
            host=revision.host,
            server_version=revision.server_version,
            coder_url=revision.coder_url,
            running_on=running_on,
        )


def _revision(number: int) -> ConfigRevision:
    revision = ConfigRevision.objects.filter(pk=number).first()
    if revision is None:
        raise CommandError(f"Revision {number} does not exist.")
    return revision
