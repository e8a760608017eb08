"""How a training step is cut over chips: `Plan`, and the machine that it runs on: `Cluster`.

A plan uses tensor x pipeline x data chips. Neighbours in rank order share a node: tensor-parallel
chips lie next to each other, then the expert-parallel ones (a part of the data-parallel group, as
in Megatron-LM), then data, then pipeline (Narayanan et al., SC 2021, section 3.1: tensor
parallelism inside the node, pipeline and data parallelism between nodes).

Every field is a floating leaf, choices included (0, 1, 2, ...), so that one compiled program
evaluates all plans of a search.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import jax

from hwmodels.errors import InputError, check_choice
from hwmodels.fleet.network import Network
from hwmodels.fleet.reliability import Reliability
from hwmodels.fleet.sizing import TOPOLOGIES
from hwmodels.quantity import check_quantities, part, quantity, static

RECOMPUTE = ("none", "selective", "full")
SCHEDULES = ("gpipe", "1f1b")
LARGEST = 65536.0  # chips of a fleet


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Plan:
    """One way to train in parallel. `recompute` and `schedule` are positions in `RECOMPUTE` and
    `SCHEDULES`; `make_plan` takes their names."""

    tensor: Any = quantity(1, low=1, high=LARGEST, doc="chips that share each product")
    pipeline: Any = quantity(1, low=1, high=LARGEST, doc="stages that share the layers")
    data: Any = quantity(1, low=1, high=LARGEST, doc="replicas")
    expert: Any = quantity(1, low=1, high=LARGEST, doc="chips among data that share the experts")
    microbatch: Any = quantity(1, low=1, high=2**24, doc="samples that a replica runs at once")
    interleave: Any = quantity(1, low=1, high=1024, doc="model chunks of a stage")
    zero: Any = quantity(0, low=0, high=3, doc="ZeRO stage: what data-parallel chips shard")
    sequence: Any = quantity(0, low=0, high=1, doc="1: sequence parallelism beside tensor")
    recompute: Any = quantity(0, low=0, high=2, doc="0 none, 1 selective (core), 2 full")
    schedule: Any = quantity(1, low=0, high=1, doc="0 GPipe, 1 1F1B (interleaved if chunks > 1)")

    @property
    def chips(self) -> Any:
        """Chips that the plan uses."""
        return self.tensor * self.pipeline * self.data


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ClusterTuning:
    """What measurements may set; ideal by default."""

    attention_efficiency: Any = quantity(
        1.0, low=0.01, high=1.0, doc="rate of attention kernels over that of matrix products"
    )
    link_efficiency: Any = quantity(
        1.0, low=0.01, high=1.0, doc="share of the bandwidth inside a node that collectives reach"
    )
    network_efficiency: Any = quantity(
        1.0, low=0.01, high=1.0, doc="share of the bandwidth between nodes that is reached"
    )
    tensor_overlap: Any = quantity(
        0.0, low=0.0, high=1.0, doc="share of tensor- and expert-parallel transfers that is hidden"
    )
    pipeline_overlap: Any = quantity(
        1.0, low=0.0, high=1.0, doc="share of steady-state pipeline transfers that is hidden"
    )
    data_contention: Any = quantity(
        0.0, low=0.0, high=1.0,
        doc="time that a hidden data-parallel transfer takes from the compute that hides it",
    )  # fmt: skip
    memory_usable: Any = quantity(
        1.0, low=0.1, high=1.0, doc="share of the DRAM that fragmentation leaves to tensors"
    )
    workspace: Any = quantity(
        0.0, "GiB", 2.0**30, low=0.0, high=1024, doc="memory of runtime and libraries on a chip"
    )
    gradient_bits: Any = quantity(
        32.0, "bit", low=8, high=64, doc="bits of a gradient as stored and reduced"
    )


def _between_nodes() -> Network:
    return Network(
        bandwidth=25e9, latency=0.5e-6, startup=2e-6, energy=10e-12, block=20.0,
        topology="fat_tree", levels=3,
    )  # fmt: skip


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "chips", "node_chips", "network", "host_power", "port_power", "board_share", "tuning",
        "reliability",
    ],
    meta_fields=["topology"],
)  # fmt: skip
@dataclass(frozen=True)
class Cluster:
    """Chips in nodes: the chip's own links inside a node, a slower `network` between nodes.

    Leaves are floats: a derivative by a cluster needs `chips=16.0`, not 16.

    `topology` wires the links inside a node. `network` has rates per chip; default: 200 Gb/s a
    chip (NVIDIA DGX A100 datasheet; verified) into a fat tree of three levels of 40-port switches
    (Selene, Narayanan et al., 2021); 0.5 us a hop, 2 us to start a message, 10 pJ/bit and hop
    (card, cables and switches; estimates).

    Power, estimates from memory: a host of 0.8 kW (two CPUs of 225 W, 1 to 2 TB of memory,
    storage), 20 W a chip for its network card and 10 W for each of three switch tiers (a 40-port
    HDR switch draws 0.4 kW); board (voltage conversion, fans, node switch) as a share of the chips'
    power: DGX A100 draws 6.5 kW at most, of which eight chips take 3.2 kW, host and cards 1 kW,
    and fans at full speed are not the average.
    """

    chips: Any = quantity(8, low=1, high=LARGEST, doc="chips")
    node_chips: Any = quantity(8, low=1, high=LARGEST, doc="chips of a node")
    network: Network = dataclasses.field(default_factory=_between_nodes, metadata={"part": Network})
    host_power: Any = quantity(800, "W", low=0.0, high=1e5, doc="host of a node")
    port_power: Any = quantity(50, "W", low=0.0, high=1e4, doc="card and switch ports of a chip")
    board_share: Any = quantity(0.3, low=0.0, high=2.0, doc="board's power over the chips'")
    tuning: ClusterTuning = part(ClusterTuning)
    reliability: Reliability = part(Reliability)
    topology: str = static("switch", choices=TOPOLOGIES, doc="links inside a node")


def make_plan(**values: Any) -> Plan:
    """A plan by field; `recompute` and `schedule` by name. Checks every number.

    Raises:
      InputError: an unknown field or name, a number outside its range or not whole.
    """
    names = [field.name for field in dataclasses.fields(Plan)]
    for name, choices in (("recompute", RECOMPUTE), ("schedule", SCHEDULES)):
        if isinstance(values.get(name), str):
            check_choice(f"plan.{name}", values[name], choices)
            values[name] = choices.index(values[name])
    for name, value in values.items():
        check_choice("plan", name, names)
        if isinstance(value, (int, float)) and value != int(value):
            raise InputError(f"plan.{name}", value, "allowed: whole numbers")
    plan = Plan(**{name: float(value) for name, value in values.items()})
    check_quantities(plan, "plan.")
    return plan
