"""The comparison of search methods: one evaluation for all, honest counting, its command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dse
from dse.bench import synthetic
from dse.costing import costing
from dse.evaluating import evaluator

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[1])
    from experiments import search_comparison, search_methods, search_problem, search_report

SPACE = dse.Space(
    "systolic",
    (
        dse.Parameter("rows", "integer", 9, 23),
        dse.Parameter("dataflow", "choice", choices=("output_stationary", "weight_stationary")),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5", "gddr6")),
        dse.Parameter("arrays", "power2", 1, 8),
    ),
    constraints=(dse.Constraint("area_mm2", 77.0),),
)
COUNT = 15 * 2 * 3 * 4
INSTALLED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            search_methods.missing(name) is not None, reason=f"{name}: its package is missing"
        ),
    )
    for name in search_methods.METHODS
    if name != "gradient"
]


@pytest.fixture(scope="module")
def problem():
    return search_problem.Problem(SPACE, synthetic(3))


@pytest.fixture(scope="module")
def every(problem):
    """Genes of every design of the space, in the middle of each value's range."""
    axes = [(np.arange(p.steps) + 0.5) / p.steps for p in SPACE.parameters]
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


def test_evaluation_is_that_of_sweeps(problem, every):
    # More designs than a call takes, with both structures mixed.
    genes = np.random.default_rng(5).random((2 * search_problem.SIZE + 77, 4))
    genes[:COUNT] = every
    points, margin = problem.evaluate(genes)
    kinds = problem.structure(genes)
    assert set(kinds) == {0, 1}
    assert np.array_equal(kinds, (genes[:, 1] >= 0.5).astype(int))
    for number, static in enumerate(SPACE.structures()):
        costs = costing(evaluator(SPACE, static, True, dse.Options()), problem.workload)
        rows = np.flatnonzero(kinds == number)
        costed = costs.table(SPACE.values(problem.numeric(genes[rows])))
        expected = np.stack(costs.engine.points(costed.readings), axis=1)
        np.testing.assert_allclose(points[rows], expected, rtol=1e-6)
        assert np.array_equal(margin[rows] >= 0, costed.feasible)
    assert 0 < (margin >= 0).mean() < 1


def test_exhausted_front_is_that_of_brute_force(problem, every):
    known, exact = search_problem.reference(SPACE, problem.workload, designs=1)
    assert exact
    points, margin = problem.evaluate(every)
    points = search_problem.logs(points[margin >= 0])
    beaten = [
        ((points <= point).all(axis=1) & (points < point).any(axis=1)).any() for point in points
    ]
    expected = np.unique(points[~np.asarray(beaten)], axis=0)
    assert len(expected) > 3
    np.testing.assert_allclose(np.unique(known, axis=0), expected, rtol=1e-6)


def test_running_hypervolume_of_points_by_hand():
    # In logarithms of two objectives, minimised: -throughput and power.
    recorder = search_problem.Recorder(budget=12)
    recorder.observe(np.array([[-(10.0**1.5), 100.0], [-1.0, 1000.0]]), 4)  # logs -1.5, 2; 0, 3
    recorder.observe(np.empty((0, 2)), 3)
    recorder.observe(np.array([[-1.0, 10.0], [-(10.0**1.5), 1e9]]), 5)  # logs 0, 1; -1.5, 9
    recorder.observe(np.array([[-1e9, 1e-9]]), 1)  # beyond the budget
    volumes, held = search_problem.running(recorder, corner=np.array([1.0, 4.0]))
    assert [evaluations for _, evaluations, _ in recorder.batches] == [4, 7, 12]
    np.testing.assert_allclose(volumes, [2.5 * 2, 2.5 * 2, 2.5 * 2 + 1 * 1])
    assert sorted(map(tuple, held)) == [(-1.5, 2.0), (0.0, 1.0)]
    assert recorder.done == 1
    np.testing.assert_allclose(search_problem.corner_of(held), [0.15, 2.1])


