"""What became of rows that came in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken: its number, the member that is wrong, and why."""

    row: int
    field: str
    detail: str


@dataclass(slots=True)
class Verdicts:
    """How many rows were taken, how many told nothing new, and which were refused."""

    accepted: int = 0
    duplicate: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def reject(self, rejections: Iterable[Rejection]) -> None:
        self.rejected = sorted([*self.rejected, *rejections], key=lambda rejection: rejection.row)

    def judge_known(self, row: int, same_time: bool) -> None:
        """Says of a row whose id is known that it is a duplicate, or wrong."""
        if same_time:
            self.duplicate += 1
        else:
            self.rejected.append(Rejection(row, "id", "is known with another created_at"))

    def add(self, other: Verdicts) -> None:
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.rejected += other.rejected
