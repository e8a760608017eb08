"""The streaming archive of a sweep: the exact front of all points seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dse.front import Floats, finite_points, non_dominated
from hwmodels.errors import InputError


class Survivors(NamedTuple):
    """What an `Archive` holds, ascending by design index."""

    indices: NDArray[np.int64]  # [m]
    points: Floats  # [m, d], minimised
    payload: dict[str, NDArray]  # each [m, ...]


class Archive:
    """The front of a stream of points, all objectives minimised; memory grows with the front only.

    Chunks wait in a buffer that is merged when it outgrows the front (or 4,096 rows), so a point
    costs O(log n) amortised. The result depends on neither chunking nor order.

    With `epsilon` above 0 the front is approximate: the space of the objectives' logarithms is cut
    into boxes whose sides are factors of 1 + epsilon, and one design stays in each box that no
    other dominates: the one with the smallest sum of logarithms. Every design is then matched by
    one that is at most 1 + epsilon times worse on every axis (Laumanns et al., 2002).
    """

    _BUFFER, _SAMPLE, _CANDIDATES, _GREEDY = 4096, 2048, 384, 64

    def __init__(self, dimensions: int = 3, epsilon: float = 0.0) -> None:
        self.epsilon = epsilon
        empty = np.empty((0, dimensions))
        self._held = Survivors(np.empty(0, np.int64), empty, {})
        self._waiting: list[Survivors] = []
        self._waiting_rows = 0
        self._sample = empty  # of everything ever added: what a filter should drop

    @property
    def dimensions(self) -> int:
        """Objectives."""
        return self._held.points.shape[1]

    def add(
        self, points: ArrayLike, indices: ArrayLike, payload: Mapping[str, ArrayLike] | None = None
    ) -> None:
        """Add `points` [n, d] of the designs `indices` [n], copied.

        `payload` arrays [n, ...] travel with their designs; give the same names every time.
        `InputError` for a wrong shape, NaN or an infinity.
        """
        values, labels = finite_points(points), np.array(indices, dtype=np.int64).reshape(-1)
        if len(values) == 0 and len(labels) == 0:
            return
        columns = {name: np.array(column) for name, column in (payload or {}).items()}
        expected = (len(labels), self._held.points.shape[1])
        if values.shape != expected:
            raise InputError("points", f"shape {values.shape}", f"allowed: {expected}")
        for name, column in columns.items():
            if len(column) != len(labels):
                raise InputError(f"payload {name}", f"{len(column)} rows", f"{len(labels)} rows")
        if self._held.payload and self._held.payload.keys() != columns.keys():
            raise InputError("payload", ", ".join(columns) or "none", "the names given at first")
        room = min(self._SAMPLE - len(self._sample), len(values))
        if room > 0:
            spread = np.linspace(0, len(values) - 1, room).astype(int)
            self._sample = np.concatenate([self._sample, values[spread]])
        self._waiting.append(Survivors(labels, values.copy(), columns))
        self._waiting_rows += len(labels)
        if self._waiting_rows > max(self._BUFFER, len(self._held.indices)):
            self._merge()

    def filter_points(self, k: int) -> Floats:
        """At most `k` points of the archive [<= k, d] that together dominate most of the stream.

        For a sweep to drop points where they are computed. It may drop a point only if a filter
        point is no worse everywhere *and better somewhere*: an equal point must pass, since its
        index may be the smaller one. Chosen greedily, each the one that drops most of what is
        left of a sample of the points added so far, after 64 the largest boxes; the choice affects
        speed only, never the front.
        """
        if len(self._held.indices) == 0:
            self._merge()
        points = self._held.points
        # Rank by axis is a scale that needs no logarithm, whatever the sign and range of an axis.
        ranks = np.argsort(np.argsort(points, axis=0, kind="stable"), axis=0, kind="stable")
        box = np.log1p(len(points) - ranks).sum(axis=1)
        order = np.argsort(-box, kind="stable")
        if len(order) > self._CANDIDATES:  # the best boxes, and a spread over all the others
            half = self._CANDIDATES // 2
            rest = np.linspace(half, len(order) - 1, half).astype(int)
            order = np.concatenate([order[:half], order[rest]])
        points = points[order]
        drops = np.ones((len(points), len(self._sample)), dtype=bool)
        for axis in range(points.shape[1]):
            drops &= points[:, axis, None] <= self._sample[None, :, axis]
        chosen: list[int] = []
        while len(chosen) < min(k, len(points), self._GREEDY):
            counts = np.count_nonzero(drops, axis=1)
            if not counts.any():
                break
            chosen.append(int(np.argmax(counts)))
            drops = drops[:, ~drops[chosen[-1]]]
        others = np.setdiff1d(np.arange(len(points)), chosen)
        return points[np.concatenate([np.array(chosen, int), others])[: max(k, 0)]]

    def finish(self) -> Survivors:
        """The exact front of everything added so far: (indices, points, payload)."""
        self._merge()
        return self._held

    @property
    def size(self) -> int:
        """Points held or waiting: an upper bound of the front, without merging."""
        return len(self._held.indices) + self._waiting_rows

    def __len__(self) -> int:
        return len(self.finish().indices)

    def _merge(self) -> None:
        if not self._waiting:
            return
        parts = [self._held, *self._waiting] if len(self._held.indices) else self._waiting
        names = parts[0].payload.keys()
        if any(part.payload.keys() != names for part in parts):
            raise InputError("payload", "different names", "the names given at first")
        indices = np.concatenate([part.indices for part in parts])
        points = np.concatenate([part.points for part in parts])
        # Ascending index before the filter: "the first of equal rows" is then the smallest index.
        order = np.argsort(indices, kind="stable")
        keep = order[non_dominated(points[order])]
        if self.epsilon:
            keep = keep[_one_a_box(points[keep], self.epsilon)]
        payload = {
            name: np.concatenate([part.payload[name] for part in parts])[keep] for name in names
        }
        self._held = Survivors(indices[keep], points[keep], payload)
        self._waiting, self._waiting_rows = [], 0


def _one_a_box(points: Floats, epsilon: float) -> NDArray[np.bool_]:
    """Mask [n] of the rows [n, d], none 0, that stay in an approximate front; see `Archive`."""
    logs = np.sign(points) * np.log(np.abs(points))
    boxes = np.floor(logs / np.log1p(epsilon))
    best = np.lexsort((np.arange(len(points)), logs.sum(axis=1)))
    kept = np.zeros(len(points), bool)
    kept[best[non_dominated(boxes[best])]] = True  # of equal boxes the first stays
    return kept
