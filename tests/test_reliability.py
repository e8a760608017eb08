"""Stragglers against drawn maxima, checkpoints against the optimum by search."""

import jax
import numpy as np
import pytest

from hwmodels.fleet.reliability import (
    YEAR_S,
    Reliability,
    checkpoint_interval,
    expected_maximum,
    lost_share,
    slowdown,
)


@pytest.mark.parametrize(("count", "exact"), [(1, 0.0), (2, 0.56419), (3, 0.84628), (10, 1.53875)])
def test_expected_maximum_of_few(count, exact):
    # Order statistics of the normal distribution, exact values (Harter, 1961).
    assert float(expected_maximum(float(count))) == pytest.approx(exact, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("count", [7, 100, 3001])
def test_expected_maximum_of_drawn_fleets(count):
    rng = np.random.default_rng(count)
    drawn = np.mean([rng.standard_normal(count).max() for _ in range(4000)])
    assert float(expected_maximum(float(count))) == pytest.approx(drawn, rel=0.02)
    assert float(slowdown(Reliability(deviation=0.03), float(count))) == pytest.approx(
        1 + 0.03 * drawn, rel=1e-3
    )


def test_best_checkpoint_interval():
    # A chip in 512 fails every 100 years / 512; 90 s to write, 11 min to restart.
    failing = Reliability(failures=0.01 / YEAR_S, checkpoint=90.0, restart=660.0)
    rate = 512 * 0.01 / YEAR_S
    interval = np.geomspace(100, 1e7, 20001)
    lost = 90.0 / interval + rate * (interval / 2 + 660.0)
    assert float(lost_share(failing, 512.0)) == pytest.approx(lost.min(), rel=1e-4)
    best = interval[lost.argmin()]
    assert float(checkpoint_interval(failing, 512.0)) == pytest.approx(best, rel=2e-3)


def test_off_by_default_with_finite_slopes():
    assert float(lost_share(Reliability(), 4096.0)) == 0.0
    assert float(slowdown(Reliability(), 4096.0)) == 1.0
    slopes = jax.grad(lambda r: lost_share(r, 4096.0) + slowdown(r, 4096.0))(
        jax.tree.map(float, Reliability())
    )
    assert np.isfinite(jax.tree.leaves(slopes)).all()
