"""Straight-line programs and the kernel made of them, against the function they come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dse
from dse.bench import synthetic
from dse.costing import costing
from dse.evaluating import evaluator
from dse.kernel import compiled, loop, strengthened
from dse.primitives import numpy_rule
from dse.program import Builder, Program, Value, unroll
from dse.screening import TOLERANCE, beaten
from dse.sources import Sequence

F = jnp.float32


def run(program, *columns):
    size = len(columns[0])
    together = compiled(lambda *c: loop(program, size, c))
    return [np.asarray(column) for column in together(*columns)]


def everything(x, y, c):
    """Every primitive that a kernel treats in a way of its own."""
    return [
        x / y, 3.0 / y, x / 7.0, 1.0 / y, (x + y) / y,  # shared and constant divisors
        jnp.maximum(x, y), jnp.minimum(x, 1.5), x**1.3, x**-3, jnp.log1p(x), jnp.log1p(x * 1e-9),
        jnp.floor(x * 5), jnp.round(y * 2), jnp.where(x > y, x, -y), jnp.logaddexp(x, y),
        jnp.exp(-x) * jnp.sqrt(y), (x > c).astype(jnp.float32), x, jnp.float32(2.5) + 0 * y,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 16, 37, 250])
def test_kernel_computes_the_function(size):
    rng = np.random.default_rng(size)
    x, y = rng.uniform(0.1, 4.0, (2, size)).astype(np.float32)
    program = unroll(everything, F(1), F(1), F(1))
    made = run(strengthened(program), x, y, np.float32(2.0))
    with jax.enable_x64(True):
        expected = [np.asarray(v) for v in everything(*map(np.float64, (x, y, 2.0)))]
    for i, (got, want) in enumerate(zip(made, expected, strict=True)):
        assert got.shape == (size,)
        np.testing.assert_allclose(got, np.broadcast_to(want, size), rtol=4e-7, err_msg=str(i))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.5, 4.0, width=32), min_size=3, max_size=3), st.integers(0, 5))
def test_unrolled_program_is_the_function(numbers, length):
    table = np.arange(length, dtype=np.float32)

    def function(x, y, z):
        total, _ = jax.lax.scan(lambda c, row: (c * 0.5 + row * x / y, None), z, table)
        same = jnp.where(x == x, total, y)  # always the first
        return [same - 0.0, total * 1.0 + 0.0, 0.0 * x + z, x - x, jnp.maximum(y, y) / 1.0]

    program = unroll(function, F(1), F(1), F(1))
    got = program.run([np.float32(v) for v in numbers], numpy_rule)
    np.testing.assert_allclose(got, function(*map(np.float32, numbers)), rtol=1e-6)


def test_what_is_known_is_not_computed():
    def function(x, y):
        unused = jnp.exp(x)  # noqa: F841
        return [0.0 / y + x * 1.0, jnp.where(jnp.float32(1) > 0, x, y), jnp.minimum(y, y) - 0.0]

    program = unroll(function, F(1), F(1))
    assert program.calls == ()
    assert program.outputs == (Value(0), Value(0), Value(1))


def test_a_value_is_not_its_number():
    # Value(0) and the constant 0 compare equal as NumPy sees them.
    program = unroll(lambda x: [jnp.maximum(x, 0.0), x >= 0.0], F(1))
    low, high = program.run([np.float32([-2, 3])], numpy_rule)
    np.testing.assert_array_equal(low, [0, 3])
    np.testing.assert_array_equal(high, [False, True])


def test_programs_are_put_together():
    square = unroll(lambda x: [x * x, jnp.float32(3)], F(1))
    add = unroll(lambda a, b, c: [a + b * c], F(1), F(1), F(1))
    builder = Builder(2)
    twice, three = builder.inline(square, [builder.given[0]])
    unused = builder.inline(square, [builder.given[1]])
    (total,) = builder.inline(add, [twice, three, builder.given[1]])
    program = builder.build([total, three])
    assert len(program.calls) == 3
    assert unused[0] not in {call.result for call in program.calls}
    np.testing.assert_array_equal(program.run([np.float32(5), np.float32(2)], numpy_rule)[0], 31)


def test_a_program_of_thousands_of_calls_compiles():
    def function(x, y):
        for i in range(1500):
            x, y = x * 0.999 + y / (i + 2.0), jnp.minimum(y + x * 1e-3, 3.0)
        return [x, y]

    program = strengthened(unroll(function, F(1), F(1)))
    assert len(program.calls) > 6000
    x, y = np.linspace(1, 2, 70, dtype=np.float32), np.linspace(0.5, 1, 70, dtype=np.float32)
    with jax.enable_x64(True):
        expected = function(np.float64(x), np.float64(y))
    for got, want in zip(run(program, x, y), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4)


def test_a_value_that_is_not_a_scalar_is_refused():
    with pytest.raises(NotImplementedError, match="not a scalar"):
        unroll(lambda x: [jnp.stack([x, x]).sum()], F(1))


@pytest.fixture(scope="module")
def costs():
    space = dse.default_space("systolic").with_constraints((dse.Constraint("area_mm2", 300.0),))
    engine = evaluator(space, space.structures()[0], True, dse.Options())
    return costing(engine, synthetic(3))


@pytest.mark.parametrize("size", [16, 100, 333])
def test_chunks_do_not_change_a_bit(costs, size):
    values = Sequence(costs, "random", 3, 333, 64).values(np.arange(333))
    whole = costs.table(values)
    part = costs.table({name: column[100 : 100 + size] for name, column in values.items()})
    for name, column in whole.readings.items():
        np.testing.assert_array_equal(column[100 : 100 + size], part.readings[name], err_msg=name)
    np.testing.assert_array_equal(whole.feasible[100 : 100 + size], part.feasible)
    assert 0 < whole.feasible.sum() < 333


def test_more_than_a_chunk_is_costed(costs, monkeypatch):
    values = Sequence(costs, "random", 3, 333, 64).values(np.arange(333))
    whole = costs.table(values)
    monkeypatch.setattr("dse.costing.CHUNK", 100)
    cut = costs.table(values)
    for name, column in whole.readings.items():
        np.testing.assert_array_equal(column, cut.readings[name])


def test_no_designs_are_costed_too(costs):
    none = costs.table({name: np.empty(0) for name in costs.names})
    assert none.feasible.shape == (0,)
    assert set(none.readings) == set(costs.readings)


@pytest.mark.parametrize("sampler", ["random", "latin", "sobol"])
def test_a_screen_keeps_what_is_feasible_and_not_clearly_beaten(costs, sampler):
    source = Sequence(costs, sampler, 1, 400, 128)
    numbers = np.arange(400)
    out = costs.table(source.values(numbers))
    points = np.stack(costs.engine.points(out.readings), axis=-1)
    rows = np.flatnonzero(out.feasible)
    archive = np.full((5, 3), np.inf, np.float32)
    archive[:2] = points[rows[[3, 11]]]
    screened = [source.screen(block, archive) for block in range(source.blocks)]
    kept = np.concatenate([s.numbers for s in screened])
    slack = TOLERANCE * np.abs(points)
    clearly = (archive[:, None] < points - 2 * slack).all(axis=2).any(axis=0)
    barely = (archive[:, None] < points).all(axis=2).any(axis=0)
    assert set(rows[~barely[rows]]) <= set(kept)
    assert not set(rows[clearly[rows]]) & set(kept)
    assert clearly[rows].any()
    assert sum(s.feasible for s in screened) == len(rows)
    assert sum(s.designs for s in screened) == 400


def test_the_sieve_drops_what_is_beaten_and_keeps_equals():
    rng = np.random.default_rng(0)
    points, archive = rng.integers(0, 5, (300, 3)), rng.integers(0, 5, (9, 3))
    found = beaten(list(points.T.astype(np.float32)), archive)
    no_worse = (archive[:, None] <= points).all(axis=2)
    better = (archive[:, None] < points).any(axis=2)
    np.testing.assert_array_equal(found, (no_worse & better).any(axis=0))


def test_program_outputs_may_be_inputs_or_constants():
    program = Program(1, (), (Value(0), np.float32(4)))
    same, four = run(program, np.float32([1, 2]))
    np.testing.assert_array_equal(same, [1, 2])
    np.testing.assert_array_equal(four, [4, 4])
