"""The same equations in plain vectorised NumPy: the baseline of `dse bench`, and a cross-check.

The straight-line program of the exact scalar model (`dse.program`) as NumPy ufunc calls, each on a
float32 array of designs: what one would write by hand for a fixed workload.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from dse.evaluating import Evaluator
from dse.primitives import numpy_rule
from dse.program import unroll
from hwmodels.workloads.workload import Workload


class NumpyModel:
    """`model(values)` -> (objectives, minimised, of shape (n, 3); feasible, of shape (n,)).

    `values`: float32 arrays of shape (n,) by the names of `space.numeric`.

    Raises:
      NotImplementedError: the model uses a primitive that has no rule here; it names it.
    """

    def __init__(self, engine: Evaluator, workload: Workload):
        trace = engine.trace(workload)
        self.names = tuple(p.name for p in engine.space.numeric)

        def one(*values: Any) -> list[Any]:
            readings, margins = engine.one(dict(zip(self.names, values, strict=True)), trace)
            worst = functools.reduce(jnp.minimum, margins.values())
            return [*engine.points(readings), worst >= 0]

        self.program = unroll(one, *[jnp.float32(1.0)] * len(self.names))

    def __call__(self, values: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        shape = values[self.names[0]].shape
        outputs = self.program.run([values[name] for name in self.names], numpy_rule)
        *points, feasible = (np.broadcast_to(value, shape) for value in outputs)
        return np.stack(points, axis=-1), feasible

    @property
    def calls(self) -> int:
        """NumPy calls a batch of designs takes."""
        return len(self.program.calls)
