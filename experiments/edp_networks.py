"""The buffers and mappings of least energy x cycles of a network on a Gemmini-like array.

    python -m experiments.edp_networks --workload LAYERS.csv --json

A 16 x 16 weight-stationary int8 array (`hwmodels.mapping.gemmini`); the sizes of accumulator and
scratchpad are free, whole KB, and one mapping a layer. What is minimised is the total energy of
all layers times their total cycles, each layer as often as its `count` says.

`experiments.edp_search` finds them among all perfect factorisations; the answer is recounted loop
by loop (`hwmodels.mapping.nest`), which refuses a tile that overflows a buffer. `accumulator_KB` is
the size of all 16 banks together.

LAYERS.csv has the columns layer (a name), R, S, P, Q, C, K, N, Wstride, Hstride, Wdilation,
Hdilation and count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dse.validation.tables import read_table, text, whole
from experiments.edp_search import PE_DIM, Layer, best_buffers, choices, costs, exchanged, mapped
from hwmodels import InputError
from hwmodels.mapping.gemmini import area_mm2, gemmini
from hwmodels.mapping.gemmini_tiles import mapping_text
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapping import parse_mapping
from hwmodels.mapping.problem import convolution

SIZES = ("R", "S", "P", "Q", "C", "K", "N")
STEPS = ("Wstride", "Hstride", "Wdilation", "Hdilation")
COLUMNS = (*whole(*SIZES, *STEPS, "count"), *text("layer"))
TINY = 1e-6  # largest difference between closed form and recount


@dataclass(frozen=True)
class MappedLayer:
    """One layer of the answer; energy and cycles of one occurrence."""

    layer: str
    count: int
    mapping: str
    energy_uJ: float
    cycles: float


@dataclass(frozen=True)
class Answer:
    """The best buffers of a network, and a mapping for each layer."""

    edp_uJ_cycles: float
    energy_uJ: float
    cycles: float
    accumulator_KB: int
    scratchpad_KB: int
    area_mm2: float
    wall_s: float
    layers: list[MappedLayer]


def read_layers(path: str | Path) -> list[Layer]:
    """The layers of a CSV file; `InputError` names what is wrong, and where."""
    table = read_table(path, COLUMNS)
    layers = []
    for row in table.rows():
        with table.at(row, "layer"):
            problem = convolution(
                **{d: row[d] for d in SIZES}, stride=(row["Wstride"], row["Hstride"]),
                dilation=(row["Wdilation"], row["Hdilation"]),
            )  # fmt: skip
        layers.append(Layer(row["layer"], problem, row["count"]))
    return layers


def search(layers: Sequence[Layer]) -> Answer:
    """The least energy x cycles of a network, recounted."""
    begin = time.perf_counter()
    table = choices(layers)
    buffers = best_buffers(table)
    told = costs(table, *buffers)
    rows = exchanged(table, mapped(table, *buffers)[1], *told)
    machine = gemmini(PE_DIM, *buffers)
    mapped_layers = []
    for layer, row in zip(layers, rows, strict=True):
        nest = mapping_text(layer.problem, table.tilings.factors[row], PE_DIM)
        _, cost = evaluate_mapping(machine, layer.problem, parse_mapping(nest))
        energy, cycles = float(cost.energy) * 1e6, float(cost.cycles)
        for closed, counted in ((told[0][row] * 1e-6, energy), (told[1][row], cycles)):
            if abs(closed / counted - 1.0) > TINY:
                raise RuntimeError(f"{layer.name}, {nest}: {closed:g}, recounted {counted:g}")
        mapped_layers.append(MappedLayer(layer.name, layer.count, nest, energy, cycles))
    energy = sum(x.count * x.energy_uJ for x in mapped_layers)
    total = sum(x.count * x.cycles for x in mapped_layers)
    return Answer(
        energy * total, energy, total, *buffers, area_mm2(*buffers),
        time.perf_counter() - begin, mapped_layers,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Search one network; returns the exit status: 0, or 2 for bad input."""
    made = argparse.ArgumentParser(prog="edp_networks", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--workload", type=Path, required=True, help="layer table, CSV")
    made.add_argument("--json", action="store_true", help="print JSON")
    options = made.parse_args(arguments)
    try:
        answer = search(read_layers(options.workload))
    except InputError as error:
        print(f"edp_networks: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(answer), indent=2) if options.json else _readable(answer))
    return 0


def _readable(answer: Answer) -> str:
    lines = [
        f"{answer.edp_uJ_cycles:.4g} uJ x cycles: {answer.energy_uJ:.6g} uJ, {answer.cycles:.6g} "
        f"cycles; accumulator {answer.accumulator_KB} KB, scratchpad {answer.scratchpad_KB} KB, "
        f"about {answer.area_mm2:.2f} mm2 ({answer.wall_s:.1f} s)",
        *(f"{x.count:4d} x {x.layer:24s} {x.mapping}" for x in answer.layers),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
