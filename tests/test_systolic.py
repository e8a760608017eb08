"""Systolic arrays: SCALE-Sim's cycles and SRAM counts exactly, and double buffering by hand."""

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import Relax, evaluate, load_workload
from hwmodels.accelerators import Systolic
from hwmodels.parts import sram
from hwmodels.workloads.numeric import Contractions

SHARED = Path(__file__).parents[2] / "shared" / "data"
FLOWS = {"ws": "weight_stationary", "os": "output_stationary", "is": "input_stationary"}


def product(m, n, k, batch=1.0):
    sizes = {"m": m, "n": n, "k": k, "batch": batch}
    fields = {name: jnp.float32(value) for name, value in sizes.items()}
    empty = dict.fromkeys(Contractions.__dataclass_fields__, 0.0)
    return Contractions(**{**empty, **fields})


def compute(m, n, k, *, batch=1.0, **settings):
    chip = Systolic().replace(**{"arrays": 1.0, **settings})
    return chip.contraction(product(m, n, k, batch), Relax(), 0.0)


def test_published_cycles_and_sram_counts_are_reproduced_exactly():
    path = SHARED / "scalesim.csv"
    if not path.exists():
        pytest.skip("../shared/data/scalesim.csv is not in this checkout")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for name, dataflow in FLOWS.items():
        mine = [row for row in rows if row["dataflow"] == name]
        column = lambda key, mine=mine: np.asarray([float(row[key]) for row in mine])  # noqa: E731
        chip = Systolic().replace(
            dataflow=dataflow, fold_overlap="none", arrays=1.0, number_format="bf16"
        )

        def cost(rows_, columns, m, n, k, chip=chip):
            here = chip.replace(rows=rows_, columns=columns)
            return here.contraction(product(m, n, k), Relax(), 0.0)

        keys = ("array_rows", "array_cols", "M", "N", "K")
        got = jax.vmap(cost)(*[jnp.float32(column(key)) for key in keys])
        np.testing.assert_array_equal(got.cycles + got.overhead, column("demand_cycles"))
        # Bytes: 2 for each operand read, 4 for each write of a partial sum; the model reads
        # partial sums back, SCALE-Sim's table counts the writes: (2 w - MN) accesses for w.
        operands = column("sram_ifmap_reads") + column("sram_filter_reads")
        writes = column("sram_ofmap_demand_nonnull")
        sums = 2 * writes - column("M") * column("N")
        np.testing.assert_array_equal(got.buffer_bytes, np.float32(2 * operands + 4 * sums))
    assert len(rows) > 250


@pytest.mark.parametrize(
    ("flow", "cycles", "overhead"),
    [
        # R = 8, C = 4, m = 13, n = 11, k = 19.
        # ws: folds ceil(19/8) ceil(11/4) = 9, 13 steps each; load 8 and skew 8 + 4 - 2.
        ("ws", 9 * 13, 9 * (8 + 10)),
        # os: folds ceil(13/8) ceil(11/4) = 6, 19 steps; no load.
        ("os", 6 * 19, 6 * 10),
        # is: folds ceil(19/8) ceil(13/4) = 12, 11 steps.
        ("is", 12 * 11, 12 * 18),
    ],
)
def test_single_buffered_by_hand(flow, cycles, overhead):
    settings = {"rows": 8.0, "columns": 4.0, "fold_overlap": "none", "dataflow": FLOWS[flow]}
    got = compute(13, 11, 19, **settings)
    assert (float(got.cycles), float(got.overhead)) == (cycles, overhead)


def test_double_buffered_by_hand():
    # 9 folds, 3 along K of ceil(19 / 3) = 7 rows each. A load of 7 hides behind 13 steps: 9 x 13,
    # fill and drain once: 7 + 8 + 4 - 2.
    got = compute(13, 11, 19, rows=8.0, columns=4.0)
    assert (float(got.cycles), float(got.overhead)) == (117, 17)
    # 5 rows of input do not hide a load of 7: 8 x 7 + 5.
    got = compute(5, 11, 19, rows=8.0, columns=4.0)
    assert (float(got.cycles), float(got.overhead)) == (61, 17)
    # Sums leave an output-stationary array row by row: ceil(5/8) ceil(11/4) = 3 folds of 3 steps,
    # 8 cycles each to drain.
    got = compute(5, 11, 3, rows=8.0, columns=4.0, dataflow=FLOWS["os"])
    assert (float(got.cycles), float(got.overhead)) == (2 * 8 + 3, 10)


def test_own_accumulators_by_hand():
    # R = 8, C = 4, m = 41, n = 11, k = 19: 3 x 3 folds; 16 rows of sums: 3 blocks of 14 steps.
    own = {"rows": 8.0, "columns": 4.0, "accumulators": "own", "accumulator_rows": 16.0}
    got = compute(41, 11, 19, **own)
    assert float(got.cycles) == 27 * 14  # a load of 7 hides
    # Inputs once for each fold along n, weights for each block, sums leave once.
    assert float(got.buffer_bytes) == 2 * (3 * 41 * 19 + 3 * 19 * 11) + 4 * 41 * 11
    # Held whole, weights are loaded once; the streamed dimension of input-stationary is n.
    got = compute(41, 11, 19, **own | {"accumulator_rows": 64.0})
    assert float(got.buffer_bytes) == 2 * (3 * 41 * 19 + 19 * 11) + 4 * 41 * 11
    got = compute(11, 41, 19, dataflow=FLOWS["is"], **own)
    assert float(got.buffer_bytes) == 2 * (3 * 41 * 19 + 3 * 19 * 11) + 4 * 41 * 11
    # Too few rows do not hide the load: 3 folds of ceil(190 / 3) rows, 2 blocks of 10 steps.
    got = compute(20, 4, 190, **own | {"rows": 64.0})
    assert float(got.cycles) == 5 * 64 + 10
    # Output-stationary arrays keep sums in themselves either way.
    settings = {"rows": 8.0, "columns": 4.0, "dataflow": FLOWS["os"]}
    assert compute(41, 11, 19, accumulators="own", **settings) == compute(41, 11, 19, **settings)


