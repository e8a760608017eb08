"""Every experiment at its quick size, its folder, and the mathematics that only experiments use."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from hwmodels import InputError, evaluate, load_chip, load_workload
from hwmodels.workloads.mlp import workload
from hwmodels.workloads.mlp_config import MlpConfig

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from experiments import (
        ablation_chips,
        all,
        chip_box,
        codesign_hardware,
        codesign_training,
        energy,
        evolution,
        products,
        switches,
        twenty_years,
    )
    from experiments.report import RESULTS, Report, conduct


@pytest.mark.parametrize("name", all.NAMES)
def test_an_experiment_answers(name, tmp_path, monkeypatch, capsys):
    if name == "validation":
        if not SHARED.is_dir():
            pytest.skip("../shared/data is not in this checkout")
        monkeypatch.setenv("CHIPGRAD_DATA", str(SHARED))
    experiment = all.load(name)
    report = conduct(experiment, quick=True, folder=tmp_path / name)
    assert report.answers
    manifest = json.loads((report.folder / "manifest.json").read_text())
    assert manifest["experiment"] == name
    assert manifest["quick"]
    answer = (report.folder / "answer.md").read_text()
    assert answer.startswith(f"# {experiment.question}")
    assert "nan" not in answer
    assert list(report.folder.glob("*.png"))
    for path in report.folder.glob("*.csv"):
        assert len(pd.read_csv(path))


def test_kept_results_are_those_of_full_runs():
    for name in all.NAMES:
        manifest = json.loads((RESULTS / name / "manifest.json").read_text())
        assert not manifest["quick"]
        kept = json.dumps(manifest["configuration"], sort_keys=True)
        now = json.dumps(vars(all.load(name).full), sort_keys=True, default=list)
        assert kept == now, f"{name}: its configuration changed; run it again"
        assert sum(p.stat().st_size for p in (RESULTS / name).iterdir()) < 1e6


def test_a_stopped_run_of_all_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    started = []

    def process(arguments, check):
        started.append(arguments[2].rpartition(".")[2])
        stopped = started == ["energy", "ablation"]
        return subprocess.CompletedProcess(arguments, 130 if stopped else 0)

    monkeypatch.setattr(all.subprocess, "run", process)
    asked = ["--quick", "--only", "energy", "--only", "ablation", "--only", "codesign"]
    monkeypatch.setattr("sys.argv", ["all", *asked])
    assert all.main() == 130
    assert "--resume" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["all", "--resume"])
    assert all.main() == 2
    assert "no run of these experiments" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["all", *asked, "--resume"])
    assert all.main() == 0
    assert started == ["energy", "ablation", "ablation", "codesign"]
    assert not all.PROGRESS.exists()


def test_absent_tables_are_one_line(tmp_path, monkeypatch, capsys):
    from experiments import validation
    from experiments.report import main

    monkeypatch.setenv("CHIPGRAD_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr("sys.argv", ["validation", "--quick", "--out", str(tmp_path / "out")])
    assert main(validation.EXPERIMENT) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "CHIPGRAD_DATA" in said


def test_tables_keep_four_digits_and_whole_numbers(tmp_path):
    report = Report(tmp_path)
    report.table("one", pd.DataFrame({"a": [math.pi, 1e-9 / 3], "b": [12345, 7], "c": ["x", "y"]}))
    assert (tmp_path / "one.csv").read_text() == "a,b,c\n3.142,12345,x\n3.333e-10,7,y\n"


# Three switches whose first two only pay together, by hand.
LOGS = {
    on: 1.0 * on[0] + 0.5 * on[1] + 2.0 * (on[0] and on[1]) - 0.25 * on[2]
    for on in [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]
}


def test_switches_by_hand():
    np.testing.assert_allclose(switches.in_order(LOGS), [1.0, 2.5, -0.25])
    np.testing.assert_allclose(switches.alone(LOGS), [1.0, 0.5, -0.25])
    np.testing.assert_allclose(switches.last(LOGS), [3.0, 2.5, -0.25])
    np.testing.assert_allclose(switches.spans(LOGS), [[1, 3], [0.5, 2.5], [-0.25, -0.25]])
    np.testing.assert_allclose(switches.shapley(LOGS), [2.0, 1.5, -0.25])
    pairs = switches.interactions(LOGS)
    np.testing.assert_allclose(pairs, [[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    assert switches.shapley(LOGS).sum() == pytest.approx(LOGS[True, True, True])


def test_a_factor_of_the_ablation_moves_only_what_it_names():
    plain = ablation_chips.plain_or_improved({}, 1.0)
    richer = ablation_chips.plain_or_improved({"dataflow": True}, 1.0)
    moved = {n for n, v in richer.quantities().items() if v != plain.quantities()[n]}
    assert moved == {"private_cache_KiB"}
    for special in (False, True):
        chip = ablation_chips.plain_or_improved({"specialisation": special}, 1.0)
        assert float(chip.macs_per_cycle) == 256
        full = ablation_chips.filled(chip, 100.0)
        area = float(evaluate(full, load_workload("mlp")).area) * 1e6
        assert 90 < area <= 100.01


def test_landauers_limit():
    # kT ln 2 at 300 K is 2.87 zJ; a product of 8 by 8 bits forgets 64.
    assert energy.landauer_uJ(1e6, 1, 8) == pytest.approx(1e6 * 64 * 2.871e-21 * 1e6, rel=1e-3)


def test_rounding_to_formats():
    x = jnp.array([-1.0, -0.3, 0.0, 0.011, 0.49, 1.0, 3e-5])

    def rounded(name, gradient=False, values=x):
        return codesign_training.rounded(values, codesign_training.GRIDS[name][gradient])

    np.testing.assert_array_equal(rounded("fp32"), x)
    np.testing.assert_array_equal(rounded("bf16"), x.astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(rounded("int4"), np.array([-7, -2, 0, 0, 3, 7, 0]) / 7, rtol=1e-6)
    np.testing.assert_allclose(rounded("int8"), np.round(127 * x) / 127, rtol=1e-6)
    for gradient, kind in ((False, jnp.float8_e4m3fn), (True, jnp.float8_e5m2)):
        largest = float(jnp.finfo(kind).max)
        cast = (x * largest).astype(kind).astype(jnp.float32) / largest
        np.testing.assert_allclose(rounded("fp8", gradient), cast, rtol=1e-6)
    np.testing.assert_array_equal(rounded("int8", values=jnp.zeros(3)), 0)


def test_rounded_products_have_rounded_derivatives():
    key = jax.random.split(jax.random.key(0), 3)
    x, w, g = (jax.random.normal(k, s) for k, s in zip(key, [(5, 7), (7, 3), (5, 3)], strict=True))
    grids = {
        name: jax.tree.map(jnp.float32, pair) for name, pair in codesign_training.GRIDS.items()
    }
    exact = codesign_training.product(x, w, grids["fp32"])
    np.testing.assert_allclose(exact, x @ w, rtol=1e-5)
    out, back = jax.vjp(lambda x, w: codesign_training.product(x, w, grids["fp8"]), x, w)
    slopes = back(g)
    kept = [codesign_training.rounded(t, grids["fp8"][0]) for t in (x, w)]
    slope = codesign_training.rounded(g, grids["fp8"][1])
    np.testing.assert_allclose(out, kept[0] @ kept[1], rtol=1e-5)
    np.testing.assert_allclose(slopes[0], slope @ kept[1].T, rtol=1e-5)
    np.testing.assert_allclose(slopes[1], kept[0].T @ slope, rtol=1e-5)


def test_folds_test_each_sample_once_and_train_on_others():
    rows, tested = codesign_training.folds(23, 5, jax.random.key(3))
    np.testing.assert_array_equal(tested.sum(axis=0), 1)
    assert rows.shape == (5, 18)
    for trains_on, tests in zip(rows, tested, strict=True):
        assert len(set(trains_on.tolist())) == 18
        assert not tests[trains_on].any()


def test_rounding_is_charged_once_for_each_tensor():
    step = workload(MlpConfig(widths=(5, 3, 2), batch=7))
    charged = codesign_hardware.with_rounding(step, "int8")
    more = sum(a.simple - b.simple for a, b in zip(charged.rows, step.rows, strict=True))
    # Inputs and weights of both layers, their two error signals; sums of five products.
    elements = (7 * 5 + 5 * 3) + (7 * 3 + 3 * 2) + (7 * 3 + 7 * 2)
    sums = (7 * 3 + 7 * 2) + (5 * 3 + 3 * 2) + 7 * 3
    assert more == 4 * elements + sums
    assert codesign_hardware.with_rounding(step, "fp32").rows == step.rows


def test_an_unknown_experiment_is_named():
    with pytest.raises(InputError, match="did you mean energy"):
        all.load("enery")


def test_commands_work_from_the_checkout(tmp_path):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "experiments.all", "--only", "nothing"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("experiments: --only: got nothing")


def test_an_evolution_climbs_where_a_grid_would():
    # A peak at odd values, of a number that some designs share.
    peak = np.array([0.137, 0.731, 0.5])
    found = evolution.evolve(lambda u: -np.abs(u - peak).max(axis=1).round(3), 3, 60, seed=4)
    assert found.scores[0] > -0.01
    assert np.all(np.diff(found.scores[: len(np.unique(found.scores))]) < 0)
    # What it is given is never lost.
    given = evolution.evolve(lambda u: -np.abs(u - peak).max(axis=1), 3, 1, 0, peak[None])
    assert given.scores[0] == 0


def test_medians_count_a_family_once():
    table = pd.DataFrame({
        "family": ["a", "a", "a", "b", "c"], "year": [2007, 2007, 2013, 2016, 2024],
        "throughput_gap": [1.0, 3.0, 8.0, 2.0, 5.0],
    })  # fmt: skip
    gap = twenty_years.by_family(table, "throughput_gap")
    assert gap.to_dict() == {"a": 3.0, "b": 2.0, "c": 5.0}
    said = twenty_years.eras(table)
    assert said[0].startswith("2007 to 2016 (chips: 4, families: 2) 2.5x")
    assert said[1].startswith("2024 (chips: 1, families: 1) 5x")


def test_the_box_of_a_chip_holds_it_and_ends_where_it_says():
    chip = load_chip("h100")
    space = chip_box.box(chip, 800.0, 700.0, 1.0)
    ends = {p.name: p.ends for p in space.numeric}
    assert ends["macs_per_sm"] == (256, 4096)
    assert ends["sms"] == (17, 1024)  # 132 / 8, rounded up, and what the model admits
    now = chip.quantities()
    for name, (low, high) in ends.items():
        assert low <= float(now[name]) <= high
    design = pd.Series({name: float(now[name]) for name in space.names} | {"sms": 17.1})
    assert chip_box.at_end(space, design) == ["sms"]


def test_a_product_holds_copies_that_share_its_budgets():
    product = products.Product("mlp", 400.0, 150.0, "bf16", 16.0)
    space = products.silicon("systolic", "bf16")
    columns = products.decoded(space, np.full((2, len(space.numeric)), 0.4))
    columns |= {"dram_stacks": np.full(2, 3.0), "dram_kind": np.full(2, 1.0)}
    setting = products.Setting(*np.array([[0.7, 0.7], [1.0, 1.0], [0.0, 0.99]], np.float32))
    one, more = (
        products.Done(*(field[i] for field in
                        products.performance("systolic", "bf16", product)(columns, setting)))
        for i in (0, 1)
    )  # fmt: skip
    assert one.copies == 1
    assert more.copies == min(400 // more.area_mm2, 16 // 3) > 1
    assert one.margin >= 0
    assert more.margin >= 0
    # The clock is as high as the power of the product admits, or the voltage.
    assert one.peak_W <= 150 * (1 + 1e-4)
    assert more.copies * more.peak_W == pytest.approx(150, rel=1e-3)
    assert one.area_mm2 == more.area_mm2
