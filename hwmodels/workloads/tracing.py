"""`trace`: any JAX function -> Workload, from its jaxpr, without running or allocating anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr
from jax.interpreters import partial_eval
from jax.tree_util import tree_flatten_with_path

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.arguments import prepare
from hwmodels.workloads.assemble import Assembler, merge_equal
from hwmodels.workloads.flatten import Flattener, TripCounts
from hwmodels.workloads.fusion import fuse
from hwmodels.workloads.roles import (
    Leaf,
    assign_roles,
    batch_size,
    match_state,
    parameter_arguments,
    phases_of,
    streamed,
)
from hwmodels.workloads.sharding import Sharding
from hwmodels.workloads.shards import collectives_of
from hwmodels.workloads.stages import count_blocks, cut_of, place_rows, saved_of
from hwmodels.workloads.storage import storage
from hwmodels.workloads.workload import Workload

# Without a better figure, a global batch of this many per-chip batches is called sensible.
_DEFAULT_CHIPS = 1024


def trace(
    fn: Callable[..., Any],
    *example_args: Any,
    name: str | None = None,
    samples: float | None = None,
    max_global_batch: float | None = None,
    parameters: Sequence[int] | int | None = None,
    trip_counts: TripCounts = None,
    fused: bool = True,
    densities: Mapping[str, float] | None = None,
) -> Workload:
    """The operations of `fn(*example_args)`: a train step, or inference.

    Args:
      fn: any JAX function; a train step takes and returns its state, as in
        `(state, batch) -> (state, loss)` or `(params, opt, x, y) -> (params, opt, loss)`.
      example_args: arrays or `jax.ShapeDtypeStruct`, of which only shapes and types are used, in
        any pytree; other leaves, and modules of flax.nnx, are passed on as they are.
      name: name of the workload; default: the function's.
      samples: samples per step; default: the common leading dimension of the arguments that are
        neither state nor parameters.
      max_global_batch: the largest sensible global batch in samples; default, an assumption
        stated in `notes`: 1024 times `samples`.
      parameters: numbers of the arguments that hold parameters; default: what the step reads of
        its own state, and without state the first of several arguments.
      trip_counts: runs of each `while` loop, by the name of the function (or named scope, or
        "file.py:line") that contains it, or one integer for all of them.
      fused: whether chains of operators form fusion groups (`hwmodels.workloads.fusion`).
      densities: measured fraction of non-zeros of tensors marked with
        `jax.ad_checkpoint.checkpoint_name`, by that name; recorded where contractions read them.

    Raises:
      InputError: no samples to be found, a `while` without a trip count, an unknown name.
    """
    arrays, shapes = prepare(fn, example_args)
    closed, out_shapes = jax.make_jaxpr(arrays, return_shape=True)(*shapes)
    inputs = [Leaf(path, aval) for path, aval in tree_flatten_with_path(shapes)[0]]
    outputs = [Leaf(path, aval) for path, aval in tree_flatten_with_path(out_shapes)[0]]
    live, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(outputs), instantiate=True)

    flattener = Flattener(trip_counts)
    program = flattener.program(ClosedJaxpr(live, closed.consts))
    if isinstance(trip_counts, Mapping):
        for key in trip_counts:
            check_choice("trip_counts", key, flattener.used_trip_counts)
    if not program.operators:
        raise InputError("fn", getattr(fn, "__name__", fn), "allowed: a function that computes")

    phases = phases_of(program)
    state = match_state(inputs, outputs, program, phases)
    # What inference replaces in its later arguments is a cache.
    trained = "backward" in phases or any(inputs[i].path[0].idx == 0 for i in state.values())
    chosen = parameter_arguments(len(shapes), bool(state) and trained, parameters)
    roles = assign_roles(program, phases, inputs, state, chosen)
    scanned = any(v.index in program.microbatched for v in program.inputs)
    batch = batch_size(streamed(inputs, program, roles), scanned, samples)
    groups = fuse(program, phases, fused)
    phase_of = {o.index: p for o, p in zip(program.operators, phases, strict=True)}
    assembler = Assembler(
        program, groups, phase_of, roles, Sharding(program, phases, roles),
        _checked_densities(densities, program.values),
    )  # fmt: skip
    stored = storage(assembler)
    unplaced = assembler.operations()
    layers = count_blocks(unplaced)
    placed = place_rows(unplaced, layers)
    rows = merge_equal(placed)
    notes = list(program.notes)
    if max_global_batch is None:
        max_global_batch = batch * _DEFAULT_CHIPS
        notes.append(
            f"largest sensible global batch: {max_global_batch:g} samples, an assumption "
            f"({_DEFAULT_CHIPS} x the per-chip batch)"
        )
    return Workload(
        name=name or str(getattr(fn, "__name__", "step")),
        rows=rows,
        samples=batch,
        max_global_batch=float(max_global_batch),
        training=bool(state) and bool(stored.gradients or "optimizer" in phases),
        footprints=stored.footprints,
        gradients=stored.gradients,
        last_gradient_fraction=stored.last_gradient_fraction,
        layers=layers,
        cut=cut_of(rows),
        saved=saved_of(assembler, placed),
        coverage=dict(sorted(program.coverage.items())),
        notes=tuple(notes),
        collectives=collectives_of(program.operators, phase_of),
    )


def _checked_densities(
    densities: Mapping[str, float] | None, values: Sequence[Any]
) -> Mapping[str, float]:
    known = {value.name for value in values if value.name}
    for key, density in (densities or {}).items():
        check_choice("densities", key, known or {"(no tensor is named by checkpoint_name)"})
        if not 0.0 <= density <= 1.0:
            raise InputError(f"densities[{key}]", density, "allowed: 0 to 1")
    return densities or {}
