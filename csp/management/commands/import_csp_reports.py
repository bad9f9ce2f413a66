from __future__ import annotations

from csp.importing.files import import_reports
from kernel.lines import BadLines, LinesCommand, LinesError, Progress, Source, Taken, records


class Command(LinesCommand):
    help = (
        "Takes in CSP reports from a file of JSON lines, each as any browser sends it, with "
        "received_at and coder_version beside it if they are known. Given the same file again, "
        "which may have grown, goes on where it ended."
    )
    adds_bad_lines = True

    def take_in(self, source: Source, *, bad: BadLines, progress: Progress) -> Taken:
        if source.is_csv:
            raise LinesError("CSP reports are taken in from JSON lines, not from CSV.")
        run = import_reports(
            records(source, columns=()), advance=progress.advance, set_aside=bad.add
        )
        return Taken(str(run), good=run.reports + run.known)
