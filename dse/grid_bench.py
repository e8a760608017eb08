"""A billion designs: the grid of `bench_grid.toml` to its exact front, timed."""

from __future__ import annotations

import resource
from importlib.resources import files
from pathlib import Path
from typing import Any

from dse.space import Space
from dse.sweeping import grid_sweep
from hwmodels import load_workload

POINTS = {
    "voltage_V": 20, "clock_GHz": 25, "sram_capacity_MiB": 25, "sram_bandwidth_B_per_cycle": 8,
    "dram_stacks": 8, "link_count": 5, "rows": 6, "columns": 6, "arrays": 7,
}  # fmt: skip


def billion_grid(workload: str, points: dict[str, int] | None = None) -> dict[str, Any]:
    """Seconds of the whole grid (compilation included), its designs, the size of its front, and the
    process's largest resident memory so far; `points` replaces `POINTS`."""
    space = Space.load(Path(str(files("dse") / "bench_grid.toml")))
    sweep = grid_sweep(space, load_workload(workload), points=points or POINTS)
    return {
        "billion_grid_s": sweep.wall_s,
        "billion_grid_designs": sweep.designs,
        "billion_grid_front": len(sweep.front),
        "peak_rss_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
