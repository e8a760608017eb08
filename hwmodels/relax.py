"""The only place with gradient tricks: exact forward values, useful derivatives.

`straight_through` (the default): forward values are exact, bit for bit; a ceiling, which has
derivative zero almost everywhere, hands on the derivative of its relaxation max(1, a/b)
instead, and a floor that of the identity.

`smooth`: every ceiling, maximum and choice is replaced by an algebraic blend (square roots only:
they cost little to compile and to run) of relative width 1 / `sharpness`, so that the gradient is
the derivative of the value that is computed; a search raises `sharpness` as it goes. With
e = 1 / sharpness, max(a, b) becomes (a + b + sqrt((a - b)^2 + e^2 (a + b)^2)) / 2, which scales
with its arguments and never lies below either. A fold count relaxes to the blend of 1 and a/b,
so hardware larger than the operation gains nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

MODES = ("straight_through", "smooth")
UNAVAILABLE = 1e15  # factor on the rank of a candidate that does not fit; finite, so 0 * it = 0
# Added under a blend's root, where both arguments may be 0 (no backward phase, no bytes) and the
# root's slope would be infinite: 1e-18 in absolute terms, below any time, byte or rank.
TINY = 1e-36


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["sharpness"], meta_fields=["mode"]
)
@dataclass(frozen=True)
class Relax:
    """How ceilings, maxima and choices are computed: `mode` is static, `sharpness` a leaf."""

    mode: str = "straight_through"
    sharpness: Any = field(default=16.0)

    @property
    def smooth(self) -> bool:
        """True in smooth mode."""
        return self.mode == "smooth"

    def ceil_div(self, a: Any, b: Any) -> Any:
        """ceil(a / b), at least 1, for positive integers below 2^24 (exact in float32)."""
        if self.smooth:
            return self._blend(1.0, a / b)
        return _ceil_div(a, b)

    def floor(self, x: Any) -> Any:
        """Largest integer not above x; smooth mode keeps x."""
        return x if self.smooth else _floor(x)

    def maximum(self, *values: Any) -> Any:
        """Largest of non-negative values."""
        return functools.reduce(self._blend if self.smooth else jnp.maximum, values)

    def minimum(self, *values: Any) -> Any:
        """Smallest of positive values."""
        if self.smooth:
            return 1.0 / functools.reduce(self._blend, [1.0 / value for value in values])
        return functools.reduce(jnp.minimum, values)

    def step(self, need: Any, have: Any) -> Any:
        """1 where need <= have, else `UNAVAILABLE`; smooth mode charges a steep power instead."""
        if self.smooth:
            return self._blend(1.0, need / have) ** 8
        return jnp.where(need <= have, 1.0, UNAVAILABLE)

    def gate(self, margin: Any) -> Any:
        """1 where margin >= 0, else 0; smooth mode passes from one to the other gradually."""
        if self.smooth:
            return 0.5 * (1.0 + margin / jnp.sqrt(margin**2 + self.sharpness**-2))
        return jnp.where(margin >= 0, 1.0, 0.0)

    def choose(self, ranks: Sequence[Any], candidates: Sequence[Sequence[Any]]) -> list[Any]:
        """The candidate (a row of numbers) of smallest rank, ranks positive; blended if smooth."""
        best_rank, best = ranks[0], list(candidates[0])
        for rank, candidate in zip(ranks[1:], candidates[1:], strict=True):
            if self.smooth:
                lead = (best_rank - rank) / (best_rank + rank)
                share = 0.5 * (1.0 + lead / jnp.sqrt(lead**2 + self.sharpness**-2))
                best = [old + share * (new - old) for new, old in zip(candidate, best, strict=True)]
                best_rank = self.minimum(rank, best_rank)
                continue
            better = rank < best_rank
            best = [jnp.where(better, new, old) for new, old in zip(candidate, best, strict=True)]
            best_rank = jnp.where(better, rank, best_rank)
        return best

    def _blend(self, a: Any, b: Any) -> Any:
        total, gap = a + b, a - b
        width = total / self.sharpness
        return 0.5 * (total + jnp.sqrt(gap * gap + width * width + TINY))


EXACT = Relax()


def round_up(x: Any, block: Any) -> Any:
    """The multiple of `block` at or above x; hands on x's gradient. Floats stay floats."""
    rest = -x % block
    return x + (jax.lax.stop_gradient(rest) if isinstance(rest, jax.Array) else rest)


def largest(*values: Any) -> Any:
    """Elementwise maximum that leaves floats and NumPy arrays in NumPy."""
    maximum = jnp.maximum if any(isinstance(v, jax.Array) for v in values) else np.maximum
    return functools.reduce(maximum, values)


def _exact_ceil_div(a: Any, b: Any) -> Any:
    # Plain ceil(a / b) is wrong where the quotient of an exact multiple rounds up.
    q = jnp.round(a / b)
    return jnp.maximum(q + (q * b < a), 1.0)


def _ceil_div(a: Any, b: Any) -> Any:
    return _exact_ceil_div(a, b) + _slope_of(jnp.where(a > b, a / b, 1.0))


def _floor(x: Any) -> Any:
    return jnp.floor(x) + _slope_of(x)


def _slope_of(x: Any) -> Any:
    """0, with the derivative of `x`."""
    return x - jax.lax.stop_gradient(x)
