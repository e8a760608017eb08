"""Area and power of a catalogued chip by part, within the boundary that its publication draws.

Peak power is that of the densest sustained product with random operands and full DRAM traffic at
the stated clock, no cap applied. Typical power runs the same parts `TYPICAL_BUSY` of the time, and
on the die at `TYPICAL_TOGGLES`:

    typical = idle + TYPICAL_BUSY (DRAM + TYPICAL_TOGGLES x all other dynamic power)

Of "core" chips the area leaves out host interface and PHYs, the power memory and links; of "die"
chips the power leaves out memory devices, not the PHY.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hwmodels.accelerators.entry import NO_CAP_W, ChipEntry
from hwmodels.accelerators.rates import prepare
from hwmodels.relax import EXACT
from hwmodels.workloads.numeric import RESIDENT_ROLES, Totals

# Of published "typical" and "busy" powers. Units at work: NVDLA's ResNet-50 keeps 53% of them busy
# (269 frames/s of 3.9 G multiply-accumulates on 2048 at 1 GHz).
TYPICAL_BUSY = 0.5
# Switching of the data of trained networks over that of random bits: some half of the activations
# behind a ReLU are zero and weights are small. Eyeriss' gates save 45% of an element's power so
# (Chen et al., JSSC 2017); NVDLA's average over its peak power and busy share leave 0.5. From
# memory and derived.
TYPICAL_TOGGLES = 0.5
_OFF_BLOCK = ("host", "dram_phy", "link_phy")
_OFF_CORE = ("dram", "dram_idle", "link")
MM2 = 1e-6
LOWEST_V = 0.55  # below it products do not go, to keep their SRAM alive; an estimate
STEPS = 20


@dataclass(frozen=True)
class Headline:
    """What is predicted for a chip: area [mm2] and peak power [W] by part, and how they add up."""

    area_terms: dict[str, float]
    static_terms: dict[str, float]
    dynamic_terms: dict[str, float]
    peak_rate: float
    clock: float
    max_clock: float

    @property
    def area_mm2(self) -> float:
        """Area within the chip's boundary."""
        return sum(self.area_terms.values())

    @property
    def idle_power_W(self) -> float:
        """Leakage, clock tree and all else that does not depend on load."""
        return sum(self.static_terms.values())

    @property
    def peak_power_W(self) -> float:
        """The densest sustained product at the stated clock."""
        return self.idle_power_W + sum(self.dynamic_terms.values())

    @property
    def typical_power_W(self) -> float:
        """Busy as products usually are, with the data of trained networks."""
        dram = self.dynamic_terms.get("dram", 0.0)
        on_die = sum(self.dynamic_terms.values()) - dram
        return self.idle_power_W + TYPICAL_BUSY * (dram + TYPICAL_TOGGLES * on_die)


def headline(entry: ChipEntry) -> Headline:
    """Predict a chip's area and power from its structure."""
    chip = entry.chip()
    found = _solve(chip)
    area = _solve(entry.chip(whole_die=True)).areas if entry.die else found.areas
    areas = {part: float(value) / MM2 for part, value in area.items()}
    parts = {part: float(value) for part, value in found.static.items()}
    moving = {part: float(value) for part, value in found.dynamic.items()}
    if entry.boundary == "core":
        parts, moving = _without(parts, _OFF_CORE), _without(moving, _OFF_CORE)
        # What stands outside the block takes its uncore and static power along.
        whole = sum(areas.values())
        outside = sum(areas[part] for part in ("dram_phy", "link_phy"))
        inside = whole - areas["uncore"] - areas["host"] - outside
        uncore = areas["uncore"] * inside / (inside + outside)
        gone = areas["host"] + areas["uncore"] - uncore
        areas = {**_without(areas, _OFF_BLOCK), "uncore": uncore}
        share = sum(areas.values()) / whole
        parts["leakage"] -= float(found.logic_leakage) * MM2 * gone
        parts["clock_tree"] *= share
        # Idle power beyond leakage and clocks is that of host interface, PLLs and PHYs.
        parts = _without(parts, ("idle",))
        if "buffer" in moving:  # else its levels are inside the block
            moving["buffer"] *= _nearer(chip, sum(areas.values()))
    elif entry.boundary == "die":
        parts = _without(parts, ("dram_idle",))
    return Headline(
        areas, parts, moving,
        peak_rate=2.0 * float(chip.macs_per_cycle * chip.clock),
        clock=float(chip.clock), max_clock=float(found.max_clock),
    )  # fmt: skip


def under_cap(chip: Any, cap_W: float) -> Any:
    """The chip at the voltage and clock at which the densest product meets a power cap.

    The stated clock needs the stated voltage; below it the clock follows the node's speed, as in
    products that scale voltage and clock together. At the lowest voltage only the clock falls.
    """
    low, high = LOWEST_V, float(chip.technology.voltage)
    chip = replace(chip, tdp=cap_W)
    if low >= high or float(_uncapped_power(chip, high)) <= cap_W:
        return chip
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        over = _uncapped_power(chip, middle) > cap_W
        low, high = (low, middle) if over else (middle, high)
    return _at(chip, low)


def sustained_clock(entry: ChipEntry, cap_W: float) -> float:
    """The clock at which the densest product meets a power cap [Hz]; see `under_cap`."""
    return float(_solve(under_cap(entry.chip(), cap_W)).clock)


def _uncapped_power(chip: Any, voltage: float) -> float:
    return float(_solve(replace(_at(chip, voltage), tdp=NO_CAP_W)).peak_power)


def _at(chip: Any, voltage: float) -> Any:
    """The chip at a voltage and the clock that it then reaches."""
    technology = replace(chip.technology, voltage=voltage)
    speed = technology.resolve().max_clock / chip.technology.resolve().max_clock
    return replace(chip, technology=technology, clock=float(chip.clock * speed))


def _nearer(chip: Any, area_mm2: float) -> float:
    """Buffer energy of a block alone over that on its die: the way to the buffer is shorter."""
    process = chip.technology.resolve()
    whole = sum(_solve(chip).areas.values())
    return float(chip.buffer_energy(process, area_mm2 * MM2) / chip.buffer_energy(process, whole))


class Solved(NamedTuple):
    """A chip's clock [Hz], areas [m2] and powers [W]."""

    clock: Any
    max_clock: Any
    areas: dict[str, Any]
    static: dict[str, Any]
    dynamic: dict[str, Any]
    peak_power: Any
    logic_leakage: Any


def _without(terms: dict[str, float], names: tuple[str, ...]) -> dict[str, float]:
    return {name: value for name, value in terms.items() if name not in names}


def _solve(chip: Any) -> Solved:
    return _compiled(jax.tree.map(float, chip))


@jax.jit
def _compiled(chip: Any) -> Solved:
    return solve(chip)


def solve(chip: Any) -> Solved:
    """What a chip takes with every part busy and nothing kept resident."""
    chip = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(float)), chip)
    nothing = dict.fromkeys((field.name for field in fields(Totals)), jnp.zeros(()))
    roles = dict.fromkeys(("footprint", "ahead"), jnp.zeros(len(RESIDENT_ROLES)))
    totals = Totals(**{**nothing, **roles})
    rates = prepare(chip, totals, EXACT, runtime="none", residency="cold")
    dynamic = {
        **{part: rates.clock * joule for part, joule in rates.busy_energy.items()},
        "dram": chip.dram.total_bandwidth * rates.dram_energy,
    }
    return Solved(
        rates.clock, rates.max_clock, rates.areas, rates.static_power, dynamic, rates.peak_power,
        chip.technology.resolve().logic_leakage,
    )  # fmt: skip
