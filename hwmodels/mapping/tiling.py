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
bytes, which in an exhaustive search never paid for words as wide in DRAM as in the buffer.
Double-buffered means that every tile is held twice, sums included, so that the next one arrives
and the last one leaves behind the arithmetic, as in SCALE-Sim's buffers and a TPU's accumulators
(Jouppi et al., ISCA 2017).

Five candidates, ranked by DRAM bytes. Sums of x by y leave no room beyond y = fit(x) = (C - word x)
/ (4 x + word). An operand of F bytes is read once for each tile along M, one of E bytes for each
along N, so that without rounding Tm / Tn = c = F M / (E N) is best, square for equal words. Let A
be M and B be N if c < 1, the other way round if c > 1, and A the shorter one if c = 1:

* sums of that shape: Ta is the floor of the real side, Tb fills the buffer, yet at most to where
  Ta takes its next step (2 x 2, 2 x 3, 3 x 3);
* one tile along B, i.e. one operand is read once; along A as much as fits of sums or of that
  operand, K long, whichever is more;
* one tile along A, likewise;
* two tiles along A: sums of ceil(A / 2) by fit(ceil(A / 2));
* tiles of two along A: sums of 2 by fit(2).

Rounding costs most where there are few tiles, or few elements in one: hence the last four. No
smaller set that we tried is within 20% of the optimum everywhere.

No side of a candidate shrinks as C grows (c does not depend on it), so no candidate's bytes grow,
and one that fits stays; hence neither does their minimum grow. Nor does the time max(compute,
bytes / bandwidth) grow with bandwidth, of which the choice is independent. (Rejected: sides
snapped to even shares of A, as the other side then shrinks; the least energy x delay.) 1 x 1 x 1
is taken to fit always.

Validity: `python -m experiments.tiling_gap` compares with an exhaustive search: never below it,
equal in 95% of cases, at worst 17% above (words wider in DRAM than in the buffer: 42% at twice
the width, 84% at four times). Sizes are whole numbers below 2^24; C is met to float32's rounding,
exactly below 8 MB. Left out: tiles of several batches at once; halos of convolutions (an operand's
unique bytes are charged per pass); sums that leave and come back.
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
    whole: tuple[Any, Any],
    away: tuple[Any, Any],
    word: float,
    capacity: Any,
    relax: Relax,
    *,
    double_buffered: bool = False,
) -> tuple[Any, Any]:
    """How often the left and right operands cross the DRAM interface; the result crosses once.

    Args:
      m, n, k: sizes of one product.
      whole: bytes of the left and of the right operand, which set the shape of tiles.
      away: the part of them that one pass moves over the DRAM interface; ranks candidates. Bytes
        that residency saves must be left out already: the minimum over candidates then never
        grows with capacity, neither through larger tiles nor through larger residency.
      word: bytes of an operand element in the buffer.
      capacity: bytes of the buffer that hold tiles.
      double_buffered: every tile is held twice.
    """
    if double_buffered:
        capacity = 0.5 * capacity

    left, right = (jnp.maximum(size, 1.0) for size in whole)
    shape = right * m / (left * n)  # best Tm / Tn; equal words make it 1, but for rounding
    wide = jnp.where(jnp.abs(shape - 1.0) < 1e-3, m <= n, shape < 1.0)
    short, long = jnp.where(wide, m, n), jnp.where(wide, n, m)

    def by_side(of_left: Any, of_right: Any) -> tuple[Any, Any]:
        """What goes with tiles along `short` and along `long`; its own inverse.

        Each tile along N reads the left operand once, each along M the right one.
        """
        return jnp.where(wide, of_right, of_left), jnp.where(wide, of_left, of_right)

    def fit(side: Any) -> Any:
        return (capacity - word * side) / (ACCUMULATOR_BYTES * side + word)

    def need(side: Any) -> Any:
        """Bytes of side x 1 sums and their slices of the operands: fit(side) = 1."""
        return ACCUMULATOR_BYTES * side + word * (side + 1.0)

    def tiles(size: Any, side: Any) -> Any:
        return relax.ceil_div(size, jnp.maximum(relax.floor(side), 1.0))

    # Sums of x by y fit where (x + bias) (y + bias) <= capacity / 4 + bias^2.
    bias = word / ACCUMULATOR_BYTES
    slant = jnp.where(wide, 1.0 / shape, shape)  # best Tb / Ta
    real = jnp.sqrt((capacity / ACCUMULATOR_BYTES + bias**2) * (1.0 / slant)) - bias
    first = relax.floor(jnp.maximum(real, 1.0))
    # Bounds of the second side: the real one now, which fits by definition (rounding must not
    # take away what the step of `first` promised), and at the next step of `first`.
    now = jnp.where(real >= 1.0, (first + bias) * slant - bias, 1.0)
    second = jnp.clip(fit(first), now, (first + (1.0 + bias)) * slant - bias)

    lines = (capacity - word * k) / (word * k + ACCUMULATOR_BYTES)
    line = 2.0 * word * k + ACCUMULATOR_BYTES
    half = relax.ceil_div(short, 2.0)
    candidates = (
        (tiles(short, first), tiles(long, second)),
        (tiles(short, jnp.maximum(lines, fit(long))), 1.0),
        (1.0, tiles(long, jnp.maximum(lines, fit(short)))),
        (jnp.minimum(short, 2.0), tiles(long, fit(half))),
        (half, tiles(long, fit(2.0))),
    )
    available = (
        1.0,
        relax.step(jnp.minimum(line, need(long)), capacity),
        relax.step(jnp.minimum(line, need(short)), capacity),
        relax.step(need(half), capacity),
        relax.step(need(2.0), capacity),
    )
    # One byte more, so that ranks stay positive when both operands are resident.
    away_short, away_long = by_side(*away)
    ranks = [
        (1.0 + of_short * away_short + of_long * away_long) * there
        for (of_short, of_long), there in zip(candidates, available, strict=True)
    ]
    of_short, of_long = relax.choose(ranks, candidates)
    over_left, over_right = by_side(of_short, of_long)
    return over_left, over_right
