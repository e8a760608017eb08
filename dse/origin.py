"""Where the front of a run folder comes from: spaces, workload and settings, from its manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dse.manifest import read_space
from dse.space import Space
from dse.store import RunFolder, run_of
from hwmodels import InputError
from hwmodels.accelerators.base import Accelerator
from hwmodels.fleet.scaling import Fleet


@dataclass(frozen=True)
class Origin:
    """What a front was found with; `workload` as text that `load_workload` takes."""

    spaces: tuple[Space, ...]
    workload: str
    runtime: str
    residency: str

    def design(self, row: pd.Series) -> tuple[Accelerator, Fleet]:
        """The chip and fleet of a row of the front."""
        for space in self.spaces:
            if space.variant == row["variant"]:
                return space.design(row)
        found = ", ".join(space.variant for space in self.spaces)
        raise InputError("variant", row["variant"], f"the run's: {found}")


def subfolder(workload: str) -> str:
    """The name of a workload as that of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", workload)


def origin(path: str | Path) -> Origin | None:
    """Of a run folder, or of a workload's subfolder of one; None of anything else, such as a table.

    Raises:
      InputError: a manifest that cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        return None
    run = run_of(path)
    if run is None:
        return None
    manifest = RunFolder.open(run).manifest()
    for name in ("settings", "sweep"):
        kept = manifest.get(name)
        if isinstance(kept, dict) and "spaces" in kept:
            return _of(kept, None if run == path else path.name)
    return None


def _of(kept: Mapping[str, Any], folder: str | None) -> Origin | None:
    try:
        names = kept["workloads"] if "workloads" in kept else [kept["workload"]["name"]]
        inside = [n for n in names if folder is None or subfolder(n) == folder]
        if not inside:
            return None
        spaces = tuple(map(read_space, kept["spaces"]))
        return Origin(spaces, inside[0], kept["runtime"], kept["residency"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("manifest", repr(error), "not one that a command wrote") from None
