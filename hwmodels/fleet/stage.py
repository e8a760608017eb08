"""Times of one micro-batch on the stages of a pipeline, with the collectives inside it.

Each place (first, layers, last) has its forward and backward time, what recomputation repeats, and
the transfers of tensor and expert parallelism, which stand in the way of the arithmetic but for a
stated share. The blocks are shared evenly by the p stages; the slower end makes the slowest stage,
one stage has both ends.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hwmodels.fleet.groups import Message, Transfer, call, message
from hwmodels.fleet.marks import BUCKETS
from hwmodels.fleet.network import Network
from hwmodels.fleet.partition import Cut, RowCosts
from hwmodels.fleet.plan import Plan

PLACES = ("first", "layers", "last")


class Stage(NamedTuple):
    """Of one micro-batch. Times [s]: `forward`, `backward`, `recompute` on the chip, `tensor`,
    `expert` of the transfers in all of them; `network_energy` between nodes, `energy` [J]."""

    forward: Any
    backward: Any
    recompute: Any
    tensor: Any
    expert: Any
    network_energy: Any
    energy: Any

    def time(self, overlap: Any) -> Any:
        """Time with the share `overlap` of the transfers hidden [s]."""
        transfers = (1.0 - overlap) * (self.tensor + self.expert)
        return self.forward + self.backward + self.recompute + transfers


class Stages(NamedTuple):
    """The slowest stage, and all of them added up."""

    slowest: Stage
    together: Stage


class Calls(NamedTuple):
    """Messages of a tensor-parallel group, of an expert-parallel one (None: no experts), and the
    gathering of what a stage receives. They depend on a plan's cut only."""

    reduce: Message
    exchange: Message | None
    receive: Transfer


def calls_of(costs: RowCosts, net: Network, cut: Cut, handed: Any, experts: bool) -> Calls:
    """Calls at the row costs of `cut`; `handed`: bytes of a sample from block to block."""
    # All messages have about the same size: one token's hidden vector, times tokens.
    mean = costs.reduced.sum() / jnp.maximum(costs.reductions.sum(), 1.0)
    reduce = message("all_reduce", net, cut.tensor, 1.0, mean)
    exchange = None
    if experts:
        mean = costs.exchanged.sum() / jnp.maximum(costs.exchanges.sum(), 1.0)
        exchange = message("all_to_all", net, cut.expert, cut.tensor, mean)
    share = cut.microbatch * handed / cut.tensor
    return Calls(reduce, exchange, call("all_gather", net, cut.tensor, 1.0, share))


def stages(costs: RowCosts, calls: Calls, overlap: Any, plan: Plan) -> Stages:
    """The stages of `plan`, at the costs of its cut; `overlap`: hidden share of transfers."""
    first, layers, last = (_place(place, costs, calls, plan) for place in PLACES)
    blocks = jax.tree.map(lambda x: x / plan.pipeline, layers)
    piped = plan.pipeline > 1.0
    begins = first.time(overlap) >= last.time(overlap)
    slowest = jax.tree.map(
        lambda a, x, b: x + jnp.where(piped, jnp.where(begins, a, b), a + b), first, blocks, last
    )
    together = jax.tree.map(lambda a, x, b: a + x + b, first, layers, last)
    return Stages(slowest, together)


def _place(place: str, costs: RowCosts, calls: Calls, plan: Plan) -> Stage:
    forward, backward = (BUCKETS.index(f"{place}_{phase}") for phase in ("forward", "backward"))
    core = BUCKETS.index("core_forward")

    def again(values: Any) -> Any:
        """What recomputation adds to a forward and a backward phase."""
        if place != "layers":
            return 0.0 * values[forward]
        selective = jnp.where(plan.recompute > 0.5, values[core], 0.0)
        return jnp.where(plan.recompute > 1.5, values[forward], selective)

    def whole(values: Any) -> Any:
        return values[forward] + values[backward] + again(values)

    reduced = calls.reduce.sent(whole(costs.reduced), whole(costs.reductions))
    exchanged = Transfer(0.0 * reduced.time, 0.0 * reduced.energy)
    if calls.exchange is not None:
        exchanged = calls.exchange.sent(whole(costs.exchanged), whole(costs.exchanges))
    return Stage(
        forward=costs.time[forward],
        backward=costs.time[backward],
        recompute=again(costs.time),
        tensor=reduced.time,
        expert=exchanged.time,
        network_energy=reduced.energy + exchanged.energy,
        energy=whole(costs.energy),
    )


def hand_over(net: Network, plan: Plan, handed: Any, receive: Transfer) -> Transfer:
    """A micro-batch's activation, `handed` bytes a sample, from stage to stage.

    Every tensor-parallel chip sends its share to its counterpart, and the shares are gathered again
    inside the group unless sequence parallelism keeps them apart (Narayanan et al., SC 2021,
    section 4.1).
    """
    share = plan.microbatch * handed / plan.tensor
    sent = call("point_to_point", net, plan.pipeline, plan.tensor * plan.data, share)
    needed = jnp.where(plan.sequence > 0.5, 0.0, 1.0)
    return Transfer(sent.time + needed * receive.time, sent.energy + needed * receive.energy)
