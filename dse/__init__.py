"""Chipgrad's exploration: design spaces, sweeps, gradient search, exact fronts, run folders."""

from dse.calibration import calibrate
from dse.comparison import compare
from dse.defaults import default_space
from dse.elasticity import sensitivity
from dse.evaluating import Options
from dse.front import Front
from dse.gathering import Sweep
from dse.parameter import Parameter
from dse.readings import Constraint
from dse.robustness import Robust, robust_front
from dse.searching import Search, search
from dse.space import Space
from dse.sweeping import grid_sweep, sweep, table_sweep

__all__ = [
    "Constraint",
    "Front",
    "Options",
    "Parameter",
    "Robust",
    "Search",
    "Space",
    "Sweep",
    "calibrate",
    "compare",
    "default_space",
    "grid_sweep",
    "robust_front",
    "search",
    "sensitivity",
    "sweep",
    "table_sweep",
]
