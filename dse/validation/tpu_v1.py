"""TPU v1 (Jouppi et al., ISCA 2017): rates of its six production networks.

The networks are secret but for their numbers of layers and weights, batch, and operations for each
byte of weights; that is what a `Workload` is built from here, and the public `evaluate` runs it on
the catalog's systolic array, so that what is validated is what is swept:

* a layer has its even share of the weights, K x N with N the multiple of the array's columns next
  to the square root (dense) or, for 3 x 3 convolutions, to a ninth of it: utilisations of the
  published networks are whole but for 4%;
* M of a dense layer is the batch; that of a convolution makes up the network's operations for each
  byte of weights, the batch times its positions;
* weights come from DRAM for every batch, four tiles ahead, activations stay in the unified buffer:
  weights are read in the role of inputs, which nothing keeps on chip;
* every output passes the activation unit once; vector layers, the rest of the count, take the
  batch times N elements from the buffer and back and stand alone, their sigmoid or tanh counted
  as one special operation.

The rate is 2 macs / time. DDR3 delivers `DDR3_SHARE` of its 34 GB/s: refresh takes 3 to 4%, opening
rows and turning the bus the rest; an estimate. Left out: stalls for synchronisation between layers
beyond fill and drain, input from the host (whose shares the paper states apart), 16-bit activations
at half speed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hwmodels.accelerators.catalog import load_entry
from hwmodels.errors import check_choice
from hwmodels.evaluate import evaluate
from hwmodels.workloads.operation import Operation, Tensor
from hwmodels.workloads.workload import Workload

DDR3_SHARE = 0.9
LANES = 256
TAPS = 9


@dataclass(frozen=True)
class Network:
    """Table 1: layers by kind, weights, batch, operations for each byte of weights."""

    dense: int
    convolutions: int
    vector: int
    weights: float
    batch: int
    intensity: float


# Jouppi et al., ISCA 2017, Table 1 (those of MLP0, LSTM0, CNN0 verified, the rest from memory).
# Pooling layers of CNN1 (13) are taken as vector layers.
NETWORKS = {
    "MLP0": Network(5, 0, 0, 20e6, 200, 200),
    "MLP1": Network(4, 0, 0, 5e6, 168, 168),
    "LSTM0": Network(24, 0, 34, 52e6, 64, 64),
    "LSTM1": Network(37, 0, 19, 34e6, 96, 96),
    "CNN0": Network(0, 16, 0, 8e6, 8, 2888),
    "CNN1": Network(4, 72, 13, 100e6, 32, 1750),
}
SCORED = ("MLP0", "MLP1", "LSTM0", "CNN0")


def network(name: str, facts: Mapping[str, float]) -> Network:
    """Table 1 with what `facts` state: weights_M, ops_per_weight_byte, batch, layers.

    Of another number of layers each kind has its share. Raises `InputError` for an unknown network.
    """
    check_choice("workload", name, NETWORKS)
    known = NETWORKS[name]
    kinds = known.dense, known.convolutions, known.vector
    ratio = facts.get("layers", sum(kinds)) / sum(kinds)
    dense, convolutions, vector = (max(round(n * ratio), 1) if n else 0 for n in kinds)
    return Network(
        dense, convolutions, vector,
        1e6 * facts.get("weights_M", known.weights / 1e6),
        int(facts.get("batch", known.batch)),
        facts.get("ops_per_weight_byte", known.intensity),
    )  # fmt: skip


def workload(name: str, one: Network) -> Workload:
    """One batch of a network as operations."""
    layers = one.dense + one.convolutions
    share = one.weights / layers
    dense_part = one.dense / layers * one.batch
    positions = (one.intensity - dense_part) * layers / max(one.convolutions, 1)
    rows = []
    for kind, count, m, taps in (
        ("dense", one.dense, one.batch, 1), ("conv", one.convolutions, positions, TAPS),
    ):  # fmt: skip
        if count:
            n = LANES * max(1, round(math.sqrt(share / taps) / LANES))
            rows.append(_product(kind, count, float(round(m)), float(n), share / n, taps))
    width = LANES * max(1, round(math.sqrt(share) / LANES))
    if one.vector:
        rows.append(_gates(one.vector, float(one.batch * width)))
    inputs = Tensor("activation", one.batch * float(width), 8, floating=False)
    return Workload(name, tuple(rows), float(one.batch), float(one.batch), False, (inputs,))


def achieved_tops(name: str, facts: Mapping[str, float]) -> float:
    """Predicted rate [T/s, two operations a multiply-accumulate]."""
    step = workload(name, network(name, facts))
    metrics = evaluate(_chip(), step, runtime="none")
    return 2e-12 * step.macs / float(metrics.time)


@cache
def _chip() -> Any:
    return load_entry("tpu_v1").chip().replace(tuning_dram_efficiency=DDR3_SHARE)


def _product(kind: str, count: int, m: float, n: float, k: float, taps: int) -> Operation:
    """A layer; a convolution's inputs are read from the buffer once, not once a tap."""
    return Operation(
        "contraction", kind, "forward",
        (
            Tensor("activation", m * k / taps, 8, floating=False),
            Tensor("input", k * n, 8, floating=False),
        ),
        (Tensor("activation", m * n, 8, floating=False),),
        count=float(count), batch=1.0, m=float(m), n=n, k=k, simple=m * n, flops=2.0 * m * n * k,
    )  # fmt: skip


def _gates(count: int, elements: float) -> Operation:
    tensor = Tensor("activation", elements, 8, floating=False)
    return Operation(
        "vector", "gates", "forward", (tensor,), (tensor,), count=float(count),
        simple=elements, special=elements, flops=elements, transcendentals=elements,
    )  # fmt: skip
