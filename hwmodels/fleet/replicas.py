"""What data parallelism adds to a step: gradients reduced, sharded weights gathered.

One collective a block. The reduction hides behind the backward phase of the last micro-batch, but
for the share f of the gradients that it produces last (as `hwmodels.fleet.scaling`):

    exposed(T, hide, f) = max(0, (1 - f) T - hide) + f T

* ZeRO 0: an all-reduce of the stage's gradients a step.
* ZeRO 1: a reduce-scatter, and an all-gather of the updated working copies, which hides behind
  the next forward phase but for its first block.
* ZeRO 2: as 1, with a reduce-scatter every micro-batch, as only shards of gradients are kept.
* ZeRO 3, FSDP: for every micro-batch weights are gathered before forward and before backward,
  prefetched one block ahead: of b blocks the first gather is exposed, then max(0, gather - compute)
  for each. In backward, the last block's weights are still there, gather and reduce-scatter share
  the network, and the last reduce-scatter is exposed.

(Rajbhandari et al., SC 2020, section 7; Zhao et al., PyTorch FSDP, VLDB 2023.) Weights of experts
are reduced over data / expert chips, one after the dense ones. Left out: the all-reduce of tied
embeddings between first and last stage, buckets, gradients' rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from hwmodels.fleet.groups import Transfer, call
from hwmodels.fleet.memory import Held, held
from hwmodels.fleet.network import Network
from hwmodels.fleet.plan import ClusterTuning, Plan
from hwmodels.fleet.stores import Stores


class Layout(NamedTuple):
    """What collectives over replicas depend on: the part of a plan that lays out its ranks."""

    tensor: Any
    pipeline: Any
    data: Any
    expert: Any


class Shards(NamedTuple):
    """One reduce-scatter of a stage's gradients, one all-gather of its working copies, all blocks;
    `blocks` of a stage."""

    scatter: Transfer
    gather: Transfer
    blocks: Any


class Replicas(NamedTuple):
    """`reduce`, `gather`: time of a step's transfers that nothing hides [s]; `contention`: by which
    the others slow what hides them, as they take compute units and memory bandwidth; `busy`: time
    of all transfers; `energy` [J] of a chip's bits between nodes."""

    reduce: Any
    gather: Any
    contention: Any
    busy: Any
    energy: Any


def shards(net: Network, tuning: ClusterTuning, layout: Layout, stores: Stores) -> Shards:
    """The collectives of one layout."""
    mine = held(stores, layout)
    blocks = jnp.maximum(stores.layers / layout.pipeline, 1.0)
    gradient = tuning.gradient_bits / 8.0
    return Shards(
        _over_replicas("reduce_scatter", net, layout, mine, gradient, blocks),
        _over_replicas("all_gather", net, layout, mine, stores.working, blocks),
        blocks,
    )


def replicas(
    one: Shards, tuning: ClusterTuning, plan: Plan, stores: Stores, microbatches: Any,
    forward: Any, backward: Any,
) -> Replicas:  # fmt: skip
    """`forward`, `backward`: times of a stage's micro-batch that transfers hide behind [s]."""
    scatter, gather, blocks = one
    last = _last_share(stores, blocks)

    def of_zero(*values: Any) -> Any:
        """The value for the plan's ZeRO stage."""
        result = values[0]
        for stage, value in enumerate(values[1:], 1):
            result = jnp.where(plan.zero >= stage, value, result)
        return result

    once = exposed(scatter.time, backward, last)
    twice = exposed(2.0 * scatter.time, backward, last)
    ahead = exposed(gather.time, forward, 1.0 / blocks)
    fetch, back = gather.time / blocks, scatter.time / blocks
    rest = blocks - 1.0
    fetched = fetch + rest * jnp.maximum(fetch - forward / blocks, 0.0)
    returned = back + rest * jnp.maximum(fetch + back - backward / blocks, 0.0)
    m = microbatches
    busy_gather = of_zero(0.0, 1.0, 1.0, 2.0 * m)
    busy_scatter = of_zero(2.0, 1.0, m, m)
    reduce = of_zero(twice, once, m * once, m * returned)
    gathered = of_zero(0.0, ahead, ahead, m * fetched)
    busy = busy_gather * gather.time + busy_scatter * scatter.time
    return Replicas(
        reduce=reduce,
        gather=gathered,
        contention=tuning.data_contention * jnp.maximum(busy - reduce - gathered, 0.0),
        busy=busy,
        energy=busy_gather * gather.energy + busy_scatter * scatter.energy,
    )


def exposed(transfer: Any, hide: Any, last: Any) -> Any:
    """Time of `transfer` that `hide` seconds of compute do not cover [s]; see above."""
    return jnp.maximum((1.0 - last) * transfer - hide, 0.0) + last * transfer


def _over_replicas(
    kind: str, net: Network, layout: Layout, mine: Held, each: Any, blocks: Any
) -> Transfer:
    """A collective of `each` bytes a parameter (an all-gather: in the end), one call a block."""

    def part(parameters: Any, size: Any, stride: Any) -> Transfer:
        volume = each * parameters / blocks
        before = volume / size if kind == "all_gather" else volume
        return call(kind, net, size, stride, before).times(blocks)

    dense = part(mine.dense, layout.data, layout.tensor)
    if mine.experts is None:
        return dense
    owned = part(mine.experts, layout.data / layout.expert, layout.tensor * layout.expert)
    return Transfer(dense.time + owned.time, dense.energy + owned.energy)


def _last_share(stores: Stores, blocks: Any) -> Any:
    """Share of a chip's gradients that its backward phase makes last: one block's, or as traced
    where nothing repeats."""
    return jnp.where(stores.layers > 1.0, 1.0 / blocks, stores.last_gradient)
