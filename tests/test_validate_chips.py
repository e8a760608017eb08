"""`dse validate chips`: cells as tables write them, rows of one's own, the shared ground truth."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dse.cli.main import main
from dse.validation import validate
from dse.validation.cells import read_cell, read_typical
from dse.validation.chip_rows import entry_of
from hwmodels import InputError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "chips.csv"


def shared() -> Path:
    if not SHARED.exists():
        pytest.skip("../shared/data/chips.csv is not in this checkout")
    return SHARED


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("814", 814, "exact"),
        ("<=331", 331, "at_most"),
        ("<611", 611, "at_most"),
        ("2 x ~724", 1448, "about"),
        ("2 x 800", 1600, "exact"),
        ("~724 (1 GCD)", 724, "about"),
        ("8 XCD ~115 + 4 IOD ~370 (M)", 2400, "about"),
        ("300-350 (unofficial)", 325, "about"),
        ("6 / 216", 6, "exact"),
        ("700 (M)", 700, "exact"),
        ("~25 (pkg 5x5)", 25, "about"),
        ("~2.7 MGE", None, "unread"),
        ("n/p", None, "blank"),
        ("", None, "blank"),
    ],
)
def test_cells(text, value, kind):
    cell = read_cell(text)
    assert cell.kind == kind
    if value is not None:
        assert cell.value == pytest.approx(value)


def test_cells_by_boundary():
    assert read_cell("12.25 core / 16 die", prefer="core").value == 12.25
    assert read_cell("12.25 core / 16 die", prefer="die").value == 16
    assert read_typical("min/mean/max 121/170/192").value == 170
    assert read_typical("0.278 (AlexNet) 0.236 (VGG16)").value == 0.278
    assert read_typical("0.11 pJ/op best").kind == "unread"
    assert read_typical("").kind == "blank"


ROW = {
    "name": "Own", "process_nm": "4N (5-class)", "clock_MHz": "1755", "die_mm2": "", "TDP_W": "",
    "peak_int8_TOPS": "1600", "peak_bf16_fp16_TFLOPS": "800", "peak_fp32_TFLOPS": "60",
    "mac_units_or_array": "456 TC x 512 FMA", "onchip_SRAM_MiB_total": "100",
    "onchip_SRAM_detail": "L2 50 + L1", "offchip_mem": "HBM3", "offchip_GB": "80",
    "offchip_GBps": "3350", "interconnect_links": "18 NVLink4", "interconnect_GBps_total": "900",
}  # fmt: skip


def test_a_row_becomes_a_chip():
    numbers = entry_of(ROW).chip().quantities()
    assert numbers["node_nm"] == 5
    assert (numbers["sms"], numbers["macs_per_sm"], numbers["lanes_per_sm"]) == (114, 2048, 128)
    assert numbers["sram_capacity_MiB"] == 50
    assert numbers["dram_stacks"] * numbers["dram_bandwidth_GBps"] == pytest.approx(3350)
    assert numbers["link_count"] * numbers["link_bandwidth_GBps"] == 450
    array = {**ROW, "mac_units_or_array": "2 cores x 3 MXU 128x96", "peak_int8_TOPS": ""}
    numbers = entry_of(array).chip().quantities()
    assert (numbers["rows"], numbers["columns"], numbers["arrays"]) == (128, 96, 6)
    for column, text in (("mac_units_or_array", "many"), ("clock_MHz", ""), ("process_nm", "n/p")):
        with pytest.raises(InputError, match=column):
            entry_of({**ROW, column: text})


def test_a_row_without_memory_works_from_sram():
    array = {**ROW, "offchip_mem": "none", "mac_units_or_array": "2 x 3 MXU 128x98"}
    entry = entry_of(array)
    assert entry.variant == "sram_only"
    numbers = entry.chip().quantities()
    assert (numbers["tiles"], numbers["tile_side"]) == (6, 112)
    blocks = {**ROW, "offchip_mem": "", "mac_units_or_array": "2048 int8 MAC"}
    numbers = entry_of(blocks).chip().quantities()
    assert numbers["tiles"] * numbers["tile_side"] ** 2 == pytest.approx(2048)
    with pytest.raises(InputError, match=r"offchip_mem: got none \(host\); needed"):
        entry_of({**ROW, "offchip_mem": "none (host)"})
    # A memory of no kind that is known, or of no stated rate, is still one.
    entry = entry_of({**array, "offchip_mem": "SDRAM", "offchip_GBps": ""})
    assert entry.variant == "systolic"
    assert entry.chip().dram.total_bandwidth == 25.6e9


def test_validate_names_what_it_skips(tmp_path):
    path = tmp_path / "own.csv"
    rows = [
        {**ROW, "die_mm2": "700", "TDP_W": "600"},
        {**ROW, "name": "Unclear", "mac_units_or_array": "many"},
        {**ROW, "name": "TPU v4", "die_mm2": "<600", "measured_or_typ_W": "170"},
    ]
    header = [*ROW, "measured_or_typ_W"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    report = validate("chips", path)
    figures = report.figures
    assert (figures["rows"], figures["area_rows"], figures["power_rows"]) == (3, 1, 1)
    assert (figures["area_bounds"], figures["area_bounds_met"], figures["skipped"]) == (1, 1, 1)
    assert figures["typical_rows"] == 1
    (reason,) = figures["skipped_line"]
    assert reason.startswith("Unclear: mac_units_or_array: got many")
    assert report.table["matched"].tolist() == ["row", "", "tpu_v4"]


def test_given_chips_within_the_figures():
    figures = validate("chips", shared()).figures
    assert figures["area_rows"] >= 15
    assert figures["area_median"] <= 0.25
    assert figures["area_mape"] <= 0.35
    assert figures["area_bounds_met"] == figures["area_bounds"] == 4
    assert figures["power_rows"] >= 15
    assert figures["power_mape"] <= 0.30
    assert figures["capped_clocks_met"] == figures["capped_rows"] == 3


def test_cli_validate(capsys):
    assert main(["validate", "chips", str(shared()), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rows"] >= 40
    assert set(content["capped_clock_GHz"]) == {"NVIDIA T4", "NVIDIA L4", "NVIDIA A30"}
