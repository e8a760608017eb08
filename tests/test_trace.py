"""Tracing: control flow, phases, roles, footprints, bad input."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from hwmodels.errors import InputError
from hwmodels.workloads import Workload, trace
from hwmodels.workloads.mlp import MLP, workload


def shape(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def stored(workload: Workload, role: str) -> float:
    return sum(t.bytes() for t in workload.footprints if t.role == role)


def layers(weights: Any, x: Any) -> Any:
    for i in range(weights.shape[0]):
        x = jnp.tanh(x @ weights[i])
    return x


def scanned_layers(weights: Any, x: Any) -> Any:
    return lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, weights)[0]


def sgd_step(model: Any) -> Any:
    def step(w: Any, x: Any, y: Any) -> Any:
        value, slope = jax.value_and_grad(lambda w: jnp.sum((model(w, x) - y) ** 2))(w["w"])
        return {"w": w["w"] - 0.1 * slope}, value

    return step


def test_scan_counts_its_body_times_its_length() -> None:
    weights, x = shape(7, 5, 5), shape(3, 5)
    scanned, unrolled = trace(scanned_layers, weights, x), trace(layers, weights, x)
    assert scanned.flops == unrolled.flops == 7 * (2 * 3 * 5 * 5)
    (row,) = scanned.rows
    assert row.count == 7
    assert [t.elements for t in row.reads] == [15, 25]
    assert [t.role for t in row.reads] == ["activation", "parameter"] or row.reads[
        0
    ].role == "input"
    assert [t.elements for t in row.writes] == [15]


def test_a_scanned_train_step_matches_the_unrolled_one() -> None:
    args = {"w": shape(7, 5, 5)}, shape(3, 5), shape(3, 5)
    scanned, unrolled = (trace(sgd_step(m), *args) for m in (scanned_layers, layers))
    assert scanned.macs == 7 * 3 * 25 * 3
    assert unrolled.macs == scanned.macs - 3 * 25  # nothing asks for the first layer's dx
    assert stored(scanned, "parameter") == stored(unrolled, "parameter") == 4 * 7 * 25
    assert stored(scanned, "gradient") == 4 * 7 * 25
    gradient_writes = [
        (row.count, t.elements)
        for row in scanned.rows
        for t in row.writes
        if t.role == "gradient" and row.phase == "backward"
    ]
    assert gradient_writes == [(7, 25)]
    assert scanned.last_gradient_fraction == pytest.approx(1 / 7)


def test_remat_adds_the_forward_again_in_the_backward_phase() -> None:
    def remat(weights: Any, x: Any) -> Any:
        body = jax.checkpoint(lambda h, w: (jnp.tanh(h @ w), None))
        return lax.scan(body, x, weights)[0]

    args = {"w": shape(7, 5, 5)}, shape(3, 5), shape(3, 5)
    plain, again = (trace(sgd_step(m), *args) for m in (scanned_layers, remat))
    assert again.macs == plain.macs + 7 * 3 * 25

    def backward(w: Workload) -> float:
        return sum(r.count * r.macs for r in w.rows if r.phase == "backward")

    assert backward(again) == backward(plain) + 7 * 3 * 25


def test_cond_counts_the_costliest_branch_and_says_so() -> None:
    def choose(w: Any, x: Any) -> Any:
        return lax.cond(x.sum() > 0, lambda: jnp.tanh(x @ w @ w), lambda: x @ w)

    workload = trace(choose, shape(5, 5), shape(3, 5))
    assert workload.macs == 2 * 3 * 25
    predicate = 14 + 1 + 1  # sum, compare, and the branch index
    assert workload.flops == 2 * 2 * 3 * 25 + predicate
    assert any("branch 1 of 2" in note and "choose" in note for note in workload.notes)


def newton(x: Any) -> Any:
    return lax.while_loop(lambda s: jnp.any(s > 1.0), lambda s: jnp.cos(s) * 0.5, x)


def test_while_needs_a_trip_count_and_the_error_names_it() -> None:
    with pytest.raises(InputError, match=r"newton at test_trace\.py:\d+.*trip_counts=.'newton'"):
        trace(newton, shape(7))
    by_name = trace(newton, shape(7), trip_counts={"newton": 3})
    assert by_name.flops == trace(newton, shape(7), trip_counts=3).flops
    assert sum(row.count * row.transcendentals for row in by_name.rows) == 3 * 7
    # Halve the cosine; compare, and join seven verdicts into one.
    assert by_name.flops == 3 * (7 + 7 + 6)
    with pytest.raises(InputError, match="did you mean newton"):
        trace(newton, shape(7), trip_counts={"newton": 3, "newtn": 3})
    with pytest.raises(InputError, match="integer >= 1"):
        trace(newton, shape(7), trip_counts=0)


def test_custom_derivatives_and_jit_are_looked_into() -> None:
    @jax.custom_vjp
    def triple(x: Any) -> Any:
        return jnp.exp(x) * 3.0

    triple.defvjp(lambda x: (triple(x), x), lambda x, g: (jnp.sin(x) * g,))
    forward = trace(jax.jit(triple), shape(7))
    assert sum(r.transcendentals for r in forward.rows) == 7
    both = trace(jax.value_and_grad(lambda x: triple(x).sum()), shape(7))
    assert sum(r.transcendentals for r in both.rows) == 14
    assert {"jit", "custom_vjp_call"} <= set(forward.coverage)


def test_dead_code_is_gone() -> None:
    workload = trace(lambda w, x: (jnp.exp(x @ w @ w), x @ w)[1], shape(5, 5), shape(3, 5))
    assert workload.macs == 75
    assert len(workload.rows) == 1


def test_phases_and_roles_of_a_train_step() -> None:
    mlp = workload(MLP)
    assert mlp.training
    roles = {row.name: {t.role for t in row.reads} for row in mlp.rows}
    first = mlp.rows[0]
    assert [t.role for t in first.reads] == ["input", "parameter", "parameter"]
    assert all("optimizer_state" not in r or "update" in name for name, r in roles.items())
    updates = [row for row in mlp.rows if row.phase == "optimizer"]
    assert sum(row.count for row in updates) == 6
    for row in updates:  # Adam: p, g, m, v -> p, m, v
        reads, writes = ([t.role for t in tensors] for tensors in (row.reads, row.writes))
        assert sorted(reads) == ["gradient", *["optimizer_state"] * 2, "parameter"]
        assert sorted(writes) == [*["optimizer_state"] * 2, "parameter"]


def test_footprints_of_the_mlp() -> None:
    mlp = workload(MLP)
    parameters = 784 * 10 + 10 + 2 * (10 * 10 + 10)
    assert stored(mlp, "parameter") == stored(mlp, "gradient") == 4 * parameters
    assert stored(mlp, "optimizer_state") == 4 * (2 * parameters + 1)  # and the step counter
    # Alive when the loss is differentiated: two hidden activations with their masks, logits,
    # row maxima and the error; the loss itself and the last bias gradient are one row's worth.
    alive = 4 * (2 * 320 + 320 + 32 + 320 + 1) + 2 * 320
    assert stored(mlp, "activation") == pytest.approx(alive, abs=8)
    assert mlp.last_gradient_fraction == pytest.approx(7840 / parameters)
    assert (mlp.samples, mlp.max_global_batch) == (32, 1000)


def test_peak_of_activations_follows_program_order() -> None:
    def chain(w: Any, x: Any) -> Any:
        for _ in range(5):
            x = x @ w
        return x

    # Only a product's operand and result live at once, not all five results.
    assert stored(trace(chain, shape(9, 9), shape(3, 9)), "activation") == 4 * 2 * 27


def test_inference_takes_its_first_argument_as_parameters() -> None:
    args = {"w": shape(5, 7)}, shape(3, 5)
    inference = trace(lambda p, x: x @ p["w"], *args)
    assert not inference.training
    assert inference.samples == 3
    assert [t.role for t in inference.rows[0].reads] == ["input", "parameter"]
    with pytest.raises(InputError, match="parameters"):
        trace(lambda p, x: x @ p["w"], *args, parameters=2)


def test_what_the_backward_phase_returns_is_a_gradient() -> None:
    def model(p: Any, x: Any) -> Any:
        return jnp.sum((x @ p["w"]) ** 2)

    workload = trace(jax.value_and_grad(model), {"w": shape(5, 7)}, shape(3, 5))
    assert [t.role for t in workload.rows[0].reads] == ["input", "parameter"]
    assert workload.rows[-1].writes[0].role == "gradient"
    assert [t.elements for t in workload.gradients] == [35]


def test_captured_weights_are_parameters() -> None:
    captured = np.ones((40, 41), np.float32)
    workload = trace(lambda x: x @ captured, shape(3, 40))
    assert [t.role for t in workload.rows[0].reads] == ["input", "parameter"]
    assert stored(workload, "parameter") == 4 * 40 * 41


def test_arrays_and_shapes_give_the_same_workload() -> None:
    arrays = jnp.ones((5, 7)), jnp.ones((3, 5))
    a, b = (trace(lambda w, x: x @ w, *args) for args in (arrays, (shape(5, 7), shape(3, 5))))
    assert a.rows == b.rows


def test_samples_must_be_clear() -> None:
    def product(w: Any, x: Any, y: Any) -> Any:
        return x @ w @ y

    with pytest.raises(InputError, match=r"samples.*\[3, 7\]"):
        trace(product, shape(5, 7), shape(3, 5), shape(7, 2))
    with pytest.raises(InputError, match="samples"):
        trace(lambda: jnp.exp(jnp.arange(7.0)))
    given = trace(product, shape(5, 7), shape(3, 5), shape(7, 2), samples=3)
    assert given.max_global_batch == 3 * 1024
    assert any("assumption" in note for note in given.notes)


def test_every_primitive_is_accounted_for() -> None:
    def mixed(x: Any, key: Any) -> Any:
        noise = jax.random.uniform(key, x.shape)
        ordered = jnp.sort(x + noise, axis=0)
        return jnp.cumsum(ordered, axis=0), jnp.argmax(x, axis=0), jnp.linalg.qr(x)[0]

    key = jax.eval_shape(lambda: jax.random.key(0))
    workload = trace(mixed, shape(7, 5), key, parameters=(), samples=7)
    expected = {"sort": "rule", "qr": "rule", "cumsum": "elements", "argmax": "elements"}
    expected |= {"random_bits": "elements", "add": "rule"}
    assert expected.items() <= workload.coverage.items()
    uncosted = [name for name, how in workload.coverage.items() if how == "uncosted"]
    assert all(any(note.startswith(name) for note in workload.notes) for name in uncosted)


def test_densities_reach_the_contractions_that_read_the_activation() -> None:
    def model(w: Any, x: Any) -> Any:
        h = checkpoint_name(jax.nn.relu(x @ w[0]), "hidden")
        return jnp.sum((h @ w[1]) ** 2)

    def step(state: Any, x: Any) -> Any:
        value, slope = jax.value_and_grad(model)(state["w"], x)
        return {"w": jax.tree.map(lambda p, g: p - g, state["w"], slope)}, value

    args = {"w": (shape(5, 7), shape(7, 11))}, shape(3, 5)
    rows = {(r.m, r.n, r.k): r for r in trace(step, *args, densities={"hidden": 0.25}).rows if r.k}
    assert (rows[3, 11, 7].lhs_density, rows[3, 11, 7].rhs_density) == (0.25, 1.0)
    assert (rows[11, 7, 3].lhs_density, rows[11, 7, 3].rhs_density) == (1.0, 0.25)
    assert rows[3, 7, 5].lhs_density == 1.0
    with pytest.raises(InputError, match="did you mean hidden"):
        trace(step, *args, densities={"hiden": 0.25})
    with pytest.raises(InputError, match="0 to 1"):
        trace(step, *args, densities={"hidden": 1.5})


def test_an_epoch_scan_keeps_the_roles_of_its_step() -> None:
    def epoch(state: Any, x: Any, y: Any) -> Any:
        def body(s: Any, batch: Any) -> Any:
            return sgd_step(lambda w, x: jnp.tanh(x @ w))(s, *batch)

        return lax.scan(body, state, (x, y))

    workload = trace(epoch, {"w": shape(5, 7)}, shape(11, 3, 5), shape(11, 3, 7), samples=33)
    update = workload.rows[-1]
    assert (update.phase, update.count) == ("optimizer", 11)
    assert sorted(t.role for t in update.reads) == ["gradient", "parameter"]
    assert [t.role for t in update.writes] == ["parameter"]
    assert workload.macs == 11 * 2 * 3 * 5 * 7


def test_depth_adds_runs_not_rows() -> None:
    def traced(depth: int) -> Workload:
        weights = [shape(9, 9)] * depth
        optimizer = optax.adam(1e-3)

        def step(state: Any, x: Any) -> Any:
            params, moments = state

            def loss(params: Any) -> Any:
                h = x
                for w in params:
                    h = jax.nn.relu(h @ w)
                return jnp.sum(h)

            slopes = jax.grad(loss)(params)
            updates, moments = optimizer.update(slopes, moments)
            return (optax.apply_updates(params, updates), moments), 0.0

        state = weights, jax.eval_shape(optimizer.init, weights)
        return trace(step, state, shape(3, 9))

    # Per layer one product forward and two backward, less the first layer's input gradient.
    assert traced(200).macs == 3 * 81 * (3 * 200 - 1)
    # The same layers again and again merge into the same rows.
    assert len(traced(200).rows) == len(traced(20).rows)
