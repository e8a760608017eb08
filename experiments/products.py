"""Products: a scenario, the budgets of what is sold for it, and what a design does in it.

Budgets are of silicon, peak power, memory and number format, at 7 nm: a camera; an inference card
(like Meta's MTIA v2, 421 mm2 and 90 W, from memory), whose model is trained on it as well; an
accelerator for serving in 8 bits; a module for training in bf16. They are assumptions.

A product holds one or more copies of a design, as many as suit it of those that its silicon and its
memory devices admit, each capped at its share of the power, at the voltage and the rate of memory
that suit the product: the clock is the largest that voltage and cap admit. Copies serve side by
side, each within the scenario's latencies, with the whole model in its own memory. What a product
does is units a second of all copies; for training it is S80 of one chip, whose fleet is as large as
scales anyway, and which so gets the power of the product alone. Links are off where no fleet is
asked for; their area stays. A design in bf16 keeps the weights in 8 bits where the product's format
is int8.

Left out: packages, boards and hosts, which copies would share or repeat; a model that is split over
copies; software; that fewer designs cost less to develop, which is what one chip for all is for.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import dse
from dse.space import DRAM_KIND
from experiments.evolution import Floats
from hwmodels import VARIANTS, Fleet, load_workload
from hwmodels.accelerators.base import SAME
from hwmodels.accelerators.rates import chip_areas
from hwmodels.evaluate import model

LPDDR, HBM = ("lpddr5", "lpddr5x"), ("hbm2e", "hbm3", "hbm3e")
MOST_STACKS = 8.0  # of HBM around one package
OFF_GBPS = 0.1  # a link that is off
FASTEST_HZ = 2.5e9  # as in `dse.default_space`
OWN = ("voltage_V", "clock_GHz")  # which each product sets for itself
SLOWEST = 0.25  # of the memory's full rate
SETTINGS = 3  # genes of a product, see `Setting`


@dataclass(frozen=True)
class Product:
    """A scenario's budgets: `channels` of memory outside the package at most; `stacked`: HBM is
    admitted as well; `fleet`: it is measured as one."""

    scenario: str
    area_mm2: float
    power_W: float
    number_format: str
    channels: float
    stacked: bool = True
    fleet: bool = False

    @property
    def trains(self) -> bool:
        """Whether any of its workloads updates parameters."""
        return load_workload(self.scenario).training

    @property
    def text(self) -> str:
        """The budgets for people."""
        memory = f"up to {self.channels:g} channels of LPDDR5"
        memory += f" or {MOST_STACKS:g} stacks of HBM" if self.stacked else ""
        return f"{self.area_mm2:g} mm2, {self.power_W:g} W, {memory}, {self.number_format}"


PRODUCTS = (
    Product("edge-vision", 50.0, 5.0, "int8", 4.0, stacked=False),
    Product("recommendation", 400.0, 90.0, "bf16", 16.0),
    Product("llm-serving", 600.0, 350.0, "int8", 16.0),
    Product("datacentre-training", 800.0, 700.0, "bf16", 16.0, fleet=True),
)


def silicon(variant: str, number_format: str) -> dse.Space:
    """All that is fixed when a chip is made; voltage and clock are each product's."""
    default = dse.default_space(variant)
    changed = {
        DRAM_KIND: dse.Parameter(DRAM_KIND, "choice", choices=(*LPDDR, *HBM)),
        "dram_stacks": dse.Parameter("dram_stacks", "integer", 1, 16),
    }
    # TPUs' dataflow; the others would be three compilations of each program.
    left_out = (*OWN, "dataflow")
    parameters = [changed.get(p.name, p) for p in default.parameters if p.name not in left_out]
    return dse.Space(variant, tuple(parameters), (("number_format", number_format),))


