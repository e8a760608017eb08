"""The NumPy baseline computes what the compiled model computes."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dse
from dse.bench import synthetic
from dse.costing import costing
from dse.evaluating import evaluator
from dse.numpy_model import NumpyModel
from dse.parameter import Parameter
from dse.sources import Sequence

N = 1024


@pytest.mark.parametrize("variant", ["systolic", "simt", "spatial", "vector"])
def test_agrees_with_the_compiled_program(variant):
    workload = synthetic(5)
    space = dse.default_space(variant)
    engine = evaluator(space, space.structures()[-1], True, dse.Options())
    model = NumpyModel(engine, workload)
    costs = costing(engine, workload)
    out = costs.table(Sequence(costs, "random", 3, N, N).values(np.arange(N)))
    points, feasible = model(out.parameters)
    expected = np.stack(engine.points(out.readings), axis=-1)
    assert points.dtype == np.float32
    # The fleet of S80 is whole: where it is within rounding of the next number it may differ.
    same = np.abs(points / expected - 1) <= 1e-6
    # A capped clock amplifies rounding, see below.
    assert same[:, :2].mean() > 0.998
    assert same[:, 2].mean() > 0.99
    # A clock under a cap that static power nearly fills is a difference of close numbers.
    assert np.abs(points / expected - 1)[:, :2].max() < 5e-5
    np.testing.assert_array_equal(feasible, out.feasible)
    assert 100 < model.calls < 2000


def _engine(one):
    space = SimpleNamespace(
        numeric=(Parameter("x", "linear", 1, 2), Parameter("y", "linear", 1, 2))
    )
    return SimpleNamespace(
        space=space,
        trace=lambda workload: workload,
        one=one,
        points=lambda r: (-r["throughput_per_s"], r["power_W"], -r["scalability_per_s"]),
    )


def _readings(t, p, s):
    return {"throughput_per_s": t, "power_W": p, "scalability_per_s": s}


def test_constants_duplicates_and_dead_code_are_gone():
    def one(values, table):
        x, y = values["x"], values["y"]
        sums, _ = jax.lax.scan(lambda c, row: (c + row * x, None), 0.0, table)
        unused = jnp.exp(x)  # noqa: F841
        return _readings(sums, jnp.sqrt(x) + jnp.sqrt(x) * 1.0, y**-2), {"m": x - 1.5}

    model = NumpyModel(_engine(one), np.asarray([1.0, 0.0, 3.0], np.float32))
    x, y = np.float32([1.1, 1.7]), np.float32([1.9, 1.3])
    points, feasible = model({"x": x, "y": y})
    np.testing.assert_allclose(points, np.stack([-4 * x, 2 * np.sqrt(x), -(y**-2.0)], 1), rtol=3e-7)
    np.testing.assert_array_equal(feasible, [False, True])
    # 3x, +, -; sqrt, +; y^-2, -; x - 1.5, >= 0; a factor -1 or 1 is a call or none.
    assert model.calls <= 10


def test_an_unknown_primitive_is_named():
    def one(values, _):
        x = values["x"]
        return _readings(jnp.cos(x), x, x), {"m": x}

    model = NumpyModel(_engine(one), None)
    with pytest.raises(NotImplementedError, match="cos"):
        model({"x": np.float32([1.1]), "y": np.float32([1.9])})
