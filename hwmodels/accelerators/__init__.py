"""Accelerator variants, one file each, and their registry."""

from __future__ import annotations

from hwmodels.accelerators.base import Accelerator
from hwmodels.accelerators.in_memory import InMemory
from hwmodels.accelerators.simt import Simt
from hwmodels.accelerators.spatial import Spatial
from hwmodels.accelerators.sram_only import SramOnly
from hwmodels.accelerators.systolic import Systolic
from hwmodels.accelerators.vector import Vector

VARIANTS: dict[str, type[Accelerator]] = {
    cls.NAME: cls for cls in (Systolic, Simt, Spatial, Vector, InMemory, SramOnly)
}
