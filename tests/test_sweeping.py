"""Random sweeps: reproducible, independent of chunking, exact; clear when none is feasible."""

import numpy as np
import pandas as pd
import pytest

import dse
from dse.bench import synthetic
from dse.census import Census
from dse.costing import costing
from dse.evaluating import evaluator
from dse.front import OBJECTIVES
from dse.sources import Sequence
from hwmodels import InputError, evaluate

SPACE = dse.Space(
    "vector",
    (
        dse.Parameter("clock_GHz", "log", 0.3, 1.7),
        dse.Parameter("lanes", "power2", 16, 512),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5", "gddr6")),
        dse.Parameter("cores", "integer", 3, 90),
        dse.Parameter("voltage_V", "linear", 0.55, 0.95),
    ),
)
DESIGNS, SEED = 700, 11


@pytest.fixture(scope="module")
def workload():
    return synthetic(3)


@pytest.fixture(scope="module")
def result(workload):
    return dse.sweep(SPACE, workload, designs=DESIGNS, seed=SEED, chunk=256)


def test_table_does_not_depend_on_chunks(result, workload, monkeypatch):
    # The fixture costs every design, these screen them first.
    monkeypatch.setattr("dse.job.PLAIN", 0)
    other = dse.sweep(SPACE, workload, designs=DESIGNS, seed=SEED, chunk=96)
    pd.testing.assert_frame_equal(result.front.table, other.front.table, check_exact=True)
    assert other.designs == result.designs == DESIGNS
    assert other.census.feasible == result.census.feasible


def test_seed_decides(result, workload):
    same = dse.sweep(SPACE, workload, designs=DESIGNS, seed=SEED, chunk=256)
    pd.testing.assert_frame_equal(result.front.table, same.front.table, check_exact=True)
    other = dse.sweep(SPACE, workload, designs=DESIGNS, seed=SEED + 1, chunk=256)
    assert other.front.table["clock_GHz"].tolist() != result.front.table["clock_GHz"].tolist()


def test_front_equals_brute_force_over_single_evaluations(result, workload):
    engine = costing(evaluator(SPACE, {}, True, dse.Options()), workload)
    values = Sequence(engine, "random", SEED, 256, 256).values(np.arange(256))
    rows = []
    for i in range(256):
        chip, fleet = SPACE.build({name: column[i] for name, column in values.items()}, {})
        metrics = evaluate(chip, workload, fleet)
        if min(float(margin) for margin in metrics.margins.values()) >= 0:
            point = -float(metrics.throughput), float(metrics.power), -float(metrics.scalability)
            rows.append((i, *point))
    table = np.asarray(rows)
    points = table[:, 1:]
    # Single designs and batches may round differently: a beaten design is beaten clearly.
    slack = 1e-6 * np.abs(points)
    clearly = (points[:, None] < points[None] - slack[None]).all(axis=2).any(axis=0)
    beaten = (
        (points[:, None] <= points[None] + slack[None]).all(axis=2)
        & (points[:, None] < points[None] - slack[None]).any(axis=2)
    ).any(axis=0)
    small = dse.sweep(SPACE, workload, designs=256, seed=SEED, chunk=256).front.table
    found = set(small["design"])
    assert set(table[~beaten, 0].astype(int)) <= found
    assert not found & set(table[clearly, 0].astype(int))
    assert found <= set(table[:, 0].astype(int))
    by_design = {int(row[0]): row[1:] for row in table}
    for _, row in small.iterrows():
        expected = [-by_design[row["design"]][0], by_design[row["design"]][1]]
        np.testing.assert_allclose([row["throughput_per_s"], row["power_W"]], expected, rtol=2e-6)


def test_a_design_number_reproduces_its_values_and_metrics(result, workload):
    engine = costing(evaluator(SPACE, {}, True, dse.Options()), workload)
    source = Sequence(engine, "random", SEED, DESIGNS, 256)
    for design in result.front.table["design"].to_numpy()[[0, -1]]:
        values = source.values(np.asarray([design]))
        row = result.front.table.set_index("design").loc[design]
        readable = SPACE.readable(values, {})
        for name in SPACE.names:
            assert readable[name][0] == row[name]
        out = engine.table(values)
        for objective in OBJECTIVES:
            assert float(out.readings[objective.column][0]) == row[objective.column]


