"""Gradient search: many starts descend a scalarised objective together, then become buildable.

From designs on a sweep's front, each start with a preference of its own (weights on the three
log-objectives), optax descends

    sum_i w_i log f_i + PENALTY sum_j max(0, SLACK - margin_j)^2

in coordinates that a sigmoid keeps within bounds, on the smooth model whose sharpness rises as it
goes; discrete numbers are continuous meanwhile, DRAM kinds and structures stay those of the
start. Every `KEEP_EVERY`-th iterate is rounded to a buildable design and evaluated exactly; what
is feasible and not dominated joins the front.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from dse.archive import Archive
from dse.costing import costing
from dse.evaluating import Evaluator, Options, evaluator
from dse.front import Front
from dse.gathering import Sweep, joint_front
from dse.space import Space
from dse.survivors import as_table, keep
from dse.sweeping import WORKERS
from hwmodels import InputError, Relax
from hwmodels.workloads.workload import Workload

PENALTY, SLACK = 30.0, 0.005
SHARPNESS = (6.0, 60.0)  # of the smooth model, first and last step; geometric in between
KEEP_EVERY = 8
EDGE = 0.01  # starts on a bound move this far inside, where the sigmoid has a slope


@dataclass(frozen=True)
class Refinement:
    """The result of `refine`: the joint front, each variant's own, and what it took.

    `gradients`: gradient evaluations; `candidates`: buildable designs evaluated exactly.
    """

    front: Front
    variant_fronts: dict[str, Front]
    gradients: int
    candidates: int
    wall_s: float


def refine(
    space: Space | Sequence[Space],
    workload: Workload,
    sweep: Sweep,
    *,
    starts: int = 64,
    steps: int = 80,
    learning_rate: float = 0.1,
    seed: int = 0,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refinement:
    """Improve a sweep's fronts by gradient, `starts` per space, `steps` each.

    Of a space's structures the one that holds most of the variant's front is searched (each
    costs a compilation); designs of the others stay as the sweep found them.
    `progress(done, total)` counts spaces.

    Raises:
      InputError: `starts` or `steps` below 1, a learning rate that is not positive.
    """
    spaces = [space] if isinstance(space, Space) else list(space)
    for name, value in (("starts", starts), ("steps", steps)):
        if value < 1:
            raise InputError(name, value, "allowed: >= 1")
    if not learning_rate > 0:
        raise InputError("learning_rate", learning_rate, "allowed: > 0")
    begin, options = time.perf_counter(), options or Options()
    cases = [
        (s, *_most_promising(s, front.table, starts))
        for s in spaces
        if (front := sweep.variant_fronts.get(s.variant)) is not None
    ]
    first = sweep.designs
    offsets = first + np.arange(len(cases)) * starts * (steps // KEEP_EVERY + 1)
    done: list[int] = []

    def run(i: int) -> pd.DataFrame:
        s, static, rows = cases[i]
        engine = evaluator(s, static, workload.training, options)
        table = _descend(
            engine, workload, rows, starts, steps, learning_rate, seed, int(offsets[i])
        )
        done.append(i)
        if progress is not None:
            progress(len(done), len(cases))
        return table

    with ThreadPoolExecutor(WORKERS) as pool:
        tables = list(pool.map(run, range(len(cases))))

    own = {variant: front.table for variant, front in sweep.variant_fronts.items()}
    for (s, _, _), table in zip(cases, tables, strict=True):
        if len(table):
            own[s.variant] = pd.concat([own[s.variant], table], ignore_index=True)
    fronts = {v: Front.from_table(table, options.objectives) for v, table in own.items()}
    return Refinement(
        front=joint_front({v: f.table for v, f in fronts.items()}, options.objectives),
        variant_fronts=fronts,
        gradients=len(cases) * starts * steps,
        candidates=len(cases) * starts * (steps // KEEP_EVERY + 1),
        wall_s=time.perf_counter() - begin,
    )


def descent(engine: Evaluator, steps: int, learning_rate: float) -> Callable[..., Any]:
    """The compiled search: (coordinates (s, P), held values, weights (s, 3), trace) -> path.

    Returns coordinates of shape (steps // KEEP_EVERY + 1, s, P), the last iterate included.
    """
    parameters = engine.space.numeric
    free = [i for i, p in enumerate(parameters) if p.kind != "choice"]
    optimizer = optax.adam(learning_rate)
    ratio = SHARPNESS[1] / SHARPNESS[0]

    def loss(z: Any, held: Any, weights: Any, trace: Any, sharpness: Any) -> Any:
        u = jax.nn.sigmoid(z)
        values = {p.name: held[i] for i, p in enumerate(parameters)}
        values |= {parameters[i].name: parameters[i].relaxed(u[i]) for i in free}
        readings, margins = engine.one(values, trace, Relax("smooth", sharpness), stacked=True)
        points = jnp.stack(engine.points(readings))
        logs = jnp.log(jnp.abs(points)) * jnp.sign(points)
        misses = sum(jnp.maximum(SLACK - margin, 0.0) ** 2 for margin in margins.values())
        return jnp.dot(weights, logs) + PENALTY * misses

    slope = jax.vmap(jax.grad(loss), in_axes=(0, 0, 0, None, None))

    def path(u: Any, held: Any, weights: Any, trace: Any) -> Any:
        z = jnp.log(u) - jnp.log1p(-u)

        def block(carry: Any, number: Any) -> Any:
            def step(i: Any, carry: Any) -> Any:
                z, state = carry
                done = (number * KEEP_EVERY + i) / steps
                gradient = slope(z, held, weights, trace, SHARPNESS[0] * ratio**done)
                updates, state = optimizer.update(gradient, state)
                return optax.apply_updates(z, updates), state

            carry = jax.lax.fori_loop(0, KEEP_EVERY, step, carry)
            return carry, jax.nn.sigmoid(carry[0])

        blocks = jnp.arange(max(steps // KEEP_EVERY, 1))
        _, kept = jax.lax.scan(block, (z, optimizer.init(z)), blocks)
        return kept

    # Compiling takes a hundred times as long as running here. Fusion duplicates producers of so
    # large a gradient several times over: without it, and without optimising machine code, the
    # program compiles five times as fast, and some dozens of designs still take 0.2 s.
    options = {"xla_disable_hlo_passes": "fusion", "xla_backend_optimization_level": 0}
    return jax.jit(path, compiler_options=options)


def _descend(
    engine: Evaluator,
    workload: Workload,
    rows: pd.DataFrame,
    starts: int,
    steps: int,
    learning_rate: float,
    seed: int,
    first: int,
) -> pd.DataFrame:
    parameters = engine.space.numeric
    held = np.stack([_positions(p, rows[p.name]) for p in parameters], axis=1)
    held = held[np.arange(starts) % len(rows)].astype(np.float32)
    u = np.stack([p.coordinate(held[:, i]) for i, p in enumerate(parameters)], axis=1)
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), starts).astype(np.float32)
    trace = engine.trace(workload)
    search = engine.programs.setdefault(
        (steps, learning_rate), descent(engine, steps, learning_rate)
    )
    path = np.asarray(search(np.clip(u, EDGE, 1 - EDGE), held, weights, trace))

    columns: dict[str, np.ndarray] = {}
    for i, p in enumerate(parameters):
        relaxed = np.asarray(p.relaxed(path[..., i]))
        values = held[None, :, i] + 0 * relaxed if p.kind == "choice" else p.buildable(relaxed)
        columns[p.name] = values.reshape(-1).astype(np.float32)
    return exact_front(engine, workload, columns, first)


def exact_front(
    engine: Evaluator, workload: Workload, columns: dict[str, np.ndarray], first: int
) -> pd.DataFrame:
    """The front of the given designs, evaluated exactly; numbered from `first`."""
    archive, costs = Archive(len(engine.objectives)), costing(engine, workload)
    count = len(next(iter(columns.values())))
    keep(archive, costs, costs.table(columns), np.arange(count) + first)
    return as_table(engine.space, engine.static, archive.finish(), "gradient")


def _most_promising(
    space: Space, table: pd.DataFrame, starts: int
) -> tuple[dict[str, str], pd.DataFrame]:
    """The structure with most rows in `table`, and up to `starts` of them, spread by power."""

    def of(static: dict[str, str]) -> pd.DataFrame:
        rows = table
        for name, value in static.items():
            rows = rows[rows[name] == value]
        return rows

    static = max(space.structures(), key=lambda s: len(of(s)))
    rows = of(static).sort_values("power_W", kind="stable", ignore_index=True)
    spread = np.linspace(0, len(rows) - 1, min(starts, len(rows))).round().astype(int)
    return static, rows.iloc[np.unique(spread)]


def _positions(parameter: Any, column: pd.Series) -> np.ndarray:
    if parameter.kind != "choice":
        return column.to_numpy(float)
    return np.asarray([parameter.choices.index(name) for name in column], float)
