"""What a reader must know beside a design's numbers: limits it breaks, its clock, its whole die."""

from __future__ import annotations

from dse.breakdown import Breakdown, find_own_entry
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.headline import headline
from hwmodels.parts.mac import FORMATS

# Margins that are 1 - demand / limit, and limit / demand - 1: what the demand is, "{}" its ratio.
_OF_DEMAND = {
    "area": "the die is {} the largest that its package admits",
    "die_edge": "memory and links need {} the die's edge",
    "thermal": "the die gives off {} the heat that liquid cooling carries off",
    "tdp": "idle, and its memory at full rate, alone take {} its power cap",
    "capacity": "the step's tensors need {} the on-chip memory",
    "dram_capacity": "the step's tensors need {} the memory",
}
_OF_LIMIT = {
    "clock": "the clock is {} what node and voltage allow",
    "voltage": "the voltage is {} outside what the node allows",
    "buffer": "the operations need {} a memory on the chip",
}
CLOCK_SLACK = 1e-3  # relative: rounding


def broken_limits(found: Breakdown) -> list[str]:
    """Each limit that the design breaks, in words."""
    return [_words(found, name, margin) for name, margin in found.negative_margins.items()]


def _words(found: Breakdown, name: str, margin: float) -> str:
    if name in _OF_DEMAND:
        return _OF_DEMAND[name].format(_times(1.0 - margin))
    if name in _OF_LIMIT and margin > -1.0:
        return _OF_LIMIT[name].format(_times(1.0 / (1.0 + margin)))
    if name == "format":
        return _format(found.chip, found.workload.training)
    if name == "adc_resolution":
        return f"the converters lack {-margin:.2g} bits for exact sums"
    return f"{name} misses by {-margin:.3g}"


def _times(ratio: float) -> str:
    return f"{ratio:.4g}x" if ratio < 1.1 else f"{ratio:,.3g}x" if ratio < 1e3 else f"{ratio:,.0f}x"


def _format(chip: Accelerator, training: bool) -> str:
    used = dict.fromkeys((chip.number_format, *chip.formats))
    still = [name for name in used if not FORMATS[name].trains]
    if training and still:
        return f"{', '.join(still)} cannot train"
    return f"{', '.join(used)}: a tensor's format is wider than that of the multipliers"


def clock_remark(name: str, found: Breakdown) -> str:
    """That a power cap lowers the clock of the chip `name`, else ""."""
    entry = find_own_entry(name)
    stated = float(found.chip.clock if entry is None else entry.chip().clock)
    runs = float(found.metrics.clock)
    if runs >= stated * (1.0 - CLOCK_SLACK):
        return ""
    cap = float(found.chip.tdp)
    return (
        f"power cap of {cap:g} W lowers the clock from {stated / 1e9:.3g} to {runs / 1e9:.3g} GHz"
    )


def whole_die_mm2(name: str) -> float | None:
    """Area of the chip `name` with the units that are disabled on its die, if it has any."""
    entry = find_own_entry(name)
    return headline(entry).area_mm2 if entry and entry.die else None
