"""Two designs on one workload: where the difference comes from, and whether it can be trusted.

Differences are B - A and add up exactly: those of operations to the total, those of terms too.
Each ratio has an uncertainty, the model's own: what its predictions miss measurements by
(`UNCERTAINTY`). Errors of A and B are taken as independent and add in squares,

    u = exp(sqrt(sigma_A^2 + sigma_B^2)),

but where A and B share variant and node they have the same formulas and constants wrong in the
same way, and half of u cancels (in the logarithm). A ratio between 1/u and u, one standard
deviation, says nothing about which chip is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import pandas as pd

from dse.amounts import amounts
from dse.breakdown import TERMS, Breakdown, break_down
from dse.iso import ISO, to_equal, to_node
from dse.remarks import broken_limits
from hwmodels import Workload, evaluate
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.shared import Tuning
from hwmodels.errors import check_choice

# One standard deviation of log(predicted / measured), root mean square over the rows that
# `dse validate` compares, and what was measured.
UNCERTAINTY = {
    "time": (0.25, "bf16 matrix products of four chips, only their launch cost fitted, `dse "
                   "validate gemm`: 0.03 to 0.28; other operations were not measured"),
    "energy": (0.32, "as power: no energies of steps were measured"),
    "power": (0.32, "as peak power; eight published typical powers miss by 0.2"),
    "peak_power": (0.32, "17 published peak powers, `dse validate chips`"),
    "area": (0.28, "17 published die areas, `dse validate chips`"),
}  # fmt: skip
# Time on a chip that is calibrated to measurements: left-out rows miss by 0.02 to 0.14, doubled
# for operations that are no matrix products; an estimate.
CALIBRATED = 0.15
# What is left of the uncertainty between two designs of one variant and node. Die areas: pairs of
# one variant miss each other by 0.33 against 0.45 of all; of one node too, all but one by 0 to 0.2.
KINSHIP = 0.5
EQUAL = 1e-6  # relative: rounding of float32


@dataclass(frozen=True)
class Ratio:
    """One quantity of both, SI; `ratio` = B / A; `uncertainty` u >= 1 of it."""

    quantity: str
    a: float
    b: float
    uncertainty: float

    @property
    def ratio(self) -> float:
        """B over A."""
        return self.b / self.a

    @property
    def within(self) -> bool:
        """True if the model cannot tell A and B apart."""
        return abs(math.log(self.ratio)) <= math.log(self.uncertainty)

    @property
    def verdict(self) -> str:
        """The same in words."""
        size = f"the model's uncertainty of {self.uncertainty:.2f}x"
        return f"within {size}" if self.within else f"more than {size}"


@dataclass(frozen=True)
class Comparison:
    """A and B on one workload.

    ratios: time, energy, power, peak_power, area. by_operation: operation, phase, a_time_s,
    b_time_s, difference_s, a_energy_J, b_energy_J, difference_J. by_term: quantity ("time",
    "energy"), term, a, b, difference (SI). changes: what an equal node, area or power made of B.
    """

    a: Breakdown
    b: Breakdown
    iso: str
    changes: tuple[str, ...] = field(default=())

    @property
    def ratios(self) -> dict[str, Ratio]:
        """By quantity."""
        a, b = self.a.totals, self.b.totals
        return {
            name: Ratio(name, a[name], b[name], uncertainty(self.a.chip, self.b.chip, name))
            for name in UNCERTAINTY
        }

    @property
    def by_operation(self) -> pd.DataFrame:
        """Rows in the order of the workload; one that only A or B has is 0 on the other side."""
        keys = ["operation", "phase", "nth"]
        sides = []
        for side, found in (("a", self.a), ("b", self.b)):
            # Operations of one name keep apart: the two sides list them in the same order.
            nth = found.table.groupby(["operation", "phase"]).cumcount()
            part = found.table.assign(nth=nth)[[*keys, "time_s", "energy_J", "bound"]]
            sides.append(part.set_index(keys).add_prefix(f"{side}_"))
        frame = sides[0].join(sides[1], how="outer", sort=False)
        numbers = [f"{side}_{name}" for side in "ab" for name in ("time_s", "energy_J")]
        frame = frame.assign(**{name: frame[name].fillna(0.0) for name in numbers})
        frame = frame.assign(
            **{f"{side}_bound": frame[f"{side}_bound"].fillna("-") for side in "ab"}
        )
        frame["difference_s"] = frame["b_time_s"] - frame["a_time_s"]
        frame["difference_J"] = frame["b_energy_J"] - frame["a_energy_J"]
        return frame.reset_index().drop(columns="nth")

    @property
    def by_term(self) -> pd.DataFrame:
        """Time by term, then energy by part."""
        rows: list[dict[str, Any]] = []
        for quantity, unit, kinds in (("time", "s", "terms"), ("energy", "J", "parts")):
            names = dict.fromkeys((*getattr(self.a, kinds), *getattr(self.b, kinds)))
            for name in names:
                column = f"{quantity}_{name}_{unit}"
                a, b = (
                    float(found.table[column].sum()) if column in found.table else 0.0
                    for found in (self.a, self.b)
                )
                rows.append({"quantity": quantity, "term": name, "a": a, "b": b,
                             "difference": b - a})  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def headline(self) -> str:
        """Which limits are broken; how much faster, how far that can be trusted, and where it
        comes from."""
        sides = (("A", self.a), ("B", self.b))
        broken = [f"{side}: {', '.join(found)}" for side, one in sides
                  if (found := broken_limits(one))]  # fmt: skip
        if broken:
            return f"INFEASIBLE ({'; '.join(broken)}). Without these limits {self._faster}"
        return self._faster

    @property
    def _faster(self) -> str:
        time = self.ratios["time"]
        a, b = self.a.name, self.b.name
        if a == b:
            a, b = "A", "B"
        if self.changes:
            b = f"{b}, {'moved' if self.iso == 'node' else 'scaled'} to {a}'s {self.iso},"
        on = f" on {self.workload}"
        if abs(time.ratio - 1.0) < EQUAL:
            return f"{b} is as fast as {a}{on}."
        faster = time.ratio < 1.0
        factor = 1.0 / time.ratio if faster else time.ratio
        said = f"{b} is {factor:.3g}x {'faster' if faster else 'slower'} than {a}{on}"
        sign = -1.0 if faster else 1.0
        rows = self.by_operation
        row = rows.loc[(sign * rows["difference_s"]).idxmax()]
        # Its own bounds, not the sums of terms: where a bound changes, the whole time moves.
        bounds = dict.fromkeys(TERMS.get(row[f"{x}_bound"], row[f"{x}_bound"]) for x in "ab")
        name = f"{row['operation']} ({row['phase']}; bound by {', then '.join(bounds)})"
        (part, whole), unit = amounts([row["difference_s"], time.b - time.a], "s", "+")
        return f"{said} ({time.verdict}), mostly in {name}: {part} of {whole} {unit}."

    @property
    def workload(self) -> str:
        """Name of the workload."""
        return self.a.workload.name


def uncertainty(a: Accelerator, b: Accelerator, quantity: str) -> float:
    """The factor that a ratio of `quantity` may be wrong by, one standard deviation."""
    sigma = math.hypot(_sigma(a, quantity), _sigma(b, quantity))
    same_node = abs(float(a.technology.node) / float(b.technology.node) - 1.0) < EQUAL
    return math.exp(sigma * (KINSHIP if same_node and a.NAME == b.NAME else 1.0))


def _sigma(chip: Accelerator, quantity: str) -> float:
    calibrated = jax.tree.map(float, chip.tuning) != Tuning()
    return CALIBRATED if quantity == "time" and calibrated else UNCERTAINTY[quantity][0]


def compare(
    name_a: str,
    a: Accelerator,
    name_b: str,
    b: Accelerator,
    workload: Workload,
    *,
    iso: str | None = None,
    **options: Any,
) -> Comparison:
    """Evaluate both on one workload; `iso` first moves or scales B to A's node, area or power.

    Power is the average over the step. `options`: as `hwmodels.evaluate` has.

    Raises:
      InputError: an unknown `iso`, a B that cannot be scaled so far, or as `hwmodels.evaluate`.
    """
    changes: list[str] = []
    of_a = break_down(name_a, a, workload, **options)
    if iso is not None:
        check_choice("--iso", iso, ISO)
    if iso == "node":
        b, changes = to_node(b, a.technology.node)
    elif iso is not None:
        quantity = iso
        b, changes = to_equal(
            b, of_a.totals[quantity],
            lambda chip: float(getattr(evaluate(chip, workload, **options), quantity)), quantity,
        )  # fmt: skip
    return Comparison(of_a, break_down(name_b, b, workload, **options), iso or "", tuple(changes))
