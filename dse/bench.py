"""Speeds, measured in one run on this machine: `dse bench`.

Every figure counts designs whose three objectives and feasibility were computed and waited for.
Programs are compiled and run once before the clock starts; compilation is reported apart.
Figures are medians over repeats; `spread` is the range of the repeats over the median. On a shared
machine both move by tens of percent from run to run: compare ratios within one run.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dse.adjoint import with_gradient
from dse.archive import Archive
from dse.bound import bound
from dse.costing import CHUNK, Costing, costing
from dse.defaults import default_space
from dse.evaluating import Evaluator, Options, evaluator
from dse.factorised import BLOCK, Factorised
from dse.front import OBJECTIVES
from dse.grid_bench import billion_grid
from dse.kernel import compiled, loop, strengthened
from dse.mapping_bench import mapping_rate
from dse.numpy_model import NumpyModel
from dse.plan_bench import plan_rate
from dse.program import pruned, unroll
from dse.ranges import narrowed
from dse.screening import filtering
from dse.sources import CHUNK as SCREENED
from dse.sources import Sequence, Source, compile_both
from dse.space import Space
from dse.survivors import keep
from dse.sweeping import WORKERS, sweep
from dse.timing import Figure, rate
from hwmodels import InputError, Operation, Tensor, Workload, load_workload

NUMPY_CHUNKS = (2048, 8192, 65536)
GRID_POINTS = 4
FRONT_DESIGNS = 20_000_000
GRADIENTS = 4096  # designs a call
OPERATIONS = (1, 4, 15, 64)  # distinct operations of the synthetic workloads


def bench(
    workload: str = "mlp",
    variant: str = "systolic",
    seconds: float = 20.0,
    chunk: int = SCREENED,
    block: int = BLOCK,
    operations: tuple[int, ...] = OPERATIONS,
    grid_points: dict[str, int] | None = None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> dict[str, Any]:
    """Designs and gradients per second of one variant (its first structure) on a workload.

    Args:
      seconds: measuring time, compilation not counted, shared by the figures.
      chunk, block: designs a call, of the random and of the grid program.
      grid_points: values of each axis of the large grid, by default a billion designs.
      operations: numbers of distinct operations for `designs_per_s_by_operations`.
      progress: told of every stage, with the share of it that is done: 0, then 1.

    Returns:
      `random_`, `grid_` and `numpy_designs_per_s`, `gradients_per_s`, `speedup_vs_numpy` (random
      over NumPy), `grid_speedup_vs_numpy`, `fraction_of_bound` (see `dse.bound`),
      `front_designs_per_s` (random designs to their exact front), `billion_grid_s` and
      `peak_rss_MB` (see `dse.grid_bench`), `mappings_per_s`, `plans_per_s` (all `distinct_plans`
      of a fleet), `designs_per_s_by_operations`, `spread` and `compile_s` by figure, the best
      NumPy chunk, and the machine.

    Raises:
      InputError: unknown workload or variant, a time that is not positive.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError("seconds", seconds, "allowed: > 0")
    space = default_space(variant)
    trace = load_workload(workload)
    engine = evaluator(space, space.structures()[0], trace.training, Options())
    share = seconds / (6 + len(operations))

    def stage(name: str, measure: Callable[[], Any]) -> Any:
        progress(name, 0.0)
        found = measure()
        progress(name, 1.0)
        return found

    def in_numpy() -> dict[int, Figure]:
        return {n: _numpy(engine, trace, n, share / len(NUMPY_CHUNKS)) for n in NUMPY_CHUNKS}

    figures = {
        "random_designs_per_s": stage("random", lambda: _random(engine, trace, chunk, share)),
        "grid_designs_per_s": stage("grid", lambda: _grid(engine, trace, block, share)),
        "gradients_per_s": stage("gradients", lambda: _gradients(costing(engine, trace), share)),
    }
    numpy_figures = stage("numpy", in_numpy)
    best = max(numpy_figures, key=lambda n: numpy_figures[n][0])
    figures["numpy_designs_per_s"] = numpy_figures[best]
    figures["mappings_per_s"] = stage("mappings", lambda: mapping_rate(share))
    figures["plans_per_s"], plans = stage("plans", lambda: plan_rate(share))
    by_operations = stage("larger workloads", lambda: {
        n: _random(engine, synthetic(n), chunk, share) for n in operations
    })  # fmt: skip
    result: dict[str, Any] = {name: figure[0] for name, figure in figures.items()}
    for path in ("random", "grid"):
        name = "speedup_vs_numpy" if path == "random" else "grid_speedup_vs_numpy"
        result[name] = result[f"{path}_designs_per_s"] / result["numpy_designs_per_s"]
    costs = costing(engine, trace)
    model = pruned(costs.program._replace(outputs=costs.objectives()))
    result["fraction_of_bound"] = result["random_designs_per_s"] / bound(model, share)
    result["designs_per_s_by_operations"] = {n: figure[0] for n, figure in by_operations.items()}
    result["front_designs_per_s"] = stage("front", lambda: _front_rate(space, trace))
    result |= stage("billion designs", lambda: billion_grid(workload, grid_points))
    everything = figures | {f"{n}_operations": figure for n, figure in by_operations.items()}
    return result | {
        "spread": {name: figure[1] for name, figure in everything.items()},
        "compile_s": {name: figure[2] for name, figure in everything.items()},
        "workload": workload,
        "variant": variant,
        "distinct_operations": len(trace.rows),
        "distinct_plans": plans,
        "chunk": chunk,
        "grid_block": block,
        "numpy_chunk": best,
        "cpu_count": os.cpu_count(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "device": str(jax.devices()[0].device_kind),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _random(engine: Evaluator, workload: Workload, chunk: int, seconds: float) -> Figure:
    """Drawing, costing and filtering, as a sweep does it."""
    begin = time.perf_counter()
    costs = costing(engine, workload)
    source = Sequence(costs, "random", 0, WORKERS * chunk, chunk)
    return _screening(costs, source, begin, seconds)


def _screening(costs: Costing, source: Source, begin: float, seconds: float) -> Figure:
    """Blocks of a source, `WORKERS` in flight, with the archive of a spread of its designs."""
    compile_both(costs, source, source.filter_points)
    archive, spread = Archive(), np.linspace(0, source.designs - 1, CHUNK).astype(np.int64)
    keep(archive, costs, costs.table(source.values(spread)), spread)
    points = filtering(archive, source.filter_points)
    blocks = [i % source.blocks for i in range(WORKERS)]
    designs = sum(source.screen(block, points).designs for block in blocks)
    compiling = time.perf_counter() - begin
    with ThreadPoolExecutor(WORKERS) as pool:

        def run() -> Any:
            return list(pool.map(lambda block: source.screen(block, points), blocks))

        speed, spread_of_rates, _ = rate(run, designs, seconds)
    return speed, spread_of_rates, compiling


def _front_rate(space: Space, workload: Workload) -> float:
    """Random designs a second to their exact front, one structure, compiled before."""
    static = space.structures()[0]
    one = Space(space.variant, space.numeric, (*space.fixed, *static.items()))
    sweep(one, workload, designs=CHUNK)
    return sweep(one, workload, designs=FRONT_DESIGNS).designs_per_s


def _grid(engine: Evaluator, workload: Workload, block: int, seconds: float) -> Figure:
    """Blocks of the default grid: costing and filtering, as a sweep does it."""
    begin = time.perf_counter()
    costs = costing(engine, workload)
    axes = {p.name: p.spread(GRID_POINTS).astype(np.float32) for p in engine.space.numeric}
    return _screening(costs, Factorised(costs, axes, block), begin, seconds)


def _gradients(costs: Costing, seconds: float) -> Figure:
    """Gradient of the summed log-objectives of the exact model (ceilings' slopes straight through)
    in every number of the space, random designs, with the program that a search runs."""
    begin = time.perf_counter()
    engine, parameters = costs.engine, costs.engine.space.numeric
    trace = engine.trace(costs.workload)

    def loss(*values: Any) -> list[Any]:
        readings, _ = engine.one(dict(zip(costs.names, values, strict=True)), trace)
        signs = [-1.0 if o.maximise else 1.0 for o in OBJECTIVES]
        logs = [jnp.log(readings[o.column]) for o in OBJECTIVES]
        return [sum(sign * log for sign, log in zip(signs, logs, strict=True))]

    program = unroll(loss, *[jnp.float32(1.0)] * len(parameters), differentiable=True)
    free = [i for i, p in enumerate(parameters) if p.kind != "choice"]
    program = narrowed(with_gradient(program, free), [p.ends for p in parameters])
    program = strengthened(program)
    slopes = compiled(lambda columns: loop(program, GRADIENTS, columns))
    columns = list(_designs(costs, GRADIENTS).values())
    with ThreadPoolExecutor(WORKERS) as pool:

        def run() -> Any:
            calls = [pool.submit(slopes, columns) for _ in range(WORKERS)]
            return [jax.block_until_ready(call.result()) for call in calls]

        run()
        compiling = time.perf_counter() - begin
        speed, spread, _ = rate(run, WORKERS * GRADIENTS, seconds)
    return speed, spread, compiling


def _designs(costs: Costing, count: int) -> dict[str, np.ndarray]:
    """Random designs, columns by name."""
    return Sequence(costs, "random", 0, count, CHUNK).values(np.arange(count))


def _numpy(engine: Evaluator, workload: Workload, chunk: int, seconds: float) -> Figure:
    """The plain NumPy program, on one core as NumPy runs; sampling left out in its favour."""
    model = NumpyModel(engine, workload)
    values = _designs(costing(engine, workload), chunk)
    return rate(lambda: model(values), chunk, seconds)


def synthetic(count: int) -> Workload:
    """A training step of `count` distinct operations, matrix products and vector groups in turn."""

    def tensor(role: str, elements: float) -> Tensor:
        return Tensor(role, elements, 32.0)

    rows = []
    for i in range(count):
        m, n, k = 64.0 + 8 * i, 96.0 + 24 * i, 120.0 + 40 * i
        phase = ("forward", "backward")[i // 2 % 2]
        if i % 2:
            data = tensor("activation", m * n)
            rows.append(
                Operation("vector", f"vector {i}", phase, (data,), (data,), simple=3 * m * n)
            )
            continue
        reads = tensor("activation", m * k), tensor("parameter", k * n)
        writes = (tensor("activation", m * n),)
        rows.append(
            Operation(
                "contraction", f"product {i}", phase, reads, writes,
                batch=1.0, m=m, n=n, k=k, simple=m * n, flops=2 * m * n * k,
            )
        )  # fmt: skip
    parameters = tensor("parameter", sum(row.k * row.n for row in rows))
    return Workload(
        name=f"synthetic-{count}",
        rows=tuple(rows),
        samples=64.0,
        max_global_batch=65536.0,
        training=True,
        footprints=(parameters, tensor("activation", 1e6)),
        gradients=(parameters,),
        last_gradient_fraction=1.0 / count,
    )
