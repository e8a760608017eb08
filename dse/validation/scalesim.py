"""SCALE-Sim 3.0.0 on matrix products: cycles, SRAM accesses and DRAM reads, three dataflows.

Cycles and SRAM accesses are those of `hwmodels.accelerators.systolic.Systolic`, the model that
sweeps use, in float64. DRAM reads follow from SCALE-Sim's operand SRAMs, whose active half holds
H = 50 floor(words / 100) words. A word that is not in it is read from DRAM; once H words have been
read, all are dropped. Column folds are the outer loop, row folds the inner one. So

    an operand of W words that streams past in n passes    W if W < H, else n W
    a stationary tile                                      once
    the filter of output-stationary, tiles of T = K C      K N if T < H, plus what was dropped in
                                                           the middle of a tile; else n K N

Its fixed-bandwidth mode (USER) fetches whole array tiles, partial ones padded. Left out: there,
an operand that does not fit is fetched in another order than it is used, up to tens of times.

Source: Samajdar et al., ISPASS 2020; scalesim/memory/read_buffer_estimate_bw.py of the program.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.validation.kind import Figures, Kind, Progress, Quantity, exact, mape
from dse.validation.tables import Table, choice, positive, whole
from hwmodels import Relax
from hwmodels.accelerators import Systolic
from hwmodels.workloads.numeric import Contractions

DATAFLOWS = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}
FIXED_BANDWIDTH = "USER"
KIB = 1024
CYCLES = "demand_cycles"
SRAM = ("sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_demand_nonnull")
DRAM = ("dram_ifmap_reads", "dram_filter_reads")
READS = "dram_reads"


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    frame = table.frame
    found = pd.DataFrame(index=frame.index, columns=[f"predicted_{c}" for c in (CYCLES, *SRAM)])
    for name, dataflow in DATAFLOWS.items():
        mine = frame["dataflow"] == name
        if mine.any():
            found.loc[mine] = _array_counts(frame[mine], dataflow)
    found = found.astype(np.float64)
    found[READS] = frame[DRAM[0]] + frame[DRAM[1]]
    found[f"predicted_{READS}"] = [float(sum(dram_reads(row))) for row in table.rows()]
    return found


def _array_counts(rows: pd.DataFrame, dataflow: str) -> np.ndarray:
    """Cycles, input reads, filter reads and result writes [rows, 4] of the product's own model."""
    chip = Systolic().replace(dataflow=dataflow, fold_overlap="none")
    empty = dict.fromkeys((field.name for field in fields(Contractions)), 0.0)

    def counts(array_rows: Any, columns: Any, m: Any, n: Any, k: Any) -> Any:
        one = chip.replace(rows=array_rows, columns=columns, arrays=jnp.ones_like(m))
        product = Contractions(**{**empty, "batch": jnp.ones_like(m), "m": m, "n": n, "k": k})
        compute = one.contraction(product, Relax(), 0.0)
        words = one.buffer_words(product, one.folds(product, Relax()))
        cycles = compute.cycles + compute.overhead
        return jnp.stack([cycles, words.lhs, words.rhs, words.result_writes * m * n])

    keys = ["array_rows", "array_cols", "M", "N", "K"]
    with jax.enable_x64(True):  # counts pass 2^24, where float32 is no longer exact
        inputs = [jnp.asarray(rows[key].to_numpy(np.float64)) for key in keys]
        return np.asarray(jax.vmap(counts)(*inputs))


def dram_reads(row: dict[str, Any]) -> tuple[int, int]:
    """Words of input and filter read from DRAM; see the module docstring."""
    flow, m, k, n = row["dataflow"], row["M"], row["K"], row["N"]
    r, c = row["array_rows"], row["array_cols"]
    lhs, rhs = m * k, k * n
    if row["mode"] == FIXED_BANDWIDTH:
        lhs = {"os": _up(m, r) * k, "ws": m * _up(k, r), "is": _up(m, c) * k}[flow]
        rhs = _up(k, r) * n if flow == "is" else k * _up(n, c)
    half = {name: _half(row, name) for name in ("ifmap", "filter")}
    if flow != "is" and lhs >= half["ifmap"]:
        lhs *= _ceil(n, c)
    if flow == "is" and rhs >= half["filter"]:
        rhs *= _ceil(m, c)
    if flow == "os" and m > r:
        rhs = _tiles_in_turn(rhs // k, k, c, _ceil(m, r), half["filter"])
    return lhs, rhs


def _tiles_in_turn(n: int, k: int, columns: int, passes: int, half: int) -> int:
    """Words read of tiles k x columns, each used in `passes` > 1 row folds before the next.

    Where words are dropped in the middle of a tile's first fold, the second fold reads the tile's
    first part again. Then only that tile is there: drops lie equally deep in tiles, and
    `apart` tiles from each other.
    """
    tile, (tiles, rest) = k * columns, divmod(n, columns)
    if tile >= half:
        words = passes * tiles * tile
        held = words % half
    else:
        apart = _ceil(half, tile) - 1
        drops = max(tiles - 1, 0) // apart
        words = tiles * tile + drops * (half - apart * tile)
        held = tile * (1 + (tiles - 1) % apart) if tiles else 0
    last = k * rest  # of a narrower tile
    if last >= half:
        return words + passes * last
    return words + last + (half - held if held + last >= half else 0)


def _half(row: dict[str, Any], operand: str) -> int:
    return max(50 * (row[f"{operand}_sram_kb"] * KIB // row["word_bytes"] // 100), 1)


def _up(size: int, tile: int) -> int:
    return _ceil(size, tile) * tile


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    return {
        "cycles_exact": exact(table, [CYCLES]),
        "sram_exact": exact(table, SRAM),
        "dram_reads_mape": mape(table, READS),
        "dram_reads_exact": exact(table, [READS]),
    }


KIND = Kind(
    title="SCALE-Sim",
    columns=(
        *choice("mode", "CALC", FIXED_BANDWIDTH, "COMPUTE_ONLY"),
        *choice("dataflow", *DATAFLOWS),
        *whole("array_rows", "array_cols", "M", "K", "N"),
        *whole("ifmap_sram_kb", "filter_sram_kb", "word_bytes"),
        *positive(CYCLES, *SRAM),
        *positive(*DRAM, blank=True),
    ),
    quantities=(
        Quantity(CYCLES, "time", "cycles"),
        Quantity(SRAM[0], "SRAM reads of inputs", "words"),
        Quantity(SRAM[1], "SRAM reads of filters", "words"),
        Quantity(SRAM[2], "SRAM writes of results", "words"),
        Quantity(READS, "DRAM reads", "words"),
    ),
    predict=_predict,
    figures=_figures,
    group="mode",
)
