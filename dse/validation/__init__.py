"""Predictions against measurements: `validate(kind, file)` for published tables and your own.

report = validate("timeloop", "mappings.csv")
report.figures           # {"rows": 6000, "cycles_mape": ..., ...}
report.table             # a row each: measured, predicted_..., ..._error
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwmodels.errors import InputError, check_choice

if TYPE_CHECKING:
    import pandas as pd

    from dse.validation.kind import Figures, Kind, Progress

# One line a kind; its file is imported when it is asked for.
KINDS = {
    "timeloop": "Timeloop's cycles and energy of given mappings on a Gemmini-like array.",
    "scalesim": "SCALE-Sim's cycles, SRAM and DRAM counts of systolic arrays.",
    "mapper": "Best mappings that another mapper found, against ours (figures: ours / theirs).",
    "rtl": "Cycles of given mappings on Gemmini's RTL.",
    "chips": "Published die area, peak and typical power of real chips.",
    "published": "Published rates, latencies, powers and areas of TPU v1, Eyeriss, NVDLA and A100.",
    "gemm": "Measured latencies of matrix products on chips of the catalog.",
    "training": "Measured steps of GPTs on clusters of GPUs under Megatron-LM.",
    "fsdp": "Measured utilisation of fully sharded training of GPTs on A100 and H100.",
}


@dataclass(frozen=True)
class Report:
    """What came of one file: the table with predictions and errors by row, and the figures."""

    kind: Kind
    path: Path
    table: pd.DataFrame
    figures: Figures


def load_kind(name: str) -> Kind:
    """The declaration of a kind; `InputError` for an unknown one."""
    check_choice("KIND", name, KINDS)
    kind: Kind = importlib.import_module(f"dse.validation.{name}").KIND
    return kind


def validate(
    kind: str, path: str | Path, *, machine: str = "", progress: Progress | None = None
) -> Report:
    """Predict every row of a file of measurements and compare.

    Args:
      kind: one of `KINDS`.
      path: CSV file with the kind's columns; others are ignored.
      machine: catalog name or TOML file, for kinds whose rows do not say it themselves.
      progress: called with a stage and the share of it that is done.

    Raises:
      InputError: an unknown kind or machine, or a bad file, naming line and column.
    """
    from dse.validation.kind import error, predicted
    from dse.validation.tables import read_table

    declared = load_kind(kind)
    if machine and not declared.machine:
        raise InputError("--machine", machine, f"rows of kind {kind} say their machine themselves")
    table = read_table(path, declared.columns)
    begin = time.perf_counter()
    found = declared.predict(table, machine or declared.machine, progress or (lambda *_: None))
    seconds = time.perf_counter() - begin
    frame = table.frame.assign(**{str(name): found[name].to_numpy() for name in found})
    for quantity in declared.quantities:
        name = quantity.column
        frame[error(name)] = frame[predicted(name)] / frame[name] - 1.0
    return Report(
        declared, table.path, frame, {"rows": len(frame), **declared.figures(frame, seconds)}
    )
