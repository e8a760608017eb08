"""The chips of the ablation: each choice plain or improved, small or as large as an area."""

from __future__ import annotations

import math

import jax

from hwmodels import VARIANTS, Accelerator
from hwmodels.accelerators.entry import PART_KINDS
from hwmodels.accelerators.rates import chip_areas
from hwmodels.quantity import quantities


def plain_or_improved(chosen: dict[str, bool], clock_GHz: float) -> Accelerator:
    """A chip of 256 multipliers in four cores or elements of 64; an element's share of the vector
    unit is a quarter as many lanes, a core does other work on the lanes it has."""
    special, reuse = chosen.get("specialisation", False), chosen.get("dataflow", False)
    off_chip = chosen.get("off-chip bandwidth", False)
    chip = VARIANTS["spatial" if special else "vector"](
        number_format="bf16" if chosen.get("format") else "fp32",
        sparsity="skip" if chosen.get("sparsity") else "none",
    )
    cores = {"cores": 4, "lanes": 64, "private_cache_KiB": 64 if reuse else 16}
    elements = {
        "pe_rows": 2, "pe_columns": 2, "macs_per_pe": 64, "vector_lanes": 64,
        "scratchpad_B": 2048 if reuse else 64,
    }  # fmt: skip
    found: Accelerator = chip.replace(
        **PART_KINDS["dram_kind"]["hbm3" if off_chip else "lpddr5"],
        **(elements if special else cores),
        clock_GHz=clock_GHz,
        dram_stacks=4 if off_chip else 1,
        link_count=1,
        sram_capacity_MiB=64 if chosen.get("capacity") else 1,
        sram_bandwidth_B_per_cycle=8192 if chosen.get("on-chip bandwidth") else 512,
    )
    return found


def filled(chip: Accelerator, area_mm2: float) -> Accelerator:
    """As many units as the area holds, memory as it is."""
    now, limits = chip.quantities(), quantities(type(chip))
    powers = {"cores": 1.0, "pe_rows": 0.5, "pe_columns": 0.5, "vector_lanes": 1.0}

    def sized(factor: float) -> Accelerator:
        more = {n: float(now[n]) * factor**power for n, power in powers.items() if n in now}
        found: Accelerator = chip.replace(
            **{name: float(min(round(value), limits[name].high)) for name, value in more.items()}
        )
        return found

    low, high = 1.0, 2.0**14
    for _ in range(30):
        middle = math.sqrt(low * high)
        fits = float(_area(sized(middle))) * 1e6 <= area_mm2
        low, high = (middle, high) if fits else (low, middle)
    return sized(low)


@jax.jit
def _area(chip: Accelerator) -> jax.Array:
    return sum(chip_areas(chip, chip.technology.resolve()).values())
