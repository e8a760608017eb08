"""The best DRAM-level tiling of a matrix product in closed form.

A buffer of S bytes holds one stationary tile while the other two tensors stream past it:

* output-stationary: a Tm x Tn tile of 4-byte partial sums stays; the left operand is read
  ceil(N / Tn) times, the right one ceil(M / Tm) times, the result is written once. Two shapes:
  Tn = min(N, sqrt(S')), Tm = min(M, S' / Tn), and the same with M and N exchanged.
* weight-stationary: Tn whole columns of the right operand stay (Tk = K); it is read once, the
  left one ceil(N / Tn) times. Input-stationary: Tm whole rows of the left operand stay.

Candidates are ranked by DRAM bytes. Every tile side is the floor of a real side that never
shrinks as S grows, so every candidate's bytes, and their minimum, never grow with capacity. A
candidate of which not even one row or column fits is unavailable; output-stationary 1 x 1
always fits. Left out: sharing the buffer among several operations' tiles, halos of convolutions
(an operand's unique bytes are charged per pass).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hwmodels.parts.mac import ACCUMULATOR_BYTES
from hwmodels.relax import Relax


def dram_passes(
    m: Any,
    n: Any,
    k: Any,
    once: tuple[Any, Any],
    word: float,
    capacity: Any,
    relax: Relax,
) -> tuple[Any, Any]:
    """How often the left and right operands cross the DRAM interface; the result crosses once.

    Args:
      m, n, k: sizes of one product.
      once: DRAM bytes of one pass over the left and the right operand (what ranks candidates).
        Bytes that residency saves must be left out already: the minimum over candidates then
        never grows with capacity, neither through larger tiles nor through larger residency.
      word: bytes of an operand element in the buffer.
      capacity: bytes of the buffer that hold the stationary tile.
    """
    sums = jnp.maximum(capacity / ACCUMULATOR_BYTES, 1.0)
    side = jnp.sqrt(sums)
    words = capacity / word

    def passes(size: Any, tile: Any) -> Any:
        return relax.ceil_div(size, jnp.maximum(relax.floor(tile), 1.0))

    wide = jnp.minimum(n, side)
    tall = jnp.minimum(m, side)
    one = jnp.ones_like(wide)
    line = relax.step(k, words)
    candidates = (
        (passes(n, wide), passes(m, jnp.minimum(m, sums / wide))),
        (passes(n, jnp.minimum(n, sums / tall)), passes(m, tall)),
        (passes(n, jnp.minimum(n, words / k)), one),
        (one, passes(m, jnp.minimum(m, words / k))),
    )
    # One byte more, so that ranks stay positive when both operands are resident.
    ranks = [
        (1.0 + left * once[0] + right * once[1]) * fits
        for (left, right), fits in zip(candidates, (1.0, 1.0, line, line), strict=True)
    ]
    left, right = relax.choose(ranks, candidates)
    return left, right
