"""`dse validate`: hand-worked rows, bad files in one line, and the shared ground truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dse.cli.main import main
from dse.plots.validation import Panel, predicted_against_measured
from dse.validation import KINDS, load_kind, validate
from dse.validation.kind import exact, mape, spearman
from dse.validation.scalesim import dram_reads
from dse.validation.tables import Table, label, positive, read_table, text, whole
from hwmodels import InputError
from hwmodels.mapping.gemmini_rtl import rtl_cycles
from hwmodels.mapping.mapping import fit, parse_mapping
from hwmodels.mapping.problem import convolution

SHARED = Path(__file__).parents[2] / "shared" / "data"

TIMELOOP = (
    "R,S,P,Q,C,K,N,Wstride,Hstride,Wdilation,Hdilation,mapping,pe_dim,"
    "accumulator_KB,scratchpad_KB,cycles,energy_uJ,remark"
)
# 8 rows of input times a 3 x 2 matrix of weights.
NEST = "L3[WIO] N1 - L2[WI] K2X - L1[O] C3X - L0[W] P8"
LAYER = f"1,1,8,1,3,2,1,1,1,1,1,{NEST},4,1.5,3"
# 48 MACs on 6 units: 8 steps. Words: registers 48 read, 6 filled; accumulator 16 sums arrive
# and 16 leave; scratchpad 6 + 24 filled, 6 + 24 read (48 MACs over 2 columns); DRAM in blocks of
# 64: 6 of W, 24 of I, 16 of O.
CYCLES = 8.0
ENERGY_PJ = (
    0.5608 * 48
    + 0.48746172 * (48 + 6)
    + (0.1005 * 2 / 4 + 1.94) * (16 + 16)
    + (0.02513 * 3 + 0.49) * (30 + 30)
    + 100 * (64 + 64 + 64)
)

SCALESIM = (
    "mode,dataflow,array_rows,array_cols,M,K,N,ifmap_sram_kb,filter_sram_kb,word_bytes,"
    "demand_cycles,sram_ifmap_reads,sram_filter_reads,sram_ofmap_demand_nonnull,"
    "dram_ifmap_reads,dram_filter_reads"
)
SIZES = "8,4,13,19,11,64,64,1"  # folds: M 2 or 4, K 3, N 3


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not in this checkout")
    return path


def write(tmp_path: Path, *lines: str, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_timeloop_row_by_hand(tmp_path: Path) -> None:
    # The second row claims 10% fewer cycles and twice the energy.
    path = write(
        tmp_path,
        TIMELOOP,
        f"{LAYER},{CYCLES},{ENERGY_PJ * 1e-6!r},as predicted",
        "",
        f"{LAYER},{CYCLES / 1.1!r},{2 * ENERGY_PJ * 1e-6!r},",
    )
    report = validate("timeloop", path)
    assert report.table["line"].tolist() == [2, 4]
    assert report.table["predicted_cycles"].tolist() == [CYCLES, CYCLES]
    assert report.table["predicted_energy_uJ"].to_numpy() == pytest.approx(ENERGY_PJ * 1e-6)
    assert report.figures == pytest.approx(
        {"rows": 2, "cycles_mape": 0.05, "energy_mape": 0.25, "cycles_max": 0.1, "energy_max": 0.5}
    )


def test_scalesim_rows_by_hand(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        SCALESIM,
        # 2 x 3 folds of 19 + 8 + 4 - 2 cycles; 3 x 3 of 13 + 16 + 4 - 2; 3 x 4 of 11 + 16 + 4 - 2.
        f"CALC,os,{SIZES},174,{3 * 13 * 19},{2 * 19 * 11},{13 * 11},{13 * 19},{19 * 11}",
        f"CALC,ws,{SIZES},279,{3 * 13 * 19},{19 * 11},{3 * 13 * 11},{13 * 19},{19 * 11}",
        f"COMPUTE_ONLY,is,{SIZES},348,{13 * 19},{4 * 19 * 11},{3 * 13 * 11},,",
        # Whole tiles are fetched: K of the input padded to 24, N of the filter to 12.
        f"USER,ws,{SIZES},279,{3 * 13 * 19},{19 * 11},{3 * 13 * 11},{13 * 24},{19 * 12}",
    )
    assert validate("scalesim", path).figures == {
        "rows": 4,
        "cycles_exact": 1.0,
        "sram_exact": 1.0,
        "dram_reads_mape": 0.0,
        "dram_reads_exact": 1.0,
    }


def test_scalesim_counts_are_exact_beyond_float32(tmp_path: Path) -> None:
    m, k, n = 4099, 4099, 131  # ceil(131 / 8) = 17 folds by ceil(4099 / 8) = 513
    lhs, cycles = 17 * m * k, 17 * 513 * (m + 22)
    assert lhs % 2 == 1
    assert float(np.float32(lhs)) != lhs
    sizes = f"8,8,{m},{k},{n},64,64,1"
    good = f"COMPUTE_ONLY,ws,{sizes},{cycles},{lhs},{k * n},{513 * m * n},,"
    bad = f"COMPUTE_ONLY,ws,{sizes},{cycles},{lhs + 1},{k * n},{513 * m * n},,"
    figures = validate("scalesim", write(tmp_path, SCALESIM, good, bad)).figures
    assert (figures["cycles_exact"], figures["sram_exact"]) == (1.0, 0.5)
    assert figures["dram_reads_mape"] is None  # nothing measured


def simulated(row: dict) -> tuple[int, int]:
    """DRAM reads word by word: half an SRAM fills with words that are not in it, then drops all."""
    flow, m, k, n = (row[key] for key in ("dataflow", "M", "K", "N"))
    r, c = row["array_rows"], row["array_cols"]
    blocks = lambda size, tile: [range(i, min(i + tile, size)) for i in range(0, size, tile)]  # noqa: E731
    row_folds = blocks(m if flow == "os" else k, r)
    column_folds = blocks(m if flow == "is" else n, c)
    reads = []
    for operand in ("ifmap", "filter"):
        half = 50 * (row[f"{operand}_sram_kb"] * 1024 // row["word_bytes"] // 100)
        held: set[tuple[int, int]] = set()
        count = 0
        for columns in column_folds:
            for rows in row_folds:
                tile = {
                    ("ifmap", "os"): (rows, range(k)),
                    ("ifmap", "ws"): (range(m), rows),
                    ("ifmap", "is"): (columns, rows),
                    ("filter", "os"): (columns, range(k)),
                    ("filter", "ws"): (columns, rows),
                    ("filter", "is"): (range(n), rows),
                }[operand, flow]
                for word in ((i, j) for i in tile[0] for j in tile[1]):
                    if word not in held:
                        held.add(word)
                        count += 1
                        if len(held) == half:
                            held.clear()
        reads.append(count)
    return reads[0], reads[1]


SMALL = st.integers(1, 9)


@given(st.sampled_from(["os", "ws", "is"]), st.tuples(*[st.integers(1, 30)] * 3), SMALL, SMALL,
       st.sampled_from([1, 2, 4, 9]))  # fmt: skip
def test_dram_reads_equal_a_simulation_word_by_word(
    flow: str, sizes: tuple[int, int, int], rows: int, columns: int, word_bytes: int
) -> None:
    row = {
        "mode": "CALC", "dataflow": flow, **dict(zip("MKN", sizes, strict=True)),
        "array_rows": rows, "array_cols": columns, "ifmap_sram_kb": 1, "filter_sram_kb": 2,
        "word_bytes": word_bytes,
    }  # fmt: skip
    assert dram_reads(row) == simulated(row)


def test_mapper_ratios_are_ours_over_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def best_mappings(problem: object, machine: object) -> dict:
        asked.append(problem)
        best = {"latency": (100.0, 9e-12), "energy": (300.0, 7e-12), "edp": (200.0, 8e-12)}
        return {
            name: SimpleNamespace(cycles=cycles, energy=energy, text=f"{name} mapping")
            for name, (cycles, energy) in best.items()
        }

    monkeypatch.setattr("dse.validation.mapper.best_mappings", best_mappings)
    path = write(
        tmp_path,
        "M,K,N,batch,cycles,energy_pJ",
        "2,3,5,1,100,14",
        "2,3,5,1,80,7",  # 100 / 80
        "2,3,7,1,200,6.25",  # 7 / 6.25
    )
    report = validate("mapper", path)
    assert len(asked) == 2  # each product once
    assert report.figures["cycles_ratio_max"] == 1.25
    assert report.figures["energy_ratio_max"] == pytest.approx(1.12)
    assert report.figures["wall_s_per_row"] >= 0
    assert report.table["fastest_mapping"].tolist() == ["latency mapping"] * 3


def test_mapper_takes_a_machine_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = tmp_path / "tiny.toml"
    machine.write_text(
        'mac_energy_pJ = 1.0\n[[memory]]\nname = "DRAM"\ntensors = "WIO"\nword_bits = 8\n'
        "energy_pJ_per_bit = 1.0\n"
    )
    # No buffer: 2 x 3 x 5 steps; 30 reads of each operand, 30 sums written, 30 - 10 read back,
    # and what drains is where it belongs.
    path = write(tmp_path, "batch,M,K,N,cycles,energy_pJ", f"1,2,3,5,30,{30 + 8 * (60 + 30 + 20)}")
    status, stdout, stderr = run(capsys, "validate", "mapper", path, "--machine", machine, "--json")
    assert status == 0, stderr
    figures = json.loads(stdout)
    assert figures["cycles_ratio_max"] == 1.0
    assert figures["energy_ratio_max"] == pytest.approx(1.0)


def test_rtl_rows_are_the_models_cycles_on_the_fitted_mapping(tmp_path: Path) -> None:
    layer = convolution(K=2, C=3, P=7)  # the mapping's 8 positions cover 7
    expected = rtl_cycles(layer, fit(parse_mapping(NEST), layer), pe_dim=4).total
    row = LAYER.replace("8,1,3", "7,1,3")
    path = write(
        tmp_path, TIMELOOP.replace("energy_uJ", "rtl_cycles"), f"{row},1,{expected / 1.25},"
    )
    report = validate("rtl", path)
    assert report.figures == {"rows": 1, "mape": pytest.approx(0.25), "spearman": None}
    assert "network" in report.table  # a label may be missing


def test_figures_by_hand() -> None:
    table = pd.DataFrame(
        {"x": [1.0, 2.0, 2.0, 4.0, np.nan], "predicted_x": [1.0, 3.0, 2.0, 3.0, 9]}
    )
    table["x_error"] = table["predicted_x"] / table["x"] - 1
    assert mape(table, "x") == pytest.approx((0 + 0.5 + 0 + 0.25) / 4)
    assert exact(table, ["x"]) == 0.5
    # Ranks 1, 2.5, 2.5, 4 against 1, 3.5, 2, 3.5: covariance 3.75, variances 4.5 and 4.5.
    assert spearman(table, "x") == pytest.approx(3.75 / 4.5)
    assert spearman(table[:1], "x") is None
    assert mape(table[4:], "x") is None
    assert exact(table[4:], ["x"]) is None


def test_reading_is_strict_about_cells_and_lenient_about_files(tmp_path: Path) -> None:
    path = tmp_path / "spread sheet.csv"
    path.write_bytes(
        b'\xef\xbb\xbfname, n ,x,,\r\n"a, ""b""\nc", 7.0 ,1e-3,skipped,\r\n\r\nd,1e3,.5,,\r\n'
    )
    table = read_table(path, (*text("name"), *whole("n"), *positive("x"), *label("group")))
    assert list(table.rows()) == [
        {"line": 2, "name": 'a, "b"\nc', "n": 7, "x": 1e-3, "group": ""},
        {"line": 5, "name": "d", "n": 1000, "x": 0.5, "group": ""},
    ]
    assert isinstance(table, Table)


GOOD = f"{LAYER},8,1,ok"
BAD_TABLES = {
    "missing columns": ([TIMELOOP.replace("P,Q,", "")], ["missing: P, Q", "R, S, C"]),
    "repeated column": ([TIMELOOP.replace("P,Q", "P,P")], ["header", "P", "more than once"]),
    "no rows": ([TIMELOOP], ["no rows"]),
    "empty": ([""], ["no header", "needed: columns R, S, P"]),
    "blank cell": ([TIMELOOP, GOOD, GOOD.replace("8,1,3", "8,,3")], ["line 3, Q", "blank"]),
    "nan": ([TIMELOOP, GOOD.replace("8,1,3", "nan,1,3")], ["line 2, P", "nan", "whole number"]),
    "infinite": ([TIMELOOP, GOOD.replace(",8,1,ok", ",inf,1,")], ["line 2, cycles", "inf", "> 0"]),
    "negative": ([TIMELOOP, GOOD.replace("8,1,3", "-8,1,3")], ["line 2, P", "-8", "1 to 2^53"]),
    "zero": ([TIMELOOP, GOOD.replace(",8,1,ok", ",8,0,")], ["line 2, energy_uJ", "0", "> 0"]),
    "fraction": ([TIMELOOP, GOOD.replace("8,1,3", "8.5,1,3")], ["line 2, P", "8.5", "whole"]),
    "underscore": ([TIMELOOP, GOOD.replace("8,1,3", "1_0,1,3")], ["line 2, P", "1_0", "whole"]),
    "code": ([TIMELOOP, GOOD.replace("8,1,3", "2**3,1,3")], ["line 2, P", "2**3", "whole"]),
    "huge": ([TIMELOOP, GOOD.replace("8,1,3", "9" * 5000 + ",1,3")], ["line 2, P", "...", "2^53"]),
    "tiny": ([TIMELOOP, GOOD.replace(",8,1,ok", ",1e-999,1,")], ["line 2, cycles", "1e-999"]),
    "short row": ([TIMELOOP, GOOD, "", "1,1"], ["line 4", "2 cells", "18"]),
    "open quote": ([TIMELOOP, GOOD, '"1,1'], ["line 3", "CSV"]),
    "multi-line cell": ([TIMELOOP, GOOD.replace("ok", '"a\nb"'), "1"], ["line 4", "1 cells"]),
    "not a mapping": ([TIMELOOP, GOOD.replace("L0[W]", "L0[Z]")], ["line 2, mapping", "L0[Z]"]),
    "uncovered": (
        [TIMELOOP, GOOD, GOOD.replace("8,1,3", "9,1,3")],
        ["line 3, mapping", "factors of P make 8", "size 9"],
    ),
    "too wide": ([TIMELOOP, GOOD.replace(",4,1.5", ",2,1.5")], ["line 2, mapping", "L1", "C3X"]),
    "overflow": (
        [TIMELOOP, GOOD.replace(",4,1.5", ",4,0.1")],
        ["line 2, mapping, L1", "tiles of O 8 words", "capacity 6.4 words"],
    ),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_one_line_and_status_2(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, expected = BAD_TABLES[name]
    path = write(tmp_path, *lines)
    out = tmp_path / "out"
    status, stdout, stderr = run(capsys, "validate", "timeloop", path, "--json", "--out", out)
    assert status == 2
    assert stdout == ""
    said = [line for line in stderr.splitlines() if not line.endswith(" ...")]
    assert len(said) == 1, stderr
    for part in (path.name, *expected):
        assert part in said[0]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no half-written folder


def test_files_that_are_no_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    (tmp_path / "zeros.csv").write_bytes(b"R,S\0\n")
    for kind, name, part in (
        ("timeloop", "absent.csv", "No such file"),
        ("timeloop", ".", "directory"),
        ("timeloop", "picture.png", "CSV"),
        ("timeloop", "zeros.csv", "CSV"),
        ("timelop", "absent.csv", "did you mean timeloop?"),
    ):
        status, stdout, stderr = run(capsys, "validate", kind, tmp_path / name)
        assert (status, stdout) == (2, "")
        assert part in stderr
        assert len(stderr.splitlines()) == 1
    status, _, stderr = run(capsys, "validate", "timeloop", "x.csv", "--machine", "ws32")
    assert status == 2
    assert "--machine" in stderr


def test_output_folder_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, TIMELOOP, f"{LAYER},8,0.02,a", f"{LAYER},16,0.01,b")
    out = tmp_path / "deep" / "out"
    status, stdout, _ = run(capsys, "validate", "timeloop", path, "--out", out)
    assert status == 0
    for part in ("cycles_mape", "0.25", "Largest errors", "-0.5", str(out)):
        assert part in stdout
    errors = pd.read_csv(out / "errors.csv")
    assert errors["cycles_error"].tolist() == [0.0, -0.5]
    assert {"line", "mapping", "predicted_energy_uJ", "energy_uJ_error"} <= set(errors)
    for kind in ("png", "svg", "pdf"):
        assert (out / f"predicted_vs_measured.{kind}").stat().st_size > 3000
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["figures"]["cycles_mape"] == 0.25
    status, stdout, stderr = run(capsys, "validate", "timeloop", path, "--out", out, "--json")
    assert (status, stdout) == (2, "")
    assert "exists" in stderr
    status, stdout, _ = run(capsys, "validate", "timeloop", path, "--json")
    content = json.loads(stdout)
    assert set(content) == {
        "rows", "cycles_mape", "energy_mape", "cycles_max", "energy_max", "file",
    }  # fmt: skip


def test_every_kind_is_declared_and_documented(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stdout, _ = run(capsys, "validate", "--help")
    for name in KINDS:
        assert name in stdout
        kind = load_kind(name)
        declared = {column.name for column in kind.columns}
        # Measured columns may also derive from cells: sums, and areas and powers of chips.
        derived = {"dram_reads", "die_area_mm2", "peak_power_W", "typical_power_W", "variant"}
        if "metric" in declared:  # a long table names its quantities in its cells
            continue
        assert {q.column for q in kind.quantities} <= declared | derived
        assert not kind.group or kind.group in declared | derived


def test_a_new_kind_is_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dse.validation.kind import Kind, Quantity

    module = ModuleType("dse.validation.doubling")
    module.KIND = Kind(  # type: ignore[attr-defined]
        "doubling",
        (*whole("x", low=0), *positive("y", blank=True)),
        (Quantity("y", "y", "m"),),
        lambda table, machine, progress: pd.DataFrame({"predicted_y": 2.0 * table.frame["x"]}),
        lambda table, seconds: {"mape": mape(table, "y")},
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(KINDS, "doubling", "Twice x.")
    report = validate("doubling", write(tmp_path, "x,y", "3,6", "1,4", "0,"))
    assert report.figures == {"rows": 3, "mape": 0.25}


def test_figure_shows_both_sides_equally() -> None:
    measured = np.asarray([1.0, 100.0, np.nan, 50.0])
    names = np.asarray([f"g{i}" for i in range(4)])
    panel = Panel("time", "s", measured, np.asarray([2.0, 400.0, 3.0, 50.0]), names)
    figure = predicted_against_measured([panel] * 4, "four")
    figure.draw_without_rendering()
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert axes.get_xlabel() == "measured (s)"
        low, high = axes.get_xlim()
        assert low < 1
        assert high > 400
        drawn = sum(len(points.get_offsets()) for points in axes.collections)
        assert drawn == 3
    with pytest.raises(InputError, match="0 points"):
        predicted_against_measured(
            [Panel("time", "s", np.asarray([np.nan]), np.ones(1), names[:1])], "nothing"
        )


def test_shared_timeloop_rows() -> None:
    figures = validate("timeloop", shared("timeloop_mappings.csv")).figures
    assert figures["rows"] >= 6000
    assert figures["cycles_mape"] <= 0.0003
    assert figures["energy_mape"] <= 0.001


def test_shared_scalesim_rows() -> None:
    report = validate("scalesim", shared("scalesim.csv"))
    assert report.figures["cycles_exact"] == report.figures["sram_exact"] == 1.0
    # The stall-free mode's DRAM reads exactly; fixed bandwidth fetches in another order.
    errors = report.table.loc[report.table["mode"] == "CALC", "dram_reads_error"]
    assert len(errors) > 200
    assert (errors == 0).all()
    assert report.figures["dram_reads_mape"] <= 0.08


def test_shared_mapper_rows() -> None:
    figures = validate("mapper", shared("accelforge_ws32.csv")).figures
    assert figures["cycles_ratio_max"] <= 1.01
    assert figures["energy_ratio_max"] <= 1.01
    assert figures["wall_s_per_row"] <= 2


def test_shared_rtl_rows() -> None:
    figures = validate("rtl", shared("gemmini_rtl.csv")).figures
    assert figures["mape"] <= 0.15
    assert figures["spearman"] >= 0.97
