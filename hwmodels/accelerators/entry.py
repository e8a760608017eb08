"""One chip of the catalog: its facts, and the accelerator that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwmodels.accelerators import VARIANTS
from hwmodels.accelerators.facts import Fact
from hwmodels.errors import InputError
from hwmodels.parts.dram import DRAM_KINDS
from hwmodels.parts.link import LINK_KINDS
from hwmodels.quantity import structure
from hwmodels.technology import NOMINAL_V, Technology

BOUNDARIES = ("package", "die", "core")
NO_CAP_W = 50000.0  # the highest power cap that an accelerator takes: none
# The numbers of a block without links.
_NO_LINKS = {
    "link_count": 1.0, "link_bandwidth_GBps": 0.1, "link_area_mm2": 0.0, "link_edge_mm": 0.0,
    "link_cost_USD": 0.0,
}  # fmt: skip


Kinds = dict[str, dict[str, float]]


# Numbers of off-chip memory and links by kind, under the boundary names of an accelerator.
PART_KINDS: dict[str, Kinds] = {
    f"{part}_kind": {
        kind: {f"{part}_{name}": value for name, value in row.items()}
        for kind, row in kinds.items()
    }
    for part, kinds in (("dram", DRAM_KINDS), ("link", LINK_KINDS))
}
# Those of a catalog file, which need not repeat them.
KINDS = {**PART_KINDS, "link_kind": {**PART_KINDS["link_kind"], "none": _NO_LINKS}}


@dataclass(frozen=True)
class ChipEntry:
    """One chip of the catalog.

    boundary: what its published area and power cover: "package" (die, memory on the package,
    links), "die" (without memory devices) or "core" (a block: no pads, PHYs, host interface, links
    or memory). inputs: facts that the model reads, by name; `die`: those that differ for the
    whole die; published: facts to compare with. market_cap: its power cap is far below what the
    die takes at its stated clock, so that it runs below that clock. partial: the model has only a
    part of the chip, such as the GPU of a system on a chip.
    """

    key: str
    name: str
    variant: str
    year: int
    family: str
    inputs: Mapping[str, Fact]
    die: Mapping[str, Fact] = field(default_factory=dict)
    published: Mapping[str, Fact] = field(default_factory=dict)
    boundary: str = "package"
    aliases: tuple[str, ...] = ()
    remarks: str = ""
    market_cap: bool = False
    partial: bool = False

    def blank(self) -> Any:
        """The variant's default design, which the file's numbers go into."""
        return VARIANTS[self.variant]()

    def chip(self, *, whole_die: bool = False) -> Any:
        """The accelerator without a power cap; of the whole die, or of what is enabled."""
        values: dict[str, Any] = {"tdp_W": NO_CAP_W}
        stated = {**self.inputs, **(self.die if whole_die else {})}
        for name, kinds in KINDS.items():
            if name in stated:
                values |= kinds[str(stated[name].value)]
        values |= {name: fact.value for name, fact in stated.items() if name not in KINDS}
        if "voltage_V" not in stated:
            node = Technology(node=stated["node_nm"].number * 1e-9)
            values["voltage_V"] = round(float(node.lookup(NOMINAL_V)), 3)
        return self.blank().replace(**values)

    def capped(self) -> Any:
        """The accelerator at the voltage and clock that its published power cap leaves to the
        densest product, where it has a cap; else as `chip`."""
        from hwmodels.accelerators.headline import under_cap  # which needs this file

        cap = self.published.get("tdp_W")
        covers = cap is not None and not cap.bound and self.boundary == "package"
        return under_cap(self.chip(), cap.number) if cap and covers else self.chip()

    def facts(self) -> dict[str, Fact]:
        """Every number and option of the accelerator with its source, the model's own included."""
        chip = self.chip()
        kind = {
            name: Fact(value, self.inputs[of].source, "assumed", note=f"{of} {choice}")
            for of, table in KINDS.items() if of in self.inputs
            for choice in [str(self.inputs[of].value)]
            for name, value in table[choice].items()
        }  # fmt: skip
        plain = {
            **chip.quantities(),
            **{name: getattr(chip, name) for name in structure(type(chip))},
        }
        default = {name: Fact(v, "the model's default", "assumed") for name, v in plain.items()}
        del default["tdp_W"]
        voltage = default["voltage_V"].value
        default["voltage_V"] = Fact(voltage, "the node's nominal supply", "assumed")
        stated = {n: f for n, f in self.inputs.items() if n not in KINDS}
        return {**stated, **{n: f for n, f in {**default, **kind}.items() if n not in stated}}


def check_clock(entry: ChipEntry) -> None:
    """Raise `InputError` if the clock is above what node and voltage allow."""
    chip = entry.chip()
    most = float(chip.technology.resolve().max_clock) / 1e9
    clock = entry.inputs["clock_GHz"].value
    if float(clock) > most * (1 + 1e-6):
        numbers = chip.quantities()
        raise InputError(
            f"{entry.key}, chip.clock_GHz", clock,
            f"allowed: at most {most:.3g} GHz at {numbers['node_nm']:g} nm and "
            f"{numbers['voltage_V']:g} V",
        )  # fmt: skip
