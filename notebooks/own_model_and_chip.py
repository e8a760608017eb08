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
# # Your own model and your own chip
#
# A training step of yours, a chip of yours by its datasheet, and the questions in between: where
# does the time go, how does it compare with a chip that one can buy, and which chip of the same
# area would be better? Nothing here needs more than JAX and optax.

# %%
import os
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from IPython.display import Image

import dse
import hwmodels
from dse.plots.design import plot_design

DESIGNS = int(os.environ.get("CHIPGRAD_NOTEBOOK_DESIGNS", "300000"))
FOLDER = Path(tempfile.mkdtemp())

# %% [markdown]
# ## 1. A model
#
# A small decoder in plain JAX: four blocks of attention and a perceptron, width 512, trained with
# AdamW in bf16 with fp32 master weights. Nothing marks it for tracing. Libraries work alike: steps
# of flax, equinox and haiku trace as they are.

# %%
WIDTH, HEADS, BLOCKS, VOCABULARY = 512, 8, 4, 8192
optimiser = optax.adamw(3e-4)


def attention(x, w):
    q, k, v = jnp.split(x @ w["qkv"], 3, axis=-1)
    q, k, v = (y.reshape(*y.shape[:2], HEADS, WIDTH // HEADS) for y in (q, k, v))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (WIDTH // HEADS) ** -0.5
    mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    shares = jax.nn.softmax(jnp.where(mask, scores, -1e9), axis=-1)
    return jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(x.shape) @ w["out"]


def block(x, w):
    x = x + attention(jax.nn.standardize(x), w)
    return x + jax.nn.gelu(jax.nn.standardize(x) @ w["up"]) @ w["down"], None


def loss(weights, tokens):
    low = jax.tree.map(lambda w: w.astype(jnp.bfloat16), weights)
    x, _ = jax.lax.scan(block, low["embedding"][tokens[:, :-1]], low["blocks"])
    logits = (x @ low["embedding"].T).astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()


def train_step(state, tokens):
    weights, momenta = state
    slope = jax.grad(loss)(weights, tokens)
    updates, momenta = optimiser.update(slope, momenta, weights)
    return optax.apply_updates(weights, updates), momenta


# %% [markdown]
# Shapes are enough: nothing is allocated, and no step is run.


# %%
def shape(*sizes, kind="float32"):
    return jax.ShapeDtypeStruct(sizes, kind)


weights = {
    "embedding": shape(VOCABULARY, WIDTH),
    "blocks": {
        "qkv": shape(BLOCKS, WIDTH, 3 * WIDTH),
        "out": shape(BLOCKS, WIDTH, WIDTH),
        "up": shape(BLOCKS, WIDTH, 4 * WIDTH),
        "down": shape(BLOCKS, 4 * WIDTH, WIDTH),
    },
}
state = weights, jax.eval_shape(optimiser.init, weights)
workload = hwmodels.trace(train_step, state, shape(32, 257, kind="int32"), name="decoder")
print(workload)
print({name: how for name, how in workload.coverage.items() if how != "rule"} or "all by a rule")
rows = workload.frame()
rows.sort_values("flops", ascending=False).head(8)[
    ["operation", "phase", "count", "flops", "read_bytes", "write_bytes"]
]

# %% [markdown]
# On the command line the same step is `mymodel.py:train_step`, with the shapes from a function
# `example_args` beside it.
#
# ## 2. A chip
#
# A chip of a known variant is a file of what its datasheet says. What the file leaves out has the
# variant's default; a wrong name or number is answered in one line.

# %%
datasheet = FOLDER / "mine.toml"
datasheet.write_text("""
name = "Mine"
variant = "systolic"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
rows = 128
columns = 128
arrays = 4
vector_lanes = 2048
sram_capacity_MiB = 32
dram_kind = "hbm2e"
dram_stacks = 2

[published]
tdp_W = 200
""")
mine = hwmodels.load_chip(str(datasheet))
try:
    hwmodels.load_chip("mien.toml")
except hwmodels.InputError as error:
    print(error)

# %% [markdown]
# ## 3. Where the time goes

# %%
metrics = hwmodels.evaluate(mine, workload)
print(metrics)
print({name: f"{float(room):+.0%}" for name, room in metrics.margins.items() if room < 0.2})
table = metrics.frame()
table["step_us"] = table["time_us"] * table["count"]
table.sort_values("step_us", ascending=False).head(8)[
    ["operation", "phase", "count", "step_us", "bound", "utilization"]
]

# %% [markdown]
# The same as pictures: every operation on the roofline, and the watts and the area by part.

# %%
drawn = plot_design(mine, workload, FOLDER, name="mine", formats=("png",))
Image(next(path for path in drawn if "roofline" in path.name), width=760)

# %%
Image(next(path for path in drawn if "parts" in path.name), width=760)

# %% [markdown]
# ## 4. Against a chip that one can buy
#
# An A100 is larger. `iso="area"` scales it to the area of ours before the two are compared, by
# whole processors, memory and links alike; what remains is structure.

# %%
compared = dse.compare("mine", mine, "a100", hwmodels.load_chip("a100_80gb"), workload, iso="area")
print(compared.headline)
compared.by_term.head(10)

# %% [markdown]
# ## 5. Which chip would be better?
#
# The space around ours: sizes of arrays, buffer, lanes, clock and supply, within its area and its
# power. A sweep of random designs comes first, gradient search goes on from there.

# %%
space = dse.Space(
    "systolic",
    (
        dse.Parameter("rows", "power2", 32, 512),
        dse.Parameter("columns", "power2", 32, 512),
        dse.Parameter("arrays", "power2", 1, 32),
        dse.Parameter("vector_lanes", "power2", 256, 16384),
        dse.Parameter("sram_capacity_MiB", "log", 4, 128),
        dse.Parameter("clock_GHz", "log", 0.4, 2.0),
        dse.Parameter("voltage_V", "linear", 0.55, 0.95),
        dse.Parameter("link_count", "integer", 2, 12),
    ),
    fixed=(("node_nm", 7), ("dram_stacks", 2), ("tdp_W", 200)),
    constraints=(
        dse.Constraint("area_mm2", float(metrics.area) * 1e6),
        dse.Constraint("power_W", float(metrics.power)),
    ),
)
run = dse.sweep(space, workload, designs=DESIGNS)
better = dse.search(space, workload, start=run, evaluations=20_000)
best = better.front.best("throughput_per_s")
print(f"{len(better.front)} designs on the front")
print(f"{best['throughput_per_s'] / float(metrics.throughput):.2f} times as fast as ours")
best.dropna()

# %% [markdown]
# Rows of a front are designs again, and the front is a table like any other.

# %%
chip, fleet = space.design(best)
print(hwmodels.evaluate(chip, workload, fleet))
better.front.table.to_csv(FOLDER / "front.csv", index=False)
Image(better.front.plot(FOLDER / "front.png", title="Around our chip")[0], width=800)
