"""Rows of chips with counts that are none, and cells that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dse.validation import validate

HEADER = (
    "name,process_nm,clock_MHz,mac_units_or_array,onchip_SRAM_MiB_total,offchip_mem,offchip_GBps,"
    "peak_bf16_fp16_TFLOPS,die_mm2,TDP_W"
)


def write(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "chips.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_no_units_are_said_not_divided_by(tmp_path):
    units = ("0 SM", "0 CU", "128x0 MXU", "0x128", "0 TC x 256 FMA", "16 PE x 0 MAC", "0 int8 MAC")
    rows = [f"A{i},7,1000,{text},8,HBM2,900,10,100,50" for i, text in enumerate(units)]
    report = validate("chips", write(tmp_path, *rows))
    assert report.figures["skipped"] == len(units)
    for text, said in zip(units, report.table["skipped"], strict=True):
        assert f"mac_units_or_array: got {text}" in said


def test_cells_with_units_and_without_sense(tmp_path):
    report = validate(
        "chips",
        write(
            tmp_path,
            "Plain,7,1000,4 MXU 128x128,32,HBM2,900,131,400,200",
            "Same,7,1000,4 MXU 128x128,32,HBM2,900,131,400 mm2,200 W",
            "Other,7,1000,4 MXU 128x128,32,HBM2,900,131,400,some",
        ),
    )
    errors = report.table[["die_area_mm2_error", "peak_power_W_error"]]
    assert errors.iloc[0].tolist() == pytest.approx(errors.iloc[1].tolist())
    assert report.figures["unread_line"] == {"Other: TDP_W some": 4}
    assert (report.figures["area_rows"], report.figures["power_rows"]) == (3, 2)
