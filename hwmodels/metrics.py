"""The result of an evaluation: totals, the named terms they are made of, and a table."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd

from hwmodels.fleet.scaling import MixedScaling, Scaling


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "time", "throughput", "energy", "power", "peak_power", "area", "cost", "scalability",
        "efficiency", "chips_80", "fleet_power", "utilization", "clock", "margins",
        "time_terms", "energy_terms", "power_terms", "area_terms", "work_terms", "resident",
        "operations", "scaling",
    ],
    meta_fields=["labels"],
)  # fmt: skip
@dataclass(frozen=True, repr=False)
class Metrics:
    """Metrics of one design on one workload; every leaf is a scalar unless said otherwise.

    `time` [s] of a step (of the whole fleet), `throughput` [samples/s] of the fleet, `energy`
    [J] of a step on one chip, `power` [W] of one chip averaged over the step (die, DRAM, PHYs,
    links), `peak_power` [W], `area` [m2], `cost` [USD] of chip, memory and links, `scalability`
    (S80, samples/s), `efficiency` and `chips_80` of the fleet, `fleet_power` [W],
    `utilization` of the multiply-accumulate units, `clock` [Hz] under the power cap.

    `margins`: name -> relative room to a limit, >= 0 when feasible. `time_terms` and
    `energy_terms` add up to one chip's step; `power_terms` to `power`; `area_terms` to `area`.
    `resident`: share of each role that stays on chip. `operations`: per kind, the stacked costs
    of single operations (empty where a caller asked for totals only). `labels`: per kind, one
    (operation, phase, count) for each row of them. `scaling`: step and efficiency of a fleet of any
    size, `metrics.scaling.efficiency(64)`.
    """

    time: Any
    throughput: Any
    energy: Any
    power: Any
    peak_power: Any
    area: Any
    cost: Any
    scalability: Any
    efficiency: Any
    chips_80: Any
    fleet_power: Any
    utilization: Any
    clock: Any
    margins: dict[str, Any]
    time_terms: dict[str, Any]
    energy_terms: dict[str, Any]
    power_terms: dict[str, Any]
    area_terms: dict[str, Any]
    work_terms: dict[str, Any]
    resident: dict[str, Any]
    operations: dict[str, Any]
    scaling: Scaling | MixedScaling
    labels: tuple[tuple[str, tuple[tuple[str, str, float], ...]], ...] = ()

    def __repr__(self) -> str:
        totals = ((self.throughput, "samples/s"), (self.power, "W"), (1e6 * self.area, "mm2"),
                  (self.scalability, "samples/s by S80"))  # fmt: skip
        return f"Metrics({', '.join(f'{_digits(v)} {unit}' for v, unit in totals)}; see frame())"

    @property
    def feasible(self) -> Any:
        """True where every margin is at least zero."""
        return functools.reduce(lambda a, b: a & b, [m >= 0 for m in self.margins.values()])

    def frame(self) -> pd.DataFrame:
        """One row per operation: count, time of one run, what bounds it, its terms and energy.

        Times in microseconds, energies in nanojoules, dynamic energy only; `static_nJ` is the
        operation's share of leakage, clock tree, idle, DRAM idle and links by its time.
        """
        static = sum(float(v) for k, v in self.power_terms.items() if k.startswith("static_"))
        rows = []
        for kind, labels in self.labels:
            costs = jax.tree.map(np.asarray, self.operations[kind])
            for i, (name, phase, count) in enumerate(labels):
                bounds = {key: float(value[i]) for key, value in costs["bound"].items()}
                terms = {key: float(value[i]) for key, value in costs["time"].items()}
                time = sum(terms.values())
                worst = max(bounds, key=lambda key: bounds[key])
                fixed = {key: value for key, value in terms.items() if key != "busy"}
                slowest = max(fixed, key=lambda key: fixed[key])
                macs = float(costs["work"]["macs"][i])
                row = {
                    "operation": name,
                    "kind": kind,
                    "phase": phase,
                    "count": count,
                    "time_us": time * 1e6,
                    "bound": worst if terms["busy"] >= fixed[slowest] else slowest,
                    "utilization": macs / (time * float(self.clock) * self._macs_per_cycle()),
                }
                row |= {f"{key}_us": value * 1e6 for key, value in terms.items()}
                row |= {f"{key}_nJ": float(v[i]) * 1e9 for key, v in costs["energy"].items()}
                row["static_nJ"] = static * time * 1e9
                row["dram_bytes"] = float(costs["work"]["dram_bytes"][i])
                rows.append(row)
        return pd.DataFrame(rows).fillna(0.0)

    def _macs_per_cycle(self) -> float:
        return float(self.work_terms["macs_per_cycle"])


def _digits(value: Any) -> str:
    """Four digits of a number; a traced value, or a batch, as it is."""
    concrete = not isinstance(value, jax.core.Tracer) and np.ndim(value) == 0
    return f"{float(value):.4g}" if concrete else str(value)
