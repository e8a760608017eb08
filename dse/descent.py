"""The compiled descent of one structure: many starts, each with a preference of its own.

Every start minimises the smooth Tchebycheff distance of its log-objectives from an ideal,

    T log sum_j exp(w_j (log f_j - ideal_j) / T),     w its preference, T the temperature,

plus an augmented Lagrangian of the limits (Hestenes, 1969; Powell, 1969), each wanted to be at
least `SLACK`, in coordinates that a sigmoid keeps within bounds. Whole numbers are continuous and
a choice among tables of numbers is a mixture of them with softmax weights, unless a start holds
them. The model is the smooth one, whose sharpness rises while the temperature falls.

One step of all starts is one kernel: the loss unrolled to a straight line, its gradient by
`dse.adjoint`, and optax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dse.adjoint import with_gradient
from dse.costing import Costing
from dse.kernel import compiled, loop, strengthened
from dse.parameter import Parameter
from dse.program import unroll
from dse.ranges import narrowed
from hwmodels import InputError, Relax
from hwmodels.errors import check_choice

OPTIMIZERS = ("adabelief", "adam", "amsgrad", "lion", "nadam", "rmsprop", "sgd", "yogi")
KEPT = 8  # points of a path that are looked at
SHARPNESS = (20.0, 200.0)  # of the smooth model, first and last step; geometric in between
TEMPERATURE = (0.1, 0.01)  # of the maximum, in units of the front's extent; likewise
SLACK = 0.002  # relative room that limits are to keep, since buildable numbers are rounded
STIFFNESS = 30.0  # of the augmented Lagrangian's quadratic term
DUAL_RATE = 0.1  # of the multipliers' ascent, each step
LAST = 0.1  # of the learning rate, at the last step (cosine)
SETTLING = 3.0  # times the learning rate, of paths that settle: few steps, from near the end
EDGE = 0.01  # starts on a bound move this far inside, where the sigmoid has a slope
MIXED = 0.7  # share of its own choice that a free start begins with
HELD = 30.0  # logit that leaves the others e^-30


class Starts(NamedTuple):
    """What a descent begins with: `values` (s, P) in the order of `space.numeric`, `held` (s, P)
    True where a number stays, `weights` (s, m), and the objectives' `ideal` (m,) logarithms."""

    values: np.ndarray
    held: np.ndarray
    weights: np.ndarray
    ideal: np.ndarray


