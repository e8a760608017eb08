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
# # Gradients and sensitivities
#
# Every number of a chip is differentiable, through mapping, memories, process, power cap and fleet.
# This notebook asks for derivatives in the plain way (`jax.grad`), looks at what they mean where
# hardware comes in whole pieces, descends with optax, and then uses the tools that are built on
# them: elasticities, tornado plots, targets.

# %%
import dataclasses
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from IPython.display import Image

import dse
import hwmodels
from dse.elasticity import interactions, swings
from dse.plots import style
from dse.plots.tornado import tornado
from dse.point import Point
from dse.targets import reach, target

workload = hwmodels.load_workload("mlp-large")
chip = hwmodels.VARIANTS["systolic"]().replace(
    rows=128, columns=128, arrays=4, clock_GHz=1.2, vector_lanes=4096, dram_stacks=1
)

# %% [markdown]
# ## 1. One derivative, checked
#
# A chip is a pytree of numbers in SI units, and so is its gradient. What does a MiB of buffer cost
# in energy, what does a GB/s of DRAM save? At raw SI scale a slope is hard to judge, so the check
# by differences compares relative changes.


# %%
def log_energy(c):
    return jnp.log(hwmodels.evaluate(c, workload).energy)


slope = jax.grad(log_energy)(chip)
print(f"{float(slope.sram.capacity) * 2**20:+.2e} of the energy for each MiB of buffer")
print(f"{float(slope.dram.bandwidth) * 1e9:+.2e} for each GB/s of a stack")


def moved(factor):
    voltage = chip.technology.voltage * factor
    return log_energy(
        dataclasses.replace(chip, technology=dataclasses.replace(chip.technology, voltage=voltage))
    )


by_hand = (moved(1.01) - moved(0.99)) / (np.log(1.01) - np.log(0.99))
print(f"supply: {float(slope.technology.voltage * chip.technology.voltage):.4f}", end=" ")
print(f"by jax.grad, {float(by_hand):.4f} by differences")

# %% [markdown]
# ## 2. Where hardware comes in whole pieces
#
# The number of folds is a ceiling: throughput against the rows of an array is a staircase, whose
# true derivative is zero almost everywhere and useless. Forward values stay exact; only the
# derivative is relaxed (`straight_through`, the default): it says where the staircase leads. In
# `smooth` mode the value itself is smooth, ever closer to the exact one as `sharpness` grows: for
# optimisers that compare values along a line.

# %%
rows = jnp.linspace(64.0, 288.0, 225)
modes = {
    "exact": hwmodels.Relax(),
    "smooth, sharpness 10": hwmodels.Relax("smooth", 10.0),
    "smooth, sharpness 100": hwmodels.Relax("smooth", 100.0),
}


def throughput(r, relax):
    wide = dataclasses.replace(chip, rows=r, tdp=jnp.float32(2000.0))
    return hwmodels.evaluate(wide, workload, relax=relax).throughput


with style.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.7), layout="constrained")
    for (name, relax), colour in zip(modes.items(), ("#1a1a1a", "#E69F00", "#0072B2"), strict=True):
        curve = jax.jit(jax.vmap(jax.value_and_grad(throughput), in_axes=(0, None)))
        value, slopes = curve(rows, relax)
        left.plot(rows, value, color=colour, lw=1.2, label=name)
        right.plot(rows, slopes * rows / value, color=colour, lw=1.2)
    left.set_ylabel("Throughput (samples/s)")
    right.set_ylabel("Elasticity of throughput")
    for axes in (left, right):
        axes.set_xlabel("Rows of an array")
    left.legend(frameon=False)

# %% [markdown]
# ## 3. Descend
#
# Least energy x delay of a step, by Adam on the logarithms of clock, supply and buffer, with the
# clock that the supply allows as a penalty. This is what `dse search` does for a thousand designs
# at once, with budgets, whole numbers and choices.

# %%
names = ("clock_GHz", "voltage_V", "sram_capacity_MiB")
begin = jnp.log(jnp.array([chip.quantities()[name] for name in names]))
smooth = hwmodels.Relax("smooth", 50.0)


def build(x):
    return chip.replace(**dict(zip(names, jnp.exp(x), strict=True)))


def loss(x):
    metrics = hwmodels.evaluate(build(x), workload, relax=smooth)
    broken = sum(jnp.maximum(0.01 - metrics.margins[name], 0.0) for name in ("clock", "voltage"))
    return jnp.log(metrics.energy * metrics.time) + 30.0 * broken


optimiser = optax.adam(0.03)


@jax.jit
def descend(x):
    def step(carry, _):
        x, memory = carry
        value, slope = jax.value_and_grad(loss)(x)
        change, memory = optimiser.update(slope, memory)
        return (optax.apply_updates(x, change), memory), value

    (x, _), path = jax.lax.scan(step, (x, optimiser.init(x)), None, length=150)
    return x, path


end, path = descend(begin)
before, after = (hwmodels.evaluate(build(x), workload) for x in (begin, end))
for name, a, b in zip(names, jnp.exp(begin), jnp.exp(end), strict=True):
    print(f"{name:20s} {a:6.3g} -> {b:.3g}")
gain = float(before.energy * before.time / (after.energy * after.time))
print(f"energy x delay {gain:.2f} times less; feasible: {bool(after.feasible)}")

# %% [markdown]
# ## 4. What does this chip answer to?
#
# Elasticities of every metric to every number: percent for one percent, by differentiation and by
# re-evaluation one buildable step less and one more. Where these differ the design stands at a
# step, or on the edge between two bounds: 128 rows fit this network's layers exactly.

# %%
found = dse.sensitivity(chip, workload)
found.of("throughput_per_s").head(10)

# %%
point = Point(chip, workload)  # whole numbers move by one at least: a second stack of DRAM is 100%
table = swings(point, "throughput_per_s", 0.1)
figure = tornado(table, 0.1, "Throughput, mlp-large", metric="throughput")
Image(style.save(figure, f"{tempfile.mkdtemp()}/tornado", ("png",))[0], width=760)

# %% [markdown]
# To second order: which numbers gain most by changing together, beyond what each gains alone?

# %%
interactions(point, "throughput_per_s", ["clock_GHz", "arrays", "dram_bandwidth_GBps"])

# %% [markdown]
# ## 5. What would have to change?
#
# The least change, in the sum of squared logarithms, that reaches a target: here 30% less power by
# technology alone, i.e. without touching the design. At the least change every number moves in
# proportion to how much the target answers to it.

# %%
watts = found.metrics["power_W"]
answer = reach(point, [target(f"power={0.7 * watts:.1f}")], ["technology"])
print(f"{watts:.0f} W -> {answer.metrics['power_W']:.0f} W, as one factor {answer.total:.2f}")
{name: round(factor, 3) for name, factor in list(answer.factors.items())[:8]}
