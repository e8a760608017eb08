"""Data-parallel fleets of one chip, with one number moved at a time: what `scaling_limits` draws.

A step on N chips over that on one, of a fleet whose batch grows with it:

    step(N) = (t + exposed(N) + k hidden(N)) (1 + s E(N)) (1 + lost(N))
    exposed = L + f V + max(0, (b - 1) L + (1 - f) V - backward),  hidden = b L + V - exposed

t one chip's step; the gradients are reduced in b buckets (of 25 MB, as PyTorch's), each of which
takes the latency L of an all-reduce and its share of the transfer V; the last one waits for the end
of the backward phase, with a share f of the gradients. Fronts' S80 (`hwmodels.fleet.scaling`) is
milder: one bucket, whose latency hides in proportion. k: share of a hidden transfer's time that it
takes from the compute beside it; s E(N): the wait for the slowest of N chips whose speeds deviate
by s; lost(N): checkpoints, work done again, restarts (`hwmodels.fleet.reliability`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from dse.validation.fsdp import FSDP
from dse.validation.training import MEGATRON
from hwmodels import Accelerator, Fleet, evaluate, load_workload
from hwmodels.fleet.reliability import YEAR_S, Reliability, lost_share, slowdown
from hwmodels.fleet.scaling import Scaling

# 419 unexpected interruptions of 16,384 H100s in 54 days (Llama 3, arXiv:2407.21783, section
# 3.3.4): 0.17 a chip and year, of network, hosts and software as well.
PUBLISHED_FAILURES = 0.17
UNEVEN = 0.01  # assumed; chips of one kind differ by some percent in clock under a power cap
BUCKET_BYTES = 25e6
CONTENTION = {"none": 0.0, "as Megatron-LM's": MEGATRON.contention, "as FSDP's": FSDP.contention}


@dataclass(frozen=True)
class Case:
    """One fleet: its network, the chips whose batch is still sensible, `contention` (k above), and
    how its chips differ and fail."""

    scaling: Scaling
    sensible: float
    contention: float = 0.0
    reliability: Reliability = Reliability()

    def efficiency(self, chips: np.ndarray) -> np.ndarray:
        """Weak-scaling efficiency of fleets of `chips` [n]."""

        one = self.scaling
        buckets = np.ceil(max(float(one.volume), 1.0) / BUCKET_BYTES)

        def step(count: Any) -> Any:
            latency = replace(one, volume=0.0).all_reduce(count)
            transfer = replace(one, latency=0.0).all_reduce(count)
            early = (buckets - 1.0) * latency + (1.0 - one.last) * transfer
            late = latency + one.last * transfer
            exposed = late + jnp.maximum(early - one.backward, 0.0)
            hidden = jnp.minimum(early, one.backward)
            joined = one.joins(count)
            together = one.time + exposed + self.contention * hidden
            busy = joined * together + (1.0 - joined) * count * one.time
            lost = lost_share(self.reliability, count)
            return busy * slowdown(self.reliability, count) * (1.0 + lost)

        counts = jnp.asarray(chips, jnp.float32)
        return np.asarray(step(jnp.float32(1.0)) / jax.vmap(step)(counts))


def case_of(chip: Accelerator, workload: str, topology: str, batch: int) -> Case:
    """A fleet of `chip` with `batch` samples on each."""
    joint = "," if "@" in workload else "@"
    step = load_workload(f"{workload}{joint}batch={batch}")
    found = evaluate(chip, step, Fleet(topology=topology)).scaling
    assert isinstance(found, Scaling)
    return Case(found, step.max_global_batch / step.samples)


def families(chip: Accelerator, config: Any) -> dict[str, dict[str, Case]]:
    """By what limits: its values, and the fleet with each; see `scaling_limits.Config`."""

    def fleet(changed: Accelerator = chip, topology: str = config.topology,
              batch: int = config.batch) -> Case:  # fmt: skip
        return case_of(changed, config.workload, topology, batch)

    base, links = fleet(), float(chip.link.count)
    each = [share * float(chip.link.bandwidth) / 1e9 for share in config.bandwidths]
    return {
        "link bandwidth of a chip": {
            f"{links * GBps:.3g} GB/s": fleet(chip.replace(link_bandwidth_GBps=GBps))
            for GBps in each
        },
        "link latency, a hop": {
            f"{us:g} µs": replace(base, scaling=replace(base.scaling, latency=us * 1e-6))
            for us in config.latencies_us
        },
        "topology": {name: fleet(topology=name) for name in config.topologies},
        "batch of a chip": {
            "1 sample" if batch == 1 else f"{batch} samples": fleet(batch=batch)
            for batch in config.batches
        },
        "all-reduce disturbs compute": {
            f"{name} ({share:.2g})" if share else name: replace(base, contention=share)
            for name, share in CONTENTION.items()
        },
        "uneven chips": {
            f"{share:.1%}": replace(base, reliability=Reliability(deviation=share))
            for share in config.deviations
        },
        "failing chips": {
            f"{rate:g} a year": replace(base, reliability=failing(rate))
            for rate in config.failures
        },
        "together": {
            "ideal": base,
            "as published or assumed": replace(
                base, contention=MEGATRON.contention,
                reliability=failing(PUBLISHED_FAILURES, UNEVEN),
            ),
        },
    }  # fmt: skip


def failing(per_year: float, deviation: float = 0.0) -> Reliability:
    """Chips that fail so often, with the checkpoints and restarts that are usual."""
    return Reliability(deviation=deviation, failures=per_year / YEAR_S)


def strong(chip: Accelerator, config: Any, chips: np.ndarray) -> pd.DataFrame:
    """A batch that stays: each chip's share of it shrinks as the fleet grows.

    The step of a share is interpolated, in logarithms, between the batches that were evaluated.
    """
    shares = np.array(sorted({*config.batches, 1, 2 * max(config.batches)}))
    cases = [case_of(chip, config.workload, config.topology, int(share)) for share in shares]
    found = [case.scaling for case in cases]
    rows = []
    for whole in config.global_batches:
        for n in chips:
            share = whole / n
            if not 1 <= share <= shares[-1]:
                continue
            logs = np.log(share), np.log(shares)
            times = {
                name: float(
                    np.exp(np.interp(*logs, [np.log(float(getattr(s, name))) for s in found]))
                )
                for name in ("time", "backward")
            }
            case = replace(cases[0], scaling=replace(found[0], **times))
            step = times["time"] / float(case.efficiency(np.array([n]))[0])
            rows.append({"global_batch": whole, "chips": n, "throughput_per_s": whole / step})
    return pd.DataFrame(rows)
