"""What the scalability axis of a front measures: S80 by default, or another definition by name.

Alone, efficiency and N80 reward slow chips, which wait less for the same network: every axis says
what it rewards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dse.front import SCALABILITY, Objective
from hwmodels import InputError
from hwmodels.fleet.scaling import LARGEST_FLEET
from hwmodels.workloads.workload import Workload

NAMES = "s80, n80, strong, efficiency@N (such as efficiency@64)"
STRONG = "strong_per_s"
_EFFICIENCY = re.compile(r"efficiency@([0-9]{1,9})")


@dataclass(frozen=True)
class Scalability:
    """One definition: its name, the front's objective, what it rewards; `chips` of efficiency."""

    name: str
    objective: Objective
    rewards: str
    chips: int = 0

    def check(self, workload: Workload) -> None:
        """Raise `InputError` if `workload` cannot be trained on that many chips."""
        most = min(LARGEST_FLEET, workload.max_global_batch / workload.samples)
        if self.chips > most:
            raise InputError(
                "scalability", self.name,
                f"{workload.name} allows at most {most:,.0f} chips, its largest sensible batch",
            )  # fmt: skip


S80 = Scalability(
    "s80", SCALABILITY, "rewards chips that are fast and whose network keeps up with them"
)
N80 = Scalability(
    "n80",
    Objective("chips_80", "Chips at 80% efficiency", "chips", maximise=True),
    "rewards slow chips as well as good networks: read it beside throughput",
)
STRONG_SCALING = Scalability(
    "strong",
    Objective(STRONG, "Strong scaling", "samples/s", maximise=True),
    "rewards speed on small shares of one batch, cheap launches and quick links",
)


def scalability(name: str) -> Scalability:
    """The definition called `name` (`NAMES`); `InputError` for another."""
    known = {axis.name: axis for axis in (S80, N80, STRONG_SCALING)}
    if name in known:
        return known[name]
    found = _EFFICIENCY.fullmatch(name)
    if not found or not 2 <= int(found[1]) <= LARGEST_FLEET:
        raise InputError("scalability", name, f"allowed: {NAMES}, N from 2 to 65536")
    chips = int(found[1])
    label = f"Efficiency at {chips:,} chips"
    return Scalability(
        name,
        Objective(f"efficiency_{chips}", label, "weak scaling, 1 = ideal", maximise=True),
        "rewards slow chips, which wait less for the same network: read it beside throughput",
        chips,
    )
