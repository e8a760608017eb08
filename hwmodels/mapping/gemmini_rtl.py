"""Cycles of Gemmini's RTL for a given mapping: where Timeloop's maximum leaves time out.

Timeloop's cycles assume a full array, traffic that overlaps perfectly, and only the words that
must move. Gemmini's array is fed by an instruction per row of pixels, and it fetches both
operands of every tile anew. A *tile* is everything inside the loops of the outermost memory:

    mesh    = tiles W (D + (B - 1) max(r, r0))    D to shift a weight block in, rows to stream
    issue   = tiles W B t_issue                   commands, one pair per row of pixels
    compute = |mesh, issue|
    store   = stored tiles  P Q N max(K, b) / b
    load    = tiles (I + M) / beta                I = pixels max(C, b), M = R S C max(K, b) bytes
    command = tiles t_command
    total   = |compute + store, load, command| + load of one tile + store of one tile

with |x, y, ...| = (x^p + y^p + ...)^(1/p), a maximum with imperfect overlap (p = infinity: the
maximum; p = 1: the sum). D: array rows. W: weight blocks of a tile, the trips of its temporal
loops over K, C, R, S. r = min(P, D) output pixels of one image row per command pair (rows are
not joined), B = Q N P / r command pairs per weight block. b: bytes of a bus beat. P, Q, N, K, C,
R, S: extents of the tile. Input pixels: (P stride + (R - 1) dilation) per row and likewise per
column, less where the padded frame of a `same` convolution (P stride x Q stride pixels) ends.

Sources. Structure: Genc et al., "Gemmini", DAC 2021; ucb-bar/gemmini, LoopConv.scala (order of
loops, one row of pixels per command, weights preloaded once per block) and ExecuteController;
ucb-bar/gemmini-rocc-tests, gemmini.h of DOSA's runs (loops follow the mapping's outermost level;
a tile always loads its input and weights, and stores once its reduction ends; the copy of the
results is one 16-byte piece per pixel). Numbers: see the constants below.

Range: weight-stationary, int8, the conv unroller; a 16 x 16 array is what was measured, other sizes
extrapolate. Measured tiles took 2,000 cycles or more. Memories must hold two tiles (not checked;
one FPGA image ran all measured mappings, so memory sizes in the table say nothing of the RTL's).

Left out: the 512 KB L2 (one measured row, whose operands all fit it and are loaded often, loads
1.5 times faster than here and is overestimated by 59%), TLB misses, bank conflicts, the finer
overlap of the matmul unroller's first tile. Partial sums never leave the accumulator, as in the
measured runs, even where a loop over K, P or Q runs inside one over C, R or S and a correct run
would spill them: there Timeloop's cycles can be above these. An array side is filled as the
mapping's spatial factors say; the RTL would pack smaller ones.

Code is arithmetic operators only, for one mapping: floats give float64, JAX arrays trace and
differentiate. Fold counts are relaxed to max(1, P / D); that the last block of a row may be short
changes the result only where commands bind.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from hwmodels.errors import InputError
from hwmodels.mapping.mapping import Loop, Mapping
from hwmodels.mapping.problem import CONVOLUTION, RESULT, Problem

# Fitted together on 87 FireSim rows of DOSA's artifact (Hong et al., MICRO 2023; ResNet-50 and
# BERT, array 16 x 16) by log error: `python -m experiments.fit_gemmini_rtl`, which prints how they
# vary when networks, searches or layers are left out.
ISSUE = 7.18  # cycles between command pairs (preload, compute) through the reservation station
LOAD = 8.77  # bytes a cycle that a tile's loads sustain, of the bus's 16: L2, DRAM, 64 B requests
OVERLAP = 4.57  # exponent p of the overlap

# Of the design, not fitted.
BUS = 16.0  # bytes of a beat of the system bus: a shorter row costs a beat; results leave at this
SHORTEST = 4.0  # rows a command streams at least (ExecuteController: accumulator write spacing)
# Assumed, not identifiable: any value from 0 to 1,000 fits the table equally. A tile is some 10
# RoCC commands, whose addresses an in-order core computes in some 300 instructions.
COMMAND = 300.0  # cycles per tile


class Timing(NamedTuple):
    """The model's constants, as above; `store`, `row`: bytes a cycle, bytes."""

    issue: Any = ISSUE
    load: Any = LOAD
    overlap: Any = OVERLAP
    store: Any = BUS
    row: Any = BUS
    shortest: Any = SHORTEST
    command: Any = COMMAND


