"""The command line as a user runs it: output, exit status, one-line errors, no half-written run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.cli.main import main
from dse.front import non_dominated

FAST = ["--designs", "4000", "--evaluations", "9000"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `dse arguments`."""
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def pareto_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """A small run of the main job, in a process of its own as a user starts it."""
    out = tmp_path_factory.mktemp("runs") / "first"
    command = [sys.executable, "-m", "dse.cli.main", "pareto", "--variant", "systolic",
               "--variant", "vector", *FAST, "--out", str(out), "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), out


def test_pareto_json_has_the_promised_keys(pareto_run: tuple[dict, Path]) -> None:
    summary, out = pareto_run
    assert {"designs", "front_size", "hypervolume", "wall_s", "best", "run_dir"} <= set(summary)
    assert summary["run_dir"] == str(out)
    # Two workloads of 4000 random designs each, and the gradient's candidates on top.
    assert summary["designs"] >= 8000
    assert set(summary["workloads"]) == {"mlp", "mlp-large"}
    assert set(summary["knee"]) == {"systolic", "vector"}
    for one in summary["workloads"].values():
        assert 0 <= one["hypervolume_before_refinement"] <= one["hypervolume"] <= 1


def test_pareto_run_folder_is_complete_and_its_front_exact(pareto_run: tuple[dict, Path]) -> None:
    summary, out = pareto_run
    for folder in (out, out / "mlp-large"):
        for figure in ("front_pairwise", "front_3d"):
            for kind in ("png", "svg", "pdf"):
                assert (folder / f"{figure}.{kind}").stat().st_size > 5000
        front = pd.read_parquet(folder / "front.parquet")
        again = pd.read_csv(folder / "front.csv")
        pd.testing.assert_frame_equal(front, again, check_dtype=False)
        points = front[["throughput_per_s", "power_W", "scalability_per_s"]].to_numpy()
        assert non_dominated(points, maximise=(True, False, True)).all()
        assert (front["area_mm2"] <= 400).all()
        assert (front["power_W"] <= 300).all()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 0
    assert manifest["provenance"]["jax"]
    assert len(pd.read_parquet(out / "front.parquet")) == summary["front_size"]


def test_pareto_rows_repeat_through_evaluate(pareto_run: tuple[dict, Path]) -> None:
    """A row of the table is the public model's answer for the design that it names."""
    import dse
    import hwmodels
    from hwmodels.parts.dram import DRAM_KINDS

    _, out = pareto_run
    front = pd.read_parquet(out / "mlp-large" / "front.parquet")
    workload = hwmodels.load_workload("mlp-large")
    for _, row in front.groupby("variant").head(2).iterrows():
        space = dse.default_space(row["variant"])
        settings = {name: row[name] for name in space.names if name != "dram_kind"}
        if "dram_kind" in space.names:
            settings |= {f"dram_{k}": v for k, v in DRAM_KINDS[row["dram_kind"]].items()}
        chip = hwmodels.VARIANTS[row["variant"]]().replace(**settings)
        metrics = hwmodels.evaluate(chip, workload)
        for name, value in (
            ("throughput_per_s", metrics.throughput),
            ("power_W", metrics.power),
            ("scalability_per_s", metrics.scalability),
            ("cost_USD", metrics.cost),
        ):
            assert float(value) == pytest.approx(row[name], rel=2e-6), name


def test_impossible_budget_names_the_budget_and_the_miss(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "never"
    status, stdout, stderr = run(
        capsys, "pareto", "--variant", "systolic", "--workload", "mlp", *FAST,
        "--at-most", "power_W=0.5", "--out", str(out),
    )  # fmt: skip
    assert status == 2
    assert stdout == ""
    last = stderr.strip().splitlines()[-1]
    assert "power_W <= 0.5" in last
    assert "the least reached is" in last
    assert list(tmp_path.iterdir()) == []


BAD = [
    (["pareto", "--workload", "mlq"], ["workload", "mlq", "mlp, mlp-large", "did you mean mlp"]),
    (["pareto", "--variant", "gpu"], ["--variant", "gpu", "systolic, simt, spatial, vector"]),
    (["pareto", "--at-most", "aera_mm=4"], ["aera_mm", "area_mm2", "did you mean"]),
    (["pareto", "--at-most", "area_mm2"], ["--at-most", "METRIC=NUMBER"]),
    (["pareto", "--at-most", "area_mm2=nan"], ["area_mm2", "nan", "> 0"]),
    (["pareto", "--at-least", "throughput_per_s=-3"], ["throughput_per_s", "-3", "> 0"]),
    (["pareto", "--designs", "0"], ["--designs", "0", "whole numbers from 1"]),
    (["pareto", "--designs", "many"], ["many", "whole numbers from 1"]),
    (["pareto", "--designs", "3"], ["--designs", "3", ">= 8"]),
    (["pareto", "--evaluations", "1e2"], ["--evaluations", "1e2", ">= 8192"]),
    (["pareto", "--seed", "-1"], ["--seed", "-1", "0 to"]),
    (["pareto", "--runtime", "lazy"], ["--runtime", "lazy", "eager, graph, none"]),
    (["pareto", "--space", "nowhere.toml"], ["nowhere.toml", "no such file"]),
    (["pareto", "--frobnicate"], ["--frobnicate", "No such option"]),
    (["trace", "resnet"], ["workload", "resnet", "mlp, mlp-large"]),
    (["trace"], ["Missing argument"]),
    (["train", "--widths", "784,ten"], ["--widths", "784,ten", "whole numbers"]),
    (["train", "--batch", "0"], ["batch", "0", ">= 1"]),
    (["train", "--learning-rate", "1e30", "--epochs", "1"], ["learning_rate", "diverged"]),
    (["train", "--data", "mnist"], ["--data", "mnist", "random, digits"]),
    (["train", "--learning-rate", "nan"], ["learning_rate", "nan", "finite"]),
    (["train", "--data", "digits", "--widths", "784,10"], ["widths", "784", "64"]),
    (["bench", "--variant", "tpu"], ["variant", "tpu", "systolic"]),
    (["bench", "--workload", "tpu"], ["workload", "tpu", "mlp"]),
    (["parteo"], ["command", "parteo", "did you mean pareto"]),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = run(capsys, *arguments)
    assert status == 2
    assert stdout == ""
    lines = [line for line in stderr.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, stderr
    for part in expected:
        assert part in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_existing_run_folder_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    status, _, stderr = run(capsys, "pareto", "--out", str(tmp_path))
    assert status == 2
    assert "--out" in stderr
    assert "exists" in stderr
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


def test_trace_prints_and_writes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mlp.csv"
    status, stdout, _ = run(capsys, "trace", "mlp", "--out", str(path))
    assert status == 0
    assert "dot 32x10x784" in stdout
    frame = pd.read_csv(path)
    # 3 products forward, 3 weight and 2 input gradients.
    assert frame.loc[frame["kind"] == "contraction", "count"].sum() == 8
    status, _, stderr = run(capsys, "trace", "mlp", "--out", str(path))
    assert status == 2
    assert "exists" in stderr


def test_trace_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, stdout, _ = run(capsys, "trace", "mlp", "--json")
    content = json.loads(stdout)
    assert status == 0
    # 32 (784 10 + 10 10 + 10 10) twice (forward, weights), 32 (10 10 + 10 10) for the inputs.
    assert content["macs"] == 2 * 32 * 8040 + 32 * 200
    assert np.isclose(sum(r["count"] * r["flops"] for r in content["rows"]), content["flops"])


def test_train_shows_epochs_and_device(capsys: pytest.CaptureFixture[str]) -> None:
    status, stdout, _ = run(capsys, "train", "--epochs", "3")
    assert status == 0
    assert "epoch   3/3" in stdout
    assert "loss" in stdout
    assert "device: cpu" in stdout


def test_train_digits_learns(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="the digits extra is not installed")
    status, stdout, _ = run(capsys, "train", "--data", "digits", "--json")
    assert status == 0
    assert json.loads(stdout)["test_accuracy"] > 0.9


def test_train_digits_without_scikit_learn_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    status, _, stderr = run(capsys, "train", "--data", "digits")
    assert status == 2
    assert "pip install -e '.[digits]'" in stderr


def test_help_lists_commands_and_every_command_has_examples(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, stdout, _ = run(capsys, "--help")
    assert status == 0
    for name in ("pareto", "trace", "train", "bench"):
        assert name in stdout
        status, text, _ = run(capsys, name, "--help")
        assert status == 0
        assert "Examples:" in text


def test_space_file_is_swept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(
        'variant = "vector"\n[parameters]\ncores = { kind = "integer", low = 4, high = 64 }\n'
        'clock_GHz = { kind = "log", low = 0.5, high = 2 }\n[fixed]\nlanes = 32\n'
        "[constraints]\narea_mm2 = { at_most = 300 }\n"
    )
    out = tmp_path / "run"
    status, stdout, stderr = run(
        capsys, "pareto", "--space", str(space), "--workload", "mlp", *FAST, "--out", str(out)
    )
    assert status == 0, stderr
    assert "area ≤ 300 mm²" in stdout
    front = pd.read_parquet(out / "front.parquet")
    assert front["cores"].between(4, 64).all()
    assert (front["cores"] % 1 == 0).all()
