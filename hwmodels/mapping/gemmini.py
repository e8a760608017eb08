"""The Gemmini-like machine of Timeloop studies: a weight-stationary int8 array in four levels.

L0 registers hold W, one weight a unit; L1 accumulator holds O, 32-bit words, one bank a column;
L2 scratchpad holds W and I, 8-bit words; L3 is DRAM. C unrolls over the rows (at L1), K over the
columns (at L2). Energies per access are Accelergy's fits, as Hong et al. (DOSA, MICRO 2023,
https://github.com/ucb-bar/dosa) publish them: linear in the sizes, DRAM in blocks of 64 words.
Timeloop counts the zeros that start a sum as writes and not the reads that drain it.
"""

from __future__ import annotations

from typing import Any

from hwmodels.errors import InputError
from hwmodels.mapping.machine import Axis, Machine, Memory
from hwmodels.relax import round_up

PICO = 1e-12
COLUMNS = (("convolution", "K"), ("matmul", "N"))
ROWS = (("convolution", "C"), ("matmul", "K"))
REGISTERS_WORDS_PER_CYCLE = 1e4  # as the studies have it: never a bound
MAC_pJ, REGISTER_pJ, DRAM_pJ = 0.5608, 0.48746172, 100.0


def accumulator_pJ(size_KB: Any, pe_dim: Any) -> Any:
    """Energy of a word of the accumulator, of `pe_dim` banks."""
    return 0.1005 * round_up(size_KB, 1.0) / pe_dim + 1.94


def scratchpad_pJ(size_KB: Any) -> Any:
    """Energy of a word of the scratchpad."""
    return 0.02513 * round_up(size_KB, 1.0) + 0.49


def area_mm2(accumulator_KB: float, scratchpad_KB: float) -> float:
    """Area with 16 x 16 units; fitted by least squares of the relative error to 17 pairs of sizes
    that Accelergy costed (mean error 4.4%, largest 15%)."""
    return 0.1397 + 0.005435 * accumulator_KB + 0.002644 * scratchpad_KB


def gemmini(pe_dim: Any = 16, accumulator_KB: Any = 64, scratchpad_KB: Any = 256) -> Machine:
    """The machine with `pe_dim` x `pe_dim` units and buffers of the given sizes (KB = 1024 B).

    Numbers may be traced; plain ones are checked (`InputError`).
    """
    sizes = {"pe_dim": pe_dim, "accumulator_KB": accumulator_KB, "scratchpad_KB": scratchpad_KB}
    for name, value in sizes.items():
        if isinstance(value, (int, float)) and not (0 < value < 2**31):
            raise InputError(name, value, "allowed: > 0")
    if isinstance(pe_dim, float) and pe_dim % 1:
        raise InputError("pe_dim", pe_dim, "allowed: a whole number")
    accumulator = accumulator_pJ(accumulator_KB, pe_dim) * PICO
    scratchpad = scratchpad_pJ(scratchpad_KB) * PICO
    return Machine(
        "gemmini",
        (
            Memory("L3", "WIO", energy=DRAM_pJ * PICO, bandwidth=8.0, block=64.0),
            Memory(
                "L2", "WI", energy=scratchpad, capacity=1024.0 * scratchpad_KB,
                bandwidth=2.0 * pe_dim, axes=(Axis(pe_dim, COLUMNS),),
            ),
            Memory(
                "L1", "O", energy=accumulator, capacity=256.0 * accumulator_KB / pe_dim,
                bandwidth=2.0, banked=True, axes=(Axis(pe_dim, ROWS),),
                reads_drains=False, clears_results=True,
            ),
            Memory(
                "L0", "W", energy=REGISTER_pJ * PICO, capacity=1.0,
                bandwidth=REGISTERS_WORDS_PER_CYCLE,
            ),
        ),
        mac_energy=MAC_pJ * PICO,
    )  # fmt: skip
