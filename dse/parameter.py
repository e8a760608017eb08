"""One axis of a design space: its kind, bounds or choices, and the values it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

KINDS = ("linear", "log", "integer", "power2", "choice")


@dataclass(frozen=True)
class Parameter:
    """One axis of a space: `low` to `high` in the unit of its name, or `choices`.

    "linear" and "log" are continuous, "integer" takes every whole number, "power2" every power of
    two, "choice" one of the names in `choices` (a static field, or `dram_kind`).
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def steps(self) -> int | None:
        """How many values the parameter has; None if continuous."""
        if self.kind == "integer":
            return int(self.high - self.low) + 1
        if self.kind == "power2":
            return round(math.log2(self.high / self.low)) + 1
        return len(self.choices) if self.kind == "choice" else None

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value; positions, for a choice."""
        return (0.0, len(self.choices) - 1.0) if self.kind == "choice" else (self.low, self.high)

    def value(self, u: Any) -> Any:
        """The value at coordinate `u` in [0, 1): buildable; for a choice, its position."""
        if self.steps is not None:
            position = jnp.clip(jnp.floor(u * self.steps), 0, self.steps - 1)
            if self.kind == "power2":
                return self.low * jnp.round(jnp.exp2(position))
            return self.low + position
        return self.relaxed(u)

    def relaxed(self, u: Any) -> Any:
        """The value at `u` in [0, 1] with discrete parameters made continuous."""
        if self.kind in ("log", "power2"):
            exp = np.exp if isinstance(u, np.ndarray) else jnp.exp
            return self.low * exp(u * math.log(self.high / self.low))
        if self.kind == "choice":
            return u * (len(self.choices) - 1)
        return self.low + u * (self.high - self.low)

    def coordinate(self, value: Any) -> Any:
        """The `u` whose relaxed value is `value`."""
        if self.kind == "choice":
            return value / max(len(self.choices) - 1, 1)
        if self.low == self.high:
            return np.zeros_like(value)
        if self.kind in ("log", "power2"):
            return np.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def buildable(self, value: Any) -> Any:
        """The nearest value that can be built, within the bounds."""
        if self.kind == "power2":
            value = self.low * np.exp2(np.round(np.log2(value / self.low)))
        elif self.steps is not None:
            value = np.round(value)
        return np.clip(value, *self.ends)

    def positions(self, column: Any) -> np.ndarray:
        """Numbers of a table's column: of a choice, the positions of its names."""
        if self.kind != "choice":
            return np.asarray(column, float)
        return np.array([self.choices.index(name) for name in column], float)

    def spread(self, points: int) -> np.ndarray:
        """At most `points` values for a grid, ends included, evenly spaced on the axis."""
        if self.steps is not None and self.steps <= points:
            return np.asarray(self.value(jnp.arange(self.steps) / self.steps + 0.5 / self.steps))
        values = self.relaxed(jnp.linspace(0.0, 1.0, points))
        return np.unique(self.buildable(np.asarray(values)))
