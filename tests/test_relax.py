"""Ceilings and choices: exact forward values, and gradients that mean something."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import Relax

EXACT = Relax()
SMOOTH = Relax(mode="smooth", sharpness=7.0)


def test_ceil_div_is_exact_for_integers_below_2_to_24():
    rng = np.random.default_rng(3)
    divisors = np.concatenate([np.arange(1, 301), rng.integers(1, 2**14, 300)])
    quotients = np.concatenate([np.arange(1, 64), rng.integers(1, 2**10, 100)])
    exact = (divisors[:, None] * quotients).ravel()
    b = np.repeat(divisors, quotients.size)
    keep = exact < 2**24 - 1
    exact, b = exact[keep], b[keep]
    # Exact multiples are where the plain ceiling goes wrong in float32, by one.
    for a in (exact, exact + 1, np.maximum(exact - 1, 1)):
        got = np.asarray(EXACT.ceil_div(jnp.float32(a), jnp.float32(b)))
        np.testing.assert_array_equal(got, -(-a // b))


def test_plain_ceiling_would_be_wrong():
    # The reason for `ceil_div`: a product by a rounded reciprocal passes the exact multiple.
    a, b = np.float32(3 * 41), np.float32(41)
    assert np.ceil(a * np.float32(1 / b)) == 4 or np.ceil(a / b) == 3
    assert float(EXACT.ceil_div(a, b)) == 3


@pytest.mark.parametrize(("a", "b", "expected"), [(1, 7, 1), (7, 7, 1), (8, 7, 2), (13, 0.5, 26)])
def test_ceil_div_at_small_cases(a, b, expected):
    assert float(EXACT.ceil_div(jnp.float32(a), jnp.float32(b))) == expected


def test_straight_through_hands_on_the_slope_of_the_relaxed_fold_count():
    slope = jax.grad(EXACT.ceil_div, (0, 1))
    # 23 over 7: 4 folds; relaxed 23/7, so d/da = 1/7 and d/db = -23/49.
    np.testing.assert_allclose(slope(23.0, 7.0), (1 / 7, -23 / 49), rtol=1e-6)
    # Hardware larger than the operation gains nothing.
    np.testing.assert_array_equal(slope(5.0, 7.0), (0.0, 0.0))
    assert jax.grad(EXACT.floor)(3.7) == 1.0


@pytest.mark.parametrize("function", ["ceil_div", "maximum", "minimum"])
def test_straight_through_forward_is_bit_equal_under_differentiation(function):
    rng = np.random.default_rng(11)
    a, b = (jnp.float32(np.exp(rng.uniform(0, 12, 4096))) for _ in range(2))
    call = getattr(EXACT, function)
    value, _ = jax.jvp(call, (a, b), (a, b))
    np.testing.assert_array_equal(value, call(a, b))
    plain = {"maximum": np.maximum, "minimum": np.minimum}.get(function)
    if plain:
        np.testing.assert_array_equal(value, plain(a, b))


def test_smooth_blend_by_hand():
    # e = 1/7, max(3, 1) -> (4 + sqrt(4 + 16/49)) / 2
    expected = (4 + np.sqrt(4 + 16 / 49)) / 2
    np.testing.assert_allclose(SMOOTH.maximum(3.0, 1.0), expected, rtol=1e-6)
    np.testing.assert_allclose(SMOOTH.ceil_div(3.0, 1.0), expected, rtol=1e-6)
    # The minimum is the reciprocal of the largest reciprocal: 1 / max(1/3, 1).
    reciprocal = (4 / 3 + np.sqrt(4 / 9 + 16 / 9 / 49)) / 2
    np.testing.assert_allclose(SMOOTH.minimum(3.0, 1.0), 1 / reciprocal, rtol=1e-6)


def test_smooth_never_flatters_and_sharpens_to_exact():
    rng = np.random.default_rng(4)
    a, b, c = (jnp.float32(np.exp(rng.uniform(-20, 20, 4096))) for _ in range(3))
    assert np.all(SMOOTH.maximum(a, b, c) >= np.maximum(np.maximum(a, b), c) * (1 - 1e-6))
    assert np.all(SMOOTH.minimum(a, b, c) <= np.minimum(np.minimum(a, b), c) * (1 + 1e-6))
    sharp = Relax(mode="smooth", sharpness=1e6)
    np.testing.assert_allclose(sharp.maximum(a, b, c), EXACT.maximum(a, b, c), rtol=3e-6)
    np.testing.assert_allclose(sharp.minimum(a, b, c), EXACT.minimum(a, b, c), rtol=3e-6)


def test_smooth_scales_with_its_arguments():
    one = SMOOTH.maximum(jnp.float32(2.9e-9), jnp.float32(3.1e-9))
    np.testing.assert_allclose(SMOOTH.maximum(2.9e9, 3.1e9), one * 1e18, rtol=1e-5)


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.0), (0.0, 3.0), (2.0, 2.0)])
def test_smooth_slopes_are_finite_where_arguments_vanish_or_tie(a, b):
    value, slopes = jax.value_and_grad(SMOOTH.maximum, (0, 1))(a, b)
    assert np.isfinite(slopes).all()
    assert value >= max(a, b)


def test_smooth_gradient_is_the_derivative_of_its_value():
    def all_of(a, b):
        chosen = SMOOTH.choose([a, b, a + b], [(b, 1.0), (a, b), (a * b, a)])
        parts = SMOOTH.ceil_div(a, b), SMOOTH.minimum(a, b), SMOOTH.step(a, b), *chosen
        return sum(jnp.log(part) for part in parts)

    with jax.enable_x64(True):
        rng = np.random.default_rng(8)
        a, b = np.exp(rng.uniform(-2, 2, (2, 512)))
        _, slope = jax.jvp(all_of, (a, b), (a, np.zeros_like(b)))
        h = 1e-5
        difference = (all_of(a * np.exp(h), b) - all_of(a * np.exp(-h), b)) / (2 * h)
        np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-7)


def test_choose_takes_the_first_of_the_smallest():
    chosen = EXACT.choose(
        [jnp.float32(x) for x in (5.0, 2.0, 2.0, 3.0)],
        [tuple(jnp.float32(v) for v in pair) for pair in ((1, 2), (3, 4), (5, 6), (7, 8))],
    )
    assert [float(v) for v in chosen] == [3.0, 4.0]


def test_step_rules_out_what_does_not_fit():
    assert float(EXACT.step(jnp.float32(3), jnp.float32(3))) == 1.0
    assert float(EXACT.step(jnp.float32(4), jnp.float32(3))) > 9e14
    # Smooth: about 1 below, a steep power above.
    assert float(Relax("smooth", 1e4).step(1.0, 2.0)) == pytest.approx(1.0, rel=1e-3)
    assert float(Relax("smooth", 1e4).step(4.0, 2.0)) == pytest.approx(2.0**8, rel=1e-3)


def test_gate_is_a_step_and_its_smooth_form_a_ramp():
    assert [float(EXACT.gate(jnp.asarray(m))) for m in (-0.1, 0.0, 0.3)] == [0.0, 1.0, 1.0]
    smooth = Relax("smooth", 50.0)
    assert float(smooth.gate(jnp.asarray(0.0))) == 0.5
    assert float(smooth.gate(jnp.asarray(0.3))) > 0.99
    assert float(jax.grad(smooth.gate)(0.01)) > 0
