"""One chip on one workload as a function of the numbers behind it: `Point(chip, workload)`.

Numbers are those that chip files state, in groups: "design", "technology" (`technology.Scale`, and
what DRAM and links cost in energy, area and money), "network" (links) and "software" (`Tuning`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from dse.adjoint import with_gradient
from dse.kernel import compiled, loop, strengthened
from dse.program import unroll
from dse.readings import NAMES, read
from hwmodels import Workload
from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.rates import LAUNCH_S
from hwmodels.errors import check_choice
from hwmodels.evaluate import RESIDENCY, model
from hwmodels.fleet.scaling import Fleet
from hwmodels.quantity import quantities, read_quantities, replace_quantities
from hwmodels.relax import EXACT, Relax

METRICS = tuple(n for n in NAMES if n not in ("throughput_without_launch_per_s", "chips_80"))
GROUPS = ("design", "technology", "network", "software")
SHARP = Relax("smooth", 300.0)
NODE = "node_nm"  # selects from tables, so no number of a point
STEP = 0.01  # of a number that is not whole, to its next value
_TECHNOLOGY = ("energy_pJ_per_bit", "idle_power_W", "phy_area_mm2", "area_mm2", "edge_mm",
               "cost_USD", "interposer_mm2", "latency_ns")  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A number of a chip: its name, unit included, its group, what it is, and its physical range
    relative to its value."""

    name: str
    group: str
    value: float
    whole: bool
    range: tuple[float, float]

    @property
    def factors(self) -> tuple[float, float]:
        """The next smaller and larger values in range, relative to this one; 1 where none is."""
        step = 1.0 / self.value if self.whole else STEP
        down = 1.0 - step if self.whole else 1.0 / (1.0 + step)
        low, high = self.range
        return (down if down >= low else 1.0), (1.0 + step if 1.0 + step <= high else 1.0)


class Point:
    """One chip on one workload as a function of the logarithms of factors on its numbers, a
    straight-line program (`dse.program`)."""

    def __init__(self, chip: Accelerator, workload: Workload, runtime: str = "graph",
                 residency: str = "warm"):  # fmt: skip
        check_choice("runtime", runtime, LAUNCH_S)
        check_choice("residency", residency, RESIDENCY)
        self.numbers = tuple(_numbers(chip))
        operations, bare = chip.operations(workload, residency), chip.bare

        def logs(u: Sequence[Any], relax: Relax) -> list[Any]:
            numbers = {n.name: n.value * jnp.exp(x) for n, x in zip(self.numbers, u, strict=True)}
            found = read(model(
                replace_quantities(bare, numbers), operations, Fleet(), relax,
                training=workload.training, runtime=runtime, residency=residency,
            ))  # fmt: skip
            return [jnp.log(found[name]) for name in METRICS]

        count, outputs, one = len(self.numbers), len(METRICS), jnp.float32(1.0)
        exact = strengthened(unroll(lambda *u: logs(u, EXACT), *[one] * count))

        def differentiable(relax: Relax) -> Any:
            def chosen(*inputs: Any) -> list[Any]:
                made = logs(inputs[:count], relax)
                pick = sum(c * x for c, x in zip(inputs[count:], made, strict=True))
                return [pick, *made]

            program = unroll(chosen, *[one] * (count + outputs), differentiable=True)
            program = strengthened(with_gradient(program, range(count)))
            return compiled(lambda columns: loop(program, outputs, columns), level=0)

        self._exact = compiled(lambda columns: loop(exact, len(columns[0]), columns), level=0)
        self._programs = {
            relax: functools.cache(functools.partial(differentiable, relax))
            for relax in (EXACT, SHARP)
        }

    def exact(self, moves: np.ndarray) -> np.ndarray:
        """Logarithms of `METRICS` (r, m) where the numbers' logarithms move by `moves` (r, n)."""
        return np.stack(self._exact(list(moves.astype(np.float32).T)), axis=1).astype(float)

    def slopes(self, u: np.ndarray, relax: Relax = EXACT) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of `METRICS` (m,) at `u` (n,), and their slopes (m, n)."""
        outputs = len(METRICS)
        same = np.broadcast_to(u.astype(np.float32), (outputs, len(u))).T
        told = self._programs[relax]()([*same, *np.eye(outputs, dtype=np.float32)])
        _, *made = map(np.asarray, told)
        values = np.array([column[0] for column in made[:outputs]], float)
        return values, np.stack(made[outputs:], axis=1).astype(float)

    @property
    def names(self) -> list[str]:
        """Of the numbers."""
        return [number.name for number in self.numbers]

    def chosen(self, free: Sequence[str]) -> list[int]:
        """Places of the numbers that `free` lists, by name or by group; `InputError` if unknown."""
        chosen = []
        for name in free:
            check_choice("free", name, [*GROUPS, *self.names])
            chosen += [i for i, n in enumerate(self.numbers) if name in (n.name, n.group)]
        return sorted(set(chosen))


def _numbers(chip: Accelerator) -> Iterator[Number]:
    known = quantities(type(chip))
    for name, value in read_quantities(chip).items():
        number = float(value)
        if not 0.0 < number < math.inf or name == NODE:
            continue
        whole = not known[name].unit and number.is_integer() and not name.startswith("scale_")
        group, q = _group(name), known[name]
        whole = whole and group not in ("software", "technology")
        # A number that stands on its bound may miss it by the rounding of its unit.
        room = min(q.low / number, 1.0), max(q.high / number, 1.0)
        yield Number(name, group, number, whole, room)


def _group(name: str) -> str:
    if name.startswith("tuning_"):
        return "software"
    if name.startswith("scale_"):
        return "technology"
    part, _, rest = name.partition("_")
    if part == "link" and rest in ("count", "bandwidth_GBps", "latency_ns"):
        return "network"
    return "technology" if part in ("link", "dram") and rest in _TECHNOLOGY else "design"
