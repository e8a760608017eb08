"""What every accelerator variant shares, so that they differ in named structure only.

A variant is a frozen dataclass of floating leaves: technology, clock, power cap, on-chip buffer,
DRAM and links are the same fields with the same models for all (`hwmodels.accelerators.rates`);
a variant adds its compute structure and its methods. To add one: subclass `Accelerator` in a
file of its own, decorate it with `register`, and list it in `hwmodels/accelerators/__init__.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp

from hwmodels.accelerators.own import Port
from hwmodels.accelerators.shared import Buffer, Compute, Tuning
from hwmodels.mapping.tiling import dram_passes
from hwmodels.parts import die, mac, sparsity, sram
from hwmodels.parts.dram import Dram
from hwmodels.parts.link import Link
from hwmodels.parts.mac import FORMATS
from hwmodels.quantity import part, quantity, read_quantities, replace_quantities, static
from hwmodels.relax import Relax
from hwmodels.technology import Process, Technology
from hwmodels.workloads.numeric import Contractions, Operations, Totals
from hwmodels.workloads.operation import Widths
from hwmodels.workloads.workload import Workload

GHZ = 1e9
SAME = "same"  # as `number_format`
A = TypeVar("A", bound="Accelerator")


@dataclass(frozen=True)
class Accelerator:
    """The fields that all variants share; every leaf is a floating scalar in SI units.

    `number_format` is what the multipliers, pipelines and buffers are built for; a tensor class
    may be stored narrower and is widened on its way in. A multiplier spends what the wider format
    of its two operands needs. Sums have 32 bits. `sparsity`: see `hwmodels.parts.sparsity`; every
    array may gate, only a variant whose units run apart from each other may also skip.
    """

    technology: Technology = part(Technology)
    clock: Any = quantity(1.0, "GHz", GHZ, low=0.05, high=5.0, doc="requested clock")
    tdp: Any = quantity(700, "W", low=0.1, high=50000, doc="power cap: lowers the clock")
    sram: Buffer = part(Buffer)
    dram: Dram = part(Dram)
    link: Link = part(Link)
    tuning: Tuning = part(Tuning)
    number_format: str = static("bf16", choices=tuple(FORMATS), doc="operand format")
    weight_format: str = static(SAME, choices=(SAME, *FORMATS), doc="of weights")
    activation_format: str = static(SAME, choices=(SAME, *FORMATS), doc="of activations")
    gradient_format: str = static(SAME, choices=(SAME, *FORMATS), doc="of error signals")
    sparsity: str = static("none", choices=("none", "gate"), doc="use of zeros in operands")

    # Idle power beyond leakage and clock tree, per die area [W/m2]; see DESIGN of each variant.
    IDLE_W_PER_M2: ClassVar[float] = 0.02e6
    NAME: ClassVar[str] = ""
    HAS_DRAM: ClassVar[bool] = True
    # Numbers that not every chip of the variant has: a catalog file may leave them out.
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    # Operands whose zeros a skipping array leaves out.
    SKIPS: ClassVar[tuple[str, ...]] = ("lhs_density", "rhs_density")

    def operations(self, workload: Workload, residency: str) -> Operations:
        """The numeric form of a workload that this chip's model reads, in its number formats."""
        return workload.at_format(self.widths)

    @property
    def bare(self: A) -> A:
        """The chip without what `operations` carry from there on, so that a model compiled for one
        workload serves another."""
        return self

    @property
    def untuned(self: A) -> A:
        """The chip without what calibration to measurements of it has set."""
        return dataclasses.replace(self, tuning=Tuning())

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

    def operand_bytes(
        self, op: Contractions, away: tuple[Any, Any], tile_capacity: Any, relax: Relax
    ) -> Any:
        """Bytes of one contraction between DRAM and chip besides those that cross once.

        `away`: bytes of the left and the right operand that are not on chip already.
        """
        left, right = away
        word = FORMATS[self.number_format].bits / 8
        # Time is the slowest of overlapped resources: tiles must arrive behind the arithmetic.
        left_passes, right_passes = dram_passes(
            op.m, op.n, op.k, (sum(op.lhs), sum(op.rhs)), (left, right), word, tile_capacity,
            relax, double_buffered=True,
        )  # fmt: skip
        return left * left_passes + right * right_passes

    def mac_energy(self, process: Process) -> dict[str, Any]:
        """Energy of one multiply-accumulate, by part, shared buffer and DRAM apart [J]."""
        raise NotImplementedError

    def delivery_energy(self, process: Process) -> dict[str, Any]:
        """Energy of one byte between buffer and compute units beyond the buffer's own [J/B]."""
        return {}

    @property
    def delivered_peak(self) -> Any:
        """Bytes a cycle that can pay `delivery_energy`; None: all that the buffer can."""
        return None

    def areas(self, process: Process) -> dict[str, Any]:
        """Area of the compute structure by part [m2]."""
        raise NotImplementedError

    @property
    def local_sram(self) -> Any:
        """Bytes of SRAM inside the compute structure (leaks; its area is in `areas`)."""
        return 0.0 * self.clock

    @property
    def sram_bytes(self) -> Any:
        """Bytes of all SRAM that leaks."""
        return self.sram.capacity + self.local_sram

    @property
    def memory_parts(self) -> tuple[str, ...]:
        """Parts of the area that are SRAM, whose leakage is counted per byte."""
        return ("buffer", "local", "register")

    def own_ports(self, process: Process, area: Any) -> dict[str, Port]:
        """Memories that take the shared buffer's place, on a die of `area`, outermost first."""
        return {}

    def own_traffic(
        self, op: Contractions, away: tuple[Any, Any, Any]
    ) -> dict[str, tuple[Any, Any, Any]]:
        """Bytes read from and written to each of `own_ports` by one contraction, and banks used.

        `away`: share of left operand, right operand and result that crosses the DRAM interface.
        """
        return {}

    @property
    def vector_memory(self) -> str | None:
        """Which of `own_ports` serves the vector unit."""
        return None

    @property
    def smallest_buffer(self) -> Any:
        """Bytes that the shared buffer must hold for the structure to work at all."""
        raise NotImplementedError

    def buffer_margin(self, contractions: Contractions) -> Any:
        """Relative room of on-chip memory beyond the least that works, >= 0 if it does."""
        return self.sram.capacity / self.smallest_buffer - 1.0

    def buffer_energy(self, process: Process, area: Any) -> Any:
        """Energy of a byte of the shared buffer, on a die of `area` [J/B]."""
        distance = 0.5 * jnp.sqrt(area)
        return sram.energy(process, self.sram.capacity, self.sram.bandwidth, distance)

    def buffer_area(self, process: Process) -> Any:
        """Area of the shared buffer [m2]."""
        return sram.area(process, self.sram.capacity, self.sram.bandwidth)

    def price(self, process: Process, area: Any) -> Any:
        """Price of the packaged die without memory and links [USD]."""
        return die.good_die_cost(process, area, self.dram.stacks * self.dram.interposer)

    @property
    def largest_area(self) -> float:
        """The area that the package admits [m2]."""
        return die.RETICLE_M2

    def spread(self, totals: Totals, times: dict[str, Any], relax: Relax) -> dict[str, Any]:
        """Time that spreading a model over several chips adds to a step, by term [s]."""
        return {}

    def margins(self, totals: Totals) -> dict[str, Any]:
        """Limits of this variant besides those of all, as `Metrics.margins`."""
        return {}

    @property
    def dense(self) -> bool:
        """Multipliers spend the same for each product: no gating, one format."""
        return self.sparsity != "gate" and set(self.formats) == {self.number_format}

    def multiplied(self, op: Contractions) -> Any:
        """Energy of an operation's multipliers over that of dense ones of `number_format`."""
        weight, activation, error = self.formats
        share = 1.0
        if {weight, activation, error} != {self.number_format}:
            forward = mac.relative_energy(self.number_format, activation)
            trained = mac.relative_energy(self.number_format, activation, error)
            of_weight = mac.relative_energy(self.number_format, weight, activation)
            of_both = mac.relative_energy(self.number_format, weight, error)
            by_weight = of_weight + op.error * (of_both - of_weight)
            by_rest = forward + op.error * (trained - forward)
            share = by_rest + op.weight * (by_weight - by_rest)
        if self.sparsity == "gate":
            share = share * op.lhs_density * op.rhs_density
        return share

    def kept_products(self, op: Contractions) -> Any:
        """Share of an operation's products that a skipping array does; 1 for others."""
        if self.sparsity != "skip":
            return 1.0
        return math.prod(getattr(op, name) for name in self.SKIPS)

    def time_share(self, op: Contractions) -> Any:
        """Cycles of an operation over those of a dense array."""
        if self.sparsity != "skip":
            return 1.0
        return sparsity.time_share(self.kept_products(op))

    @property
    def formats(self) -> tuple[str, str, str]:
        """Formats of weights, activations and error signals."""
        own = self.weight_format, self.activation_format, self.gradient_format
        weight, activation, error = (self.number_format if f == SAME else f for f in own)
        return weight, activation, error

    @property
    def widths(self) -> float | Widths:
        """Bits that tensors are narrowed to in storage, as `Workload.at_format` takes them.

        A weight format of "same" leaves the weights of an inference trace as they are.
        """
        bits = FORMATS[self.number_format].bits
        if (self.weight_format, self.activation_format, self.gradient_format) == (SAME,) * 3:
            return bits
        weight, activation, error = (FORMATS[name].bits for name in self.formats)
        return Widths(activation, error, None if self.weight_format == SAME else weight)

    def admits(self, training: bool) -> bool:
        """True if the number formats can do the job: training takes floats only, and no class
        may be wider than the multipliers."""
        built = FORMATS[self.number_format]
        classes = [FORMATS[name] for name in self.formats[: 3 if training else 2]]
        trains = all(f.trains for f in (built, *classes)) or not training
        return trains and all(
            f.bits <= built.bits and f.multiply_pJ <= built.multiply_pJ for f in classes
        )

    def replace(self, **values: Any) -> Any:
        """A copy with numbers set by boundary name, such as `clock_GHz=1.2`, checked."""
        return replace_quantities(self, values)

    def quantities(self) -> dict[str, Any]:
        """The numbers by boundary name, in the units of their names."""
        return read_quantities(self)


def register(name: str, *, meta: tuple[str, ...] = ()) -> Callable[[type[A]], type[A]]:
    """Class decorator: make a variant a pytree whose static fields, and `meta`, are metadata."""

    def wrap(cls: type[A]) -> type[A]:
        fields = dataclasses.fields(cls)
        fixed = [f.name for f in fields if f.metadata.get("static") or f.name in meta]
        data = [f.name for f in fields if f.name not in fixed]
        cls.NAME = name
        return jax.tree_util.register_dataclass(cls, data_fields=data, meta_fields=fixed)

    return wrap
