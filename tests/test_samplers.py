"""Sequences in the unit cube: where they lie, and that their order does not matter."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, qmc

from dse.primitives import numpy_rule
from dse.program import unroll
from dse.samplers import SAMPLERS, SOBOL_BITS, sampler


def points(name, axes, seed, designs, size, numbers):
    """As a source computes them: the unrolled program in NumPy."""
    made = sampler(name, axes, seed, designs, size)
    program = unroll(made.unit, *[jnp.asarray(x[0]) for x in made.at(np.zeros(1, np.int64))])
    return np.stack(program.run(made.at(numbers), numpy_rule), axis=1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_point_depends_on_its_number_and_the_seed_only(name):
    numbers = np.asarray([0, 1, 63, 64, 65, 777, 1023, 640])
    one = points(name, 3, 5, 1024, 64, numbers)
    np.testing.assert_array_equal(one, points(name, 3, 5, 1024, 16, numbers))
    assert not np.array_equal(one, points(name, 3, 6, 1024, 64, numbers))


@pytest.mark.parametrize("name", SAMPLERS)
def test_blocks_are_their_points_one_by_one(name):
    made = sampler(name, 3, 9, 640, 32)
    program = unroll(made.unit, *[jnp.asarray(x[0]) for x in made.at(np.zeros(1, np.int64))])
    for first in (0, 32, 96, 608):
        given = [np.broadcast_to(x, 32) for x in made.given(first, 32)]
        block = np.stack(program.run(given, numpy_rule), axis=1)
        np.testing.assert_array_equal(
            block, points(name, 3, 9, 640, 32, np.arange(first, first + 32))
        )


@pytest.mark.parametrize("name", SAMPLERS)
def test_uniform_in_each_axis_and_independent(name):
    u = points(name, 4, 1, 4096, 256, np.arange(4096))
    assert u.min() >= 0
    assert u.max() < 1
    for axis in range(4):
        assert kstest(u[:, axis], "uniform").pvalue > 1e-3
    correlation = np.corrcoef(u.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.06


def test_a_latin_hypercube_has_one_point_in_every_slice():
    u = points("latin", 5, 2, 3000, 64, np.arange(2048))  # cubes of 2,048 points
    for axis in range(5):
        assert sorted((u[:, axis] * 2048).astype(int)) == list(range(2048))
    orders = [tuple(np.argsort(u[:, axis])[:20]) for axis in range(5)]
    assert len(set(orders)) == 5


def test_latin_hypercubes_follow_each_other():
    u = points("latin", 2, 2, 3 * 2**16, 64, np.arange(2**16, 2**17))
    assert len(set((u[:, 0] * 2**16).astype(int))) == 2**16


def test_sobol_is_that_of_scipy():
    expected = qmc.Sobol(6, scramble=True, bits=SOBOL_BITS, rng=3).random(2048)
    got = points("sobol", 6, 3, 2048, 64, np.arange(2048))
    np.testing.assert_allclose(got, expected, atol=2**-23)


def test_low_discrepancy_is_lower():
    found = {
        name: qmc.discrepancy(points(name, 3, 0, 1024, 64, np.arange(1024))) for name in SAMPLERS
    }
    assert found["sobol"] < 0.2 * found["latin"] < found["random"]
