"""Memory of one chip under a plan, by what is in it.

With n parameters on the chip (split by tensor, pipeline and expert parallelism), d replicas and
ZeRO stage z (Rajbhandari et al., SC 2020), a parameter takes

    working copy + gradient + optimiser state with master copy
    z = 1: state / d;  2: gradient / d too;  3: working copy / d too

i.e. 2 + 2 + 12 bytes in the paper; here the widths are the trace's and the chip's. Saved
activations follow Korthikanti et al. (2022): of every block's tensors, for each micro-batch in
flight, tensor parallelism divides the split ones, sequence parallelism the rest; selective
recomputation drops the core, full recomputation all but the block's input, and while a block is
recomputed its activations are there in full. ZeRO-3 holds two gathered blocks. The fullest of the
first and the last stage counts. Left out: buckets of gradients, temporary results, offloading.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.fleet.plan import ClusterTuning, Plan
from hwmodels.fleet.schedule import InFlight
from hwmodels.fleet.stores import Stores


class Held(NamedTuple):
    """Parameters of one chip of the fullest stage: `dense`, and `experts` of expert products (None
    where the workload has none)."""

    dense: Any
    experts: Any

    @property
    def all(self) -> Any:
        """Both."""
        return self.dense if self.experts is None else self.dense + self.experts


def held(stores: Stores, plan: Any) -> Held:
    """Parameters on a chip before ZeRO shards them; `plan` may be any cut with its sizes."""
    weights, t, p = stores.weights, plan.tensor, plan.pipeline
    blocks = (weights.layers_split / t + weights.layers_whole) / p
    owned = None if weights.experts is None else weights.experts / (t * p * plan.expert)
    return Held(blocks + _ends(weights, p) / t, owned)


def _ends(weights: Any, p: Any) -> Any:
    fuller = jnp.maximum(weights.first + weights.tied, weights.last)
    return jnp.where(p > 1.0, fuller, weights.first + weights.last)


def update_share(stores: Stores, plan: Plan) -> Any:
    """Share of one tensor-parallel chip's parameters that the fullest stage updates."""
    weights, t = stores.weights, plan.tensor
    divided = weights.layers_split + weights.first + weights.last
    if weights.experts is not None:
        divided = divided + weights.experts
    return held(stores, plan).all / jnp.maximum(divided / t + weights.layers_whole, 1.0)


def sharded(plan: Plan, stage: float, replicas: Any) -> Any:
    """How many replicas share a tensor that ZeRO shards from `stage` on."""
    return jnp.where(plan.zero >= stage, replicas, 1.0)


def memory_terms(
    stores: Stores, plan: Plan, tuning: ClusterTuning, flight: InFlight
) -> dict[str, Any]:
    """Bytes on the fullest chip, by term."""
    mine = held(stores, plan)
    groups = [(mine.dense, plan.data)]
    if mine.experts is not None:
        groups.append((mine.experts, plan.data / plan.expert))

    def stored(each: Any, stage: float) -> Any:
        return each * sum(n / sharded(plan, stage, d) for n, d in groups)

    blocks = stores.layers / plan.pipeline
    gathered = jnp.where(plan.zero >= 3.0, stores.working * mine.all, 0.0)
    saved, again = _block_activations(stores, plan)
    return {
        "parameters": stored(stores.working, 3.0),
        "gradients": stored(tuning.gradient_bits / 8.0, 2.0),
        "optimizer": stored(stores.states + stores.master, 1.0),
        "activations": _stage_activations(stores, plan, flight, saved),
        "recomputed": again,
        "gathered": jnp.minimum(2.0 / blocks, 1.0) * gathered,
        "workspace": tuning.workspace * jnp.ones_like(blocks),
    }


def _block_activations(stores: Stores, plan: Plan) -> tuple[Any, Any]:
    """Bytes of a micro-batch that a block saves, and that it makes again while recomputing."""
    kinds, t = stores.activations, plan.tensor
    each = plan.microbatch / stores.layers
    whole = jnp.where(plan.sequence > 0.5, t, 1.0)
    core = each * (kinds.core_split / t + kinds.core_whole / whole)
    rest = each * (kinds.layers_split / t + kinds.layers_whole / whole)
    handed = plan.microbatch * stores.cut / whole
    saved = _by_recompute(plan, rest + core, rest, handed)
    return saved, _by_recompute(plan, 0.0 * core, core, rest + core)


def _by_recompute(plan: Plan, none: Any, selective: Any, full: Any) -> Any:
    chosen = jnp.where(plan.recompute > 0.5, selective, none)
    return jnp.where(plan.recompute > 1.5, full, chosen)


def _stage_activations(stores: Stores, plan: Plan, flight: InFlight, block: Any) -> Any:
    """Bytes of saved activations of the fullest stage."""
    kinds, t = stores.activations, plan.tensor
    stage = block * stores.layers / plan.pipeline
    first = flight.first * plan.microbatch * kinds.first / jnp.where(plan.sequence > 0.5, t, 1.0)
    last = flight.head * plan.microbatch * kinds.last / t
    begin, end = flight.first * stage + first, flight.last * stage + last
    return jnp.where(
        plan.pipeline > 1.0, jnp.maximum(begin, end), flight.first * stage + first + last
    )
