"""A workload's forward products as files of other tools: SCALE-Sim, Timeloop, plain CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import yaml

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.importers.layers import MOST_LAYERS, Layer, extent, layers_of
from hwmodels.workloads.importers.timeloop import CNN
from hwmodels.workloads.operation import Convolution
from hwmodels.workloads.workload import Workload


def export(workload: Workload, kind: str) -> str:
    """The text of a file of `kind`: "scalesim", "csv" or "timeloop".

    Raises:
      InputError: an unknown kind, no products, or a layer that the format cannot hold.
    """
    check_choice("export", kind, EXPORTERS)
    return EXPORTERS[kind](layers_of(workload))


def to_csv(layers: Sequence[Layer]) -> str:
    """Plain CSV: products with batch and count; a table of convolutions if all are some."""
    if all(layer.convolution for layer in layers):
        columns = ("layer", "R", "S", "P", "Q", "C", "K", "N", "Wstride", "Hstride", "Wdilation",
                   "Hdilation", "groups", "count")  # fmt: skip
        rows = [
            (x.name, s.r, s.s, s.p, s.q, s.c, s.k, s.n, s.stride_h, s.stride_w, s.dilation_h,
             s.dilation_w, s.groups, x.count)
            for x in layers if (s := x.convolution)
        ]  # fmt: skip
        return _table(columns, rows)
    header = ("name", "m", "n", "k", "batch", "count")
    return _table(header, [(x.name, x.m, x.n, x.k, x.batch, x.count) for x in layers])


def to_scalesim(layers: Sequence[Layer]) -> str:
    """A topology: of convolutions if all are some that it can say (one image, no groups, no
    dilation, one stride), else of products; a line for each run."""
    runs = sum(x.count * x.batch for x in layers)
    if runs > MOST_LAYERS:
        raise InputError("export", f"{runs} lines", f"allowed in SCALE-Sim: up to {MOST_LAYERS}")
    lines = []
    if all(x.convolution and _plain(x.convolution) for x in layers):
        lines.append("Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, "
                     "Channels, Num Filter, Strides,")  # fmt: skip
        for x in layers:
            if shape := x.convolution:
                sizes = (*extent(shape), shape.r, shape.s, shape.c, shape.k, shape.stride_h)
                lines += [", ".join(map(str, (_word(x.name), *sizes))) + ","] * x.count
    else:
        lines.append("Layer, M, N, K,")
        for x in layers:
            lines += [f"{_word(x.name)}, {x.m}, {x.n}, {x.k},"] * (x.count * x.batch)
    return "\n".join(lines) + "\n"


def to_timeloop(layers: Sequence[Layer]) -> str:
    """Problems, a document each: convolutions as the seven dimensions with groups, products as
    batch, M, N and K. A problem that runs n times comes n times."""
    documents = [document for x in layers for document in [_problem(x)] * x.count]
    if len(documents) > MOST_LAYERS:
        allowed = f"allowed in Timeloop: up to {MOST_LAYERS}"
        raise InputError("export", f"{len(documents)} problems", allowed)
    texts = [yaml.safe_dump(d, sort_keys=False, default_flow_style=None) for d in documents]
    return "---\n".join(texts)


def _problem(layer: Layer) -> dict[str, object]:
    shape = layer.convolution
    if shape is None:
        return {"problem": {"name": layer.name, "version": 0.4, "shape": {
            "name": "product", "dimensions": ["B", "M", "N", "K"],
            "data_spaces": [
                {"name": "Inputs", "projection": [[["B"]], [["M"]], [["K"]]]},
                {"name": "Weights", "projection": [[["B"]], [["K"]], [["N"]]]},
                {"name": "Outputs", "projection": [[["B"]], [["M"]], [["N"]]],
                 "read_write": True},
            ],
        }, "instance": {"B": layer.batch, "M": layer.m, "N": layer.n, "K": layer.k}}}  # fmt: skip
    spaces = [
        {**space, "projection": [[["G"]], *space["projection"]]} for space in CNN["data_spaces"]
    ]
    return {"problem": {
        "name": layer.name, "version": 0.4,
        "shape": {**CNN, "dimensions": [*CNN["dimensions"], "G"], "data_spaces": spaces},
        "instance": {
            "C": shape.c, "K": shape.k, "R": shape.r, "S": shape.s, "N": shape.n, "P": shape.p,
            "Q": shape.q, "G": shape.groups, "Wstride": shape.stride_h, "Hstride": shape.stride_w,
            "Wdilation": shape.dilation_h, "Hdilation": shape.dilation_w,
        },
    }}  # fmt: skip


def _plain(shape: Convolution) -> bool:
    return (shape.n, shape.groups, shape.dilation_h, shape.dilation_w) == (1,) * 4 and (
        shape.stride_h == shape.stride_w
    )


def _word(name: str) -> str:
    return name.replace(",", ";").replace("\n", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return made.getvalue()


EXPORTERS: dict[str, Callable[[Sequence[Layer]], str]] = {
    "csv": to_csv, "scalesim": to_scalesim, "timeloop": to_timeloop,
}  # fmt: skip
