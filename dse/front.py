"""Exact Pareto fronts: the non-dominated set, a streaming archive, and the front as a table.

A design dominates another if it is no worse in every objective and better in at least one. Of
designs that are equal in every objective only the one with the smallest index stays, so a front
does not depend on the order in which a sweep happened to visit its designs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import moocore
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hwmodels.errors import InputError, check_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """One axis of a front: the table's column, its name and unit for people, its direction."""

    column: str
    label: str
    unit: str
    maximise: bool


THROUGHPUT = Objective("throughput_per_s", "Throughput", "samples/s", maximise=True)
POWER = Objective("power_W", "Chip power, step average", "W", maximise=False)
SCALABILITY = Objective("scalability_per_s", "Scalability S80", "samples/s", maximise=True)
OBJECTIVES = (THROUGHPUT, POWER, SCALABILITY)


def non_dominated(
    points: ArrayLike, *, maximise: bool | Sequence[bool] = False
) -> NDArray[np.bool_]:
    """Mask [n] of the rows of `points` [n, d] that no other row dominates, exactly.

    `maximise` is one flag, or one per objective. Of equal rows only the first stays. `InputError`
    for NaN or an infinity (an infeasible design is the caller's to drop) and for a wrong shape.
    O(n log n) for d <= 3 (moocore: Kung, Luccio and Preparata, J. ACM 22(4), 1975).
    """
    values = finite_points(points)
    if len(values) == 0:
        return np.zeros(0, dtype=bool)
    flags = [bool(f) for f in np.broadcast_to(maximise, values.shape[1])]
    # keep_weakly=False is the tie rule above: tests compare it with brute force, ties included.
    return np.asarray(moocore.is_nondominated(values, maximise=flags, keep_weakly=False), bool)


def ranks(points: ArrayLike, *, maximise: bool | Sequence[bool] = False) -> NDArray[np.int64]:
    """Rank [n] of the rows of `points` [n, d]: 0 on the front, 1 on what is the front without
    those, and so on (non-dominated sorting, Goldberg, 1989). Equal rows have equal ranks."""
    values = finite_points(points)
    if len(values) == 0:
        return np.zeros(0, np.int64)
    flags = np.broadcast_to(maximise, values.shape[1])
    return np.asarray(moocore.pareto_rank(values * np.where(flags, -1.0, 1.0)), np.int64)


def finite_points(points: ArrayLike) -> Floats:
    """`points` as float64 [n, d]; `InputError` names a value that is not finite, or the shape."""
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0:
        return values.reshape(0, values.shape[1] if values.ndim == 2 else 0)
    if values.ndim != 2:
        raise InputError("points", f"shape {values.shape}", "allowed: [designs, objectives]")
    if not np.isfinite(values).all():
        row, axis = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"points[{row}, {axis}]", values[row, axis], "allowed: finite numbers (drop the others)"
        )
    return values


