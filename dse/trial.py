"""Chunk size and filter, chosen by a trial: what is fastest on this machine, for this sweep.

The reduction over operations needs no choice: every operation of a workload is unrolled into one
kernel (`dse.kernel`), which neither spills nor collapses as operations are added.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dse.archive import Archive
from dse.costing import CHUNK
from dse.job import Job
from dse.screening import filtering
from dse.sources import Source
from dse.survivors import keep
from dse.sweeping import WORKERS

SECONDS = 5.0
WORTH = 2**28  # designs from which a trial pays
ROUNDS = 3


def tried(job: Job, seconds: float = SECONDS) -> tuple[Job, list[dict[str, Any]]]:
    """`job` with the settings that were fastest within `seconds`, and what was measured of each:
    `chunk`, `filter_points`, `designs_per_s` with what its survivors will cost."""
    begin, longest = time.perf_counter(), 0.0
    found: list[dict[str, Any]] = []
    archive, cost = _archive(job)
    for chunk, points in _candidates(job):
        started = time.perf_counter()
        if found and started - begin + longest > seconds:
            break
        changed = dataclasses.replace(job, chunk=chunk, filter_points=points)
        speed = _speed(changed.source(0), filtering(archive, points), cost)
        found.append({"chunk": chunk, "filter_points": points, "designs_per_s": round(speed)})
        longest = max(longest, time.perf_counter() - started)
    best = max(found, key=lambda entry: entry["designs_per_s"])
    chosen = dataclasses.replace(job, chunk=best["chunk"], filter_points=best["filter_points"])
    return chosen, found


def _candidates(job: Job) -> Iterator[tuple[int, int]]:
    """The default, then its neighbours."""
    source = job.source(0)
    points, chunk = source.filter_points, source.chunk
    for scale, more in ((1, 1.0), (2, 1.0), (0.5, 1.0), (1, 2.0), (1, 0.5), (2, 2.0), (4, 1.0)):
        yield int(chunk * scale), int(points * more)


def _archive(job: Job) -> tuple[Archive, float]:
    """The front of a spread of the first structure's designs, and seconds to cost a design."""
    costs, source = job.costing(0), job.source(0)
    archive = Archive(len(job.options.objectives))
    spread = np.unique(np.linspace(0, source.designs - 1, CHUNK).astype(np.int64))
    begin = time.perf_counter()
    keep(archive, costs, costs.table(source.values(spread)), spread)
    return archive, (time.perf_counter() - begin) / len(spread)


def _speed(source: Source, points: np.ndarray, cost: float) -> float:
    """Designs a second of all threads."""
    blocks = np.linspace(0, source.blocks - 1, WORKERS * ROUNDS).astype(int).tolist()
    begin = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        screened = list(pool.map(lambda block: source.screen(block, points), blocks))
    designs = sum(s.designs for s in screened)
    survivors = sum(len(s.numbers) for s in screened)
    return designs / (time.perf_counter() - begin + survivors * cost / WORKERS)
