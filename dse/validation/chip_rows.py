"""A row of a table of chips as a catalog entry, when the catalog has no chip of that name.

Read are the forms that datasheets share: "2 cores x 4 MXU 128x128" and "16x16 int8" are systolic
arrays, "432 TC x 256 FMA" and "104 CU" SMs with tensor units, "2048 int8 MAC" a spatial array;
without off-chip memory, arrays and elements are tiles that work from SRAM. What
a row does not say is the variant's default. A row that says too little is an `InputError`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from hwmodels.accelerators import VARIANTS
from hwmodels.accelerators.entry import ChipEntry, check_clock
from hwmodels.accelerators.facts import Fact
from hwmodels.errors import InputError
from hwmodels.parts.dram import DRAM_KINDS
from hwmodels.quantity import quantities
from hwmodels.technology import NOMINAL_V, Technology

# Products of half nodes by the class that their density is of; N6 and 4N are denser by a few %.
NODE_CLASS_NM = {12: 16, 6: 7, 8: 10, 4: 5}
_DRAM = ("hbm4", "hbm3e", "hbm3", "hbm2e", "hbm2", "hbm", "gddr6x", "gddr6", "lpddr5x", "lpddr5",
         "lpddr4", "ddr5", "ddr4", "ddr3")  # fmt: skip
_INHERITED = {"hbm": "hbm2", "ddr3": "ddr4"}
_MOST_STACKS = 16
SMALLEST_CHIP_MACS = 4096  # fewer are taken for a block, without host interface and PHYs
_COUNT = r"(?<!\d)([1-9]\d*)"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def entry_of(row: dict[str, Any]) -> ChipEntry:
    """The chip that a row's own columns describe.

    Raises:
      InputError: the column that says too little, and what it should say.
    """
    stated = re.search(r"\((\d+)-class\)", str(row.get("process_nm", "")))
    node = float(stated[1]) if stated else _number(row, "process_nm", "a number of nm")
    clock = _number(row, "clock_MHz", "a number") / 1e3
    variant, compute = _compute(row, clock)
    sram, dram = _sram(row, variant, compute), _dram(row)
    if not dram:
        variant, compute = "sram_only", _tiles(row, compute)
    values: dict[str, Any] = {
        "node_nm": float(NODE_CLASS_NM.get(int(node), node)),
        "clock_GHz": clock,
        "number_format": _number_format(row, 2e-3 * clock * _macs(variant, compute)),
        **compute,
        **sram,
        **dram,
        **_links(row),
    }
    known = quantities(VARIANTS[variant])
    for name, value in values.items():
        if name in known:
            known[name].check(value)
    values |= _voltage(values)
    source = str(row.get("source") or "the row")
    entry = ChipEntry(
        key=str(row["name"]), name=str(row["name"]), variant=variant,
        year=int(_maybe(row, "year") or 0), family="",
        inputs={name: Fact(value, source, "derived") for name, value in values.items()},
        boundary="core" if _macs(variant, compute) < SMALLEST_CHIP_MACS else "package",
    )  # fmt: skip
    check_clock(entry)
    return entry


def _compute(row: dict[str, Any], clock: float) -> tuple[str, dict[str, float]]:
    text = str(row.get("mac_units_or_array", ""))
    flops = max((_maybe(row, c) or 0.0) for c in ("peak_bf16_fp16_TFLOPS", "peak_int8_TOPS"))
    half = _maybe(row, "peak_bf16_fp16_TFLOPS")
    macs = (half or flops) * 1e3 / (2.0 * clock)
    if sms := re.search(rf"{_COUNT} (?:SM|CU)\b", text):
        return "simt", _simt(row, float(sms[1]), macs, clock)
    if units := re.search(rf"{_COUNT} TC x {_COUNT} FMA", text):
        tensor = float(units[1])
        # Four tensor units an SM, eight before Ampere's wide ones.
        whole = tensor / (8.0 if float(units[2]) <= 64 else 4.0)
        return "simt", _simt(row, whole, tensor * float(units[2]), clock)
    for array in re.finditer(rf"{_COUNT}x{_COUNT}(?!\d|x)", text):
        rows, columns = float(array[1]), float(array[2])
        stated = re.search(r"\((\d+)\)", text)
        before = re.findall(r"\d+", text[: array.start()])
        arrays = float(stated[1]) / (rows * columns) if stated else math.prod(map(float, before))
        return "systolic", {"rows": rows, "columns": columns, "arrays": max(1.0, round(arrays)),
                            "vector_lanes": max(8.0, 2.0 * columns)}  # fmt: skip
    if units := re.search(rf"{_COUNT} PE x {_COUNT} MAC", text):
        return "spatial", _spatial(float(units[1]), float(units[2]))
    if units := re.search(rf"^{_COUNT}\s+\w*\s*MACs?\b", text):
        wide = min(64.0, 2.0 ** (math.log2(float(units[1])) // 2))
        return "spatial", _spatial(float(units[1]) / wide, wide)
    allowed = 'needed: such as "4 MXU 128x128", "432 TC x 256 FMA", "104 CU" or "2048 int8 MAC"'
    raise InputError("mac_units_or_array", text or "nothing", allowed)


def _tiles(row: dict[str, Any], compute: dict[str, float]) -> dict[str, float]:
    """The same units as tiles of a chip without DRAM."""
    if "sms" in compute:
        raise InputError("offchip_mem", row.get("offchip_mem") or "nothing", "needed: its kind")
    count = compute["arrays"] if "arrays" in compute else compute["pe_rows"] * compute["pe_columns"]
    units = compute["rows"] * compute["columns"] if "rows" in compute else compute["macs_per_pe"]
    return {"tiles": count, "tile_side": math.sqrt(units), "vector_lanes": compute["vector_lanes"]}


def _number_format(row: dict[str, Any], rate: float) -> str:
    """The format whose peak is nearest to the units' rate [TFLOP/s]; "16b" peaks are int16."""
    if "16b" in str(row.get("peak_int8_TOPS", "")):
        return "int16"
    peaks = {"int8": _maybe(row, "peak_int8_TOPS"), "bf16": _maybe(row, "peak_bf16_fp16_TFLOPS")}
    stated = {name: abs(math.log(rate / peak)) for name, peak in peaks.items() if peak}
    return min(stated, key=lambda name: (stated[name], name)) if stated else "int8"


