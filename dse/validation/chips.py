"""Die area, peak and typical power of real chips, predicted from their structure.

Rows are matched to the catalog by name; others are described by their own columns
(`dse.validation.chip_rows`), or skipped with the reason. Exact areas are compared, "<=331" is
checked as a bound, "~724" is shown only. Peak power is compared with the TDP, which for a chip
sold at the top of its line is a fair stand-in for the densest sustained product, but a limit, not
a measurement. Chips whose cap is a market choice (T4, L4, A30) are left out there, and the clock
that their cap leaves is checked to lie between their guaranteed and their boost clock.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from dse.validation.cells import Cell, read_cell, read_typical
from dse.validation.chip_rows import entry_of
from dse.validation.kind import Figures, Kind, Progress, Quantity, error, mape
from dse.validation.tables import Column, Table, text
from hwmodels.accelerators.catalog import find_entry
from hwmodels.accelerators.entry import ChipEntry
from hwmodels.accelerators.headline import headline, sustained_clock
from hwmodels.errors import InputError

AREA, PEAK, TYPICAL = "die_area_mm2", "peak_power_W", "typical_power_W"
_UNIT = re.compile(r"\s*(?:W|mm2|mm\^2|mm²)$")  # the column's own
_NEEDED = ("process_nm", "clock_MHz", "die_mm2", "TDP_W")
_OPTIONAL = (
    "year", "peak_int8_TOPS", "peak_bf16_fp16_TFLOPS", "peak_fp32_TFLOPS", "mac_units_or_array",
    "onchip_SRAM_MiB_total", "onchip_SRAM_detail", "offchip_mem", "offchip_GB", "offchip_GBps",
    "measured_or_typ_W", "interconnect_links", "interconnect_GBps_total", "source",
)  # fmt: skip


def _predict(table: Table, machine: str, progress: Progress) -> pd.DataFrame:
    rows = list(table.rows())
    found = []
    for i, row in enumerate(rows):
        progress("chips", i / len(rows))
        try:
            entry = find_entry(row["name"]) or entry_of(row)
            found.append(_row(entry, row))
        except InputError as problem:
            found.append({"skipped": f"{row['name']}: {problem}"})
    progress("chips", 1.0)
    predictions = [f"predicted_{name}" for name in (AREA, PEAK, TYPICAL)]
    clocks = ["capped_clock_GHz", "boost_clock_GHz", "base_clock_GHz"]
    columns = [AREA, PEAK, TYPICAL, *predictions, *clocks, "area_bound_mm2"]
    texts = ["variant", "matched", "skipped", "unread"]
    frame = pd.DataFrame(found, columns=[*columns, *texts])
    frame[columns] = frame[columns].astype(float)
    frame[texts] = frame[texts].astype(object).fillna("")
    return frame


def _row(entry: ChipEntry, row: dict[str, Any]) -> dict[str, Any]:
    known, guess = entry.boundary, headline(entry)
    area = read_cell(_UNIT.sub("", row["die_mm2"]), prefer="core" if known == "core" else "die")
    peak = read_cell(_UNIT.sub("", row["TDP_W"]))
    cells = {"die_mm2": area, "TDP_W": peak}
    unread = [f"{name} {row[name]}" for name, cell in cells.items() if cell.kind == "unread"]
    if entry.partial:
        area, peak = Cell(area.value, "about"), Cell(peak.value, "about")
    result: dict[str, Any] = {
        AREA: area.exact,
        PEAK: peak.exact,
        TYPICAL: read_typical(row["measured_or_typ_W"]).exact,
        f"predicted_{AREA}": guess.area_mm2,
        f"predicted_{PEAK}": guess.peak_power_W,
        f"predicted_{TYPICAL}": guess.typical_power_W,
        "area_bound_mm2": area.value if area.kind == "at_most" else float("nan"),
        "variant": entry.variant,
        "matched": entry.key if entry.family else "row",
        "skipped": "",
        "unread": ", ".join(unread),
    }
    if entry.market_cap and peak.kind == "exact":
        base = entry.published.get("base_clock_GHz")
        result |= {
            PEAK: float("nan"),
            "capped_clock_GHz": sustained_clock(entry, peak.value) / 1e9,
            "boost_clock_GHz": guess.clock / 1e9,
            "base_clock_GHz": base.number if base else float("nan"),
        }
    return result


def _figures(table: pd.DataFrame, seconds: float) -> Figures:
    bounded = table.dropna(subset="area_bound_mm2")
    capped = table.dropna(subset="capped_clock_GHz")
    clock = capped["capped_clock_GHz"]
    skipped = table.loc[table["skipped"] != "", "skipped"]
    unread = table[table["unread"] != ""]
    return {
        "area_rows": int(table[AREA].notna().sum()),
        "area_mape": mape(table, AREA),
        "area_median": _median(table, AREA),
        "area_bounds": len(bounded),
        "area_bounds_met": int((bounded[f"predicted_{AREA}"] <= bounded["area_bound_mm2"]).sum()),
        "power_rows": int(table[PEAK].notna().sum()),
        "power_mape": mape(table, PEAK),
        "power_median": _median(table, PEAK),
        "typical_rows": int(table[TYPICAL].notna().sum()),
        "typical_mape": mape(table, TYPICAL),
        "capped_rows": len(capped),
        "capped_clocks_met": int(
            ((clock >= capped["base_clock_GHz"]) & (clock <= capped["boost_clock_GHz"])).sum()
        ),
        "capped_clock_GHz": dict(zip(capped["name"], clock, strict=True)),
        "skipped": len(skipped),
        "skipped_line": dict(zip(skipped, table.loc[skipped.index, "line"], strict=True)),
        "unread_line": dict(
            zip(unread["name"] + ": " + unread["unread"], unread["line"], strict=True)
        ),
    }


def _median(table: pd.DataFrame, column: str) -> float | None:
    sizes = table[error(column)].abs().dropna()
    return float(sizes.median()) if len(sizes) else None


KIND = Kind(
    title="real chips",
    columns=(
        *text("name"),
        *(Column(name, "text", blank=True) for name in _NEEDED),
        *(Column(name, "text", blank=True, optional=True) for name in _OPTIONAL),
    ),
    quantities=(
        Quantity(AREA, "die area", "mm2"),
        Quantity(PEAK, "peak power", "W"),
        Quantity(TYPICAL, "typical power", "W"),
    ),
    predict=_predict,
    figures=_figures,
    group="variant",
)
