"""GEMM ceilings of GPUs, and wall power of servers that run ResNet-50 on them.

A ceiling ("max TFLOP/s" over many shapes) is that of its best shape on the catalog's chip at the
clock that its power cap leaves. The A100's card has the module's die under another cap.

Wall power = the least that the meter read before the run + samples/s x dynamic energy of a sample
/ `SUPPLY`, all but the energy being rows of the same file. Energy: `hwmodels.evaluate`, ResNet-50
in int8 at nominal voltage. Left out: the lower voltage of a run tuned for efficiency, and what
the host's processors and fans take under load; the two have opposite signs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import jax
import jax.numpy as jnp

from dse.validation.gemm import measure, products
from dse.validation.networks import find_layers, inference
from hwmodels.accelerators.catalog import ChipEntry, find_entry, load_entry
from hwmodels.accelerators.headline import sustained_clock
from hwmodels.errors import InputError
from hwmodels.evaluate import evaluate

# The A100's card: NVIDIA's datasheet of the 80 GB one; from memory.
A100, CARD_W = "a100_80gb", 300.0
SUPPLY = 0.92  # efficiency of the server's power supplies; an estimate
BATCH = 256


def ceiling(chip: str, workload: str, number_format: str) -> float:
    """TFLOP/s of "GEMM 1024x10240x5120" (M, N, K) on a chip of the catalog.

    Raises:
      InputError: no such chip, format or shape.
    """
    sizes = re.search(r"(\d+)x(\d+)x(\d+)", workload)
    if not sizes:
        raise InputError("workload", workload, 'needed: such as "GEMM 1024x10240x5120"')
    entry, cap = _capped(chip)
    m, n, k = (int(size) for size in sizes.groups())
    clock = sustained_clock(entry, cap) if cap else float(entry.chip().clock)
    one = entry.chip().replace(number_format=number_format.lower() or "bf16", clock_GHz=clock / 1e9)
    one = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)), one)
    time = float(measure(one, products([(m, n, k)], one.number_format)).time[0])
    return 2e-12 * m * n * k / time


def wall_power(chip: str, workload: str, facts: Mapping[str, float]) -> float:
    """Watts of a server; `facts` of the same run: samples_per_s, prerun_min_system_W.

    Raises:
      InputError: a chip or workload that is not known, or a fact that the file does not state.
    """
    entry, _ = _capped(chip)
    for name in ("samples_per_s", "prerun_min_system_W"):
        if name not in facts:
            raise InputError(name, "nothing", "needed: a row of the same run")
    sample = _sample_energy(entry.key, workload)
    return facts["prerun_min_system_W"] + facts["samples_per_s"] * sample / SUPPLY


def _capped(chip: str) -> tuple[ChipEntry, float | None]:
    """The catalog's chip and its power cap [W], None if its publication has none."""
    if re.search(r"A100.*PCI", chip, re.IGNORECASE):
        return load_entry(A100), CARD_W
    plain = re.sub(r"NVIDIA|AMD|Instinct|Intel", "", chip, flags=re.IGNORECASE).strip()
    first = plain.replace("-", " ").split(" ")[0] if plain else chip
    entry = find_entry(chip) or find_entry(plain) or find_entry(first) or load_entry(chip)
    cap = entry.published.get("tdp_W")
    return entry, cap.number if cap else None


@cache
def _sample_energy(key: str, workload: str) -> float:
    step = inference(workload, find_layers(workload), BATCH, 8)
    metrics = evaluate(load_entry(key).chip().replace(number_format="int8"), step)
    dynamic = [v for part, v in metrics.energy_terms.items() if not part.startswith("static")]
    return float(sum(dynamic)) / BATCH