def test_own_accumulators_cost_area_and_energy_and_save_traffic():
    shared = Systolic()
    own = shared.replace(accumulators="own")
    process = shared.technology.resolve()
    # 4 arrays x 4096 rows x 128 columns of 4 bytes.
    assert float(own.local_sram) == 4 * 4096 * 128 * 4
    assert float(own.areas(process)["local"]) > 8 * 4 * 4096 * 128 * 4 * float(process.sram_cell)
    one = float(sram.energy(process, 4096 * 512.0, 1024.0))
    assert float(own.mac_energy(process)["local"]) == pytest.approx(8 * one / 128, rel=1e-6)
    workload = load_workload("mlp-large")
    a, b = evaluate(shared, workload), evaluate(own, workload)
    assert float(b.work_terms["buffer_bytes"]) < 0.5 * float(a.work_terms["buffer_bytes"])
    assert float(b.time) <= float(a.time)


def test_folds_and_batches_are_dealt_out_over_the_arrays():
    # 9 folds x 3 batches over 4 arrays: ceil(27/4) = 7 rounds of max(5, 7); all arrays on each
    # fold would be 26 x 7 + 2.
    got = compute(5, 11, 19, batch=3.0, rows=8.0, columns=4.0, arrays=4.0)
    assert float(got.cycles) == 6 * 7 + 5
    # Words: a 3 x 5 x 19 and b 19 x 11; sums 5 x 11 x (2 x 3 - 1); all three batches.
    assert float(got.buffer_bytes) == 3 * (2 * (3 * 5 * 19 + 19 * 11) + 4 * 5 * 11 * 5)


@pytest.mark.parametrize(
    ("sizes", "arrays", "cycles"),
    [
        # 2 folds on 7 arrays: 3 arrays share each, ceil(1000 / 3) steps. All on each: 2 x 143.
        ((1000, 3, 15), 7, 286),
        # As before, but 20 steps: 7 in one round; all on each fold: 8 to load + 3.
        ((20, 3, 15), 7, 7),
        # 9 folds on 4 arrays, long: 3 rounds of 999 or 9 of 250.
        ((999, 11, 19), 4, 9 * 250),
        # One fold.
        ((999, 4, 8), 4, 250),
    ],
)
def test_arrays_split_the_streamed_dimension_where_that_is_faster(sizes, arrays, cycles):
    got = compute(*sizes, rows=8.0, columns=4.0, arrays=float(arrays))
    assert float(got.cycles) == cycles
    alone = compute(*sizes, rows=8.0, columns=4.0)
    assert float(got.buffer_bytes) == float(alone.buffer_bytes)  # tiles are broadcast
    m, n, k = sizes
    turned = compute(n, m, k, rows=8.0, columns=4.0, arrays=float(arrays), dataflow=FLOWS["is"])
    assert float(turned.cycles) == cycles


def test_single_buffered_arrays_split_it_too_and_reductions_are_not_split():
    settings = {"rows": 8.0, "columns": 4.0, "arrays": 4.0}
    # 9 folds: 3 rounds of 999 + 18 on one array each, or 9 of 250 + 18.
    got = compute(999, 11, 19, fold_overlap="none", **settings)
    assert (float(got.cycles), float(got.overhead)) == (9 * 250, 9 * 18)
    got = compute(13, 11, 19, fold_overlap="none", **settings)
    assert (float(got.cycles), float(got.overhead)) == (3 * 13, 3 * 18)
    got = compute(4, 4, 999, dataflow=FLOWS["os"], **settings)
    assert float(got.cycles) == 999


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("overlap", ["none", "double_buffered"])
def test_more_arrays_are_never_slower(flow, overlap):
    rng = np.random.default_rng(3)
    m, n, k = np.exp(rng.uniform(0, 9, (3, 4096))).round()
    rows, columns = 2.0 ** rng.integers(2, 8, (2, 4096))
    last = np.inf
    for arrays in (1, 2, 3, 4, 5, 7, 8, 12, 16, 64, 256):
        chip = Systolic().replace(dataflow=FLOWS[flow], fold_overlap=overlap)
        chip = chip.replace(
            rows=jnp.float32(rows), columns=jnp.float32(columns), arrays=np.float32(arrays)
        )
        got = chip.contraction(product(m, n, k), Relax(), 0.0)
        cycles = np.asarray(got.cycles + got.overhead)
        assert np.all(cycles <= last)
        last = cycles


def test_double_buffering_never_costs_cycles_and_overlap_never_beats_the_roofline():
    rng = np.random.default_rng(5)
    m, n, k = np.exp(rng.uniform(0, 9, (3, 4096))).round()
    rows, columns = 2.0 ** rng.integers(2, 10, (2, 4096))
    arrays = rng.integers(1, 20, 4096)
    for dataflow in FLOWS.values():
        totals = []
        for overlap in ("none", "double_buffered"):
            chip = Systolic().replace(dataflow=dataflow, fold_overlap=overlap)
            chip = chip.replace(
                **{
                    key: jnp.float32(value)
                    for key, value in (("rows", rows), ("columns", columns), ("arrays", arrays))
                }
            )
            got = chip.contraction(product(m, n, k), Relax(), 0.0)
            assert np.all(got.cycles >= m * n * k / (rows * columns * arrays) * (1 - 1e-6))
            totals.append(np.asarray(got.cycles + got.overhead))
        assert np.all(totals[1] <= totals[0])
