"""All figures of a front: its projections, in space, in parallel coordinates, and its page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dse.explorer import MOST as MOST_EXPLORED
from dse.explorer import write_explorer
from dse.front import OBJECTIVES, Objective
from dse.plots import style
from dse.plots.legend import Tables, thinned
from dse.plots.parallel import parallel
from dse.plots.projections import pairwise
from dse.plots.three import three_dimensional


def draw_front(
    tables: Tables,
    joint: pd.DataFrame,
    folder: str | Path,
    title: str = "Pareto front",
    budgets: str = "",
    objectives: tuple[Objective, ...] = OBJECTIVES,
    columns: int = 2,
    formats: tuple[str, ...] = style.FORMATS,
) -> list[Path]:
    """Write front_pairwise, front_3d (of three objectives or more) and front_parallel in every
    format, and the explorer front.html of `tables`, into a folder (made if missing)."""
    given = (tables, joint, title, budgets, objectives, columns)
    figures = {"pairwise": pairwise(*given)}  # all of them before anything is written
    if len(objectives) > 2:
        figures["3d"] = three_dimensional(*given)
    figures["parallel"] = parallel(joint, objectives, title, columns)
    Path(folder).mkdir(parents=True, exist_ok=True)
    every = pd.concat(tables.values(), ignore_index=True)
    if len(every) > MOST_EXPLORED:  # what is not on the joint front goes first
        names = [objective.column for objective in objectives]
        found = every.merge(joint[names].drop_duplicates(), on=names, how="left", indicator=True)
        on = (found["_merge"] == "both").to_numpy()
        kept = thinned(every[on], names[0], MOST_EXPLORED)
        rest = thinned(every[~on], names[0], MOST_EXPLORED - len(kept))
        every = pd.concat([kept, rest], ignore_index=True)
    page = write_explorer(Path(folder) / "front.html", every, objectives, title)
    return [page] + [
        path
        for name, figure in figures.items()
        for path in style.save(figure, Path(folder) / f"front_{name}", formats)
    ]
