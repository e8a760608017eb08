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
back and written again. With `accumulators` "own" they stay in a memory beside each array that
adds in place (TPU v1's 4096 rows of sums: Jouppi et al., ISCA 2017) until they are whole: the
streamed dimension is cut into even blocks of at most `accumulator_rows` = D steps, and for each
the tiles are loaded again:

    B = ceil(T / D) blocks;  B F folds of ceil(T / B) steps

Energy per multiply-accumulate: the unit, two operand registers and one accumulator register, each
written once; own accumulators are read and written once for each R of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, register_file, sram, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity, static
from hwmodels.relax import Relax
from hwmodels.technology import Process
from hwmodels.workloads.numeric import Contractions


class Folds(NamedTuple):
    """Tiles of the stationary matrix along the array's rows and columns, how often each is loaded,
    and steps of each time."""

    rows: Any
    columns: Any
    blocks: Any
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
    accumulator_rows: Any = quantity(
        4096, low=16, high=65536, doc="rows of sums in an array's own accumulators"
    )
    dataflow: str = static(
        "weight_stationary",
        choices=("weight_stationary", "output_stationary", "input_stationary"),
        doc="which operand stays in the array",
    )
    fold_overlap: str = static(
        "double_buffered", choices=("double_buffered", "none"), doc="hide loads behind streams"
    )
    accumulators: str = static(
        "shared", choices=("shared", "own"), doc="where sums of several folds lie: buffer, or own"
    )

    IDLE_W_PER_M2 = 0.085e6  # puts TPU v1, v2, v4i and v4 within 9% of their published idle powers
    OPTIONAL = ("accumulator_rows",)

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
        folds = one.rows * one.columns * one.blocks * op.batch
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
        rows = relax.ceil_div(over_rows, self.rows)
        columns = relax.ceil_div(over_columns, self.columns)
        if not self._adds_in_place:
            return Folds(rows, columns, 1.0, steps)
        blocks = relax.ceil_div(steps, self.accumulator_rows)
        return Folds(rows, columns, blocks, relax.ceil_div(steps, blocks))

    @property
    def _adds_in_place(self) -> bool:
        # Output-stationary arrays keep their sums in themselves.
        return self.accumulators == "own" and self.dataflow != "output_stationary"

    def buffer_words(self, op: Contractions, folds: Folds) -> BufferWords:
        """Buffer accesses of one product, as SCALE-Sim counts them."""
        lhs, rhs = op.m * op.k, op.k * op.n
        if self.dataflow == "output_stationary":
            return BufferWords(folds.columns * lhs, folds.rows * rhs, 1.0)
        writes = 1.0 if self._adds_in_place else folds.rows
        if self.dataflow == "weight_stationary":
            return BufferWords(folds.columns * lhs, folds.blocks * rhs, writes)
        return BufferWords(folds.blocks * lhs, folds.columns * rhs, writes)

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """The unit and its three pipeline registers; own accumulators."""
        bits = 2.0 * FORMATS[self.number_format].bits + 8.0 * ACCUMULATOR_BYTES
        energies = {
            "mac": mac.energy(process, self.number_format),
            "register": register_file.energy(process, bits),
        }
        if self._adds_in_place:
            access = sram.energy(process, *self._accumulator)
            energies["local"] = 2.0 * ACCUMULATOR_BYTES * access / self.rows
        return energies

    def areas(self, process: Process) -> dict[str, Any]:
        """Units, their registers (two weights, an operand, a sum), vector unit, accumulators."""
        bits = 3.0 * FORMATS[self.number_format].bits + 8.0 * ACCUMULATOR_BYTES
        areas = {
            "mac": self.macs_per_cycle * mac.area(process, self.number_format),
            "pipeline": self.macs_per_cycle * register_file.placed_area(process, bits),
            "vector": vector_unit.area(process, self.vector_lanes),
        }
        if self._adds_in_place:
            areas["local"] = self.arrays * sram.area(process, *self._accumulator)
        return areas

    @property
    def _accumulator(self) -> tuple[Any, Any]:
        """Of one array: bytes, and bytes read and written a cycle."""
        row = ACCUMULATOR_BYTES * self.columns
        return self.accumulator_rows * row, 2.0 * row

    @property
    def local_sram(self) -> Any:
        """Accumulators of all arrays."""
        return self.arrays * self._accumulator[0] if self._adds_in_place else super().local_sram

    @property
    def smallest_buffer(self) -> Any:
        """Two array tiles of operands and one of partial sums."""
        word = FORMATS[self.number_format].bits / 8
        return self.macs_per_cycle * (2.0 * word + ACCUMULATOR_BYTES)
