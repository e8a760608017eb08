"""Layers in CSV files, told apart by their header.

SCALE-Sim topologies: `Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels,
Num Filter, Strides,` (no padding: the image holds it) and `Layer, M, N, K,`; plain tables
of products with columns m, n, k and if wanted name, batch, count; tables of convolutions with
columns R, S, P, Q, C, K, N and if wanted layer, count, Wstride, Hstride, Wdilation, Hdilation,
groups, W going with R and P. Columns come in any order; lines that begin with # are comments.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hwmodels.errors import InputError
from hwmodels.workloads.importers.layers import MOST_LAYERS, Layer, check_size, conv_layer
from hwmodels.workloads.importers.safe_yaml import read_text
from hwmodels.workloads.operation import Convolution

_SCALESIM = ("ifmap height", "ifmap width", "filter height", "filter width", "channels",
             "num filter")  # fmt: skip
_CONVOLUTION = ("r", "s", "p", "q", "c", "k", "n")
_PRODUCT = ("m", "n", "k")
_NAMES = ("layer name", "layer", "name", "operation")


def read_layers(path: Path) -> list[Layer]:
    """The layers of a CSV file; `InputError` with file and line."""
    lines = read_text(path).splitlines()
    kept = [(i, text) for i, text in enumerate(lines, 1) if text.strip(" ,\t") and text[0] != "#"]
    if len(kept) < 2:
        raise InputError(str(path), "no layers", "allowed: a header and a line a layer")
    if len(kept) > MOST_LAYERS + 1:
        raise InputError(str(path), f"{len(kept) - 1} layers", f"allowed: up to {MOST_LAYERS}")
    header = [cell.strip().strip("\ufeff").lower() for cell in _cells(path, *kept[0])]
    make = _reader(path, set(header))
    found = []
    for number, text in kept[1:]:
        cells = [cell.strip() for cell in _cells(path, number, text)]
        row = {name: cell for name, cell in zip(header, cells, strict=False) if name}
        found.append(make(f"{path.name}, line {number}", row))
    return found


def _cells(path: Path, number: int, text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration) as error:
        raise InputError(f"{path.name}, line {number}", error, "allowed: CSV") from None


def _reader(path: Path, header: set[str]) -> Callable[[str, Mapping[str, str]], Layer]:
    if header.issuperset(_SCALESIM):
        return _topology
    if header.issuperset(_CONVOLUTION):
        return _convolution
    if header.issuperset(_PRODUCT):
        return _product
    raise InputError(
        f"{path.name}, header", ", ".join(sorted(header)),
        "allowed: a SCALE-Sim topology, columns m, n, k, or columns R, S, P, Q, C, K, N",
    )  # fmt: skip


def _number(where: str, row: Mapping[str, str], column: str, usual: int | None = None) -> int:
    text = row.get(column, "")
    if not text and usual is not None:
        return usual
    match = re.fullmatch(r"([0-9]{1,19})(?:\.0*)?", text)
    if match is None:
        raise InputError(f"{where}, {column}", text or "nothing", "allowed: a whole number >= 1")
    return check_size(f"{where}, {column}", int(match[1]))


def _name(where: str, row: Mapping[str, str]) -> str:
    return next((row[key][:200] for key in _NAMES if row.get(key)), where)


def _topology(where: str, row: Mapping[str, str]) -> Layer:
    height, width, r, s, channels, made = (_number(where, row, name) for name in _SCALESIM)
    stride = _number(where, row, "strides", _number(where, row, "stride", 1))
    if r > height or s > width:
        raise InputError(f"{where}, filter", f"{r} x {s}", f"allowed: up to {height} x {width}")
    return conv_layer(_name(where, row), Convolution(
        n=1, c=channels, k=made, p=(height - r) // stride + 1, q=(width - s) // stride + 1,
        r=r, s=s, stride_h=stride, stride_w=stride,
    ))  # fmt: skip


def _convolution(where: str, row: Mapping[str, str]) -> Layer:
    r, s, p, q, c, k, n = (_number(where, row, name) for name in _CONVOLUTION)
    stride_h, stride_w, dilation_h, dilation_w, groups, count = (
        _number(where, row, name, 1)
        for name in ("wstride", "hstride", "wdilation", "hdilation", "groups", "count")
    )
    shape = Convolution(
        n=n, c=c, k=k, p=p, q=q, r=r, s=s, groups=groups, stride_h=stride_h, stride_w=stride_w,
        dilation_h=dilation_h, dilation_w=dilation_w,
    )  # fmt: skip
    return conv_layer(_name(where, row), shape, count=count)


def _product(where: str, row: Mapping[str, str]) -> Layer:
    m, n, k = (_number(where, row, name) for name in _PRODUCT)
    batch, count = (_number(where, row, name, 1) for name in ("batch", "count"))
    return Layer(_name(where, row), m=m, n=n, k=k, batch=batch, count=count)