@pytest.mark.parametrize("sampler", ["latin", "sobol"])
def test_other_samplers_do_not_depend_on_chunks_either(workload, sampler, monkeypatch):
    monkeypatch.setattr("dse.job.PLAIN", 0)
    one, two = (
        dse.sweep(SPACE, workload, designs=DESIGNS, sampler=sampler, chunk=chunk)
        for chunk in (64, 256)
    )
    pd.testing.assert_frame_equal(one.front.table, two.front.table, check_exact=True)


def test_a_front_given_as_a_table_is_itself(result, workload):
    table = result.front.table
    again = dse.table_sweep(SPACE, workload, table).front.table
    assert again["design"].tolist() == list(range(len(table)))
    same = [name for name in table if name != "design"]
    pd.testing.assert_frame_equal(again[same], table[same], check_exact=True)


def test_bad_tables_are_named(result, workload):
    table = result.front.table
    with pytest.raises(InputError, match=r"^table: got .*needs a column lanes"):
        dse.table_sweep(SPACE, workload, table.drop(columns="lanes"))
    with pytest.raises(InputError, match=r"^table row 2, clock_GHz: got 9.*0\.3 to 1\.7"):
        dse.table_sweep(SPACE, workload, table.assign(clock_GHz=[0.5, 9] + [1] * (len(table) - 2)))
    with pytest.raises(InputError, match=r"^table row 1, dram_kind: got mud.*lpddr5"):
        dse.table_sweep(SPACE, workload, table.assign(dram_kind="mud"))
    with pytest.raises(InputError, match=r"^table: got .*row 1 belongs to none"):
        dse.table_sweep(SPACE, workload, table.assign(variant="simt"))
    with pytest.raises(InputError, match=r"^table: got no rows"):
        dse.table_sweep(SPACE, workload, table.iloc[:0])


def test_impossible_budget_names_the_constraint_and_the_miss(workload):
    space = SPACE.with_constraints((dse.Constraint("area_mm2", 2.0),))
    with pytest.raises(InputError) as error:
        dse.sweep(space, workload, designs=256, chunk=256)
    assert str(error.value).startswith("budget area_mm2 <= 2: got 0 of 256 designs meet it; ")
    assert "the least reached is" in str(error.value)
    assert "\n" not in str(error.value)


def test_jointly_impossible_budgets_name_what_the_nearest_misses(result, workload):
    table = result.front.table
    best = table.loc[table["throughput_per_s"].idxmax()]
    space = SPACE.with_constraints(
        (
            dse.Constraint("throughput_per_s", 0.999 * best["throughput_per_s"], at_most=False),
            dse.Constraint("area_mm2", 0.5 * best["area_mm2"]),
        )
    )
    with pytest.raises(InputError, match=r"budgets together: .*of the nearest, .* times that"):
        dse.sweep(space, workload, designs=DESIGNS, seed=SEED, chunk=256)


def test_censuses_add_up():
    one, two = Census(designs=5), Census(designs=7)
    one.explain({"a": np.array([0.1, 0.5, 0.2, -9, -1]), "b": np.array([-0.2, -2, -3, -0.3, -1])})
    two.explain({"a": np.array([-0.3, 0.4]), "b": np.array([-0.1, -0.9])})
    one.merge(two)
    assert (one.designs, one.met) == (12, {"a": 4, "b": 0})
    assert one.best == {"a": 0.5, "b": -0.1}
    assert one.nearest == {"a": 0.1, "b": -0.2}
    with pytest.raises(InputError, match=r"budget b: got 0 of 12 .* misses it by 10\.0%"):
        one.check()


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0.0, -3.0, True, "many"])
def test_a_budget_is_a_finite_positive_number(limit):
    with pytest.raises(InputError, match=r"power_W: .*finite number > 0"):
        dse.Constraint("power_W", limit)


def test_an_unknown_budget_is_named():
    with pytest.raises(InputError, match=r"constraint: got power_w; .*did you mean power_W"):
        dse.Constraint("power_w", 3.0)
    assert dse.Constraint("power", 3.0) == dse.Constraint("power_W", 3.0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"designs": 0}, "designs"),
        ({"chunk": 0}, "chunk"),
        ({"seed": -1}, "seed"),
        ({"designs": 2**32 + 1}, "designs"),
        ({"designs": 2**31, "sampler": "sobol"}, "designs"),
        ({"sampler": "halton"}, "sampler"),
    ],
)
def test_bad_arguments_are_named(workload, arguments, field):
    with pytest.raises(InputError, match=f"^{field}: got"):
        dse.sweep(SPACE, workload, **arguments)
    with pytest.raises(InputError, match=r"^space: got none"):
        dse.sweep([], workload)
