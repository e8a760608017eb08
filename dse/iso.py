"""Make two chips comparable: move one to the other's node, or scale it to equal area or power.

Scaling multiplies the number of compute units by a factor, and in proportion vector lanes, SRAM
capacity and bandwidth, DRAM stacks, links and the power cap; clock and voltage stay. The factor
is found by bisection, counts are then rounded to whole ones (up, for power), and what rounding
leaves is trimmed: for area by SRAM (capacity and bandwidth), for power by the clock and the cap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.entry import NO_CAP_W
from hwmodels.errors import InputError, check_choice
from hwmodels.quantity import quantities
from hwmodels.technology import NOMINAL_V, Technology

ISO = ("area", "power", "node")
TOLERANCE = 0.01
# What counts the compute units of a variant; two of them grow as the root of the factor.
UNITS = {
    "systolic": ("arrays",), "simt": ("sms",), "spatial": ("pe_rows", "pe_columns"),
    "vector": ("cores",), "in_memory": ("macros",), "sram_only": ("tiles",),
}  # fmt: skip
COUNTS = ("vector_lanes", "dram_stacks", "link_count")
SRAM = ("sram_capacity_MiB", "sram_bandwidth_B_per_cycle")
CLOCK = ("clock_GHz", "tdp_W")
LARGEST = 2.0**12  # of factors, and its inverse the smallest
TRIM = 2.0
STEPS = 40
NEAREST = 0.1  # relative; a result farther off is refused
ROUNDING = 1e-6

Measure = Callable[[Accelerator], float]
Whole = Callable[[float], int]


def to_node(chip: Accelerator, node: float) -> tuple[Accelerator, list[str]]:
    """The chip at a node [m] and its nominal voltage, the clock lowered to what they allow.

    Returns it with what was changed, a text for each number.
    """
    technology = Technology(node=float(node))
    volts = float(technology.lookup(NOMINAL_V))
    at = {"node_nm": float(node) * 1e9, "voltage_V": round(volts, 3)}
    moved = chip.replace(**at)
    most = float(moved.technology.resolve().max_clock) * (1.0 - 1e-6)
    if float(chip.clock) > most:
        at["clock_GHz"] = most / 1e9
        moved = chip.replace(**at)
    return moved, _changes(chip, moved)


def to_equal(
    chip: Accelerator, target: float, measure: Measure, quantity: str
) -> tuple[Accelerator, list[str]]:
    """The chip scaled until `measure` of it is `target`; `quantity`: "area" or "power".

    Returns it with what was changed. Numbers stop at the limits of their ranges; where counts are
    coarse the result may miss the target by more than `TOLERANCE`, which the last text then says.

    Raises:
      InputError: no scale of the chip comes near the target.
    """
    check_choice("--iso", quantity, ISO[:2])
    check_choice("--iso, variant", chip.NAME, UNITS)
    factor = _solve(lambda f: measure(_scaled(chip, f)), target, 1 / LARGEST, LARGEST)
    # The clock can give way downwards only: too many units, not too few.
    area = quantity == "area"
    scaled = _scaled(chip, factor, round if area else math.ceil)
    if abs(measure(scaled) / target - 1.0) > TOLERANCE:
        names, high = (SRAM, TRIM) if area else (CLOCK, _clock_room(scaled))
        trim = _solve(lambda f: measure(_times(scaled, names, f)), target, 1 / TRIM, high)
        scaled = _times(scaled, names, trim)
    reached = measure(scaled) / target
    if abs(reached - 1.0) > NEAREST:
        raise InputError(
            f"--iso {quantity}", f"{reached:.3g} of A's",
            "B cannot be scaled nearer: its numbers have come to the ends of their ranges",
        )  # fmt: skip
    changes = [f"scaled by {factor:.3g}", *_changes(chip, scaled)]
    if abs(reached - 1.0) > TOLERANCE:
        changes.append(f"counts are coarse: {reached:.3g} of A's {quantity} reached")
    return scaled, changes


def _scaled(chip: Accelerator, factor: float, whole: Whole | None = None) -> Accelerator:
    units = UNITS[chip.NAME]
    each = factor ** (1.0 / len(units))
    chip = _times(chip, units, each, whole)
    return _times(_times(chip, COUNTS, factor, whole), (*SRAM, "tdp_W"), factor)


def _times(
    chip: Accelerator, names: tuple[str, ...], factor: float, whole: Whole | None = None
) -> Accelerator:
    """Numbers multiplied, within their ranges; those that the variant lacks, and no cap, stay."""
    known, now = quantities(type(chip)), chip.quantities()
    values: dict[str, Any] = {}
    for name in names:
        if name not in known or (name == "tdp_W" and now[name] >= NO_CAP_W):
            continue
        value = float(now[name]) * factor
        if whole:
            value = float(max(whole(value - ROUNDING), 1))
        values[name] = min(max(value, known[name].low), known[name].high)
    scaled: Accelerator = chip.replace(**values)
    return scaled


def _clock_room(chip: Accelerator) -> float:
    room = float(chip.technology.resolve().max_clock) / float(chip.clock) * (1.0 - 1e-6)
    return min(TRIM, max(room, 1.0))


def _solve(value: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a rising function meets the target, by bisection in the logarithm; else an end."""
    for end, beyond in ((low, target <= value(low)), (high, target >= value(high))):
        if beyond:
            return end
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        found = value(middle)
        if abs(found / target - 1.0) < 0.01 * TOLERANCE:
            return middle
        low, high = (middle, high) if found < target else (low, middle)
    return math.sqrt(low * high)


def _changes(before: Accelerator, after: Accelerator) -> list[str]:
    new = after.quantities()
    return [
        f"{name} {float(old):.4g} -> {float(new[name]):.4g}"
        for name, old in before.quantities().items()
        if abs(float(new[name]) - float(old)) > 1e-6 * abs(float(old))
    ]
