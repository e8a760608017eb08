"""How many designs met every limit, and why none did."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from hwmodels import InputError


@dataclass
class Census:
    """How many designs there were and met every limit; where none did, `met`: how many met each
    limit, `best`: the best margin of each, `nearest`: all margins of the design that is nearest."""

    designs: int = 0
    feasible: int = 0
    met: dict[str, int] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    nearest: dict[str, float] = field(default_factory=dict)

    def explain(self, margins: dict[str, np.ndarray]) -> None:
        """Count the limits of a chunk without a feasible design."""
        worst = functools.reduce(np.minimum, margins.values())
        nearest = {name: float(margin[worst.argmax()]) for name, margin in margins.items()}
        self._keep_nearest(nearest)
        for name, margin in margins.items():
            self.met[name] = self.met.get(name, 0) + int((margin >= 0).sum())
            self.best[name] = max(self.best.get(name, -np.inf), float(margin.max()))

    def merge(self, other: Census) -> None:
        """Add another structure's or variant's counts."""
        self.designs += other.designs
        self.feasible += other.feasible
        for name, count in other.met.items():
            self.met[name] = self.met.get(name, 0) + count
            self.best[name] = max(self.best.get(name, -np.inf), other.best[name])
        if other.nearest:
            self._keep_nearest(other.nearest)

    def _keep_nearest(self, other: dict[str, float]) -> None:
        if not self.nearest or min(other.values()) > min(self.nearest.values()):
            self.nearest = other

    def check(self) -> None:
        """Raise `InputError` if no design was feasible: what eliminates all, and by how much."""
        if self.feasible or not self.designs:
            return
        alone = {label: self.best[label] for label, count in self.met.items() if count == 0}
        if alone:
            label = min(alone, key=lambda name: alone[name])
            raise InputError(
                f"budget {label}",
                f"0 of {self.designs:,} designs meet it",
                f"{_reached(label, alone[label])}: loosen it or widen the space",
            )
        missed = {label: m for label, m in self.nearest.items() if m < 0}
        misses = "; ".join(f"{label}: {_reached(label, m)}" for label, m in sorted(missed.items()))
        raise InputError(
            "budgets together",
            f"0 of {self.designs:,} designs meet all (each alone is met by some)",
            f"of the nearest, {misses}: loosen one",
        )


def _reached(label: str, margin: float) -> str:
    """A missed limit in words; budgets are labelled as `dse.readings.Constraint` prints."""
    if "<=" in label:
        return f"the least reached is {1.0 - margin:.3g} times that"
    if ">=" in label:
        return f"the most reached is {1.0 + margin:.3g} times that"
    return f"the best misses it by {-margin:.1%}"
