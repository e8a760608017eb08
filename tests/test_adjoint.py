"""Gradients of straight-line programs: against JAX's, primitive by primitive and on a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dse import Options, default_space
from dse.adjoint import with_gradient
from dse.bench import synthetic
from dse.evaluating import evaluator
from dse.primitives import numpy_rule
from dse.program import unroll
from dse.ranges import narrowed
from hwmodels import Relax
from hwmodels.relax import EXACT

CASES = {
    "products and quotients": lambda x, y: x * y / (x + y) - y / x,
    "roots and powers": lambda x, y: jnp.sqrt(x * y) + x**3 + y**1.7 + x**-2 + jnp.square(y),
    "exponentials": lambda x, y: jnp.exp(-x) * jnp.log(y) + jnp.exp2(x) + jnp.log1p(x * y),
    "more exponentials": lambda x, y: jnp.expm1(x / y) + x**y,
    "choices": lambda x, y: jnp.where(x > y, x * x, y) + jnp.maximum(x, y) * jnp.minimum(x, 3.0),
    "signs": lambda x, y: jnp.abs(x - y) * x - (-y),
    "a value used often": lambda x, y: sum((x * y) ** k for k in range(1, 4)) + x,
    "ceilings": lambda x, y: EXACT.ceil_div(7.0 * y, x) * x + EXACT.floor(4.0 * x) * y,
    "one that does not matter": lambda x, y: x * 1.0 + 0.0 * y,
}


def _slopes(function, *values):
    program = unroll(lambda *v: [function(*v)], *map(jnp.float32, values), differentiable=True)
    made = with_gradient(program, range(len(values)))
    assert not any(call.name == "stop_gradient" for call in made.calls)
    return [np.float32(x) for x in made.run([np.float32(v) for v in values], numpy_rule)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("at", [(1.3, 2.7), (2.9, 0.4)])
def test_against_jax(name, at):
    value, *slopes = _slopes(CASES[name], *at)
    want, gradient = jax.value_and_grad(CASES[name], argnums=(0, 1))(*map(jnp.float32, at))
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(slopes, gradient, rtol=3e-5, atol=1e-6)


def test_a_ceiling_is_exact_and_has_the_slope_of_its_ratio():
    value, a, b = _slopes(EXACT.ceil_div, 13.0, 4.0)
    assert (value, a, b) == (4.0, 0.25, pytest.approx(-13.0 / 16.0))
    assert _slopes(EXACT.ceil_div, 3.0, 4.0) == [1.0, 0.0, 0.0]
    assert _slopes(lambda x: EXACT.floor(x), 3.75) == [3.0, 1.0]


def test_a_primitive_without_a_rule_is_named():
    program = unroll(lambda x: [jnp.tanh(x)], jnp.float32(1.0), differentiable=True)
    with pytest.raises(NotImplementedError, match=r"^tanh: no derivative rule"):
        with_gradient(program, [0])


@pytest.mark.parametrize("variant", ["systolic", "simt", "in_memory"])
def test_a_model_in_log_log_coordinates(variant):
    """Smooth models: equal to JAX's gradient of the same function, narrowed or not."""
    space, workload = default_space(variant), synthetic(2)
    engine = evaluator(space, space.structures()[0], workload.training, Options())
    trace, relax = engine.trace(workload), Relax("smooth", 20.0)
    names = [p.name for p in space.numeric]

    def loss(*values):
        readings, _ = engine.one(dict(zip(names, values, strict=True)), trace, relax)
        return sum(jnp.log(readings[o.column]) for o in engine.objectives)

    free = [i for i, p in enumerate(space.numeric) if p.kind != "choice"]
    u = np.random.default_rng(1).uniform(0.2, 0.8, (4, len(names)))
    columns = [np.asarray(p.value(u[:, i]), np.float32) for i, p in enumerate(space.numeric)]
    program = unroll(lambda *v: [loss(*v)], *[jnp.float32(1.0)] * len(names), differentiable=True)
    program = narrowed(with_gradient(program, free), [p.ends for p in space.numeric])
    value, *slopes = program.run(columns, numpy_rule)
    both = jax.jit(jax.vmap(jax.value_and_grad(loss, argnums=free)))
    want, gradient = both(*map(jnp.asarray, columns))
    np.testing.assert_allclose(value, want, atol=1e-4)
    for i, slope, expected in zip(free, slopes, gradient, strict=True):
        logs = np.broadcast_to(slope, value.shape) * columns[i], expected * columns[i]
        np.testing.assert_allclose(*logs, rtol=2e-3, atol=2e-4, err_msg=names[i])
