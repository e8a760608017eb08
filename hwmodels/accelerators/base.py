"""What every accelerator variant shares, so that they differ in named structure only.

A variant is a frozen dataclass of floating leaves: technology, clock, power cap, on-chip buffer,
DRAM and links are the same fields with the same models for all (`hwmodels.accelerators.costing`);
a variant adds its compute structure and its methods. To add one: subclass `Accelerator` in a
file of its own, decorate it with `register`, and list it in `hwmodels/accelerators/__init__.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax

from hwmodels.parts.dram import Dram
from hwmodels.parts.link import Link
from hwmodels.parts.mac import FORMATS
from hwmodels.quantity import part, quantity, read_quantities, replace_quantities, static
from hwmodels.relax import Relax
from hwmodels.technology import Process, Technology
from hwmodels.workloads.numeric import Contractions

GHZ, MIB = 1e9, 2.0**20


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Buffer:
    """The shared on-chip SRAM between DRAM and the compute units (scratchpad, L2, last level)."""

    capacity: Any = quantity(32, "MiB", MIB, low=1 / 64, high=4096, doc="capacity")
    bandwidth: Any = quantity(
        8192, "B_per_cycle", low=16, high=2**20, doc="bytes read or written a cycle"
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tuning:
    """What calibration to measurements sets; ideal by default."""

    compute_efficiency: Any = quantity(
        1.0, low=0.05, high=1.0, doc="share of the peak rate that busy compute units reach"
    )
    dram_efficiency: Any = quantity(
        1.0, low=0.05, high=1.0, doc="share of the DRAM bandwidth that streams reach"
    )
    overlap: Any = quantity(
        1.0, low=0.0, high=1.0, doc="share of DRAM time or other work, the shorter, that is hidden"
    )
    overhead: Any = quantity(
        0.0, "us", 1e-6, low=0.0, high=1000, doc="time of an operation beyond the runtime's launch"
    )
    energy_scale: Any = quantity(
        1.0, low=0.1, high=10, doc="dynamic energy of the die, relative to the parts' sum"
    )


class Compute(NamedTuple):
    """What the compute structure of a variant does with one contraction.

    `cycles`: busy cycles of the arrays; `overhead`: cycles of fill and drain that nothing
    hides; `buffer_bytes`: bytes read from and written to the shared buffer.
    """

    cycles: Any
    overhead: Any
    buffer_bytes: Any


@dataclass(frozen=True)
class Accelerator:
    """The fields that all variants share; every leaf is a floating scalar in SI units."""

    technology: Technology = part(Technology)
    clock: Any = quantity(1.0, "GHz", GHZ, low=0.05, high=5.0, doc="requested clock")
    tdp: Any = quantity(700, "W", low=0.1, high=50000, doc="power cap: lowers the clock")
    sram: Buffer = part(Buffer)
    dram: Dram = part(Dram)
    link: Link = part(Link)
    tuning: Tuning = part(Tuning)
    number_format: str = static("bf16", choices=tuple(FORMATS), doc="operand format")

    # Idle power beyond leakage and clock tree, per die area [W/m2]; see DESIGN of each variant.
    IDLE_W_PER_M2: ClassVar[float] = 0.02e6
    NAME: ClassVar[str] = ""

    @property
    def macs_per_cycle(self) -> Any:
        """Multiply-accumulates a cycle when every unit is busy."""
        raise NotImplementedError

    @property
    def vector_rate(self) -> Any:
        """Simple fp32 operations a cycle outside contractions."""
        raise NotImplementedError

    def contraction(self, op: Contractions, relax: Relax, besides: Any) -> Compute:
        """Cycles and buffer traffic of one contraction.

        `besides`: bytes that the operation moves through the buffer besides this traffic. A
        variant that ranks mappings by time counts them, or a faster buffer could make it
        choose a slower mapping.
        """
        raise NotImplementedError

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Energy of one multiply-accumulate, by part, shared buffer and DRAM apart [J]."""
        raise NotImplementedError

    def delivery_energy(self, process: Process) -> dict[str, Any]:
        """Energy of one byte between buffer and compute units beyond the buffer's own [J/B]."""
        return {}

    def areas(self, process: Process) -> dict[str, Any]:
        """Area of the compute structure by part [m2]."""
        raise NotImplementedError

    @property
    def local_sram(self) -> Any:
        """Bytes of SRAM inside the compute structure (leaks; its area is in `areas`)."""
        return 0.0 * self.clock

    @property
    def smallest_buffer(self) -> Any:
        """Bytes that the shared buffer must hold for the structure to work at all."""
        raise NotImplementedError

    def replace(self, **values: Any) -> Any:
        """A copy with numbers set by boundary name, such as `clock_GHz=1.2`, checked."""
        return replace_quantities(self, values)

    def quantities(self) -> dict[str, Any]:
        """The numbers by boundary name, in the units of their names."""
        return read_quantities(self)


A = TypeVar("A", bound=Accelerator)


def register(name: str) -> Callable[[type[A]], type[A]]:
    """Class decorator: make a variant a pytree whose static fields are metadata."""

    def wrap(cls: type[A]) -> type[A]:
        fields = dataclasses.fields(cls)
        meta = [f.name for f in fields if f.metadata.get("static")]
        data = [f.name for f in fields if f.name not in meta]
        cls.NAME = name
        return jax.tree_util.register_dataclass(cls, data_fields=data, meta_fields=meta)

    return wrap
