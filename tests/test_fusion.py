"""Fusion groups: what is traffic, what is not, and what may not share a group."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from hwmodels.workloads import Operation, Workload, trace
from hwmodels.workloads.flatten import Flattener
from hwmodels.workloads.fusion import SLAB_ELEMENTS, fuse
from hwmodels.workloads.groups import Group


def shape(*sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def adam_update(params: Any, moments: Any, gradients: Any) -> Any:
    updates, moments = optax.adam(1e-3).update(gradients, moments, params)
    return optax.apply_updates(params, updates), moments


def adam_workload(params: Any, **options: Any) -> Workload:
    moments = jax.eval_shape(optax.adam(1e-3).init, params)
    return trace(jax.jit(adam_update), params, moments, params, samples=1, **options)


def groups_of(fn: Any, *args: Any) -> list[Group]:
    program = Flattener().program(jax.make_jaxpr(fn)(*args))
    return fuse(program, ["forward"] * len(program.operators))


def elements(row: Operation) -> tuple[list[float], list[float]]:
    return sorted(t.elements for t in row.reads), sorted(t.elements for t in row.writes)


@pytest.mark.parametrize("size", [(7, 13), (129,)])
def test_adam_reads_four_and_writes_three_words_per_parameter(size: tuple[int, ...]) -> None:
    workload = adam_workload({"w": shape(*size)})
    assert len(workload.rows) == 1
    count = float(jnp.zeros(size).size)
    assert elements(workload.rows[0]) == ([count] * 4, [count] * 3)
    assert workload.bytes == 4 * 7 * count
    roles = sorted(t.role for t in workload.rows[0].writes)
    assert roles == ["parameter"] * 3  # no backward phase tells moments from weights


def test_updates_of_different_parameters_stay_apart() -> None:
    workload = adam_workload({"a": shape(5, 3), "b": shape(5, 3), "c": shape(11)})
    assert [row.count for row in workload.rows if row.reads[0].elements == 11] == [1]
    assert sum(row.count for row in workload.rows) == 3
    assert workload.bytes == 4 * 7 * (15 + 15 + 11)


def test_unfused_writes_every_intermediate() -> None:
    fused, unfused = (adam_workload({"w": shape(7, 13)}, fused=f) for f in (True, False))
    assert unfused.flops == fused.flops
    assert unfused.bytes > 3 * fused.bytes
    assert len(unfused.rows) > 5


def test_clipping_by_global_norm_does_not_merge_parameters() -> None:
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    params = {"a": shape(50, 30), "b": shape(40, 30), "c": shape(110)}

    def update(params: Any, moments: Any, gradients: Any) -> Any:
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments

    moments = jax.eval_shape(optimizer.init, params)
    workload = trace(update, params, moments, params, samples=1)
    for row in workload.rows:
        assert len({t.elements for t in (*row.reads, *row.writes)}) == 1


def test_a_chain_with_reductions_is_one_group() -> None:
    workload = trace(lambda x: jax.nn.softmax(x * 2.0) + 1.0, shape(5, 17))
    assert len(workload.rows) == 1
    assert elements(workload.rows[0]) == ([85], [85])
    assert workload.rows[0].transcendentals == 85


def test_reading_a_reduction_over_a_large_slab_needs_a_second_pass() -> None:
    long = SLAB_ELEMENTS + 3
    workload = trace(lambda x: x - x.sum(axis=1, keepdims=True), shape(2, long))
    assert [elements(row) for row in workload.rows] == [
        ([2 * long], [2]),
        ([2, 2 * long], [2 * long]),
    ]


def test_epilogue_joins_its_contraction_and_reads_what_else_it_needs() -> None:
    def layer(w: Any, b: Any, x: Any, skip: Any) -> Any:
        return jax.nn.relu(x @ w + b) + skip

    workload = trace(layer, shape(7, 5), shape(5), shape(3, 7), shape(3, 5), parameters=(0, 1))
    (row,) = workload.rows
    assert row.kind == "contraction"
    assert [t.elements for t in row.reads] == [21, 35, 5, 15]
    assert [t.role for t in row.reads] == ["input", "parameter", "parameter", "input"]
    assert [t.elements for t in row.writes] == [15]
    assert row.simple == 3 * 15
    assert row.name == "dot 3x5x7 + add, relu"


def test_a_row_softmax_leaves_the_epilogue_at_its_reduction() -> None:
    workload = trace(lambda w, x: jax.nn.softmax(x @ w), shape(7, 5), shape(3, 7))
    assert [row.kind for row in workload.rows] == ["contraction", "vector"]
    assert elements(workload.rows[0]) == ([21, 35], [3, 15])
    assert elements(workload.rows[1]) == ([3, 15], [15])


def test_two_contractions_never_share_a_group() -> None:
    def both(a: Any, b: Any, x: Any) -> Any:
        return (x @ a) * (x @ b)

    groups = groups_of(both, shape(7, 5), shape(7, 5), shape(3, 7))
    assert [len([o for o in g.operators if o.primitive == "dot_general"]) for g in groups] == [1, 1]
    assert [len(g.operators) for g in groups] == [1, 2]


def test_no_cycle_through_a_contraction() -> None:
    def gated(w: Any, x: Any) -> Any:
        scaled = x * 3.0
        return (scaled @ w) + scaled  # the sum may not join the group that made `scaled`

    groups = groups_of(gated, shape(5, 5), shape(3, 5))
    assert [[o.primitive for o in g.operators] for g in groups] == [["mul"], ["dot_general", "add"]]
    assert groups[0].mask & groups[1].ancestors


def test_operands_seen_through_views_are_the_tensor_behind_them() -> None:
    def attention(q: Any, bias: Any) -> Any:
        scores = jnp.einsum("bhd,bkd->bhk", q, jnp.broadcast_to(q[:, :1], q.shape))
        return scores + bias[None, None, :]

    workload = trace(attention, shape(2, 3, 5), shape(3), samples=2, parameters=1)
    (row,) = workload.rows
    assert [t.elements for t in row.reads] == [30, 10, 3]


def test_layout_changes_that_leave_the_step_are_copies() -> None:
    (row,) = trace(lambda x: x.T, shape(3, 5)).rows
    assert (row.kind, row.name) == ("movement", "transpose [5x3]")
    assert elements(row) == ([15], [15])


def test_movement_stands_alone() -> None:
    def lookup(table: Any, tokens: Any) -> Any:
        return jnp.exp(table[tokens]) * 2.0

    workload = trace(lookup, shape(101, 5), shape(7, dtype=jnp.int32))
    movement = [row for row in workload.rows if row.kind == "movement"]
    assert len(movement) == 1
    assert elements(movement[0]) == ([7, 35], [35])  # rows touched, not the table


def test_gradients_are_written_before_the_optimizer_reads_them() -> None:
    def step(state: Any, x: Any) -> Any:
        value, slope = jax.value_and_grad(lambda w: jnp.sum(jnp.tanh(x * w)))(state["w"])
        return {"w": state["w"] - 0.1 * slope}, value

    workload = trace(step, {"w": shape(9)}, shape(9))
    update = workload.rows[-1]
    assert update.phase == "optimizer"
    assert sorted(t.role for t in update.reads) == ["gradient", "parameter"]
    assert [t.elements for t in workload.gradients] == [9]
