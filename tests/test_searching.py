"""Gradient search: what it adds is buildable, exact and reproducible; no front point is lost."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import dse
from dse.bench import synthetic
from dse.front import OBJECTIVES, non_dominated
from dse.rounds import Known
from hwmodels import InputError, evaluate, load_workload

SPACE = dse.Space(
    "vector",
    (
        dse.Parameter("clock_GHz", "log", 0.3, 1.7),
        dse.Parameter("lanes", "power2", 16, 512),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5")),
        dse.Parameter("cores", "integer", 3, 90),
        dse.Parameter("voltage_V", "linear", 0.55, 0.95),
    ),
    constraints=(dse.Constraint("area_mm2", 400.0),),
)
SETTINGS = {"evaluations": 2500, "seed": 3}


@pytest.fixture(scope="module")
def workload():
    return synthetic(3)


@pytest.fixture(scope="module")
def swept(workload):
    return dse.sweep(SPACE, workload, designs=300, seed=5)


@pytest.fixture(scope="module")
def refined(workload, swept):
    return dse.search(SPACE, workload, start=swept, **SETTINGS)


@pytest.fixture(scope="module")
def added(refined):
    table = refined.front.table
    return table[table["source"] == "gradient"]


def _points(table):
    return table[[o.column for o in OBJECTIVES]].to_numpy()


def test_no_front_point_of_the_sweep_is_lost(swept, refined):
    signs = np.asarray([-1.0 if o.maximise else 1.0 for o in OBJECTIVES])
    new = _points(refined.front.table) * signs
    for point in _points(swept.front.table) * signs:
        assert (new <= point).all(axis=1).any()
    assert non_dominated(new).all()


def test_descent_improves_the_front(swept, refined, added):
    assert len(added)
    corners = {
        "reference": {"throughput_per_s": 1.0, "power_W": 1e4, "scalability_per_s": 1.0},
        "ideal": {"throughput_per_s": 1e12, "power_W": 1e-1, "scalability_per_s": 1e15},
    }
    assert refined.front.hypervolume(**corners) > swept.front.hypervolume(**corners)


def test_added_designs_can_be_built(added):
    for parameter in SPACE.numeric:
        column = added[parameter.name]
        if parameter.kind == "choice":
            assert set(column) <= set(parameter.choices)
            continue
        low, high = np.float32(parameter.low), np.float32(parameter.high)
        assert ((column >= low) & (column <= high)).all()
        if parameter.kind == "integer":
            assert (column % 1 == 0).all()
        if parameter.kind == "power2":
            assert (np.log2(column / parameter.low) % 1 == 0).all()
    assert (added["area_mm2"] <= 400.0).all()


def test_added_designs_are_exact(added, workload):
    for _, row in added.iloc[:: max(1, len(added) // 4)].iterrows():
        values = {name: np.float32(row[name]) for name in SPACE.names if name != "dram_kind"}
        fixed = dataclasses.replace(
            SPACE,
            parameters=tuple(p for p in SPACE.parameters if p.name != "dram_kind"),
            fixed=(("dram_kind", row["dram_kind"]),),
        )
        chip, fleet = fixed.build(values, {})
        metrics = evaluate(chip, workload, fleet)
        assert float(metrics.throughput) == pytest.approx(row["throughput_per_s"], rel=3e-6)
        assert float(metrics.power) == pytest.approx(row["power_W"], rel=3e-6)
        assert float(metrics.area) * 1e6 == pytest.approx(row["area_mm2"], rel=3e-6)
        assert min(float(margin) for margin in metrics.margins.values()) >= -1e-6


def test_design_numbers_are_unique_and_follow_the_sweep(swept, refined, added):
    assert refined.front.table["design"].is_unique
    assert (added["design"] >= swept.designs).all()
    assert refined.gradients + refined.candidates == refined.evaluations
    assert SETTINGS["evaluations"] / 2 < refined.evaluations <= SETTINGS["evaluations"]


def test_seed_decides(swept, refined, workload):
    again = dse.search(SPACE, workload, start=swept, **SETTINGS)
    pd.testing.assert_frame_equal(refined.front.table, again.front.table, check_exact=True)
    other = dse.search(SPACE, workload, start=swept, **SETTINGS | {"seed": 4})
    assert not other.front.table.equals(refined.front.table)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"evaluations": 100}, "evaluations"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"optimizer": "adm"}, "optimizer"),
    ],
)
def test_bad_arguments_are_named(swept, workload, arguments, field):
    with pytest.raises(InputError, match=f"^{field}: got"):
        dse.search(SPACE, workload, start=swept, **SETTINGS | arguments)


def test_a_search_from_nothing_beats_as_many_random_designs(workload):
    told = []
    found = dse.search(SPACE, workload, evaluations=4000, seed=1, observe=lambda *a: told.append(a))
    drawn = dse.sweep(SPACE, workload, designs=4000, seed=1)
    corners = {
        "reference": {"throughput_per_s": 1.0, "power_W": 1e4, "scalability_per_s": 1.0},
        "ideal": {"throughput_per_s": 1e12, "power_W": 1e-1, "scalability_per_s": 1e15},
    }
    assert found.front.hypervolume(**corners) > drawn.front.hypervolume(**corners)
    assert found.evaluations == sum(count for _, count in told) <= 4000
    # What was observed is what the front was made of.
    seen = np.concatenate([points for points, _ in told])
    signs = np.asarray([-1.0 if o.maximise else 1.0 for o in OBJECTIVES])
    best = seen[non_dominated(seen)]
    assert {tuple(p) for p in best} == {
        tuple(p) for p in (_points(found.front.table) * signs).astype(np.float32)
    }


def test_limits_that_nothing_meets(workload):
    tight = SPACE.with_constraints((dse.Constraint("area_mm2", 1.0),))
    with pytest.raises(InputError, match="no design that meets all"):
        dse.search(tight, workload, evaluations=2500)


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_volumes_never_fall_as_designs_are_added(objectives):
    rng = np.random.default_rng(objectives)
    logs = rng.uniform(0, 1, (300, objectives))
    box = Known(logs[:, :1], logs[:100])
    volumes = [Known(logs[:n, :1], logs[:n]).volume(box) for n in (1, 10, 50, 100, 200, 300)]
    assert np.all(np.diff(volumes) >= 0)
    assert volumes[-1] > volumes[0] > 0
    drawn = Known(logs[:, :1], logs).drawn(20, rng)
    assert drawn.logs.shape == (20, objectives)
    assert np.isin(drawn.logs[:, 0], logs[:, 0]).all()


def test_five_objectives_are_searched():
    metrics = ("throughput_per_s", "power_W", "scalability_per_s", "area_mm2", "cost_USD")
    found = dse.search(
        dse.default_space("vector"), load_workload("mlp"), evaluations=4000,
        options=dse.Options(metrics=metrics),
    )  # fmt: skip
    assert len(found.front.objectives) == 5
    assert len(found.front) > 100
