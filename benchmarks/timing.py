"""Fair clocks: alternating repetitions, equal threads, medians of ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Race:
    """Seconds of each repetition of two contenders that took turns."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """The median over repetitions of ours / theirs: neighbours in time saw the same machine."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def seconds(self) -> tuple[float, float]:
        """The medians of both."""
        return statistics.median(self.ours), statistics.median(self.theirs)


def race(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> Race:
    """Time both in turn, after one unmeasured round; who goes first alternates."""
    times: tuple[list[float], list[float]] = ([], [])
    contenders = (ours, theirs)
    for call in contenders:
        call()
    for repetition in range(repeats):
        for which in (0, 1) if repetition % 2 == 0 else (1, 0):
            times[which].append(seconds(contenders[which]))
    return Race(*times)


def seconds(call: Callable[[], object]) -> float:
    """The wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run with so many threads in torch, OpenMP and BLAS alike."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count):
            yield
    finally:
        torch.set_num_threads(before)
