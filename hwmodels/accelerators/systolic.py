"""Systolic arrays (TPU-like): operands flow through a grid of multiply-accumulate units.

An array of R rows and C columns holds a stationary R x C tile while the third dimension
streams; a product makes F = ceil(dim_R / R) ceil(dim_C / C) folds per batch. The A arrays take
whole folds each, several arrays sharing one where there are fewer folds than arrays, or all share
every fold: the faster of

    F / A rounds of t = T / max(A / F, 1) steps      F rounds of t = T / A steps

(quotients rounded up, A / F down) with T streamed steps. Arrays that share a fold receive its tile
in one broadcast and split the streamed dimension; not that of output-stationary, a reduction. Then

    fold_overlap = "none":  cycles = rounds (t + R + R + C - 2)      (SCALE-Sim v2, exactly)
    "double_buffered":      cycles = (rounds - 1) max(t, L) + t + L + R + C - 2

i.e. the next tile loads (or the last one drains) behind the stream, and fill and drain are paid
once, as TPUs do (Jouppi et al., ISCA 2017). A load takes a cycle for each row of the tile: L is K
shared evenly by the folds along it, at most R (SCALE-Sim: always R; output-stationary: none, but R
cycles to drain). Otherwise partial folds cost full R and C. Left out: padding of the streamed
dimension to the width of vector registers.

Buffer traffic follows SCALE-Sim's SRAM counts; partial sums of several folds along K are read
back and written again. Energy per multiply-accumulate: the unit, two operand registers and one
accumulator register, each written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, register_file, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity, static
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions


class Folds(NamedTuple):
    """Tiles of the stationary matrix along the array's rows and columns, and steps of each."""

    rows: Any
    columns: Any
    steps: Any


class BufferWords(NamedTuple):
    """Words between buffer and arrays: operand reads, and how often each result is written."""

    lhs: Any
    rhs: Any
    result_writes: Any


@register("systolic")
@dataclass(frozen=True)
class Systolic(Accelerator):
    """Weight-, output- or input-stationary systolic arrays beside a vector unit."""

    rows: Any = quantity(128, low=4, high=1024, doc="rows of an array")
    columns: Any = quantity(128, low=4, high=1024, doc="columns of an array")
    arrays: Any = quantity(4, low=1, high=256, doc="number of arrays")
    vector_lanes: Any = quantity(1024, low=8, high=65536, doc="fp32 lanes of the vector unit")
    dataflow: str = static(
        "weight_stationary",
        choices=("weight_stationary", "output_stationary", "input_stationary"),
        doc="which operand stays in the array",
    )
    fold_overlap: str = static(
        "double_buffered", choices=("double_buffered", "none"), doc="hide loads behind streams"
    )

    IDLE_W_PER_M2 = 0.085e6  # puts TPU v1, v2, v4i and v4 within 7% of their published idle powers

    @property
    def macs_per_cycle(self) -> Any:
        """Units of all arrays."""
        return self.rows * self.columns * self.arrays

    @property
    def vector_rate(self) -> Any:
        """Lanes of the vector unit."""
        return self.vector_lanes

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """See the module docstring."""
        one = self.folds(op, relax)
        folds = one.rows * one.columns * op.batch
        rounds = relax.ceil_div(folds, self.arrays)
        shapes = [(rounds, one.steps)]
        if self.dataflow != "output_stationary":
            sharing = relax.maximum(relax.floor(self.arrays / folds), 1.0)
            shapes = [
                (rounds, relax.ceil_div(one.steps, sharing)),
                (folds, relax.ceil_div(one.steps, self.arrays)),
            ]
        load = 0.0 if self.dataflow == "output_stationary" else self.rows
        if self.fold_overlap == "none":
            skew = load + self.rows + self.columns - 2.0
            ranks = [rounds * (steps + skew) for rounds, steps in shapes]
            rounds, steps = relax.choose(ranks, shapes)
            cycles, overhead = rounds * steps, rounds * skew
        else:
            hidden = self.rows
            if self.dataflow != "output_stationary":
                load = hidden = relax.ceil_div(op.k, one.rows)
            cycles = relax.minimum(
                *[(rounds - 1.0) * relax.maximum(t, hidden) + t for rounds, t in shapes]
            )
            overhead = load + self.rows + self.columns - 2.0
        word = FORMATS[self.number_format].bits / 8
        words = self.buffer_words(op, one)
        sums = 2.0 * words.result_writes - 1.0  # all but the first are read back
        buffer_bytes = op.batch * (
            word * (words.lhs + words.rhs) + ACCUMULATOR_BYTES * op.m * op.n * sums
        )
        return Compute(cycles, overhead, buffer_bytes)

    def folds(self, op: Contractions, relax: Relax) -> Folds:
        """Folds of one of the operation's `batch` products."""
        over_rows, over_columns, steps = {
            "weight_stationary": (op.k, op.n, op.m),
            "output_stationary": (op.m, op.n, op.k),
            "input_stationary": (op.k, op.m, op.n),
        }[self.dataflow]
        return Folds(
            relax.ceil_div(over_rows, self.rows), relax.ceil_div(over_columns, self.columns), steps
        )

    def buffer_words(self, op: Contractions, folds: Folds) -> BufferWords:
        """Buffer accesses of one product, as SCALE-Sim counts them."""
        lhs, rhs = op.m * op.k, op.k * op.n
        if self.dataflow == "weight_stationary":
            return BufferWords(folds.columns * lhs, rhs, folds.rows)
        if self.dataflow == "output_stationary":
            return BufferWords(folds.columns * lhs, folds.rows * rhs, 1.0)
        return BufferWords(lhs, folds.columns * rhs, folds.rows)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """The unit and its three pipeline registers."""
        bits = 2.0 * FORMATS[self.number_format].bits + 8.0 * ACCUMULATOR_BYTES
        return {
            "mac": mac.energy(process, self.number_format),
            "register": register_file.energy(process, bits),
        }

    def areas(self, process: Process) -> dict[str, Any]:
        """Units, their registers (two weights, an operand, a sum), vector unit."""
        bits = 3.0 * FORMATS[self.number_format].bits + 8.0 * ACCUMULATOR_BYTES
        return {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "pipeline": self.macs_per_cycle * register_file.placed_area(process, bits),
            "vector": vector_unit.area(process, self.vector_lanes),
        }

    @property
    def smallest_buffer(self) -> Any:
        """Two array tiles of operands and one of partial sums."""
        word = FORMATS[self.number_format].bits / 8
        return self.macs_per_cycle * (2.0 * word + ACCUMULATOR_BYTES)