def _macs(variant: str, compute: dict[str, float]) -> float:
    return float(VARIANTS[variant]().replace(**compute).macs_per_cycle)


def _simt(row: dict[str, Any], sms: float, macs: float, clock: float) -> dict[str, float]:
    if macs <= 0:
        raise InputError("peak_bf16_fp16_TFLOPS", "nothing", "needed: a number")
    # Whole SMs of 64 or 128 lanes deliver the peak in fp32.
    fp32 = (_maybe(row, "peak_fp32_TFLOPS") or 0.0) * 1e3 / (2.0 * clock * sms)
    lanes = 128.0 if fp32 > 96 else 64.0
    per_sm = macs / sms
    instruction = 2.0 if per_sm <= 2.0 * lanes else 128.0
    return {"sms": sms, "macs_per_sm": per_sm, "lanes_per_sm": lanes, "register_file_KiB": 256.0,
            "shared_memory_KiB": 192.0, "macs_per_instruction": instruction}  # fmt: skip


def _spatial(elements: float, macs: float) -> dict[str, float]:
    rows = 2.0 ** (math.log2(elements) // 2)
    return {"pe_rows": rows, "pe_columns": elements / rows, "macs_per_pe": macs,
            "scratchpad_B": 512.0, "vector_lanes": max(8.0, elements * macs / 32)}  # fmt: skip


def _sram(row: dict[str, Any], variant: str, compute: dict[str, float]) -> dict[str, float]:
    total = _number(row, "onchip_SRAM_MiB_total", "a number of MiB")
    detail = str(row.get("onchip_SRAM_detail", ""))
    if "edram" in detail.lower():
        raise InputError("onchip_SRAM_detail", detail, "needed: SRAM; eDRAM is not modelled")
    if variant != "simt":
        arrays = compute.get("arrays", 1.0)
        rows = compute.get("rows", compute.get("pe_rows", 0.0))
        columns = compute.get("columns", compute.get("pe_columns", 0.0))
        width = arrays * (2.0 * rows + 4.0 * columns)
        return {"sram_capacity_MiB": total, "sram_bandwidth_B_per_cycle": max(16.0, width)}
    l2 = re.search(r"L2\s+(\d+(?:\.\d+)?)", detail)
    return {"sram_capacity_MiB": float(l2[1]) if l2 else total,
            "sram_bandwidth_B_per_cycle": 48.0 * compute["sms"]}  # fmt: skip


def _dram(row: dict[str, Any]) -> dict[str, Any]:
    text, total = str(row.get("offchip_mem", "")).lower(), _maybe(row, "offchip_GBps")
    if text in ("", "n/p") or text.startswith("none"):
        return {}
    kind = next((kind for kind in _DRAM if kind in text), "ddr4")
    kind = _INHERITED.get(kind, kind)
    total = total or DRAM_KINDS[kind]["bandwidth_GBps"]
    stacks = min(_MOST_STACKS, max(1, math.ceil(total / DRAM_KINDS[kind]["bandwidth_GBps"] - 0.05)))
    capacity = (_maybe(row, "offchip_GB") or 0.0) * 1e9 / 2**30 / stacks
    values: dict[str, Any] = {
        "dram_kind": kind, "dram_stacks": float(stacks), "dram_bandwidth_GBps": total / stacks,
    }  # fmt: skip
    return values | ({"dram_capacity_GiB": capacity} if capacity >= 0.1 else {})


def _links(row: dict[str, Any]) -> dict[str, Any]:
    text, total = str(row.get("interconnect_links", "")), _maybe(row, "interconnect_GBps_total")
    count = re.match(r"(\d+)\b(?!\s*lanes)", text)
    if not total or not count or not 1 <= int(count[1]) <= 64:
        return {"link_kind": "none"}
    return {"link_count": float(count[1]), "link_bandwidth_GBps": total / 2.0 / float(count[1])}


def _voltage(values: dict[str, Any]) -> dict[str, float]:
    """The lowest supply, from the nominal one on, at which the node reaches the clock."""
    nominal = float(Technology(node=values["node_nm"] * 1e-9).lookup(NOMINAL_V))
    for step in range(30):
        volts = round(nominal + 0.01 * step, 3)
        process = Technology(node=values["node_nm"] * 1e-9, voltage=volts).resolve()
        if float(process.max_clock) >= values["clock_GHz"] * 1e9:
            return {"voltage_V": volts}
    return {"voltage_V": round(nominal, 3)}


def _number(row: dict[str, Any], column: str, needed: str) -> float:
    value = _maybe(row, column)
    if value is None:
        raise InputError(column, row.get(column) or "nothing", f"needed: {needed}")
    return value


def _maybe(row: dict[str, Any], column: str) -> float | None:
    """The first number of a cell, if there is one."""
    found = _NUMBER.match(str(row.get(column, "")).strip().lstrip("~<="))
    return float(found[0]) if found and float(found[0]) > 0 else None
