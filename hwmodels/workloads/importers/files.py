"""Workloads from files: which importer reads a file, by its suffix and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwmodels.errors import InputError
from hwmodels.workloads.importers import accelforge, csv_files, timeloop, zigzag
from hwmodels.workloads.importers.layers import Layer, workload_of
from hwmodels.workloads.importers.safe_yaml import read_yaml
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.workload import Workload

SUFFIXES = (".csv", ".yaml", ".yml", ".json", ".onnx")


def is_file(target: str) -> bool:
    """Whether a workload's text names a file of another tool."""
    return target.lower().endswith(SUFFIXES)


def load_file(target: str, settings: Settings) -> Workload:
    """The workload of a file; `InputError` names the file, and the line or layer."""
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix == ".json":
        from hwmodels.workloads.importers.huggingface import from_config

        return from_config(path, settings)
    if suffix == ".onnx":
        from hwmodels.workloads.importers.onnx import from_onnx

        return from_onnx(path, settings)
    found = csv_files.read_layers(path) if suffix == ".csv" else _yaml(path)
    return workload_of(found, settings, path.stem)


def _yaml(path: Path) -> list[Layer]:
    documents: list[Any] = read_yaml(path)
    if not documents:
        raise InputError(str(path), "nothing in it", "allowed: layers")
    first = documents[0]
    if isinstance(first, list):
        return zigzag.layers(path, documents)
    if isinstance(first, dict) and "problem" in first:
        return timeloop.layers(path, documents)
    if isinstance(first, dict) and "workload" in first:
        return accelforge.layers(path, documents)
    raise InputError(
        str(path), f"a {type(first).__name__}",
        "allowed: Timeloop (problem:), AccelForge (workload:), or ZigZag (a list of layers)",
    )  # fmt: skip
