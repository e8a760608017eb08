"""One design on one workload, taken apart: a step's time and energy by operation and by term.

A row's time is the sum of its terms, and the step's time that of its rows. The overlapped part of
an operation (`busy`) goes whole to the resource that bounds it; what nothing hides has terms of
its own. Static energy is shared out by time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from hwmodels import VARIANTS, Metrics, Workload, evaluate
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.catalog import chips, examples, find_entry, load_chip, load_entry
from hwmodels.accelerators.entry import ChipEntry
from hwmodels.errors import check_choice

# Terms of time -> how a sentence calls them; further ones come from a variant's own model.
TERMS = {
    "compute": "compute",
    "on_chip": "buffer traffic",
    "dram": "DRAM traffic",
    "vector": "vector work",
    "fill_drain": "fill and drain",
    "memory_latency": "memory latency",
    "launch": "launches",
}
STATIC = "static_"


@dataclass(frozen=True)
class Breakdown:
    """A chip's step on a workload.

    table: one row an operation, all its runs together: operation, kind, phase, count, time_s,
    share (of the step), bound, utilization, flops, dram_bytes, buffer_bytes, energy_J,
    `time_<term>_s` for each of `terms` and `energy_<part>_J` for each of `parts`.
    """

    name: str
    chip: Accelerator
    workload: Workload
    metrics: Metrics
    table: pd.DataFrame
    terms: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def totals(self) -> dict[str, float]:
        """Time [s] and energy [J] of a step, powers [W], area [m2]."""
        found = {"time": float(self.table["time_s"].sum())}
        found["energy"] = float(self.table["energy_J"].sum())
        return found | {
            name: float(getattr(self.metrics, name)) for name in ("power", "peak_power", "area")
        }

    @property
    def negative_margins(self) -> dict[str, float]:
        """Limits that the design breaks, with the relative room that is missing."""
        return {k: float(v) for k, v in self.metrics.margins.items() if float(v) < 0}

    @property
    def facts(self) -> str:
        """Variant, node, format and clock in a few words."""
        node, clock = float(self.chip.technology.node) * 1e9, float(self.metrics.clock) / 1e9
        return f"{self.chip.NAME}, {node:g} nm, {self.chip.number_format}, {clock:.3g} GHz"

    @property
    def identity(self) -> str:
        """The same with power and area: what tells one design from another."""
        power, area = self.totals["power"], 1e6 * self.totals["area"]
        return f"{self.facts}, {power:.3g} W, {area:.3g} mm²"


def find_chip(name: str) -> Accelerator:
    """The chip of a catalog name, of a TOML file's path, or a variant's default design.

    Raises:
      InputError: none of these, or a file that `load_chip` refuses.
    """
    if name in VARIANTS:
        default: Accelerator = VARIANTS[name]()
        return default
    if not name.endswith(".toml") and find_entry(name) is None:
        check_choice("CHIP", name, ["a path FILE.toml", *VARIANTS, *chips(), *examples()])
    return load_chip(name)


def find_own_entry(name: str) -> ChipEntry | None:
    """The catalog's entry, or that of the file, of a chip as `find_chip` takes it; None of a
    variant's default design."""
    if name in VARIANTS:
        return None
    return load_entry(name) if name.endswith(".toml") else find_entry(name)


def chip_name(name: str) -> str:
    """What to call a chip: its name as given, of a file the one that it states."""
    return load_entry(name).name if name.endswith(".toml") else name


