"""The closed-form tiling: by hand, monotone, cheap, with useful gradients."""

import dataclasses
import functools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dse.program import unroll
from hwmodels import VARIANTS, Relax
from hwmodels.accelerators.rates import prepare
from hwmodels.accelerators.work import contraction_work
from hwmodels.mapping.tiling import dram_passes
from hwmodels.quantity import quantities
from hwmodels.relax import EXACT
from hwmodels.workloads.numeric import Contractions, Totals

MILLION = 1_000_000


@functools.partial(jax.jit, static_argnames="double_buffered")
def passes(m, n, k, capacity, word=2.0, whole=None, away=None, double_buffered=False):
    m, n, k, capacity = (jnp.asarray(x, jnp.float32) for x in (m, n, k, capacity))
    whole = (word * m * k, word * k * n) if whole is None else whole
    away = whole if away is None else away
    return dram_passes(
        m, n, k, whole, away, word, capacity, EXACT, double_buffered=double_buffered
    )  # fmt: skip


def log_uniform(rng, most, count=MILLION):
    return np.exp(rng.uniform(0, np.log(most), count)).round().astype(np.float32)


@pytest.mark.parametrize(
    ("m", "n", "k", "capacity", "expected"),
    [
        # The smallest tile, 1 x 1 x 1 (8 B): left read 11 times, right 13 times; below, likewise.
        (13, 11, 5, 8, (11, 13)),
        (13, 11, 5, 7, (11, 13)),
        # 64 B. Sums 3 along N, 4 along M (48 B + 14): 4 x 130 + 4 x 110 = 960 B. Three columns of
        # W (30) beside a row (10) and 3 sums (12): left 4, right once, 630 B; three rows of I: left
        # once, right 5: 680 B.
        (13, 11, 5, 64, (4, 1)),
        # K = 1000: no line fits. 9 x 10 sums (360 + 38 of 400 B): ceil(30/9), ceil(70/10).
        (70, 30, 1000, 400, (4, 7)),
        # 24 B hold 2 x 2 sums (16 + 8) exactly; 23 B 1 x 2: the longer side along M.
        (101, 99, 50, 24, (50, 51)),
        (101, 99, 50, 23, (99, 51)),
        # 50 B: both rows of I (28), a column (14) and two sums (8). With 49, 2 x 4 sums: 13 and 1.
        (2, 50, 7, 50, (1, 1)),
        (2, 50, 7, 49, (13, 1)),
        # 8 x 8 sums would read left 3 times, right 13 times; two tiles of 10 along N by 6 rows
        # (240 + 32 of 300 B) twice and 17 times: 2 x 100 + 17 x 20 < 3 x 100 + 13 x 20.
        (100, 20, 1000, 300, (2, 17)),
    ],
)
def test_by_hand(m, n, k, capacity, expected):
    assert tuple(float(x) for x in passes(m, n, k, capacity)) == expected
    twice = passes(m, n, k, 2 * capacity, double_buffered=True)
    assert tuple(float(x) for x in twice) == expected


def test_tiles_lean_towards_the_operand_that_costs_more():
    # The right operand has 4 bytes in DRAM, the left 2: Tm / Tn = 2 is best. Of 100.25 / 2 the root
    # is 7.08, less 0.5: 6 columns; 13 or 14 rows (400 - 12) / 26, at the next step 14.5.
    whole = (2e5, 4e5)
    assert passes(100, 100, 1000, 400, whole=whole) == (17, 8)
    assert passes(100, 100, 1000, 400, whole=whole[::-1]) == (8, 17)
    # Resident operands rank by what is left, and both resident is finite.
    assert passes(30, 30, 10, 400, away=(0.0, 600.0))[1] == 1
    assert passes(30, 30, 10, 400, away=(600.0, 0.0))[0] == 1
    assert np.isfinite(passes(30, 30, 10, 400, away=(0.0, 0.0))).all()


def test_one_pass_when_one_operand_or_the_result_fits():
    rng = np.random.default_rng(0)
    m, n, k = (log_uniform(rng, 2000, 20000) for _ in range(3))
    ways = (4 * m * n + 2 * (m + n), 2 * (m * k + k) + 4 * m, 2 * (k * n + k) + 4 * n)
    smallest = np.minimum.reduce(ways)
    fits = smallest < 2**23  # float32 has every byte of it
    for over in passes(m, n, k, smallest):
        np.testing.assert_array_equal(np.asarray(over)[fits], 1)


