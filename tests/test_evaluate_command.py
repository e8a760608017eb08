"""`dse evaluate` as a user runs it: totals, table, run folder, figures, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.breakdown import break_down, energy_by_part, find_chip, short_name
from dse.cli.main import main
from dse.plots.energy import SHOWN, energy_bars
from dse.plots.roofline import SMALLEST, roofline
from hwmodels import VARIANTS, InputError, evaluate, load_chip, load_workload

MINE = """
name = "Mine"
variant = "systolic"
year = 2030
family = "mine"
source = "a sketch"
confidence = "assumed"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
rows = 64
columns = 48
arrays = 20
vector_lanes = 512
sram_capacity_MiB = 0.25
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `dse evaluate arguments`."""
    status = main(["evaluate", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_table_is_sorted_by_time_and_totals_come_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, err = run(capsys, "tpu_v4")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("tpu_v4 (systolic, 7 nm, bf16")
    labels = ("throughput", "time of a step", "energy of a step", "power, step average",
              "peak power", "die area", "utilisation", "limits broken")  # fmt: skip
    for line, label in zip(lines[2:], labels, strict=False):
        assert line.strip().startswith(label)
    head = next(i for i, line in enumerate(lines) if line.startswith("operation"))
    for column in ("phase", "time us", "share %", "bound", "util %", "mac mJ", "static mJ"):
        assert column in lines[head]
    assert len(lines) - head - 1 == len(load_workload("mlp-large").rows)
    assert "[4096x4096]" in out  # the shape outlives the shortening


def test_json_and_run_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "runs" / "one"
    status, text, _ = run(capsys, "TPU v4", "--json", "--out", str(out))
    assert status == 0
    answer = json.loads(text)
    metrics = evaluate(load_chip("tpu_v4"), load_workload("mlp-large"))
    assert answer["throughput_per_s"] == pytest.approx(float(metrics.throughput))
    assert answer["time_us"] == pytest.approx(1e6 * float(metrics.time), rel=1e-5)
    assert answer["area_mm2"] == pytest.approx(1e6 * float(metrics.area))
    assert set(answer["margins"]) == set(metrics.margins)
    assert sum(row["energy_J"] for row in answer["rows"]) * 1e3 == pytest.approx(
        answer["energy_mJ"]
    )
    for row in answer["rows"]:
        parts = sum(v for k, v in row.items() if k.startswith("energy_") and k != "energy_J")
        assert parts == pytest.approx(row["energy_J"])
    for figure in ("roofline", "energy", "parts"):
        for kind in ("png", "svg", "pdf"):
            assert (out / f"{figure}.{kind}").stat().st_size > 5000
    svg = (out / "roofline.svg").read_text()
    for word in ("FLOP/s", "FLOP/byte", "DRAM ", "TPU v4 on mlp-large"):
        assert word in svg
    assert "Energy of a step (mJ)" in (out / "energy.svg").read_text()
    table = pd.read_csv(out / "operations.csv")
    pd.testing.assert_frame_equal(table, pd.read_parquet(out / "operations.parquet"))
    assert json.loads((out / "manifest.json").read_text())["chip"] == "TPU v4"


def test_own_chip_with_broken_limits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    assert float(evaluate(load_chip(path), load_workload("mlp-large")).margins["buffer"]) < 0
    status, out, _ = run(capsys, str(path))
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("INFEASIBLE: the operations need ")
    assert lines[3].startswith("Mine (systolic")  # as the file calls it
    line = next(line for line in lines if "limits broken" in line)
    assert "buffer -0." in line


def test_options_reach_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    answers = []
    for options in ([], ["--runtime", "none", "--residency", "cold"]):
        status, text, _ = run(capsys, "systolic", "--json", *options)
        assert status == 0
        answers.append(json.loads(text))
    default, other = answers
    launches = sum(row["count"] for row in default["rows"])
    assert sum(row["time_launch_s"] for row in default["rows"]) == pytest.approx(1e-6 * launches)
    assert sum(row["time_launch_s"] for row in other["rows"]) == 0
    crossing = [sum(row["dram_bytes"] for row in answer["rows"]) for answer in answers]
    assert crossing[1] > crossing[0]
    assert (other["runtime"], other["residency"]) == ("none", "cold")


def test_figures_hold_what_the_table_says() -> None:
    found = break_down("tpu_v4", load_chip("tpu_v4"), load_workload("mlp-large"))
    axes = energy_bars(found, "a title").axes[0]
    bars = sum(patch.get_width() for patch in axes.patches)
    assert bars == pytest.approx(found.totals["energy"], rel=1e-6)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(labels) <= SHOWN + 1 < len(found.table)
    assert labels[-1].endswith("others together")
    assert "0.0%" not in {text.get_text() for text in axes.texts}
    parts = energy_by_part(found)
    assert parts.sum(axis=None) == pytest.approx(found.totals["energy"], rel=1e-6)
    axes = roofline(found).axes[0]
    marks = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
    drawn = found.table[found.table["share"] >= SMALLEST]
    rates = set(np.round(np.log10(drawn["flops"] / drawn["time_s"]), 6))
    assert set(np.round(np.log10(marks[:, 1]), 6)) == rates
    # No operation above the roof of its buffer.
    width = float(found.chip.sram.bandwidth) * float(found.metrics.clock)
    intensity = (found.table["flops"] / found.table["buffer_bytes"]).to_numpy()
    rate = (found.table["flops"] / found.table["time_s"]).to_numpy()
    assert (rate <= width * intensity * (1 + 1e-5)).all()


def test_a_model_over_three_chips_without_dram() -> None:
    chip = VARIANTS["sram_only"]().replace(model_chips=3)
    found = break_down("three", chip, load_workload("mlp"))
    # Time that belongs to no operation has a row of its own.
    assert found.totals["time"] == pytest.approx(float(found.metrics.time), rel=1e-5)
    assert found.totals["energy"] == pytest.approx(float(found.metrics.energy), rel=1e-5)
    assert found.table.iloc[-1]["operation"] == "pipeline over chips"
    assert (found.table["dram_bytes"] == 0).all()
    axes = roofline(found).axes[0]
    assert not any("DRAM" in text.get_text() for text in axes.texts)
    idle = found.table.assign(flops=0.0)
    with pytest.raises(InputError, match="arithmetic"):
        roofline(type(found)(**{**vars(found), "table": idle}))


def test_names() -> None:
    assert short_name("dot 3x5x7", 20) == "dot 3x5x7"
    name = "update: integer_pow, mul, add, div, +1 more [784x4096]"
    assert short_name(name, 34) == "update: integer_pow, m… [784x4096]"
    assert len(short_name("x" * 90, 40)) == 40
    assert find_chip("vector") == VARIANTS["vector"]()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tpu_v44"], "did you mean tpu_v4"),
        (["missing.toml"], "missing.toml"),
        (["tpu_v4", "--workload", "mpl"], "did you mean mlp"),
        (["tpu_v4", "--runtime", "slow"], "allowed: eager, graph, none"),
        (["tpu_v4", "--residency", "hot"], "allowed: warm, cold"),
        (["tpu_v4", "--out", "."], "exists already"),
        ([], "CHIP"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
