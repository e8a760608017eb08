"""A priced alternative, and the choice among several by time.

An `Option` is one algorithm, or several one after the other, with its terms kept apart;
choices go through `Relax`, so that a breakdown says which was taken, in smooth mode which mixture.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from hwmodels.relax import Relax

SHORTEST_S = 1e-15  # added to a rank: positive where a lone chip pays nothing


class Option(NamedTuple):
    """One algorithm's `latency` [s], `bandwidth` [s], `energy` of a chip [J]; `shares`: name -> 1.

    A mixture, as `smooth` choices are, has shares between 0 and 1.
    """

    latency: Any
    bandwidth: Any
    energy: Any
    shares: dict[str, Any]


def option(name: str, latency: Any, bandwidth: Any, energy: Any) -> Option:
    """An algorithm by name."""
    return Option(latency, bandwidth, energy, {name: 1.0})


def cheapest(options: Sequence[Option], relax: Relax) -> Option:
    """The option of least time."""
    return _choose(options, [o.latency + o.bandwidth + SHORTEST_S for o in options], relax)


def slowest(options: Sequence[Option], relax: Relax) -> Option:
    """The option of most time."""
    times = [o.latency + o.bandwidth + SHORTEST_S for o in options]
    return _choose(options, [SHORTEST_S / time for time in times], relax)


def _choose(options: Sequence[Option], ranks: Sequence[Any], relax: Relax) -> Option:
    if len(options) == 1:
        return options[0]
    names = list(dict.fromkeys(name for o in options for name in o.shares))
    rows = [[*o[:3], *(o.shares.get(name, 0.0) for name in names)] for o in options]
    latency, bandwidth, energy, *shares = relax.choose(ranks, rows)
    return Option(latency, bandwidth, energy, dict(zip(names, shares, strict=True)))


def add(options: Sequence[Option]) -> Option:
    """One after the other."""
    return Option(
        sum(o.latency for o in options),
        sum(o.bandwidth for o in options),
        sum(o.energy for o in options),
        functools.reduce(lambda a, b: {**a, **b}, [o.shares for o in options]),
    )


def scale(o: Option, time: float, energy: Any = None) -> Option:
    """`time` times over."""
    energy = time if energy is None else energy
    return Option(o.latency * time, o.bandwidth * time, o.energy * energy, o.shares)