def test_evaluations_and_seconds_to_the_best_baseline():
    def curve(method, seed, *batches):
        columns = ["seconds", "evaluations", "ratio"]
        return pd.DataFrame(batches, columns=columns).assign(space="s", method=method, seed=seed)

    curves = pd.concat([
        curve("random", 0, (0.1, 50, 0.2), (0.2, 100, 0.5)),
        curve("random", 1, (0.1, 50, 0.1), (0.2, 100, 0.3)),
        curve("random", 2, (0.1, 50, 0.1), (0.2, 100, 0.7)),
        curve("nsga2", 0, (1.0, 50, 0.6), (2.0, 100, 0.9)),
        curve("nsga2", 1, (1.0, 50, 0.8), (2.0, 100, 0.8)),
        curve("nsga2", 2, (1.0, 50, 0.2), (2.0, 100, 0.7)),
        curve("gradient", 0, (0.3, 40, 0.8), (0.5, 100, 0.99)),
        curve("gradient", 1, (0.4, 40, 0.7), (0.6, 100, 0.98)),
        curve("gradient", 2, (0.5, 40, 0.9), (0.7, 100, 0.97)),
    ])  # fmt: skip
    rows = search_report.table(curves).set_index("method")
    assert rows["best"].to_dict() == {"random": False, "nsga2": True, "gradient": False}
    assert rows.loc["nsga2", ["ratio", "q25", "q75"]].tolist() == pytest.approx([0.8, 0.75, 0.85])
    assert rows.loc["nsga2", ["to_best_evaluations", "to_best_s"]].tolist() == [100, 2.0]
    assert rows.loc["gradient", ["to_best_evaluations", "to_best_s"]].tolist() == [40, 0.5]
    assert rows["reached"].to_dict() == {"random": 0, "nsga2": 2, "gradient": 3}
    assert rows.loc["gradient", "speedup"] == pytest.approx(4.0)
    assert rows.loc["random", "to_best_s"] == np.inf
    grid = np.array([0.99, 1.0, 1.5, 9.0])
    steps = search_report.at(curves.query("method == 'nsga2' and seed == 0"), "seconds", grid)
    assert steps.tolist() == [0.0, 0.6, 0.6, 0.9]


@pytest.mark.parametrize("method", INSTALLED)
def test_methods_spend_the_budget_and_repeat(problem, method):
    def found(seed):
        recorder = search_problem.Recorder(budget=130)
        search_methods.METHODS[method](problem, recorder, seed, 50)
        assert recorder.evaluations == 130  # not a multiple of the population
        return np.concatenate([points for *_, points in recorder.batches])

    one, other = found(3), found(4)
    assert np.array_equal(one, found(3))
    assert not np.array_equal(one, other)


def test_gradient_search_plugs_in(problem, monkeypatch):
    def fake(space, workload, *, seed, evaluations, observe):
        assert (space, workload, seed, evaluations) == (SPACE, problem.workload, 7, 90)
        observe(np.array([[-2.0, 3.0, -4.0]]), 60)
        observe(np.array([[-5.0, 3.0, -4.0]]), 60)  # one too many: does not count

    monkeypatch.setattr(dse, "search", fake, raising=False)
    recorder = search_problem.Recorder(budget=90)
    search_methods.gradient(problem, recorder, 7, 0)
    ((_, evaluations, points),) = recorder.batches
    assert evaluations == 60
    assert points.tolist() == [[-2.0, 3.0, -4.0]]


def test_a_search_stops_after_its_seconds(problem):
    recorder = search_problem.Recorder(budget=10**9, seconds=0.05)
    search_methods.random(problem, recorder, 0, 0)
    assert recorder.batches[-1][0] < 5


@pytest.mark.parametrize("parameter", SPACE.parameters, ids=lambda p: p.name)
def test_genes_of_native_values(parameter):
    values = parameter.choices or range(parameter.steps)
    genes = np.asarray([search_methods.gene(parameter, value) for value in values])
    decoded = np.asarray(parameter.value(genes))
    np.testing.assert_allclose(decoded, parameter.spread(parameter.steps))


def test_command_writes_a_run_folder(tmp_path, capsys):
    arguments = ["--quick", "--space", "exhausted", "--method", "random", "sobol"]
    assert search_comparison.main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "table.csv").set_index("method")
    assert rows.index.tolist() == ["random", "sobol"]
    assert rows["ratio"].between(0.8, 1 + 1e-6).all()
    assert (rows["evaluations"] == 600).all()
    assert f"{rows.loc['sobol', 'ratio']:.4f}" in printed
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["settings"]["budget"] == 600
    assert summary["spaces"][0]["exact"]
    for kind in ("png", "svg", "pdf"):
        assert (tmp_path / f"hypervolume.{kind}").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--method", "nsga22"], "method: got nsga22; allowed: random"),
        (["--space", "mix"], "space: got mix; allowed: budgets, exhausted, mixed"),
        (["--seeds", "0"], "--seeds: got 0; allowed: >= 1"),
        (["--workload", "mpl"], "workload: got mpl"),
    ],
)
def test_bad_input_is_one_line(arguments, expected, capsys, monkeypatch):
    monkeypatch.setattr(search_methods.importlib.util, "find_spec", lambda name: name)
    assert search_comparison.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert expected in error


def test_a_missing_package_is_named(capsys, monkeypatch):
    monkeypatch.setattr(search_methods.importlib.util, "find_spec", lambda name: None)
    assert search_comparison.main(["--method", "tpe"]) == 2
    assert "pip install '.[baselines]'" in capsys.readouterr().err
