"""The hardware side of the codesign: a small chip sized to each network, and its cost.

The chip is an edge accelerator at 7 nm: one systolic array as wide as the hidden layers, lanes and
buffer bandwidth in proportion, a buffer that keeps state and activations, one LPDDR5 channel, no
links. Two things are not of such a chip and stay in `static_nJ`: the model's host interface, 10 mm2
on every chip, and its idle power per area, which is that of datacentre chips. Neither is a
parameter, so `dynamic_nJ` is what designs are compared by: multipliers, registers, vector unit,
buffer, DRAM transfers.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax

from hwmodels import VARIANTS, Accelerator, Metrics, Workload
from hwmodels.accelerators.entry import KINDS
from hwmodels.evaluate import model
from hwmodels.fleet.scaling import Fleet
from hwmodels.workloads.workload import same_shapes

# Vector operations of each element that is rounded, and of each sum that is scaled back: magnitude,
# running maximum, scaling, rounding; a cast alone rounds to bf16.
ROUNDING = {"fp32": (0, 0), "bf16": (1, 0), "fp8": (4, 1), "int8": (4, 1), "int4": (4, 1)}
PARTS = {"arithmetic": ("mac", "register"), "vector": ("vector",), "buffer": ("buffer",),
         "dram": ("dram",)}  # fmt: skip


def with_rounding(workload: Workload, number_format: str) -> Workload:
    """The workload with operands rounded by the vector unit, each before its first reader.

    Forward products round both operands; of backward ones, error signals at the product that makes
    the weights' gradient. A second pass over memory for the maximum is not charged: the previous
    step's may serve, as in Transformer Engine.
    """
    of_element, of_sum = ROUNDING[number_format]
    rows = []
    for row in workload.rows:
        if row.kind == "contraction":
            operands = row.reads[:2]
            if row.phase == "backward":
                makes_gradient = all(tensor.role != "parameter" for tensor in operands)
                operands = tuple(t for t in operands if t.error and makes_gradient)
            elements = sum(tensor.elements for tensor in operands)
            more = of_element * elements + of_sum * row.batch * row.m * row.n
            row = dataclasses.replace(row, simple=row.simple + more)
        rows.append(row)
    return dataclasses.replace(workload, rows=tuple(rows))


def chip_for(workload: Workload, width: int, number_format: str, clock_GHz: float) -> Accelerator:
    """The chip, sized in fp32: formats of one network differ in nothing else."""
    side = min(max(width, 8), 64)
    stored = float(sum(workload.operations.totals.footprint)) / 2**20
    found: Accelerator = VARIANTS["systolic"](number_format=number_format).replace(
        **KINDS["dram_kind"]["lpddr5"], **KINDS["link_kind"]["none"], dram_stacks=1,
        rows=side, columns=side, arrays=1, vector_lanes=4 * side, clock_GHz=clock_GHz,
        # Half of a buffer keeps tensors.
        sram_capacity_MiB=2.0 ** math.ceil(math.log2(2 * stored)),
        sram_bandwidth_B_per_cycle=16 * side,
    )  # fmt: skip
    return found


def costs(
    workloads: list[Workload], widths: list[int], number_format: str, clock_GHz: float
) -> list[dict[str, float]]:
    """Energy of a sample and throughput of each step on its chip, sequenced in hardware."""
    charged = same_shapes([with_rounding(workload, number_format) for workload in workloads])
    found = []
    for width, workload in zip(widths, charged, strict=True):
        chip = chip_for(workload, width, number_format, clock_GHz)
        metrics = _metrics(chip, chip.operations(workload, "warm"))
        terms = {n: 1e9 * float(v) / workload.samples for n, v in metrics.energy_terms.items()}
        parts = {f"{p}_nJ": sum(terms[n] for n in names) for p, names in PARTS.items()}
        found.append({
            "dynamic_nJ": sum(parts.values()),
            **parts,
            "static_nJ": sum(v for name, v in terms.items() if name.startswith("static_")),
            "throughput_per_s": float(metrics.throughput),
            "utilization": float(metrics.utilization),
            "area_mm2": 1e6 * float(metrics.area),
            "sram_MiB": float(chip.sram.capacity) / 2**20,
        })  # fmt: skip
    return found


# `evaluate` compiles once for each workload's names; without them, once for each format.
@jax.jit
def _metrics(chip: Accelerator, operations: Any) -> Metrics:
    return model(chip, operations, Fleet(), training=True, runtime="none")
