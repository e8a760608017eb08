"""Shadow prices: against designs optimised again with the budget moved, and the KKT conditions."""

import numpy as np
import pytest

import dse
from dse.bench import synthetic
from dse.costing import costing
from dse.evaluating import evaluator
from dse.prices import Price, local, nearest, prices
from hwmodels import InputError

SPACE = dse.Space(
    "vector",
    (
        dse.Parameter("clock_GHz", "log", 0.3, 1.7),
        dse.Parameter("lanes", "power2", 16, 512),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5")),
        dse.Parameter("cores", "integer", 3, 90),
        dse.Parameter("voltage_V", "linear", 0.55, 0.95),
    ),
    constraints=(dse.Constraint("area_mm2", 120.0), dse.Constraint("power_W", 30.0)),
)


@pytest.fixture(scope="module")
def workload():
    return synthetic(3)


@pytest.fixture(scope="module")
def costs(workload):
    return costing(evaluator(SPACE, {}, workload.training, dse.Options()), workload)


@pytest.fixture(scope="module")
def found(workload):
    return dse.search(SPACE, workload, evaluations=4000, seed=2)


@pytest.fixture(scope="module")
def best(costs, found):
    row = found.front.best("throughput_per_s")
    values = np.array([float(p.positions([row[p.name]])[0]) for p in SPACE.numeric])
    return local(costs).best(0, values)


def test_budgets_that_bind_are_priced(costs, found):
    bought, _ = prices(costs, 0, found.front.best("throughput_per_s"))
    assert {price.budget.metric for price in bought} == {"area_mm2", "power_W"}
    assert all(0.0 < price.elasticity < 1.5 for price in bought)
    assert [p.elasticity for p in bought] == sorted((p.elasticity for p in bought), reverse=True)
    # At the least power nothing is bought by more of it.
    assert prices(costs, 1, found.front.best("power_W"))[0] == []


def test_a_price_is_what_a_moved_budget_brings(costs, best):
    for name, multiplier in zip(costs.limits, best.multipliers, strict=True):
        if multiplier < 0.01:
            continue
        room = np.zeros(len(costs.limits))
        room[costs.limits.index(name)] = 0.01
        more, less = (local(costs).best(0, best.values, sign * room) for sign in (1.0, -1.0))
        slope = (less.logs[0] - more.logs[0]) / 0.02
        assert slope == pytest.approx(multiplier, rel=0.1)


def test_conditions_of_karush_kuhn_and_tucker(best):
    assert (best.margins > -1e-4).all()
    assert best.stationarity < 1e-2
    assert np.abs(best.margins * best.multipliers).max() < 1e-3  # complementary slackness


def test_relaxed_is_no_worse_than_buildable(best, found):
    assert np.exp(-best.logs[0]) > 0.99 * found.front.best("throughput_per_s")["throughput_per_s"]


def test_slopes_are_those_of_differences(costs):
    model = local(costs)
    u = np.array([0.5, 0.4, 0.0, 0.45, 0.3])
    values, slopes = model.at(u)
    for i in (0, 1, 3, 4):
        step = np.zeros(5)
        step[i] = 0.01
        (high, _), (low, _) = model.at(u + step), model.at(u - step)
        np.testing.assert_allclose(
            slopes[:, i], (high - low) / 0.02, rtol=0.05, atol=0.02 + 1e-3 * np.abs(values).max()
        )


def test_words():
    price = Price(dse.Constraint("area_mm2", 400.0), "throughput", 0.48)
    assert str(price) == (
        "area ≤ 400 mm² binds: one more mm² buys 0.12% throughput (1% of it: 0.48%)"
    )
    floor = Price(dse.Constraint("throughput_per_s", 1e6, at_most=False), "chip power", 0.7)
    assert "one /s less asked for buys" in str(floor)


def test_the_nearest_design_names_what_holds_it(workload):
    tight = SPACE.with_constraints((dse.Constraint("area_mm2", 2.0),))
    with pytest.raises(InputError, match=r"misses by .*%, held by area_mm2 <= 2") as error:
        dse.search(tight, workload, evaluations=2500)
    assert "lanes=16" in str(error.value)


def test_limits_that_hardly_any_design_meets_are_approached(workload):
    fast = dse.search(SPACE, workload, evaluations=4000).front.best("throughput_per_s")
    floor = 0.95 * float(fast["throughput_per_s"])
    tight = SPACE.with_constraints(
        (*SPACE.constraints, dse.Constraint("throughput_per_s", floor, at_most=False))
    )
    with pytest.raises(InputError):
        dse.sweep(tight, workload, designs=200, seed=1)
    found = dse.search(tight, workload, evaluations=12000)
    assert (found.front.table["throughput_per_s"] >= floor).all()


def test_nearest_of_limits_that_are_met(costs):
    starts = np.array([[1.0, 64.0, 1.0, 20.0, 0.7]])
    assert nearest(costs, starts).miss < 1e-6


def test_contradictory_budgets():
    budgets = (dse.Constraint("area_mm2", 100.0), dse.Constraint("area_mm2", 200.0, at_most=False))
    with pytest.raises(InputError, match=r"^area_mm2 at_least: got 200"):
        SPACE.with_constraints(budgets)
