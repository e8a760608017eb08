# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Writing a new variant
#
# An accelerator variant is one class: the numbers that describe it, and six answers. Everything
# else (DRAM, links, clock law, power cap, residency, price, fleets, derivatives, sweeps, figures)
# is shared, so that variants differ in their structure only. This notebook writes one from an
# equation: an **outer-product engine**, as in the matrix extensions of CPUs.
#
# ## 1. What right looks like
#
# An engine holds a tile of E x E sums. Each cycle it takes a column of E left and a row of E right
# elements, and adds their outer product: E^2 multiply-accumulates from 2 E words. There is no skew,
# as operands are broadcast along rows and columns. With U engines,
#
#     tiles  = batch ceil(M / E) ceil(N / E)
#     cycles = ceil(tiles / U) K          and E more to move the last sums out
#     words  = batch (ceil(N / E) M K + ceil(M / E) K N), and M N sums of 4 bytes, once
#
# By hand, at odd sizes: M, N, K = 11, 17, 13 on one engine of E = 5: 3 x 4 tiles of 13 cycles, 156
# cycles. Limits: a product smaller than the tile takes K cycles; more engines than tiles help
# nothing; doubling K doubles the cycles.
#
# Energy of one multiply-accumulate: the unit; its sum, read and written in a register every cycle;
# each operand's register, shared by the E units that it is broadcast to; and that wire.

# %%
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image

import dse
import hwmodels
from hwmodels.accelerators.base import Accelerator, register
from hwmodels.accelerators.shared import Compute
from hwmodels.parts import mac, register_file, vector_unit
from hwmodels.parts.mac import ACCUMULATOR_BYTES, FORMATS
from hwmodels.quantity import quantity

DESIGNS = int(os.environ.get("CHIPGRAD_NOTEBOOK_DESIGNS", "60000"))  # of the search
FOLDER = tempfile.mkdtemp()

# %% [markdown]
# ## 2. The class
#
# Numbers are declared with unit, range and meaning; they are checked, named at every boundary
# (`side`, `engines`), and differentiable. Ceilings go through `relax`, which keeps their values
# exact and makes their derivatives useful. Sizes may be arrays: no `if` on them.


# %%
@register("outer_product")
@dataclass(frozen=True)
class OuterProduct(Accelerator):
    """Engines that add an outer product a cycle to a tile of sums that stays."""

    engines: Any = quantity(16, low=1, high=4096, doc="engines")
    side: Any = quantity(32, low=2, high=512, doc="rows and columns of an engine's sums")
    vector_lanes: Any = quantity(1024, low=8, high=65536, doc="fp32 lanes of the vector unit")

    IDLE_W_PER_M2 = 0.085e6  # beyond leakage and clock: as the systolic array's, an assumption

    @property
    def macs_per_cycle(self):
        return self.engines * self.side**2

    @property
    def vector_rate(self):
        return self.vector_lanes

    def contraction(self, op, relax, besides):
        over_m = relax.ceil_div(op.m, self.side)
        over_n = relax.ceil_div(op.n, self.side)
        rounds = relax.ceil_div(op.batch * over_m * over_n, self.engines)
        word = FORMATS[self.number_format].bits / 8
        words = over_n * op.m * op.k + over_m * op.k * op.n
        moved = op.batch * (word * words + ACCUMULATOR_BYTES * op.m * op.n)
        return Compute(rounds * op.k, self.side, moved)

    def mac_energy(self, process):
        bits = FORMATS[self.number_format].bits
        length = jnp.sqrt(self.areas(process)["mac"] / self.engines)  # of an engine
        return {
            "mac": mac.energy(process, self.number_format),
            "register": register_file.energy(process, 2 * 8 * ACCUMULATOR_BYTES)
            + register_file.energy(process, 2 * bits) / self.side,
            "network": 2 * bits * process.wire_energy * length / self.side,
        }

    def areas(self, process):
        sums = register_file.placed_area(process, 8 * ACCUMULATOR_BYTES)
        return {
            "mac": self.macs_per_cycle * (mac.area(process, self.number_format) + sums),
            "vector": vector_unit.area(process, self.vector_lanes),
        }

    @property
    def smallest_buffer(self):
        word = FORMATS[self.number_format].bits / 8
        return self.engines * self.side * (4 * word + ACCUMULATOR_BYTES)


