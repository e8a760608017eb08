"""The workload type and its numeric form, against numbers worked out by hand."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from hwmodels.errors import InputError
from hwmodels.workloads import WORKLOADS, Operation, Tensor, Workload, load_workload


def contraction(**changes: object) -> Operation:
    fields: dict[str, object] = {
        "kind": "contraction",
        "name": "dot 3x5x7",
        "phase": "backward",
        "reads": (
            Tensor("activation", 21, 32),
            Tensor("parameter", 35, 32),
            Tensor("input", 15, 32),
            Tensor("activation", 15, 8, floating=False),
        ),
        "writes": (Tensor("gradient", 15, 32), Tensor("activation", 5, 32)),
        "count": 2.0,
        "batch": 1.0,
        "m": 3.0,
        "n": 5.0,
        "k": 7.0,
        "simple": 15.0,
        "flops": 225.0,
        "lhs_density": 0.25,
    }
    return Operation(**{**fields, **changes})  # type: ignore[arg-type]


def vector() -> Operation:
    return Operation(
        kind="vector",
        name="update",
        phase="optimizer",
        reads=(Tensor("gradient", 35, 32), Tensor("parameter", 35, 32)),
        writes=(Tensor("parameter", 35, 32),),
        simple=70.0,
        special=35.0,
        flops=105.0,
    )


def small_workload() -> Workload:
    return Workload(
        name="small",
        rows=(contraction(), vector()),
        samples=3,
        max_global_batch=33,
        training=True,
        footprints=(
            Tensor("parameter", 35, 32),
            Tensor("gradient", 35, 32),
            Tensor("activation", 26, 32),
            Tensor("activation", 15, 8, floating=False),
        ),
        gradients=(Tensor("gradient", 35, 32),),
        last_gradient_fraction=0.5,
    )


def test_totals_count_repeats() -> None:
    workload = small_workload()
    assert workload.macs == 2 * 105
    assert workload.flops == 2 * 225 + 105
    one_run = 4 * (21 + 35 + 15) + 15 + 4 * (15 + 5)
    assert workload.bytes == 2 * one_run + 4 * 105


def test_narrowing_spares_weights_gradients_and_integers() -> None:
    assert Tensor("activation", 21, 32).bytes(16) == 42
    assert Tensor("input", 21, 32).bytes(8) == 21
    assert Tensor("activation", 21, 8).bytes(16) == 21  # never widened
    assert Tensor("activation", 21, 32, floating=False).bytes(16) == 84
    for role in ("parameter", "gradient", "optimizer_state"):
        assert Tensor(role, 21, 32).bytes(16) == 84


def test_pack_puts_tensors_into_their_roles() -> None:
    rows = small_workload().at_format(16).contraction
    # parameter, gradient, optimizer_state, activation, input
    assert np.column_stack(rows.lhs).tolist() == [[0, 0, 0, 42, 0]]
    assert np.column_stack(rows.rhs).tolist() == [[140, 0, 0, 0, 0]]
    # The result, and the epilogue: 15 boolean and 5 narrowed activations, 15 narrowed inputs.
    assert np.column_stack(rows.once).tolist() == [[0, 60, 0, 15 + 10, 30]]
    assert rows.epilogue_bytes.tolist() == [15 + 10 + 30]
    assert rows.every_byte.tolist() == [42 + 140 + 60 + 15 + 10 + 30]
    assert rows.backward.tolist() == [1]
    assert rows.lhs_density.tolist() == [0.25]


def test_pack_keeps_absent_kinds_as_empty_arrays() -> None:
    operations = small_workload().operations
    assert np.column_stack(operations.movement.traffic).shape == (0, 5)
    assert np.column_stack(operations.vector.traffic).tolist() == [[280, 140, 0, 0, 0]]
    assert operations.vector.every_byte.tolist() == [420]
    assert operations.vector.special.tolist() == [35]
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(operations))


def test_streamed_operand_has_no_role() -> None:
    reads = (Tensor("input", 21, 32), *contraction().reads[1:])
    workload = Workload("one", (contraction(reads=reads),), 3, 33, True, ())
    assert np.column_stack(workload.operations.contraction.lhs).tolist() == [[0, 0, 0, 0, 84]]


def test_residency_serves_most_traffic_per_byte_first() -> None:
    totals = small_workload().operations.totals
    # Bytes stored, and traffic per step: parameter 140 and 2*140 + 280, gradient 140 and
    # 2*60 + 140, activation 119 and 2*(84 + 15 + 20); per byte 4.0, 1.86 and 2.0.
    assert totals.footprint.tolist() == [140, 140, 0, 119]
    assert totals.ahead.tolist() == [0, 140 + 119, 140 + 119 + 140, 140]
    assert totals.gradient_bytes == 140
    assert totals.last_gradient_fraction == np.float32(0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "contractoin"}, "did you mean contraction"),
        ({"phase": "sideways"}, "operation.phase"),
        ({"m": 0.0}, "operation dot 3x5x7"),
        ({"reads": (Tensor("weights", 3, 32),) * 2}, "tensor.role"),
    ],
)
def test_bad_operations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        contraction(**changes)


def test_bad_workloads_are_refused() -> None:
    with pytest.raises(InputError, match="rows"):
        Workload("none", (), 3, 33, True, ())
    with pytest.raises(InputError, match="max_global_batch"):
        Workload("small", (vector(),), 3, 2, True, ())


def test_registry() -> None:
    assert {"mlp", "mlp-large"} <= set(WORKLOADS)
    assert load_workload("mlp").samples == 32
    with pytest.raises(InputError, match="did you mean mlp-large"):
        load_workload("mlp_large")
