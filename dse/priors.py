"""What is known of a chip's free constants before anything is measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Prior:
    """Of one field of `Tuning`: its median, and the deviation of its logit (share) or log."""

    median: float
    deviation: float
    share: bool = True

    def real(self, value: Any) -> Any:
        """The number on the real line."""
        return jnp.log(value / (1.0 - value)) if self.share else jnp.log(value)

    def value(self, u: Any) -> Any:
        """Its inverse."""
        return jax.nn.sigmoid(u) if self.share else jnp.exp(u)


# Shares: 0.85 says 0.68 to 0.94 at one deviation, as tuned libraries reach. Overheads in seconds,
# within a factor e^1: a host's launch and wait, or the start of a compiled program on the device.
# GPUs keep several tiles of a unit in flight, so what they do not hide is in the efficiencies.
_SHARES = {"compute_efficiency": Prior(0.85, 1.0), "dram_efficiency": Prior(0.85, 1.0)}
_LAUNCHED = {**_SHARES, "overhead": Prior(20e-6, 1.0, share=False)}
_COMPILED = {
    **_SHARES, "overlap": Prior(0.7, 1.5), "overhead": Prior(1e-6, 1.0, share=False),
}  # fmt: skip
PRIORS: dict[str, dict[str, Prior]] = {
    "simt": _LAUNCHED, "vector": _LAUNCHED, "systolic": _COMPILED, "spatial": _COMPILED,
}  # fmt: skip
ENERGY_SCALE = Prior(1.0, 0.5, share=False)