class Descent:
    """The programs of a structure on a workload, by number of starts; get it from `descent`."""

    def __init__(self, costs: Costing, optimizer: str, rate: float):
        check_choice("optimizer", optimizer, OPTIMIZERS)
        if not 0.0 < rate < np.inf:
            raise InputError("learning_rate", rate, "allowed: finite and > 0")
        engine, self.limits = costs.engine, costs.limits
        self._optimizer, self._rate = optimizer, rate
        self.parameters = engine.space.numeric
        trace = engine.trace(costs.workload)
        widths = [_width(p) for p in self.parameters]
        self._ends = np.cumsum(widths)
        self.width = int(self._ends[-1])
        objectives = len(engine.objectives)

        def loss(*inputs: Any) -> list[Any]:
            z, rest = inputs[: self.width], inputs[self.width :]
            weights, rest = rest[:objectives], rest[objectives:]
            ideal, (sharpness, temperature, *multipliers) = rest[:objectives], rest[objectives:]
            values = {
                p.name: _relaxed(p, z[end - width : end])
                for p, width, end in zip(self.parameters, widths, self._ends, strict=True)
            }
            readings, margins = engine.one(values, trace, Relax("smooth", sharpness))
            logs = [jnp.sign(x) * jnp.log(jnp.abs(x)) for x in engine.points(readings)]
            far = [w * (x - best) for w, x, best in zip(weights, logs, ideal, strict=True)]
            most = _largest(far)
            spread = sum(jnp.exp((x - most) / temperature) for x in far)
            total = most + temperature * jnp.log(spread)
            for margin, multiplier in zip(margins.values(), multipliers, strict=True):
                push = jnp.maximum(multiplier + STIFFNESS * (SLACK - margin), 0.0)
                total = total + push * push / (2.0 * STIFFNESS)
            return [total, *margins.values()]

        one = jnp.float32(1.0)
        inputs = self.width + 2 * objectives + 2 + len(self.limits)
        program = unroll(loss, *[one] * inputs, differentiable=True)
        anything = (-np.inf, np.inf)
        ranges = [
            *[(-HELD, HELD)] * self.width, *[anything] * (2 * objectives), SHARPNESS, TEMPERATURE,
            *[anything] * len(self.limits),
        ]  # fmt: skip
        program = with_gradient(program, range(self.width))
        self._program = strengthened(narrowed(program, ranges))
        self._paths: dict[int, Callable[..., Any]] = {}

    def run(self, starts: Starts, steps: int) -> np.ndarray:
        """Relaxed values at `KEPT` points of the path, the last included: (KEPT, s, P); a choice
        as the position of its largest share. Where numbers are held it settles: with the last
        step's sharpness and temperature from the first on, and faster."""
        settled = bool(starts.held.any())
        z, free = self._coordinates(starts)
        if len(z) not in self._paths:
            self._paths[len(z)] = self._path(len(z))
        annealed = np.array([SHARPNESS, TEMPERATURE], np.float32)
        if settled:
            annealed[:, 0] = annealed[:, 1]
        path = np.asarray(self._paths[len(z)](
            z, free, starts.weights.astype(np.float32), starts.ideal.astype(np.float32),
            -(-steps // KEPT), annealed, np.float32(SETTLING if settled else 1.0),
        ))  # fmt: skip
        return np.stack([
            np.argmax(part, axis=-1).astype(float)
            if p.kind == "choice"
            else np.asarray(p.relaxed(jax.nn.sigmoid(part[..., 0])))
            for p, part in zip(self.parameters, self._parts(path), strict=True)
        ], axis=-1)  # fmt: skip

    def _parts(self, z: np.ndarray) -> list[np.ndarray]:
        return np.split(z, self._ends[:-1], axis=-1)

    def _coordinates(self, starts: Starts) -> tuple[np.ndarray, np.ndarray]:
        """Logits (s, D) of the starts, and 1 where they may move."""
        columns, free = [], []
        for i, p in enumerate(self.parameters):
            values, held = starts.values[:, i], starts.held[:, i]
            if p.kind == "choice":
                own = np.arange(len(p.choices)) == np.round(values)[:, None]
                lead = np.log(MIXED / (1.0 - MIXED) * max(len(p.choices) - 1, 1))
                columns.append(np.where(own, np.where(held, HELD, lead)[:, None], 0.0))
            else:
                u = p.coordinate(values)
                u = np.where(held, np.clip(u, 1e-6, 1 - 1e-6), np.clip(u, EDGE, 1 - EDGE))
                columns.append((np.log(u) - np.log1p(-u))[:, None])
            free.append(np.repeat(~held[:, None], columns[-1].shape[1], axis=1))
        return np.hstack(columns).astype(np.float32), np.hstack(free).astype(np.float32)

    def _path(self, count: int) -> Callable[..., Any]:
        optimizer = getattr(optax, self._optimizer)(self._rate)

        def path(
            z: Any, free: Any, weights: Any, ideal: Any, every: Any, annealed: Any, rate: Any
        ) -> Any:
            def step(i: Any, carry: Any) -> Any:
                z, multipliers, state, number = carry
                share = number / (KEPT * every)
                first, last = annealed.T
                sharpness, temperature = first * (last / first) ** share
                inputs = [*z.T, *weights.T, *ideal, sharpness, temperature, *multipliers.T]
                _, *made = loop(self._program, count, inputs)
                margins = jnp.stack(made[: len(self.limits)], axis=1)
                slope = jnp.stack(made[len(self.limits) :], axis=1)
                updates, state = optimizer.update(jnp.nan_to_num(slope) * free, state, z)
                pace = LAST + (1.0 - LAST) * 0.5 * (1.0 + jnp.cos(jnp.pi * share))
                z = jnp.clip(z + pace * rate * updates * free, -HELD, HELD)
                missing = DUAL_RATE * STIFFNESS * (SLACK - margins)
                multipliers = jnp.maximum(multipliers + missing, 0.0)
                return z, multipliers, state, number + 1.0

            def block(carry: Any, _: Any) -> Any:
                carry = jax.lax.fori_loop(0, every, step, carry)
                return carry, carry[0]

            multipliers = jnp.zeros((count, len(self.limits)), jnp.float32)
            begin = (z, multipliers, optimizer.init(z), jnp.float32(0.0))
            return jax.lax.scan(block, begin, None, length=KEPT)[1]

        # A step of some dozens of starts takes microseconds, however little it is optimised.
        return compiled(path, level=0)


def descent(costs: Costing, optimizer: str, rate: float) -> Descent:
    """The descent of a structure on a workload, made once."""
    key, programs = ("descent", costs.workload, optimizer, rate), costs.engine.programs
    if key not in programs:
        programs[key] = Descent(costs, optimizer, rate)
    return programs[key]


def _width(p: Parameter) -> int:
    return len(p.choices) if p.kind == "choice" else 1


def _relaxed(p: Parameter, z: Any) -> Any:
    """The value at logits `z`; of a choice, the share of each."""
    if p.kind != "choice":
        return p.relaxed(1.0 / (1.0 + jnp.exp(-z[0])))
    most = _largest(z)
    shares = [jnp.exp(x - most) for x in z]
    return tuple(share / sum(shares) for share in shares)


def _largest(values: Any) -> Any:
    # A stop: the sum's slope is exact without it.
    top = values[0]
    for value in values[1:]:
        top = jnp.maximum(top, value)
    return jax.lax.stop_gradient(top)
