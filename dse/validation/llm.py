"""Measured training steps of language models on clusters, against parallel plans of a traced GPT.

A row is a `Job`: a network, a chip of the catalog, a cluster and the plan that was run (or several,
of which the fastest that fits in memory is taken). What a framework's kernels and collectives reach
of the chip's and the network's peak are six shares, `Framework`; they say nothing of single
models, sizes or plans, and are fitted by `experiments/fit_training.py`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.catalog import find_entry, load_entry
from hwmodels.errors import InputError
from hwmodels.fleet.plan import Cluster, Plan
from hwmodels.fleet.step import Problem, plan_model, pose
from hwmodels.workloads.attention import fuse_attention
from hwmodels.workloads.networks.gpt import GptConfig, gpt
from hwmodels.workloads.workload import Workload, same_shapes

RUNTIME = "eager"  # frameworks of the time launched every kernel
FITS = -1e-6  # of a margin


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Framework:
    """Shares of peak rates: of matrix products, of DRAM by elementwise kernels (which are fused
    less than here), of the products' rate by attention kernels, of links inside and between nodes;
    and the time that hidden data-parallel transfers take from compute, over their own."""

    compute: Any
    dram: Any
    attention: Any
    link: Any
    network: Any
    contention: Any

    def reached(self, chip: Accelerator, cluster: Cluster) -> tuple[Accelerator, Cluster]:
        """Chip and cluster at these shares of their peak rates, in place of the chip's own."""
        tuning = dataclasses.replace(
            chip.tuning, compute_efficiency=self.compute, dram_efficiency=self.dram,
            overlap=1.0,
        )  # fmt: skip
        shares = dataclasses.replace(
            cluster.tuning, attention_efficiency=self.attention, link_efficiency=self.link,
            network_efficiency=self.network, data_contention=self.contention,
        )  # fmt: skip
        return (
            dataclasses.replace(chip, tuning=tuning),
            dataclasses.replace(cluster, tuning=shares),
        )


@dataclass(frozen=True)
class Job:
    """One measured step. `fused`: attention runs as one kernel; `speedup`: of weights' products by
    a narrower format, in arithmetic and in bytes of operands on chip; `old_kernels`: share of the
    chip's products that attention kernels written for an earlier chip reach; `gradient_bits`: of
    reduced gradients."""

    chip: str
    config: GptConfig
    cluster: Cluster
    batch: float
    plans: tuple[Plan, ...]
    fused: bool = False
    speedup: float = 1.0
    old_kernels: float = 1.0
    gradient_bits: float = 32.0


def check_gpu(field: str, name: str, known: Sequence[str]) -> None:
    """Raise `InputError` unless `name` is one of the catalog's entries `known`, in any spelling."""
    entry = find_entry(name)
    if entry is None or entry.key not in known:
        raise InputError(field, name, f"allowed: {', '.join(known)}")


def check_divides(batch: int, replicas: int, microbatch: int) -> None:
    """Raise `InputError` unless every replica runs whole micro-batches."""
    if batch % (replicas * microbatch):
        raise InputError(
            "batch", batch,
            f"allowed: multiples of replicas x micro-batch = {replicas} x {microbatch}",
        )  # fmt: skip


class Steps:
    """Jobs, packed: one compiled program predicts them all for any `Framework`."""

    def __init__(self, jobs: Sequence[Job]):
        kinds = list(dict.fromkeys((job.config, job.fused) for job in jobs))
        traced = dict(zip(kinds, same_shapes([_traced(*kind) for kind in kinds]), strict=True))
        packed = []
        for number, job in enumerate(jobs):
            problem = _problem(job, traced[job.config, job.fused])
            attention = job.old_kernels / job.speedup
            packed += [(problem, plan, job.speedup, attention, number) for plan in job.plans]
        self._groups: dict[Any, list[Any]] = {}
        for item in packed:
            self._groups.setdefault(jax.tree.structure(item[0]), []).append(item)
        self._stacks = {
            key: jax.tree.map(lambda *x: np.asarray(x, np.float32), *items)
            for key, items in self._groups.items()
        }
        self.count = len(jobs)

    def times(self, framework: Framework) -> Any:
        """Seconds of each job's step; of several plans, of the fastest that fits, or, where none
        does, of the one that comes nearest."""
        best = jnp.full(self.count, jnp.inf)
        room = jnp.full(self.count, -jnp.inf)
        found = []
        for problems, plans, speedups, attention, numbers in self._stacks.values():
            time, margin = _all(problems, plans, speedups, attention, framework)
            number = numbers.astype(int)
            room = room.at[number].max(margin)
            found.append((time, margin, number))
        for time, margin, number in found:
            taken = margin >= jnp.minimum(room[number], FITS)
            best = best.at[number].min(jnp.where(taken, time, jnp.inf))
        return best


@jax.jit
def _all(
    problems: Any, plans: Any, speedups: Any, attention: Any, framework: Framework
) -> tuple[Any, Any]:
    def one(problem: Problem, plan: Plan, speedup: Any, attention: Any) -> tuple[Any, Any]:
        chip, cluster = problem.chip, problem.cluster
        tuning = dataclasses.replace(
            chip.tuning, compute_efficiency=framework.compute * speedup,
            dram_efficiency=framework.dram, overlap=jnp.ones(()),
        )  # fmt: skip
        # Narrower operands also take the shared buffer less time.
        sram = dataclasses.replace(chip.sram, bandwidth=chip.sram.bandwidth * speedup)
        shares = dataclasses.replace(
            cluster.tuning, attention_efficiency=framework.attention * attention,
            link_efficiency=framework.link, network_efficiency=framework.network,
            data_contention=framework.contention,
        )  # fmt: skip
        problem = problem._replace(
            chip=dataclasses.replace(chip, tuning=tuning, sram=sram),
            cluster=dataclasses.replace(cluster, tuning=shares),
        )
        metrics = plan_model(problem, plan, runtime=RUNTIME)
        worst = functools.reduce(jnp.minimum, metrics.margins.values())
        return metrics.time, worst

    times, margins = jax.vmap(one)(problems, plans, speedups, attention)
    return times, margins


def _problem(job: Job, workload: Workload) -> Problem:
    entry = load_entry(job.chip)
    chip = entry.capped().replace(number_format=job.config.operand)
    tuning = dataclasses.replace(job.cluster.tuning, gradient_bits=job.gradient_bits)
    cluster = dataclasses.replace(job.cluster, tuning=tuning)
    return pose(chip, workload, cluster, job.batch, RUNTIME, "warm")


@functools.lru_cache(maxsize=256)
def _traced(config: GptConfig, fused: bool) -> Workload:
    workload = gpt(config)
    return fuse_attention(workload, causal=True) if fused else workload
