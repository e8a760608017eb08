"""Chipgrad's exploration: design spaces, sweeps, gradient search, exact fronts, run folders."""

from dse.defaults import default_space
from dse.evaluating import Options
from dse.front import Front
from dse.gathering import Sweep
from dse.parameter import Parameter
from dse.readings import Constraint
from dse.searching import Search, search
from dse.space import Space
from dse.sweeping import grid_sweep, sweep, table_sweep

__all__ = [
    "Constraint",
    "Front",
    "Options",
    "Parameter",
    "Search",
    "Space",
    "Sweep",
    "default_space",
    "grid_sweep",
    "search",
    "sweep",
    "table_sweep",
]