hwmodels.VARIANTS["outer_product"] = OuterProduct

# %% [markdown]
# ## 3. The case by hand, and the limits


# %%
def product(m, n, k):
    left, right = (jax.ShapeDtypeStruct(shape, "bfloat16") for shape in ((m, k), (k, n)))
    return hwmodels.trace(lambda x, w: x @ w, left, right, name="product")


def cycles(chip, m, n, k):
    row = hwmodels.evaluate(chip, product(m, n, k)).frame().iloc[0]
    return round(row["busy_us"] * float(chip.clock) / 1e6), round(
        row["fill_drain_us"] * float(chip.clock) / 1e6
    )


one = OuterProduct().replace(engines=1, side=5, clock_GHz=1)
assert cycles(one, 11, 17, 13) == (156, 5)
assert cycles(one, 2, 3, 130)[0] == 130  # smaller than the tile
assert cycles(one.replace(engines=12), 11, 17, 13) == cycles(one.replace(engines=99), 11, 17, 13)
print("as by hand")

# %% [markdown]
# Gradients: every number against differences of log-energy by log-number. In `smooth` mode, as
# there the gradient is that of the value computed; in the default one values are exact, and the
# slope of a ceiling is where its staircase leads.

# %%
workload = hwmodels.load_workload("mlp-large")
chip = OuterProduct().replace(engines=16, side=60, clock_GHz=1.1)
names = ("side", "clock_GHz", "voltage_V", "sram_capacity_MiB")
smooth = hwmodels.Relax("smooth", 20.0)


@jax.jit
def log_energy(x):
    values = dict(zip(names, jnp.exp(x), strict=True))
    return jnp.log(hwmodels.evaluate(chip.replace(**values), workload, relax=smooth).energy)


x = jnp.log(jnp.array([60.0, 1.1, 0.75, 32.0]))
slopes = jax.jit(jax.grad(log_energy))(x)
differences = [(log_energy(x + h) - log_energy(x - h)) / 0.02 for h in 0.01 * np.eye(4)]
for name, slope, difference in zip(names, slopes, differences, strict=True):
    print(f"{name:18s} {slope:+.4f} by jax.grad, {difference:+.4f} by differences")

# %% [markdown]
# ## 4. Against the systolic array
#
# A space for it, the same budgets for both, and the sweep knows no difference between a variant of
# the project and ours.

# %%
budgets = (dse.Constraint("area_mm2", 400), dse.Constraint("power_W", 300))
systolic = dse.default_space("systolic")
shared = [p for p in systolic.parameters if p.name not in ("rows", "columns", "arrays", "dataflow")]
ours = dse.Space(
    "outer_product",
    (
        *shared,
        dse.Parameter("engines", "power2", 1, 1024),
        dse.Parameter("side", "power2", 8, 256),
    ),
)
spaces = [space.with_constraints(budgets) for space in (ours, systolic)]
run = dse.search(spaces, workload, evaluations=DESIGNS)
for name, front in run.front.by_variant().items():
    best = front.best("throughput_per_s")
    print(f"{name:14s} {len(front):5d} designs on the front, up to ", end="")
    print(f"{best['throughput_per_s']:,.0f} samples/s at {best['power_W']:.0f} W")

# %% [markdown]
# What does one pay that the other does not? The best designs of both, by energy of a step:

# %%
fronts = run.variant_fronts
for space in spaces:
    design, fleet = space.design(fronts[space.variant].best("throughput_per_s"))
    metrics = hwmodels.evaluate(design, workload, fleet)
    terms = {k: float(v) / float(metrics.energy) for k, v in metrics.energy_terms.items()}
    terms = dict(sorted(terms.items(), key=lambda item: -item[1])[:6])
    print(f"{space.variant:14s} {float(metrics.energy) * 1e3:6.1f} mJ:", end=" ")
    print(", ".join(f"{k} {v:.0%}" for k, v in terms.items()))

# %%
Image(run.front.plot(f"{FOLDER}/front.png", title="Outer products, systolic arrays")[0], width=800)

# %% [markdown]
# ## 5. Into the project
#
# The class goes into a file of `hwmodels/accelerators/` with the equations in its docstring, the
# case by hand into a test, the space into `dse/defaults.py`; `tests/test_variants.py` then checks
# its invariants over the whole space. The page `hwmodels/EXTENDING.md` does that step by step.
