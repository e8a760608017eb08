"""What the library's networks share: how one is asked for, and its training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from hwmodels.errors import InputError, check_choice
from hwmodels.workloads.settings import Settings
from hwmodels.workloads.tracing import trace
from hwmodels.workloads.workload import Workload

# Largest sensible global batch, in samples, that networks are trained with: an assumption.
IMAGES, SEQUENCES = 65536, 65536
OPTIMIZERS = {
    "adam": optax.adam(1e-4),
    "sgd": optax.sgd(0.1, momentum=0.9),
}


@dataclass(frozen=True)
class Network:
    """A network of the library: `build` traces it; the first of `modes` is what is meant where
    none is named; `defaults`: the other settings it has, and their values."""

    name: str
    modes: tuple[str, ...]
    defaults: dict[str, int]
    build: Callable[[Settings], Workload]

    def load(self, settings: Settings) -> Workload:
        """The workload; `InputError` for a mode or a setting that the network does not have."""
        if settings.mode is not None:
            check_choice(f"mode of {self.name}", settings.mode, self.modes)
        settings.only("mode", *self.defaults)
        return self.build(settings.filled(mode=self.modes[0], **self.defaults))


def training_step(
    loss: Callable[[Any, Any], Any],
    params: Any,
    batch: Any,
    *,
    name: str,
    samples: int,
    max_global_batch: int,
    optimizer: str = "adam",
    mixed: bool = True,
) -> Workload:
    """The step of `loss(params, batch)`, parameters and moments fp32, products of bf16 operands.

    `params`, `batch`: pytrees of `ShapeDtypeStruct`. Mixed precision as in Micikevicius et al.
    (2018): the loss sees bf16 copies of the parameters; not so where `mixed` is False.
    """
    check_choice("optimizer", optimizer, OPTIMIZERS)
    update = OPTIMIZERS[optimizer]

    def step(state: Any, batch: Any) -> Any:
        params, moments = state
        value, slope = jax.value_and_grad(lambda p: loss(low(p) if mixed else p, batch))(params)
        changes, moments = update.update(slope, moments, params)
        return (optax.apply_updates(params, changes), moments), value

    state = (params, jax.eval_shape(update.init, params))
    return trace(
        step, state, batch, name=name, samples=samples,
        max_global_batch=max(max_global_batch, samples),
    )  # fmt: skip


def low(params: Any) -> Any:
    """bf16 copies of the floating parameters."""
    return jax.tree.map(
        lambda p: p.astype(jnp.bfloat16) if jnp.issubdtype(p.dtype, jnp.floating) else p, params
    )


def inference(
    forward: Callable[..., Any],
    params: Any,
    *inputs: Any,
    name: str,
    samples: int,
    max_global_batch: int,
    mixed: bool = True,
) -> Workload:
    """`forward(params, *inputs)` with bf16 parameters, unless `mixed` is False; `params`, `inputs`:
    shapes."""
    half = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, jnp.bfloat16), params)
    return trace(
        forward, half if mixed else params, *inputs, name=name, samples=samples, parameters=0,
        max_global_batch=max(max_global_batch, samples),
    )  # fmt: skip


def count(params: Any) -> int:
    """Number of parameters of a pytree of shapes."""
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    if not sizes:
        raise InputError("params", "none", "a network has parameters")
    return sum(sizes)
