"""The gradient search on problems whose fronts are known in closed form."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import dse
from dse import searching
from dse.evaluating import Evaluator, Options
from hwmodels import load_workload
from hwmodels.relax import EXACT

WORKLOAD = load_workload("mlp")
OPTIONS = Options(metrics=("time_us", "energy_mJ"))
SPACE = dse.Space(
    "systolic",
    (
        dse.Parameter("clock_GHz", "linear", 0.5, 1.5),
        dse.Parameter("voltage_V", "linear", 0.5, 1.0),
        dse.Parameter("sram_capacity_MiB", "linear", 1, 101),
        dse.Parameter("arrays", "integer", 1, 9),
    ),
)


# Of the first objective x in [0, 1]: the least of the second, and a limit that is met where >= 0.
def convex(x):
    return 1.0 - jnp.sqrt(x + 1e-6), 1.0


def concave(x):
    return 1.0 - x * x, 1.0


def falling_and_rising(x):
    """A cubic: falls to 0.672 at 0.447, rises, and falls below that again."""
    return 1.2 - 3.0 * x + 5.5 * x * x - 3.2 * x * x * x, 1.0


def forbidden_in_the_middle(x):
    return 1.0 - jnp.sqrt(x + 1e-6), (x - 0.4) * (x - 0.6)


@dataclasses.dataclass(frozen=True)
class Sum:
    """In the place of a chip's model: ZDT's form (Zitzler, Deb and Thiele, 2000), g added. All
    numbers but the first cost g, which is 0 at the front; both objectives are 1 more, as the search
    takes logarithms."""

    shape: object

    def __call__(self, values):
        x = values["clock_GHz"] - 0.5
        rest = (
            jnp.abs((values["voltage_V"] - 0.5) / 0.5 - 0.3),
            (values["sram_capacity_MiB"] - 1.0) / 100.0,
            jnp.abs((values["arrays"] - 5.0) / 8.0),
        )
        least, margin = self.shape(x)
        readings = {"time_us": 1.0 + x, "energy_mJ": 1.0 + least + sum(rest)}
        return readings, {"given": margin + 0.0 * x}


def found_on(shape, monkeypatch, **settings):
    class Known(Evaluator):
        def trace(self, workload):
            return None

        def one(self, values, trace, relax=EXACT, stacked=False, factors=None):
            return Sum(shape)(values)

    def evaluator(space, static, training, options):
        return Known(space, static, training, options)

    monkeypatch.setattr(searching, "evaluator", evaluator)
    table = dse.search(SPACE, WORKLOAD, options=OPTIONS, **settings).front.table
    return table["time_us"].to_numpy() - 1.0, table["energy_mJ"].to_numpy() - 1.0


def exact(shape, count=20_001):
    x = np.linspace(0.0, 1.0, count)
    y, margin = (np.broadcast_to(np.asarray(part), x.shape) for part in shape(x))
    allowed = margin >= 0
    x, y = x[allowed], y[allowed]
    on = y < np.minimum.accumulate(np.concatenate([[np.inf], y[:-1]]))
    return x[on], y[on]


def area(x, y):
    """What points dominate up to (1.1, 1.3)."""
    order = np.argsort(x)
    x, y = x[order], np.minimum.accumulate(y[order])
    return float(np.sum(np.diff([*x, 1.1]) * (1.3 - y)))


@pytest.mark.parametrize(
    "shape",
    [convex, concave, falling_and_rising, forbidden_in_the_middle],
    ids=lambda f: f.__name__,
)
def test_known_fronts_are_found(shape, monkeypatch):
    x, y = found_on(shape, monkeypatch, evaluations=12_000)
    known = exact(shape)
    assert area(x, y) >= 0.995 * area(*known)
    assert area(x, y) <= area(*known) * (1 + 1e-4)
    least, margin = (np.asarray(part) for part in shape(x))
    assert np.quantile(y - least, 0.95) < 0.01  # on the front, not only near to its ends
    assert np.all(y - least < 0.1)
    assert np.all(margin >= 0)
    assert x.min() < 0.01
    assert x.max() > known[0].max() - 0.01


def test_gaps_stay_empty(monkeypatch):
    x, _ = found_on(forbidden_in_the_middle, monkeypatch, evaluations=6000)
    assert not np.any((x > 0.4 + 1e-4) & (x < 0.6 - 1e-4))
    x, _ = found_on(falling_and_rising, monkeypatch, evaluations=6000)
    assert not np.any((x > 0.47) & (x < 0.78))


def test_the_seed_decides(monkeypatch):
    first, again = (found_on(concave, monkeypatch, evaluations=3000, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = found_on(concave, monkeypatch, evaluations=3000, seed=6)
    assert len(other[0]) != len(first[0]) or np.any(other[0] != first[0])
