"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays in seconds that double from `least` to `most`, anew after a life of `settled`."""

    least: float = 0.25
    most: float = 30.0
    settled: float = 60.0
    failures: int = 0

    def after(self, lived: float) -> float:
        """The delay before the next try, after one that lived so long."""
        if lived >= self.settled:
            self.failures = 0
        delay = min(self.most, self.least * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay
