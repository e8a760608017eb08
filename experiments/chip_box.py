"""The designs around a chip, and a search of them that says how far its seeds agree.

The box: numbers of units, clock, buffer capacity and bandwidth from 1/8 to 8 times the chip's;
widths of a unit (an array's sides, a processor's MACs and memories) doubled or halved, as designs
are built. A GPU's processor has at most the MACs of one that was built, as the model charges no
control for tensor units. All else is the chip's own, at most its area and peak power, at least its
throughput.

Seeds start from the chip itself and from random designs, half of them within twice the chip's
numbers: optima are many, as waves of tiles make them. One more search goes on from all fronts.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

import dse
from dse.iso import UNITS
from hwmodels import Accelerator, Workload
from hwmodels.quantity import quantities

WIDE, NEAR = 8.0, 2.0  # the box, and what is close to the chip
STRANGERS = 4096  # random designs of either, that a seed starts from
TOLERANCE = 1e-4  # of budgets, so that the chip meets its own
CONTINUOUS = ("clock_GHz", "sram_capacity_MiB", "sram_bandwidth_B_per_cycle")
# Of every variant; `dse.iso.UNITS` are the counts.
WIDTHS = {
    "systolic": ("rows", "columns", "vector_lanes"),
    "simt": ("macs_per_sm", "lanes_per_sm", "register_file_KiB", "shared_memory_KiB"),
    "spatial": ("macs_per_pe", "scratchpad_B", "vector_lanes"),
    "vector": ("lanes", "private_cache_KiB"),
    "in_memory": ("rows", "columns", "vector_lanes"),
    "sram_only": ("tile_side", "vector_lanes"),
}
MOST = {"macs_per_sm": 4096.0}  # NVIDIA B200
AXES = ("throughput_per_s", "power_W")


class Found(NamedTuple):
    """Fronts: of each seed, and of the search from all of them."""

    seeds: list[pd.DataFrame]
    front: pd.DataFrame


def box(chip: Accelerator, area_mm2: float, peak_W: float, least_per_s: float) -> dse.Space:
    """Designs around a chip at its budgets, no slower than it."""
    limits, now = quantities(type(chip)), chip.quantities()
    own = (*CONTINUOUS, *UNITS[chip.NAME], *WIDTHS[chip.NAME])
    free = [name for name in own if name in limits]
    parameters = tuple(
        _axis(name, float(now[name]), chip.NAME, limits[name].low, limits[name].high)
        for name in free
    )
    static = {
        field.name: getattr(chip, field.name)
        for field in dataclasses.fields(chip)
        if isinstance(getattr(chip, field.name), str)
    }
    fixed = {n: float(v) for n, v in now.items() if n not in free}
    budgets = (
        dse.Constraint("area_mm2", area_mm2 * (1 + TOLERANCE)),
        dse.Constraint("peak_power_W", peak_W * (1 + TOLERANCE)),
        dse.Constraint("throughput_per_s", least_per_s * (1 - TOLERANCE), at_most=False),
    )
    return dse.Space(chip.NAME, parameters, (*fixed.items(), *static.items()), budgets)


def _axis(name: str, value: float, variant: str, low: float, high: float) -> dse.Parameter:
    least, most = max(value / WIDE, low), min(value * WIDE, high, MOST.get(name, high))
    if name in CONTINUOUS:
        return dse.Parameter(name, "log", least, most)
    if name in UNITS[variant]:
        return dse.Parameter(name, "integer", float(np.ceil(least)), float(np.floor(most)))
    smallest = largest = value
    while smallest / 2 >= least and (smallest / 2) % 1 == 0:
        smallest /= 2
    while largest * 2 <= most:
        largest *= 2
    return dse.Parameter(name, "power2", smallest, largest)


def search(
    space: dse.Space, chip: Accelerator, workload: Workload, evaluations: int, seeds: int
) -> Found:
    """Fronts of a box. `InputError` of field "limits" where no design meets them all."""
    options = dse.Options(metrics=AXES)
    fronts = [
        dse.search(
            space, workload, evaluations=evaluations, seed=seed, options=options,
            start=_starts(space, chip, seed),
        ).front.table
        for seed in range(seeds)
    ]  # fmt: skip
    last = dse.search(
        space, workload, evaluations=evaluations, seed=seeds, options=options,
        start=pd.concat(fronts, ignore_index=True),
    )  # fmt: skip
    return Found(fronts, last.front.table)


def _starts(space: dse.Space, chip: Accelerator, seed: int) -> pd.DataFrame:
    """The chip, and random designs near to it and in all of the box."""
    rng, now = np.random.default_rng(seed), chip.quantities()
    columns = {}
    for p in space.numeric:
        value = float(now[p.name])
        near, far = (value * w ** rng.uniform(-1, 1, STRANGERS) for w in (NEAR, WIDE))
        drawn = p.buildable(np.clip(np.concatenate([near, far]), *p.ends))
        columns[p.name] = np.append(value, drawn)
    return pd.DataFrame(columns)


def at_end(space: dse.Space, design: pd.Series) -> list[str]:
    """Numbers of a design that are as small or as large as its box."""
    return [
        p.name for p in space.numeric
        if any(np.isclose(float(design[p.name]), end, rtol=0.01) for end in p.ends)
    ]  # fmt: skip