@pytest.mark.parametrize("double_buffered", [False, True])
def test_bytes_never_grow_with_capacity(double_buffered):
    """Ranked by bytes, 10^6 random cases: sizes, widths, shares of residency, a byte or more."""
    rng = np.random.default_rng(1)
    m, n, k = (log_uniform(rng, 20000) for _ in range(3))
    word = rng.choice(np.float32([1, 2, 4]), MILLION)
    small = np.exp(rng.uniform(1, 20, MILLION)).astype(np.float32)
    large = small * np.exp(rng.uniform(0, 3, MILLION))
    large = np.where(rng.random(MILLION) < 0.5, small + rng.integers(1, 9, MILLION), large)
    whole = np.float32([m * k, k * n]) * rng.choice(np.float32([0.2, 1, 2, 4]), (2, MILLION))
    # What one pass moves: in the larger memory no less is resident.
    share = rng.random((2, MILLION)) * (rng.random((2, MILLION)) < 0.8)
    away = (whole * share).astype(np.float32)
    kept = (away * np.where(rng.random(MILLION) < 0.5, 1.0, rng.random((2, MILLION)))).astype("f4")

    def moved(capacity, away):
        over = passes(m, n, k, capacity, word, whole, away, double_buffered)
        return sum(np.float64(p) * b for p, b in zip(over, away, strict=True))

    before, after = moved(small, away), moved(large, kept)
    assert np.all(after <= before * (1 + 1e-6) + 1)  # ranks carry one byte more, in float32
    assert np.all(before >= away.sum(axis=0) * (1 - 1e-6))


def chips(variant, rng):
    """A million designs over every number's declared range, without a cap on power."""
    values = {"tdp": np.full(MILLION, 1e15, np.float32)}
    cls = VARIANTS[variant]
    for name, q in quantities(cls).items():
        low = max(q.low, 1e-3 * q.high)
        values[name] = np.exp(rng.uniform(np.log(low), np.log(q.high), MILLION)).astype(np.float32)
    tdp = values.pop("tdp")
    return dataclasses.replace(cls().replace(**values), tdp=tdp)


def scaled(chip, part, field, factor):
    old = getattr(chip, part)
    return dataclasses.replace(
        chip, **{part: dataclasses.replace(old, **{field: getattr(old, field) * factor})}
    )


@pytest.mark.parametrize("variant", [name for name, cls in VARIANTS.items() if cls.HAS_DRAM])
def test_no_variant_is_slower_with_bandwidth_nor_moves_more_with_capacity(variant):
    """A million designs, each with its own contraction: time ranked by time (the variants' own
    mappings) and by bytes (the tiling) against the bandwidth of buffer and DRAM; DRAM bytes
    against capacity, residency included."""
    rng = np.random.default_rng(2)
    sizes = np.stack([log_uniform(rng, most) for most in (50, 20000, 20000, 20000)])
    roles = rng.integers(0, 5, (2, MILLION))
    factors = np.exp(rng.uniform(0, 4, (2, MILLION))).astype(np.float32)

    @jax.jit
    @jax.vmap
    def run(chip, sizes, roles, factors):
        batch, m, n, k = sizes
        elements = (batch * m * k, batch * k * n)
        by_role = [
            tuple(jnp.where(role == i, 4.0 * size, 0.0) for i in range(5))
            for role, size in zip(roles, elements, strict=True)
        ]
        result = (*[0.0] * 3, 4.0 * batch * m * n, 0.0)
        every = 4.0 * (sum(elements) + batch * m * n)
        one = jnp.ones(())
        op = Contractions(
            one, one, batch, m, n, k, *by_role, result, 0.0 * one, every, m * n, 0.0 * one,
            one, one, weight=one, error=0.0 * one, kept=0.0 * one,
        )  # fmt: skip
        stored = jnp.stack([a + b for a, b in zip(*by_role, strict=True)][:4])
        ahead = jnp.cumsum(stored) - stored
        totals = Totals(one, one, stored, ahead, one, one, cut_bytes=0.0 * one)

        def work(chip):
            rates = prepare(chip, totals, EXACT, runtime="none", residency="warm")
            return contraction_work(chip, rates, op, EXACT)

        return (
            work(chip),
            work(scaled(chip, "sram", "bandwidth", factors[0])),
            work(scaled(chip, "dram", "bandwidth", factors[0])),
            work(scaled(chip, "sram", "capacity", factors[1])),
        )

    base, wider, faster, larger = jax.tree.map(
        np.asarray, run(chips(variant, rng), sizes.T, roles.T, factors.T)
    )
    assert np.isfinite(base.busy).all()
    assert np.all(wider.busy <= base.busy * (1 + 2e-6))
    assert np.all(faster.busy <= base.busy * (1 + 2e-6))
    assert np.all(larger.dram_bytes <= base.dram_bytes * (1 + 2e-6) + 8)
    assert (faster.busy < 0.99 * base.busy).mean() > 0.1  # bandwidth matters in these cases
    assert (larger.dram_bytes < 0.99 * base.dram_bytes).mean() > 0.1