@dataclass(frozen=True, eq=False, repr=False)
class Front:
    """The non-dominated designs: one row each in `table`, with parameters and metrics as columns.

    Build it with `from_table`, which filters and checks. `own`: where several variants share the
    front, each one's own front, which figures draw beside.
    """

    table: pd.DataFrame
    objectives: tuple[Objective, ...] = OBJECTIVES
    own: Mapping[str, pd.DataFrame] | None = None

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, objectives: tuple[Objective, ...] = OBJECTIVES
    ) -> Front:
        """The front of `table` [designs], rows in the same order, numbered from 0.

        `InputError` for a missing objective column, or a value that is not finite and > 0 (fronts
        are measured and drawn in logarithms).
        """
        for objective in objectives:
            if objective.column not in table:
                raise InputError("column", objective.column, "missing from the table of designs")
            values = table[objective.column].to_numpy(np.float64)
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if len(bad):
                field = f"{objective.column}, row {bad[0]}"
                raise InputError(field, values[bad[0]], "allowed: finite and above 0")
        points = table[[o.column for o in objectives]].to_numpy(np.float64)
        keep = non_dominated(points, maximise=[o.maximise for o in objectives])
        return cls(table[keep].reset_index(drop=True), tuple(objectives))

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Front({len(self):,} designs; {', '.join(o.column for o in self.objectives)})"

    def hypervolume(
        self, reference: Mapping[str, float] | None = None, ideal: Mapping[str, float] | None = None
    ) -> float:
        """The share, 0 to 1, of the box from `reference` (worst) to `ideal` that is dominated.

        Measured in log10 of each objective. Both corners are column -> value in the table's units;
        by default they are this front's own nadir and ideal, its worst and best value by axis.
        Only values with the same two corners given can be compared between fronts. Points outside
        the box count up to its walls. An axis on which the box has no extent is left out; a front
        that is one point is its own ideal and has 1.0, an empty one 0.0.
        """
        if len(self) == 0:
            return 0.0
        logs = self._minimised_logs()
        best = logs.min(axis=0) if ideal is None else self._corner(ideal)
        worst = logs.max(axis=0) if reference is None else self._corner(reference)
        logs = np.maximum(logs[(logs <= worst).all(axis=1)], best)
        if len(logs) == 0 or (worst < best).any():
            return 0.0
        wide = worst > best
        if not wide.any():
            return 1.0
        scaled = (logs[:, wide] - best[wide]) / (worst - best)[wide]
        return float(moocore.hypervolume(scaled, ref=np.ones(wide.sum())))

    def epsilon(self, other: Front) -> float:
        """How nearly this front covers `other`: the smallest e >= 0 such that every design of it
        is matched by one here that is at most 1 + e times worse on every axis (0: all covered).

        The multiplicative epsilon indicator of Zitzler et al. (2003), less 1.
        """
        ours, theirs = self._minimised_logs(), self._logs_of(other)
        return float(np.expm1(max(moocore.epsilon_additive(ours, ref=theirs), 0.0) * np.log(10.0)))

    def distance(self, other: Front) -> float:
        """Mean distance from the designs of `other` to what this front dominates, in factors of ten
        (IGD+ of Ishibuchi et al., 2015, in log10 of the objectives; 0: all covered)."""
        return float(moocore.igd_plus(self._minimised_logs(), ref=self._logs_of(other)))

    def _logs_of(self, other: Front) -> Floats:
        if [o.column for o in other.objectives] != [o.column for o in self.objectives]:
            raise InputError(
                "objectives", ", ".join(o.column for o in other.objectives),
                f"allowed: those of this front, {', '.join(o.column for o in self.objectives)}",
            )  # fmt: skip
        if not len(self) or not len(other):
            raise InputError("front", "0 designs", "fronts that are compared have at least one")
        return other._minimised_logs()

    def knee(self, mask: ArrayLike | None = None) -> pd.Series:
        """The row nearest to the ideal: the best compromise, by a stated rule.

        Log10 of each objective is scaled to 0 (best) .. 1 (worst) over the rows of `mask` [n]
        (default: all), and the smallest Euclidean distance to 0 wins; ties to the first row.
        """
        rows = np.arange(len(self)) if mask is None else np.flatnonzero(np.asarray(mask, bool))
        if len(rows) == 0:
            raise InputError("front", "0 designs", "a knee needs at least one")
        logs = self._minimised_logs()[rows]
        extent = np.ptp(logs, axis=0)
        scaled = (logs - logs.min(axis=0)) / np.where(extent > 0, extent, 1.0)
        return self.table.iloc[int(rows[np.argmin((scaled**2).sum(axis=1))])]

    def best(self, objective: Objective | str) -> pd.Series:
        """The row with the best value of an objective (or its column); ties to the first row."""
        column = objective if isinstance(objective, str) else objective.column
        check_choice("objective", column, [o.column for o in self.objectives])
        if len(self) == 0:
            raise InputError("front", "0 designs", f"the best {column} needs at least one")
        axis = [o.column for o in self.objectives].index(column)
        return self.table.iloc[int(np.argmin(self._minimised_logs()[:, axis]))]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants that have designs on the front, in order of appearance."""
        if "variant" not in self.table:
            raise InputError("column", "variant", "missing from the table of designs")
        return tuple(dict.fromkeys(self.table["variant"]))

    def by_variant(self) -> dict[str, Front]:
        """Each variant's share of this front."""
        rows = {name: self.table["variant"] == name for name in self.variants}
        return {
            name: Front(self.table[mask].reset_index(drop=True), self.objectives)
            for name, mask in rows.items()
        }

    def variant_tables(self) -> Mapping[str, pd.DataFrame]:
        """Each variant's own front where it is known, else its share of this one."""
        return self.own or {name: share.table for name, share in self.by_variant().items()}

    def plot(
        self, path: str | Path | None = None, *, title: str = "Pareto front", budgets: str = "",
        columns: int = 2,
    ) -> list[Path] | Figure:  # fmt: skip
        """Draw the front, for one or two `columns` of a page.

        `path` is a folder, for all figures in every format and `front.html`, or a file ending in
        .png, .svg or .pdf, for the projections alone; the files written are returned. Without a
        path, the projections are returned as a figure. Each variant's own front is drawn where it
        is known (`own`), else its share of this one.

        Raises:
          InputError: no designs, one objective, columns other than 1 or 2, another format.
        """
        from dse.plots import fronts, style  # drawing is slow to import and rarely needed

        if columns not in (1, 2):
            raise InputError("columns", columns, "allowed: 1, 2")
        tables, drawn = self.variant_tables(), (title, budgets, self.objectives, columns)
        if path is None:
            return fronts.pairwise(tables, self.table, *drawn)
        path = Path(path)
        kind = path.suffix[1:]
        if path.is_dir() or not kind.isalpha():
            return fronts.draw_front(tables, self.table, path, *drawn)
        check_choice("figure format", kind, style.FORMATS)
        return style.save(
            fronts.pairwise(tables, self.table, *drawn), path.with_suffix(""), (kind,)
        )

    def _minimised_logs(self) -> Floats:
        return self._corner({o.column: self.table[o.column].to_numpy() for o in self.objectives}).T

    def _corner(self, values: Mapping[str, ArrayLike]) -> Floats:
        logs = []
        for objective in self.objectives:
            value = np.asarray(values.get(objective.column, np.nan), dtype=np.float64)
            if not (np.isfinite(value) & (value > 0)).all():
                raise InputError(objective.column, value, "allowed: finite and above 0")
            logs.append(np.log10(value) * (-1.0 if objective.maximise else 1.0))
        return np.array(logs)


def plain(row: pd.Series) -> dict[str, object]:
    """A row as plain values; parameters of other variants left out."""
    return {k: v.item() if hasattr(v, "item") else v for k, v in row.dropna().items()}
