"""The best DRAM-level tiling of a matrix product in closed form, cheap enough for sweeps.

The left operand I (M x K, `word` bytes an element), the right one W (K x N) and the result O
(M x N sums of 4 bytes) pass through a buffer of C bytes in tiles of Tm, Tn and Tk; the tile that
the innermost loop over tiles leaves in place is stationary. Tiles share the buffer,

    word (Tm Tk + Tk Tn) + 4 Tm Tn <= C      (C / 2 if double-buffered)

and DRAM moves the operands as often as

    output-stationary   I ceil(N / Tn) times, W ceil(M / Tm) times; best Tk = 1
    weight-stationary   I ceil(N / Tn) times, W once; best Tm = 1
    input-stationary    I once, W ceil(M / Tm) times; best Tn = 1

The result is written once: the last two keep K whole, as sums that leave and come back cost 8
bytes and never paid against output-stationary tiles in an exhaustive search. Double-buffered
means that every tile is held twice, sums included, so that the next one arrives and the last one
leaves behind the arithmetic, as in SCALE-Sim's buffers and a TPU's accumulators (Jouppi et al.,
ISCA 2017).

Six candidates, ranked by DRAM bytes. With fit(t) = (C - word t) / (4 t + word), the longest other
side of sums beside a side t:

* almost square sums, s x min(fit(s), s + 1) and the same turned, s = floor of the root of
  4 s^2 + 2 word s = C: as C grows they go 2 x 2, 2 x 3, 3 x 3;
* I once: as many rows as fit, of sums (N wide) or of I itself (K long), whichever is more;
  and W once, likewise with columns;
* I twice: sums ceil(N / 2) wide, as many rows as fit; and W twice.

Sides never shrink as C grows, so no candidate's bytes grow, and one that fits stays. Neither does
their minimum then, nor the time max(compute, bytes / bandwidth) with bandwidth: the choice does
not depend on it. (Rejected: sides snapped to even shares, whose other side shrinks; the least
energy x delay.) 1 x 1 x 1 is taken to fit always.

Validity: `python -m experiments.tiling_gap` compares with an exhaustive search. Sizes are whole
numbers below 2^24; C is met to float32's rounding, exactly below 8 MB. Left out: one buffer for
several batches' tiles; halos of convolutions (an operand's unique bytes are charged per pass);
shapes for unequal bytes an element in DRAM (tiles are square in elements).
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
    *,
    double_buffered: bool = False,
) -> tuple[Any, Any]:
    """How often the left and right operands cross the DRAM interface; the result crosses once.

    Args:
      m, n, k: sizes of one product.
      once: DRAM bytes of one pass over the left and the right operand (what ranks candidates).
        Bytes that residency saves must be left out already: the minimum over candidates then
        never grows with capacity, neither through larger tiles nor through larger residency.
      word: bytes of an operand element in the buffer.
      capacity: bytes of the buffer that hold tiles.
      double_buffered: every tile is held twice.
    """
    if double_buffered:
        capacity = 0.5 * capacity

    def fit(side: Any) -> Any:
        return (capacity - word * side) / (ACCUMULATOR_BYTES * side + word)

    def fits(side: Any) -> Any:
        """Bytes of sums one wide along `side`, with their slices of the operands."""
        return ACCUMULATOR_BYTES * side + word * (side + 1.0)

    def passes(size: Any, tile: Any) -> Any:
        return relax.ceil_div(size, jnp.maximum(relax.floor(tile), 1.0))

    root = jnp.sqrt(capacity / ACCUMULATOR_BYTES + (word / (2 * ACCUMULATOR_BYTES)) ** 2)
    short = relax.floor(jnp.maximum(root - word / (2 * ACCUMULATOR_BYTES), 1.0))
    long = jnp.clip(fit(short), short, short + 1.0)
    lines = (capacity - word * k) / (word * k + ACCUMULATOR_BYTES)
    line = 2.0 * word * k + ACCUMULATOR_BYTES
    half_m, half_n = relax.ceil_div(m, 2.0), relax.ceil_div(n, 2.0)
    one = jnp.ones_like(root)
    candidates = (
        (passes(n, short), passes(m, long)),
        (passes(n, long), passes(m, short)),
        (one, passes(m, jnp.maximum(lines, fit(n)))),
        (passes(n, jnp.maximum(lines, fit(m))), one),
        (jnp.minimum(n, 2.0), passes(m, fit(half_n))),
        (passes(n, fit(half_m)), jnp.minimum(m, 2.0)),
    )
    smallest = (
        jnp.minimum(line, fits(n)), jnp.minimum(line, fits(m)), fits(half_n), fits(half_m)
    )  # fmt: skip
    available = (1.0, 1.0, *(relax.step(need, capacity) for need in smallest))
    # One byte more, so that ranks stay positive when both operands are resident.
    ranks = [
        (1.0 + left * once[0] + right * once[1]) * there
        for (left, right), there in zip(candidates, available, strict=True)
    ]
    left, right = relax.choose(ranks, candidates)
    return left, right