class Setting(NamedTuple):
    """How products run a design, columns (n,): supply [V], share of the memory's rate, share in
    [0, 1) of the copies that fit."""

    voltage: Any
    rate: Any
    share: Any

    @classmethod
    def of(cls, variant: str, genes: Floats) -> Setting:
        """From genes (n, SETTINGS) in the unit box."""
        (supply,) = [p for p in dse.default_space(variant).parameters if p.name == OWN[0]]
        u = np.asarray(genes, np.float32)
        rate = SLOWEST + (1.0 - SLOWEST) * u[:, 1]
        return cls(np.asarray(supply.value(u[:, 0])), rate, u[:, 2])


class Done(NamedTuple):
    """What designs (n,) do in a product: units a second of all copies; the worst margin and whose
    it is; copies, and of each the area [mm2] and the peak power [W]."""

    per_s: Any
    margin: Any
    held_by: Any
    copies: Any
    area_mm2: Any
    peak_W: Any


@functools.cache
def performance(variant: str, number_format: str, product: Product) -> Callable[..., Done]:
    """The compiled function from silicon (columns by name) and its setting to what is `Done`."""
    space, workload = silicon(variant, number_format), load_workload(product.scenario)
    stored = SAME if product.number_format == number_format else product.number_format
    space = dataclasses.replace(space, fixed=(*space.fixed, ("weight_format", stored)))
    chip = VARIANTS[variant]().replace(**dict(space.fixed))
    operations = workload.at_format(chip.widths)
    admitted = jnp.array([float(k in LPDDR or product.stacked) for k in (*LPDDR, *HBM)])
    most = jnp.array([product.channels if k in LPDDR else MOST_STACKS for k in (*LPDDR, *HBM)])

    names: list[str] = []

    def one(values: dict[str, Any], setting: Setting, operations: Any) -> Done:
        chip, _ = space.build({**values, OWN[0]: setting.voltage}, {})
        slowed = chip.dram.bandwidth * setting.rate
        chip = dataclasses.replace(chip, dram=dataclasses.replace(chip.dram, bandwidth=slowed))
        if not product.fleet:
            chip = chip.replace(link_bandwidth_GBps=OFF_GBPS)
        process = chip.technology.resolve()
        area = sum(chip_areas(chip, process).values()) * 1e6
        kind = jnp.arange(len(most)) == values[DRAM_KIND]
        devices = jnp.sum(jnp.where(kind, most, 0.0))
        fit = jnp.floor(jnp.minimum(product.area_mm2 / area, devices / chip.dram.stacks))
        fit = jnp.ones_like(area) if product.fleet else jnp.maximum(fit, 1.0)
        copies = jnp.minimum(1.0 + jnp.floor(setting.share * fit), fit)
        chip = dataclasses.replace(
            chip, clock=jnp.minimum(process.max_clock, FASTEST_HZ), tdp=product.power_W / copies
        )
        metrics = model(chip, operations, Fleet(), training=workload.training, stacked=True)
        margins = {
            **metrics.margins,
            "area of the product": 1.0 - area / product.area_mm2,
            "memory devices": 1.0 - chip.dram.stacks / devices,
            "memory kind": jnp.sum(jnp.where(kind, admitted, 0.0)) - 1.0,
        }
        names[:] = margins
        stacked = jnp.stack(list(margins.values()))
        done = metrics.scalability if product.fleet else copies * metrics.throughput
        return Done(done, stacked.min(), stacked.argmin(), copies, area, metrics.peak_power)

    batched = jax.jit(jax.vmap(one, in_axes=(0, 0, None)))

    def run(values: dict[str, Any], setting: Setting) -> Done:
        found = Done(*map(np.asarray, batched(values, setting, operations)))
        return found._replace(held_by=np.array(names)[found.held_by])

    return run


def decoded(space: dse.Space, designs: Floats) -> dict[str, Any]:
    """Columns of silicon from the first genes of designs (n, genes)."""
    return {
        p.name: np.asarray(p.value(designs[:, i]), np.float32)
        for i, p in enumerate(space.numeric)
    }  # fmt: skip