class RtlCycles(NamedTuple):
    """Cycles. Busy time of each resource first, then the terms that add up to `total`.

    mesh, issue, store, load, command: of the array, the command queue, the copy of results, the
    loads and the host core, each if alone. compute: array and queue together. stall: what
    waiting for stores, loads and commands adds. first_load, last_store: not overlapped.
    """

    mesh: Any
    issue: Any
    store: Any
    load: Any
    command: Any
    compute: Any
    stall: Any
    first_load: Any
    last_store: Any

    @property
    def total(self) -> Any:
        """compute + stall + first_load + last_store."""
        return self.compute + self.stall + self.first_load + self.last_store


def rtl_cycles(
    problem: Problem, mapping: Mapping, *, pe_dim: Any, timing: Timing | None = None
) -> RtlCycles:
    """Cycles of a convolution (a matmul is one with Q = R = S = 1) on a pe_dim x pe_dim array.

    `mapping` as `fit` returns it; spatial loops over C and K. Raises `InputError` otherwise.
    """
    _check(problem, mapping)
    t = Timing() if timing is None else timing
    outside, inside = _split(mapping)
    tile = {
        d: math.prod(loop.growth for loop in inside if loop.dimension == d)
        for d in problem.shape.dimensions
    }
    tiles = math.prod(loop.trips for loop in outside)
    stored = math.prod(loop.trips for loop in outside if _spans(problem, RESULT, loop))

    weights = math.prod(
        loop.trips for loop in inside if not loop.spatial and _spans(problem, "W", loop)
    )
    rows = _smaller(tile["P"], pe_dim)
    blocks = tile["Q"] * tile["N"] * tile["P"] / rows
    mesh = tiles * weights * (pe_dim + (blocks - 1.0) * _larger(rows, t.shortest))
    issue = tiles * weights * blocks * t.issue
    compute = _overlapped(t.overlap, mesh, issue)

    tile_load = (_input_bytes(problem, tile, t.row) + _weight_bytes(tile, t.row)) / t.load
    pixels = tile["G"] * tile["N"] * tile["P"] * tile["Q"]
    tile_store = pixels * _larger(tile["K"], t.row) / t.store
    load, store, command = tiles * tile_load, stored * tile_store, tiles * t.command
    busy = _overlapped(t.overlap, compute + store, load, command)
    return RtlCycles(
        mesh, issue, store, load, command, compute, busy - compute, tile_load, tile_store
    )


def _input_bytes(problem: Problem, tile: dict[str, Any], row: Any) -> Any:
    """Bytes of bus beats for a tile's input: its pixels' channels lie together in memory."""
    pixels = tile["G"] * tile["N"]
    for position, tap in problem.shape.windows:
        stride = problem.steps[position]
        extent = tile[position] * stride + (tile[tap] - 1.0) * problem.steps[tap]
        pixels = pixels * _smaller(extent, problem.sizes[position] * stride)
    return pixels * _larger(tile["C"], row)


def _weight_bytes(tile: dict[str, Any], row: Any) -> Any:
    """Bytes of bus beats for a tile's weights, stored as [R S C, K]."""
    return tile["G"] * tile["R"] * tile["S"] * tile["C"] * _larger(tile["K"], row)


def _split(mapping: Mapping) -> tuple[list[Loop], list[Loop]]:
    """Loops of the outermost memory, and those inside it."""
    outside: list[Loop] = []
    inside: list[Loop] = []
    for level in mapping.levels:
        (outside if level.memory == mapping.levels[0].memory else inside).extend(level.loops)
    return outside, inside


def _check(problem: Problem, mapping: Mapping) -> None:
    if problem.shape is not CONVOLUTION:
        raise InputError("shape", problem.shape.name, "allowed: a convolution")
    for loop in mapping.loops():
        if loop.spatial and loop.dimension not in "CK":
            raise InputError("mapping", f"spatial {loop.dimension}", "allowed: spatial C and K")


def _spans(problem: Problem, tensor: str, loop: Loop) -> bool:
    return loop.dimension in problem.shape.spans[tensor]


def _overlapped(exponent: Any, *times: Any) -> Any:
    # Shares of the sum, not raw cycles: 1e9 ** 4.57 exceeds float32.
    whole = sum(times)
    shares = sum((x / whole) ** exponent for x in times)
    return whole * shares ** (1.0 / exponent)


def _larger(a: Any, b: Any) -> Any:
    # max by operators, for floats and arrays alike.
    return 0.5 * (a + b + abs(a - b))


def _smaller(a: Any, b: Any) -> Any:
    return 0.5 * (a + b - abs(a - b))
