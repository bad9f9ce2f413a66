"""The lag of the event loop: it is sampled, and a blocked loop is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kernel.telemetry import DIRECTORY_VARIABLE
from kernel.telemetry.loop_lag import INTERVAL_SECONDS, LAG, measure_lag
from tests.support.processes import DEADLINE_SECONDS

BLOCKED_SECONDS = 100.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward, as if a function had taken that long."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.close()


def sampled() -> tuple[float, float]:
    """Returns the number of samples, and their sum."""
    [metric] = LAG.collect()
    values = {sample.name: sample.value for sample in metric.samples}
    return values[f"{metric.name}_count"], values[f"{metric.name}_sum"]


async def after_samples(count: int) -> None:
    before = sampled()[0]
    async with asyncio.timeout(DEADLINE_SECONDS + BLOCKED_SECONDS):
        while sampled()[0] < before + count:
            await asyncio.sleep(0.001)


def test_samples_are_counted_and_a_blocked_loop_is_seen(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/nonexistent")

    async def measured() -> float:
        measuring = asyncio.create_task(measure_lag())
        await after_samples(3)
        before = sampled()[1]
        loop.ahead += BLOCKED_SECONDS
        await after_samples(1)
        measuring.cancel()
        return sampled()[1] - before

    assert loop.run_until_complete(measured()) >= BLOCKED_SECONDS - INTERVAL_SECONDS


def test_nothing_is_sampled_without_metrics(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)
    before = sampled()
    loop.run_until_complete(measure_lag())
    assert sampled() == before
