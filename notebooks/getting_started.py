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
# # From a training step to a Pareto front
#
# Which chip should we build for this training job, and what would each extra watt, square
# millimetre or link buy? This notebook walks the whole road once: train a small network, trace its
# step, evaluate a chip on the trace, ask for gradients, sweep a design space, and draw the front of
# throughput against power against scalability.

# %%
import os
import tempfile

import jax
from IPython.display import Image

import dse
import hwmodels
from hwmodels.workloads import mlp
from hwmodels.workloads.datasets import random_samples

DESIGNS = int(os.environ.get("CHIPGRAD_NOTEBOOK_DESIGNS", "300000"))

# %% [markdown]
# ## 1. Train the reference network
#
# A 784-10-10-10 perceptron with Adam, batch 32, on 1000 random samples. Random labels cannot be
# learned in ten epochs; what matters here is the step itself, and how many of its activations are
# zero.

# %%
result = mlp.train(mlp.MLP, random_samples(mlp.MLP))
print(f"loss {result.history[0].loss:.3f} -> {result.history[-1].loss:.3f} on {result.device}")
print({name: f"{value:.0%} non-zero" for name, value in result.densities.items()})

# %% [markdown]
# ## 2. Trace its step
#
# `trace` reads the jaxpr of the *whole* step, forward, backward and optimiser, without running it.
# Chains of elementwise operations are fused: Adam reads 4 and writes 3 numbers per parameter.

# %%
workload = mlp.workload(mlp.MLP, result.densities)
workload.frame()[["operation", "phase", "count", "flops", "read_bytes", "write_bytes"]]

# %% [markdown]
# Any JAX function can be traced; shapes are enough. Here, one step of gradient descent on a linear
# model with 300 inputs. The arguments that come back updated are the parameters.


# %%
def step(weights, batch):
    x, y = batch
    slope = jax.grad(lambda w: ((x @ w - y) ** 2).mean())(weights)
    return weights - 0.1 * slope


shapes = (
    jax.ShapeDtypeStruct((300,), "float32"),
    (
        jax.ShapeDtypeStruct((64, 300), "float32"),
        jax.ShapeDtypeStruct((64,), "float32"),
    ),
)
linear = hwmodels.trace(step, *shapes, name="linear")
print(f"{linear.macs:,.0f} multiply-accumulates, {linear.flops:,.0f} FLOPs a step")

# %% [markdown]
# ## 3. Evaluate a chip
#
# An accelerator is a frozen dataclass of numbers. Numbers are set by names that end in their unit,
# and checked. The result keeps every term it was made of.

# %%
chip = hwmodels.VARIANTS["systolic"]().replace(clock_GHz=1.05, rows=128, columns=128, arrays=4)
metrics = hwmodels.evaluate(chip, workload)
print(f"{float(metrics.throughput):,.0f} samples/s at {float(metrics.power):.1f} W, ", end="")
print(f"{float(metrics.area) * 1e6:.0f} mm2")
metrics.frame()[["operation", "count", "time_us", "bound", "utilization", "static_nJ"]]

# %% [markdown]
# Nearly every operation of so small a network is bound by its launch, not by arithmetic: the
# reference MLP measures latency. `runtime="none"` is a machine without launches.

# %%
bare = hwmodels.evaluate(chip, workload, runtime="none")
print(f"{float(bare.throughput):,.0f} samples/s without launches")

# %% [markdown]
# ## 4. Ask for gradients
#
# Every number is differentiable, through mapping, memories, technology and fleet. In relative
# terms: by how many percent does the energy of a step change when a number grows by one percent?

# %%
slope = jax.grad(lambda c: hwmodels.evaluate(c, workload).energy)(chip)
elasticity = jax.tree.map(lambda s, x: float(s * x / metrics.energy), slope, chip)
named = [
    (jax.tree_util.keystr(path, simple=True, separator="."), value)
    for path, value in jax.tree_util.tree_leaves_with_path(elasticity)
]
for name, value in sorted(named, key=lambda item: -abs(item[1]))[:8]:
    print(f"{name:24s} {value:+.2f}")

# %% [markdown]
# ## 5. Sweep and draw
#
# A space says which numbers may vary and how; budgets are constraints on the result. The sweep
# returns the exact non-dominated set of throughput (up), power (down) and scalability (up).
# Scalability is S80: the largest fleet throughput at 80% weak-scaling efficiency.

# %%
spaces = [
    dse.default_space(variant).with_constraints(
        (dse.Constraint("area_mm2", 400), dse.Constraint("power_W", 300))
    )
    for variant in ("systolic", "simt")
]
run = dse.sweep(spaces, workload, designs=DESIGNS)
print(f"{run.designs:,} designs, {run.census.feasible:,} feasible, {len(run.front)} on the front")
run.front.table[["variant", "throughput_per_s", "power_W", "scalability_per_s", "area_mm2"]].head()

# %%
folder = tempfile.mkdtemp()
Image(run.front.plot(f"{folder}/front.png", title="Training mlp")[0], width=800)

# %% [markdown]
# ## 6. Improve it by gradient
#
# `search` descends from designs on the front, rounds what it finds to buildable numbers, tries
# their neighbours, and evaluates all exactly; what is better joins the front.

# %%
better = dse.search(spaces, workload, start=run, evaluations=40_000)
print(f"front: {len(run.front)} -> {len(better.front)} designs")
print(better.front.table["source"].value_counts().to_dict())

# %% [markdown]
# The knee is the design nearest to the ideal on all three axes at once.

# %%
better.front.knee().dropna()