def break_down(name: str, chip: Accelerator, workload: Workload, **options: Any) -> Breakdown:
    """Evaluate one chip alone and take its step apart; `options` as `hwmodels.evaluate` has.

    Raises:
      InputError: as `hwmodels.evaluate`.
    """
    metrics = jax.tree.map(np.asarray, evaluate(chip, workload, **options))
    clocked = float(metrics.clock) * float(metrics.work_terms["macs_per_cycle"])
    rows, times, energies = [], [], []
    for kind, labels in metrics.labels:
        costs = metrics.operations[kind]
        flops = [row.flops for row in workload.rows if row.kind == kind]
        for i, (operation, phase, count) in enumerate(labels):
            bounds = _row(costs["bound"], i)
            terms = _row(costs["time"], i, count)
            fixed = {k: v for k, v in terms.items() if k != "busy"}
            resource, slowest = (
                max(bounds, key=bounds.__getitem__),
                max(fixed, key=fixed.__getitem__),
            )
            time = sum(terms.values())
            work = _row(costs["work"], i, count)
            rows.append({
                "operation": operation, "kind": kind, "phase": phase, "count": count,
                "bound": resource if terms["busy"] >= fixed[slowest] else slowest,
                "utilization": work["macs"] / (time * clocked), "flops": flops[i] * count,
                "dram_bytes": work["dram_bytes"], "buffer_bytes": work["buffer_bytes"],
            })  # fmt: skip
            times.append({resource: terms["busy"], **fixed})
            energies.append(_row(costs["energy"], i, count))
    spread = {k: float(v) for k, v in metrics.time_terms.items() if k not in ("busy", *times[0])}
    if spread:  # what comes of spreading a model over several chips belongs to no operation
        rows.append({"operation": "pipeline over chips", "kind": "pipeline", "phase": "all",
                     "count": 1.0, "bound": max(spread, key=spread.__getitem__)})  # fmt: skip
        times.append(spread)
        energies.append({})
    static = {k: float(v) for k, v in metrics.power_terms.items()
              if k.startswith(STATIC) and k != f"{STATIC}waiting"}  # fmt: skip
    for time_terms, energy in zip(times, energies, strict=True):
        energy |= {part: watts * sum(time_terms.values()) for part, watts in static.items()}
    found = {key for row in times for key in row}
    terms_found = [*(t for t in TERMS if t in found), *sorted(found - set(TERMS))]
    parts = sorted({p for row in energies for p in row}, key=lambda p: (p.startswith(STATIC), p))
    by_term = pd.DataFrame(times, columns=terms_found).fillna(0.0)
    by_part = pd.DataFrame(energies, columns=parts).fillna(0.0)
    table = pd.DataFrame(rows).fillna(0.0)
    table.insert(4, "time_s", by_term.sum(axis=1))
    table.insert(5, "share", table["time_s"] / table["time_s"].sum())
    table["energy_J"] = by_part.sum(axis=1)
    table = pd.concat([
        table, by_term.set_axis([f"time_{t}_s" for t in terms_found], axis=1),
        by_part.set_axis([f"energy_{p}_J" for p in parts], axis=1),
    ], axis=1)  # fmt: skip
    return Breakdown(name, chip, workload, metrics, table, tuple(terms_found), tuple(parts))


def _row(costs: dict[str, Any], i: int, count: float = 1.0) -> dict[str, float]:
    return {key: float(value[i]) * count for key, value in costs.items() if value is not None}


def short_name(name: str, letters: int) -> str:
    """An operation's name in at most so many letters; its shape, in brackets at the end, stays."""
    part, colon, rest = name.partition(": ")
    if colon and "@" in part:  # of a scenario: its settings would leave no room
        name = f"{part.partition(',')[0]}: {rest}"
    if len(name) <= letters:
        return name
    head, bracket, shape = name.rpartition(" [")
    end = bracket + shape if head and len(shape) < letters // 2 else ""
    return name[: letters - len(end) - 1].rstrip(" ,") + "…" + end


def merged_static(parts: pd.DataFrame) -> pd.DataFrame:
    """Energies by part [J], columns `energy_<part>_J` renamed to parts, static ones added up."""
    short = parts.rename(columns=lambda c: c.removeprefix("energy_").removesuffix("_J"))
    static = [c for c in short if c.startswith(STATIC)]
    return short.drop(columns=static).assign(static=short[static].sum(axis=1))


def energy_by_part(found: Breakdown) -> pd.DataFrame:
    """One row an operation, one column a part [J], static parts as one."""
    return merged_static(found.table[[f"energy_{part}_J" for part in found.parts]])
