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
# # Calibration to measurements
#
# A model starts ideal: units reach their peak rate, DRAM its bandwidth, transfers hide behind
# arithmetic, and nothing is lost in launching. Machines differ. `dse calibrate` fits a chip's few
# constants to measured matrix products, says how sure it is of each, and how large the error is on
# products that the fit did not see.
#
# To know whether such a fit can be trusted, this notebook makes the measurements itself, on a
# machine whose constants it knows, with 3% of noise and a few outliers. The last part is for yours.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import dse
import hwmodels
from dse.catalog_file import write_catalog_file
from dse.plots import style
from dse.validation import validate
from dse.validation.gemm import measure, products

FOLDER = Path(tempfile.mkdtemp())

# %% [markdown]
# ## 1. A machine
#
# The datasheet of an accelerator with two 128 x 128 arrays; and the same chip as it is in truth,
# which the fit will not be told.

# %%
DATASHEET = """
name = "Bench"
variant = "systolic"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
rows = 128
columns = 128
arrays = 2
vector_lanes = 1024
sram_capacity_MiB = 32
dram_kind = "hbm2e"
dram_stacks = 1
"""
TRUTH = {
    "tuning_compute_efficiency": 0.82,
    "tuning_dram_efficiency": 0.70,
    "tuning_overlap": 0.60,
    "tuning_overhead_us": 3.0,
}
file = FOLDER / "bench.toml"
file.write_text(DATASHEET)
ideal = hwmodels.load_chip(str(file))
truth = ideal.replace(**TRUTH)

# %% [markdown]
# ## 2. Measurements
#
# Thirty products of all shapes, from thin to square. What matters is that each constant shows
# somewhere: large square products show the units, thin ones the memory, tiny ones the launch.

# %%
random = np.random.default_rng(0)
sizes = np.unique(np.exp(random.uniform(2, 9, (30, 3))).astype(int), axis=0)
seconds = np.asarray(measure(truth, products([tuple(map(int, s)) for s in sizes], "bf16")).time)
seconds = seconds * np.exp(0.03 * random.standard_normal(len(sizes)))
seconds[[4, 17]] *= 1.6  # a compiler's bad choices
rows = pd.DataFrame(sizes, columns=["M", "N", "K"])
rows = rows.assign(device="Bench", dtype="bf16", latency_us=1e6 * seconds)
rows.to_csv(FOLDER / "measured.csv", index=False)
rows.head()

# %% [markdown]
# ## 3. The fit
#
# Maximum a posteriori: Student's t for the noise, so that outliers do not pull, weak priors, the
# exact model in between. Intervals hold 68%. What the data say nothing of is said to rest on the
# prior.

# %%
fit = dse.calibrate(str(file), FOLDER / "measured.csv")
found = pd.DataFrame(fit.named()).T
found["truth"] = pd.Series(TRUTH)
found["rests on"] = pd.Series(fit.rests_on())
print(f"mean error {fit.mape:.1%} on the rows of the fit, {fit.held_out_mape:.1%} held out")
print(f"spread of the noise {fit.noise:.3f}")
found[["truth", "value", "low", "high", "prior", "rests on"]]

# %% [markdown]
# Before and after. The two rows far off are the outliers, and the fit leaves them there.

# %%
before = 1e6 * np.asarray(
    measure(ideal, products([tuple(map(int, s)) for s in sizes], "bf16")).time
)
with style.style():
    figure, axes = plt.subplots(figsize=(3.6, 3.4), layout="constrained")
    line = np.array([rows["latency_us"].min(), rows["latency_us"].max()])
    axes.plot(line, line, "--", color=style.MUTED, lw=0.8)
    for values, colour, label in (
        (before, "#E69F00", "ideal"),
        (fit.table["predicted_latency_us"], "#0072B2", "calibrated"),
    ):
        axes.plot(rows["latency_us"], values, "o", ms=3.5, color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="Measured (us)", ylabel="Predicted (us)")
    axes.legend(frameon=False)

# %% [markdown]
# ## 4. A chip file with its constants
#
# The fit writes the chip's file anew, each constant with the rows, interval and error it rests on.
# From there the chip is used like any other; `dse validate gemm` checks it against further rows.

# %%
calibrated = FOLDER / "bench_calibrated.toml"
write_catalog_file(fit, str(file), calibrated)
print("\n".join(line for line in calibrated.read_text().splitlines() if "tuning" in line))

# %%
workload = hwmodels.load_workload("mlp-large")
for name, chip in (("ideal", ideal), ("calibrated", hwmodels.load_chip(str(calibrated)))):
    metrics = hwmodels.evaluate(chip, workload)
    print(f"{name:10s} {float(metrics.throughput):,.0f} samples/s")

# %% [markdown]
# ## 5. Yours
#
# A CSV file with columns `device`, `dtype`, `M`, `N`, `K`, `latency_us` (and, if measured,
# `power_W`: then the energy of the die is fitted too), the datasheet as above, and
#
# ```sh
# dse calibrate bench.toml measured.csv
# dse validate gemm measured.csv
# ```
#
# Time a product as it runs alone, launch and wait included, after a warm-up, and take the median:
# the overhead is one of the constants. Rows of other devices in the file are ignored. For chips of
# the catalog the device may be their name:

# %%
known = rows.head(3).assign(device="A100", dtype="fp16")
known.to_csv(FOLDER / "a100.csv", index=False)
report = validate("gemm", FOLDER / "a100.csv")
report.table[["device", "M", "N", "K", "latency_us", "predicted_latency_us"]]
