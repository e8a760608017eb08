"""Ranges decide guards, and nothing else."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dse
from dse.evaluating import evaluator
from dse.primitives import numpy_rule
from dse.program import unroll
from dse.ranges import narrowed
from dse.samplers import drawing, sampler
from hwmodels import VARIANTS, load_workload

F = jnp.float32


def calls(function, *ranges):
    program = unroll(function, *[F(1)] * len(ranges))
    return [call.name for call in narrowed(program, ranges).calls]


def test_decided_guards_are_gone():
    assert calls(lambda x: [jnp.maximum(x, 0.0)], (0.1, 5)) == []
    assert calls(lambda x: [jnp.maximum(x, 0.0)], (-0.1, 5)) == ["max"]
    assert calls(lambda x, y: [jnp.minimum(x * y, 40.0)], (1, 5), (2, 7)) == ["mul"]
    assert calls(lambda x, y: [jnp.minimum(x * y, 34.0)], (1, 5), (2, 7)) == ["mul", "min"]
    assert calls(lambda x: [jnp.where(x < 6.0, x, x + 1.0)], (1, 5)) == []
    assert calls(lambda x: [jnp.where(x < 4.0, x, x + 1.0)], (1, 5)) == ["lt", "add", "select_n"]
    assert calls(lambda x: [jnp.abs(x - 7.0)], (8, 9)) == ["sub"]


def test_what_a_decision_settles_is_settled_too():
    # max(x, 0) is x, x - x is 0, and 0 of anything is nothing.
    function = lambda x, y: [y + (jnp.maximum(x, 0.0) - x) * jnp.sqrt(y)]  # noqa: E731
    assert calls(function, (1, 5), (2, 3)) == []


def test_bounds_that_touch_are_not_trusted_to_the_last_digit():
    # In float32, 0.1 * 3 may be above 0.3.
    assert calls(lambda x: [jnp.minimum(0.1 * x, 0.3)], (1, 3)) == ["mul", "min"]


@given(
    st.tuples(*[st.floats(-50, 50, width=32) for _ in range(4)]),
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2),
)
def test_narrowed_programs_compute_the_same(ends, places):
    ranges = [tuple(sorted(ends[:2])), tuple(sorted(ends[2:]))]

    def function(x, y):
        a = jnp.maximum(x * y, x - y) + jnp.exp(0.1 * y)
        b = jnp.where(jnp.floor(x) >= y, jnp.sqrt(jnp.abs(x)), a**2)
        c = jnp.minimum(a / (1.0 + y * y), jnp.log1p(jnp.abs(y)))
        return [a, b, c, jnp.clip(b - c, -3.0, 70.0), jnp.maximum(jnp.round(x), jnp.sign(y))]

    values = [
        np.float32(np.clip(low + u * (high - low), low, high))
        for (low, high), u in zip(ranges, places, strict=True)
    ]
    program = unroll(function, F(1), F(1))
    expected = program.run(values, numpy_rule)
    got = narrowed(program, ranges).run(values, numpy_rule)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_the_model_stays_equal_to_the_bit(variant):
    space = dse.default_space(variant)
    workload = load_workload("mlp")
    engine = evaluator(space, space.structures()[0], True, dse.Options())
    trace, names = engine.trace(workload), [p.name for p in space.numeric]

    def model(*values):
        readings, margins = engine.one(dict(zip(names, values, strict=True)), trace)
        return [*readings.values(), functools.reduce(jnp.minimum, margins.values())]

    program = unroll(model, *[F(1)] * len(names))
    less = narrowed(program, [p.ends for p in space.numeric])
    assert len(less.calls) < len(program.calls)
    draw = sampler("random", len(names), 0, 2000, 64)
    unit = np.stack([np.asarray(x) for x in draw.unit(*map(jnp.asarray, draw.at(np.arange(2000))))])
    unit[:, :200] = np.round(unit[:, :200]) * 0.9999999  # corners
    values = drawing(lambda *u: list(u), space.numeric)(*jnp.asarray(unit))
    values = [np.asarray(v, np.float32) for v in values]
    for a, b in zip(program.run(values, numpy_rule), less.run(values, numpy_rule), strict=True):
        np.testing.assert_array_equal(a, b)
