"""The closed-form tiling: by hand, monotone in capacity, never below an exhaustive search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import Relax
from hwmodels.mapping.tiling import dram_passes

EXACT = Relax()


def passes(m, n, k, capacity, once=None, word=2.0):
    m, n, k, capacity = (jnp.float32(x) for x in (m, n, k, capacity))
    once = (m * k * word, k * n * word) if once is None else tuple(jnp.float32(x) for x in once)
    left, right = dram_passes(m, n, k, once, word, capacity, EXACT)
    return np.asarray(left), np.asarray(right)


@pytest.mark.parametrize(
    ("m", "n", "k", "capacity", "expected"),
    [
        # 1 x 1 partial sum only, no line of 5 fits 7 bytes: left read 11 times, right 13 times.
        (13, 11, 5, 7, (11, 13)),
        # 4 x 4 sums (64 B): ceil(11/4) = 3 and ceil(13/4) = 4, i.e. 3 x 130 + 4 x 110 = 830 B;
        # weight-stationary, 32 words hold 6 columns: left 2 passes, right 1: 370 B.
        (13, 11, 5, 64, (2, 1)),
        # A long reduction, 1000: no line fits 400 B. 100 sums, 10 x 10: 7 x 3 and 7 x 11.
        (70, 30, 1000, 400, (3, 7)),
        # 12 B, 3 sums as 1.73 x 1.73 -> 1 x 1; tall m = 1: 1 x 3 -> ceil(7/3) = 3 and 1.
        (1, 7, 100, 12, (3, 1)),
        # All of the left operand stays (14 words): one pass each.
        (2, 50, 7, 28, (1, 1)),
    ],
)
def test_by_hand(m, n, k, capacity, expected):
    assert tuple(float(x) for x in passes(m, n, k, capacity)) == expected


def test_one_pass_when_one_operand_or_the_result_fits():
    rng = np.random.default_rng(0)
    m, n, k = np.exp(rng.uniform(0, 9, (3, 20000))).round()
    smallest = np.minimum(np.minimum(2 * m * k, 2 * k * n), 4 * m * n)
    left, right = passes(m, n, k, smallest)
    np.testing.assert_array_equal(left, 1)
    np.testing.assert_array_equal(right, 1)


def test_bytes_never_grow_with_capacity():
    rng = np.random.default_rng(1)
    count = 200_000
    m, n, k = np.exp(rng.uniform(0, 10, (3, count))).round()
    small = np.exp(rng.uniform(1, 20, count)).round()
    large = np.where(rng.random(count) < 0.5, small + 4, small * np.exp(rng.uniform(0, 3, count)))
    # What one pass moves: operands of any residency, in the larger memory no less resident.
    share = rng.random((2, count)) * (rng.random((2, count)) < 0.8)
    once = np.stack([m * k * 2, k * n * 2]) * share
    kept = rng.random((2, count))
    before = sum(p * b for p, b in zip(passes(m, n, k, small, once), once, strict=True))
    after = sum(
        p * b for p, b in zip(passes(m, n, k, large, once * kept), once * kept, strict=True)
    )
    assert np.all(after <= before * (1 + 1e-6) + 8)  # ranks carry one byte more, in float32
    assert np.all(before >= once.sum(axis=0) * (1 - 1e-6))


def test_residency_takes_part_in_the_ranking():
    # 100 sums: tall 10 x 10 everywhere; k = 1000, no line fits. m = 5, n = 90: wide is
    # 10 x min(5, 10): left ceil(90/10) = 9, right 1; tall: rows 5, columns 20: left 5, right 1.
    assert passes(5, 90, 1000, 400) == (5, 1)
    # Lines fit (k = 10, 200 words = 20 lines), m = n = 30, 7 x 14 sums at best:
    # the left operand resident (no DRAM bytes): only the right one's passes matter.
    assert passes(30, 30, 10, 400, once=(0, 600))[1] == 1
    assert passes(30, 30, 10, 400, once=(600, 0))[0] == 1
    # Both resident: finite, any passes.
    assert np.isfinite(passes(30, 30, 10, 400, once=(0, 0))).all()


def exhaustive(m, n, k, capacity, word=2):
    """Fewest operand bytes over every integer tile of the three stationary orders."""
    sides = np.arange(1, max(m, n, 2) + 1)
    tm, tn = sides[sides <= m][:, None], sides[sides <= n][None, :]
    cost = -(-n // tn) * m * k * word + -(-m // tm) * k * n * word
    best = np.where((tm * tn * 4 <= capacity) | ((tm == 1) & (tn == 1)), cost, np.inf).min()
    columns, rows = capacity // (word * k), capacity // (word * k)
    if columns >= 1:
        best = min(best, -(-n // min(n, columns)) * m * k * word + k * n * word)
        best = min(best, -(-m // min(m, rows)) * k * n * word + m * k * word)
    return best


def test_never_below_the_exhaustive_optimum_and_close_to_it():
    rng = np.random.default_rng(2)
    m, n, k = np.exp(rng.uniform(0, 5, (3, 1500))).round().astype(int)
    capacity = np.exp(rng.uniform(2, 10, 1500)).round().astype(int)
    left, right = passes(m, n, k, capacity)
    got = left * (m * k * 2) + right * (k * n * 2)
    best = np.asarray([exhaustive(*case) for case in zip(m, n, k, capacity, strict=True)])
    ratio = got / best
    assert ratio.min() >= 1 - 1e-6
    assert (ratio < 1 + 1e-6).mean() > 0.8
    assert ratio.max() <= 1.5 + 1e-6  # in buffers of three words
    assert ratio[capacity >= 4096].max() < 1.05


def test_smooth_mode_has_finite_slopes_even_when_all_is_resident():
    relax = Relax(mode="smooth")

    def total(m, capacity, once):
        left, right = dram_passes(m, 30.0, 17.0, (once, once), 2.0, capacity, relax)
        return left + right

    for once in (0.0, 300.0):
        for capacity in (4.0, 400.0, 1e9):
            slopes = jax.grad(total, (0, 1, 2))(jnp.float32(23.0), capacity, once)
            assert np.isfinite(slopes).all()