def test_cheap_enough_for_sweeps():
    """Arithmetic of the exact scalar model as a program: at most 150 calls, some 100 where the
    operation's sizes are known and only residency and capacity depend on the design."""

    def whole(*numbers):
        m, n, k, *rest = numbers
        return dram_passes(m, n, k, rest[:2], rest[2:4], 2.0, rest[4], EXACT)

    def known(*numbers):
        return whole(256.0, 784.0, 128.0, 4.0e5, 2.0e5, *numbers)

    arithmetic = {"add", "sub", "mul", "div", "sqrt", "max", "min", "abs", "floor", "round", "ceil"}
    choices = {"lt", "le", "gt", "ge", "select_n", "convert_element_type"}
    for function, inputs, most in ((whole, 8, 150), (known, 3, 105)):
        found = Counter(call.name for call in unroll(function, *[jnp.float32(1.0)] * inputs).calls)
        assert sum(found[name] for name in arithmetic) <= most
        assert found.keys() - arithmetic <= choices


def traffic(logs, relax, word=2.0):
    """Log of operand bytes by the logs of m, n, k, capacity."""
    m, n, k, capacity = jnp.exp(logs)
    whole = word * m * k, word * k * n
    over = dram_passes(m, n, k, whole, whole, word, capacity, relax, double_buffered=True)
    return jnp.log(over[0] * whole[0] + over[1] * whole[1])


def points(count=4000):
    rng = np.random.default_rng(8)
    logs = rng.uniform(np.log(2), np.log(4000), (count, 4))
    return np.concatenate([logs[:, :3], rng.uniform(np.log(32), np.log(2**22), (count, 1))], axis=1)


def test_straight_through_is_exact_and_points_downhill():
    logs = np.log(np.exp(points()).round())
    with jax.enable_x64(True):
        exact = jax.jit(jax.vmap(lambda x: traffic(x, EXACT)))
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(lambda x: traffic(x, EXACT))))(logs)
        np.testing.assert_array_equal(value, exact(logs))
        wide = 1.0  # a factor of e each way, over many steps of the exact function
        up, down = (exact(logs + np.eye(4)[3] * sign * wide) for sign in (1, -1))
    slope, difference = np.asarray(slope)[:, 3], np.asarray(up - down) / (2 * wide)
    assert np.isfinite(slope).all()
    assert slope.max() <= 1e-6
    assert slope.mean() == pytest.approx(difference.mean(), rel=0.25)
    assert np.corrcoef(slope, difference)[0, 1] > 0.8
    # Bit for bit in float32 too.
    few = np.float32(logs)
    value, _ = jax.vmap(jax.value_and_grad(lambda x: traffic(x, EXACT)))(few)
    np.testing.assert_array_equal(value, jax.vmap(lambda x: traffic(x, EXACT))(few))


def test_smooth_gradients_are_central_differences():
    relax, h = Relax(mode="smooth", sharpness=8.0), 1e-5
    with jax.enable_x64(True):
        logs = points()
        smooth = jax.jit(jax.vmap(lambda x: traffic(x, relax)))
        slope = np.asarray(jax.jit(jax.vmap(jax.grad(lambda x: traffic(x, relax))))(logs))
        steps = np.eye(4) * h
        difference = np.stack(
            [np.asarray(smooth(logs + d) - smooth(logs - d)) / (2 * h) for d in steps], axis=1
        )
        value, exact = (
            smooth(logs),
            jax.vmap(lambda x: traffic(x, EXACT))(np.log(np.exp(logs).round())),
        )
    error = np.abs(slope - difference) / (1 + np.abs(difference))
    assert np.isfinite(slope).all()
    # Sides below 1, m = n and the like are kinks that a difference may straddle.
    assert np.quantile(error, 0.999) < 1e-6
    assert np.abs(np.asarray(value - exact)).mean() < 0.25


def test_smooth_slopes_are_finite_even_when_all_is_resident():
    relax = Relax(mode="smooth")

    def total(m, capacity, away):
        whole = 2.0 * m * 17.0, 2.0 * 30.0 * 17.0
        over = dram_passes(m, 30.0, 17.0, whole, (away, away), 2.0, capacity, relax)
        return over[0] + over[1]

    for away in (0.0, 300.0):
        for capacity in (4.0, 400.0, 1e9):
            slopes = jax.grad(total, (0, 1, 2))(jnp.float32(23.0), capacity, away)
            assert np.isfinite(slopes).all()
