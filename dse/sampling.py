"""Which designs of a space a sweep looks at: a random sequence, a grid, or a given table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dse.samplers import LARGEST, SAMPLERS
from dse.space import Space
from hwmodels import InputError
from hwmodels.errors import check_choice
from hwmodels.quantity import ROUNDING

GRID_LIMIT = 100_000_000_000  # designs: some minutes on two cores
DEFAULT_POINTS = 4

Structure = tuple[Space, dict[str, str]]


@dataclass(frozen=True)
class Sampled:
    """`designs` points of a `sampler` (of `SAMPLERS`), split evenly over the structures; structure
    k draws with `seed` + k."""

    sampler: str = "random"
    designs: int = 1_000_000
    seed: int = 0

    def sizes(self, structures: list[Structure]) -> list[int]:
        """Designs of each structure. `InputError` for a number that is out of range."""
        check_choice("sampler", self.sampler, SAMPLERS)
        if self.designs < len(structures):
            raise InputError(
                "designs", self.designs, f"allowed: >= {len(structures)}, one of each structure"
            )
        if self.designs > LARGEST[self.sampler]:
            raise InputError(
                "designs", self.designs,
                f"allowed: at most {LARGEST[self.sampler]:,}, the range of sampler {self.sampler}",
            )  # fmt: skip
        if not 0 <= self.seed < 2**32:
            raise InputError("seed", self.seed, "allowed: 0 to 4294967295")
        ends = np.linspace(0, self.designs, len(structures) + 1).astype(np.int64)
        return [int(n) for n in np.diff(ends)]


@dataclass(frozen=True)
class Grid:
    """Every combination of values of each parameter: `points` of them, by name, at most (discrete
    parameters may have fewer), ends included; `others` for parameters without a name there."""

    points: tuple[tuple[str, int], ...] = ()
    others: int = DEFAULT_POINTS
    limit: int = GRID_LIMIT

    def axes(self, space: Space) -> dict[str, np.ndarray]:
        """The values of each parameter; designs are numbered row-major over them."""
        counts = dict(self.points)
        return {
            p.name: p.spread(counts.get(p.name, self.others)).astype(np.float32)
            for p in space.numeric
        }

    def sizes(self, structures: list[Structure]) -> list[int]:
        """Designs of each structure. `InputError` for an unknown name or a bad number."""
        names = sorted({p.name for space, _ in structures for p in space.numeric})
        for name, count in [*self.points, *[(name, self.others) for name in names]]:
            check_choice("points", name, names)
            if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 2:
                raise InputError(f"points.{name}", count, "allowed: whole numbers >= 2")
        sizes = [math.prod(map(len, self.axes(space).values())) for space, _ in structures]
        if sum(sizes) > self.limit:
            total = f"{sum(sizes):,} designs"
            raise InputError("points", total, f"allowed: at most {self.limit:,}")
        return sizes


@dataclass(frozen=True)
class Table:
    """Given designs, a row each: columns `variant` (where there are several spaces) and the
    parameters that the space leaves open, as in a front's table; other columns are not read."""

    frame: pd.DataFrame = field(hash=False)

    def rows(self, space: Space, static: dict[str, str]) -> np.ndarray:
        """The rows of a structure."""
        here = np.ones(len(self.frame), bool)
        for name, value in {"variant": space.variant, **static}.items():
            if name in self.frame:
                here &= (self.frame[name].astype(str) == value).to_numpy()
        return np.flatnonzero(here)

    def columns(self, space: Space, static: dict[str, str]) -> dict[str, np.ndarray]:
        """The values of a structure's rows, within the bounds of the space.

        Raises:
          InputError: a column that is missing, a value that is none or out of bounds; with its row.
        """
        rows = self.rows(space, static)
        found = {}
        for p in space.numeric:
            if p.name not in self.frame:
                columns = ", ".join(map(str, self.frame))
                raise InputError("table", columns, f"needs a column {p.name}")
            given = self.frame[p.name].iloc[rows]
            if p.kind == "choice":
                places = {name: i for i, name in enumerate(p.choices)}
                values = given.map(places).to_numpy(float)
                allowed = ", ".join(p.choices)
            else:
                values = pd.to_numeric(given, errors="coerce").to_numpy(float)
                allowed = f"{p.low:g} to {p.high:g}"
            low, high = p.ends
            # A bound that went through float32 may come back just outside.
            with np.errstate(invalid="ignore"):
                bad = ~((values >= low - ROUNDING * abs(low)) & (values <= high * (1 + ROUNDING)))
            if bad.any():
                at = int(np.argmax(bad))
                where = f"table row {rows[at] + 1}, {p.name}"
                raise InputError(where, given.iloc[at], f"allowed: {allowed}")
            found[p.name] = np.clip(values, low, high).astype(np.float32)
        return found

    def sizes(self, structures: list[Structure]) -> list[int]:
        """Designs of each structure. `InputError` if rows belong to none."""
        sizes = [len(self.rows(*structure)) for structure in structures]
        if not len(self.frame):
            raise InputError("table", "no rows", "at least one design")
        if sum(sizes) != len(self.frame):
            seen = np.concatenate([self.rows(*structure) for structure in structures])
            strange = np.setdiff1d(np.arange(len(self.frame)), seen)
            where = f"row {strange[0] + 1} belongs to none" if len(strange) else "some to several"
            raise InputError(
                "table", f"{len(self.frame)} rows, {where}",
                "each belongs to one structure: give columns variant and those of the structure",
            )  # fmt: skip
        return sizes


Sampling = Sampled | Grid | Table
