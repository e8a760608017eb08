"""How benchmarks measure a speed: medians over repeats, the first call apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

REPEATS = 5
Figure = tuple[float, float, float]  # items/s, spread, seconds of compilation


def rate(run: Callable[[], Any], items: int, seconds: float) -> Figure:
    """Median items/s of `REPEATS` repeats that fill `seconds`, the first call apart."""
    begin = time.perf_counter()
    run()
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    run()
    once = time.perf_counter() - begin
    calls = max(1, int(seconds / REPEATS / once))
    rates = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        rates.append(calls * items / (time.perf_counter() - begin))
    median = float(np.median(rates))
    return median, (max(rates) - min(rates)) / median, max(first - once, 0.0)
