"""The program that costs designs: one structure on one workload, as a kernel.

The scalar model is unrolled over the workload's operations (`dse.program`), freed of what the
space's bounds decide (`dse.ranges`) and compiled into a single loop over designs (`dse.kernel`).
Every number of a sweep or search comes from `Costing.table`, whatever the chunk; screens
(`dse.screening`) only leave designs out.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dse.evaluating import Evaluator
from dse.kernel import compiled, loop, strengthened
from dse.program import unroll
from dse.ranges import narrowed
from hwmodels.workloads.workload import Workload

CHUNK = 32768  # designs a call: some 100 bytes each, and the cost of a call is shared


class Costed(NamedTuple):
    """A chunk of designs: columns of `parameters` and `readings` by name, and the mask of those
    that meet every limit."""

    parameters: dict[str, np.ndarray]
    readings: dict[str, np.ndarray]
    feasible: np.ndarray


class Costing:
    """The compiled programs of a structure on a workload; get it from `costing`.

    `program`: the parameters to readings, objectives (minimised) and the worst margin, that of
    one of the `limits`.
    """

    def __init__(self, engine: Evaluator, workload: Workload):
        self.engine, self.workload = engine, workload
        self.names = tuple(p.name for p in engine.space.numeric)
        trace = engine.trace(workload)
        names: tuple[str, ...] = ()
        self.limits: tuple[str, ...] = ()

        def model(*values: Any) -> list[Any]:
            nonlocal names
            readings, margins = engine.one(dict(zip(self.names, values, strict=True)), trace)
            names, self.limits = tuple(readings), tuple(margins)
            worst = functools.reduce(jnp.minimum, margins.values())
            return [*readings.values(), *engine.points(readings), worst]

        program = unroll(model, *[jnp.float32(1.0)] * len(self.names))
        self.program = narrowed(program, [p.ends for p in engine.space.numeric])
        self.readings = names
        self.screens: dict[Any, Any] = {}  # compiled, by what makes their designs
        self.lock = threading.RLock()  # of `screens`
        kept = (*self.program.outputs[: len(names)], self.program.outputs[-1])
        table = strengthened(self.program._replace(outputs=kept))
        self._table = compiled(lambda columns: loop(table, len(columns[0]), columns))
        self._margins = jax.jit(jax.vmap(lambda values: engine.one(values, trace)[1]))

    def objectives(self) -> tuple[Any, ...]:
        """The outputs of `program` that decide: objectives, then the worst margin."""
        return self.program.outputs[len(self.readings) :]

    def table(self, values: dict[str, Any], chunk: int = CHUNK) -> Costed:
        """Given designs, columns of shape (n,) by name; `chunk` a call, compiled for each size."""
        count = len(values[self.names[0]])
        made: list[list[np.ndarray]] = []
        for begin in range(0, count, chunk):
            # Always whole chunks: one compilation.
            columns = [
                np.resize(np.asarray(values[name][begin : begin + chunk], np.float32), chunk)
                for name in self.names
            ]
            made.append([np.asarray(column) for column in self._table(columns)])
        joined = [np.concatenate(parts)[:count] for parts in zip(*made, strict=True)]
        *readings, worst = joined or [np.empty(0, np.float32)] * (len(self.readings) + 1)
        return Costed(
            {name: np.asarray(values[name], np.float32) for name in self.names},
            dict(zip(self.readings, readings, strict=True)),
            np.array(worst >= 0),
        )

    def margins(self, values: dict[str, Any]) -> dict[str, np.ndarray]:
        """Every limit's margin of given designs: why none is feasible. Not the fast path."""
        columns = {name: jnp.asarray(values[name], jnp.float32) for name in self.names}
        return {name: np.asarray(margin) for name, margin in self._margins(columns).items()}


_MAKING = threading.Lock()


def costing(engine: Evaluator, workload: Workload) -> Costing:
    """The costing of a structure on a workload, made once."""
    with _MAKING:
        lock = engine.programs.setdefault("lock", threading.Lock())
    with lock:
        if workload not in engine.programs:
            engine.programs[workload] = Costing(engine, workload)
        return engine.programs[workload]
