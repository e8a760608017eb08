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

from hwmodels import InputError, load_chip

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ROOT)
    from experiments import (
        ablation,
        all,
        chip_box,
        codesign,
        energy,
        evolution,
        products,
        twenty_years,
    )  # fmt: skip
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


def test_ablation_by_hand():
    np.testing.assert_allclose(ablation.in_order(LOGS), [1.0, 2.5, -0.25])
    np.testing.assert_allclose(ablation.alone(LOGS), [1.0, 0.5, -0.25])
    np.testing.assert_allclose(ablation.shapley(LOGS), [2.0, 1.5, -0.25])
    pairs = ablation.interactions(LOGS)
    np.testing.assert_allclose(pairs, [[0, 2, 0], [2, 0, 0], [0, 0, 0]])
    assert ablation.shapley(LOGS).sum() == pytest.approx(LOGS[True, True, True])


def test_landauers_limit():
    # kT ln 2 at 300 K is 2.87 zJ; a product of 8 by 8 bits forgets 64.
    assert energy.landauer_uJ(1e6, 1, 8) == pytest.approx(1e6 * 64 * 2.871e-21 * 1e6, rel=1e-3)


def test_rounding_to_formats():
    x = jnp.array([-1.0, -0.3, 0.0, 0.011, 0.49, 1.0])
    np.testing.assert_array_equal(codesign.rounded(x, "fp32"), x)
    np.testing.assert_allclose(
        codesign.rounded(x, "int4"), np.array([-7, -2, 0, 0, 3, 7]) / 7, rtol=1e-6
    )
    assert np.abs(codesign.rounded(x, "int8") - x).max() <= 0.5 / 127 + 1e-7
    assert np.abs(codesign.rounded(x, "bf16") / x - 1)[np.abs(x) > 0].max() <= 2**-8
    assert np.abs(codesign.rounded(x, "fp8") / x - 1)[np.abs(x) > 0].max() <= 2**-4
    np.testing.assert_array_equal(codesign.rounded(jnp.zeros(3), "int8"), 0)


def test_rounded_products_have_rounded_derivatives():
    key = jax.random.split(jax.random.key(0), 3)
    x, w, g = (jax.random.normal(k, s) for k, s in zip(key, [(5, 7), (7, 3), (5, 3)], strict=True))
    exact = codesign.product(x, w, "fp32")
    np.testing.assert_allclose(exact, x @ w, rtol=1e-5)
    out, back = jax.vjp(lambda x, w: codesign.product(x, w, "int8"), x, w)
    slopes = back(g)
    kept = [codesign.rounded(t, "int8") for t in (x, w)]
    slope = codesign.rounded(g, "int8", gradient=True)
    np.testing.assert_allclose(out, kept[0] @ kept[1], rtol=1e-5)
    np.testing.assert_allclose(slopes[0], slope @ kept[1].T, rtol=1e-5)
    np.testing.assert_allclose(slopes[1], kept[0].T @ slope, rtol=1e-5)


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
