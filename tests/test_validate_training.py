"""Measured training steps: tables, jobs by hand, bad input, and the agreement that is promised."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from dse.cli.main import main
from dse.validation import fsdp, training, validate
from dse.validation.llm import Framework, Steps
from dse.validation.tables import read_table
from hwmodels.errors import InputError

SHARED = Path(__file__).parents[2] / "shared" / "data"
STEP = {
    "gpu": "A100-80GB", "layers": "4", "hidden": "512", "heads": "8", "seq": "256",
    "vocab": "1000", "TP": "2", "PP": "1", "DP": "2", "interleave": "", "gpus": "4",
    "global_batch": "16", "microbatch": "", "recompute": "selective+seqpar",
    "measured_batch_s": "0.05",
}  # fmt: skip
SHARDED = {
    "Model": "125m", "SeqLen (T)": "512", "# GPUs": "8", "GPU": "a100_40gb", "MFU": "40",
    "MicroBatchSize": "4", "GlobalBatchSize": "64", "Precision": "amp_bf16", "MP Mode": "DEFAULT",
    "Sharding Strategy": "FULL_SHARD", "Activation Checkpointing": "False",
}  # fmt: skip
IDEAL = Framework(1.0, 1.0, 1.0, 1.0, 1.0, 0.0)


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def steps_of(path, module, rows):
    table = read_table(write(path, rows), module.COLUMNS)
    return Steps([module.job_of(table, row) for row in table.rows()])


def test_an_open_microbatch_is_the_fastest_that_fits(tmp_path):
    given = [STEP | {"microbatch": str(size)} for size in (1, 2, 4, 8)]
    times = np.asarray(steps_of(tmp_path / "a.csv", training, [STEP, *given]).times(IDEAL))
    assert times[0] == times[1:].min()
    assert len(set(times[1:])) == 4


def test_shares_act_where_they_say(tmp_path):
    rows = [SHARDED, SHARDED | {"GPU": "h100_80gb"}, SHARDED | {"# GPUs": "16"}]
    steps = steps_of(tmp_path / "a.csv", fsdp, rows)
    base = np.asarray(steps.times(IDEAL))
    for name in ("compute", "dram", "attention", "link"):
        slower = Framework(**(vars(IDEAL) | {name: 0.3}))
        assert (np.asarray(steps.times(slower)) >= base).all(), name
    # Between nodes only where there are two.
    far = np.asarray(steps.times(Framework(**(vars(IDEAL) | {"network": 0.02}))))
    np.testing.assert_array_equal(far[:2], base[:2])
    assert far[2] > base[2]


def test_mfu_by_hand(tmp_path):
    """6 N + 12 L h T operations a token; N is 125m's published number of parameters."""
    table = read_table(write(tmp_path / "a.csv", [SHARDED]), fsdp.COLUMNS)
    (row,) = table.rows()
    parameters = 124525056 - 512 * 768  # that of 1024 positions, less half of them
    token = 6 * parameters + 12 * 12 * 768 * 512
    assert fsdp.work_share(table, row) == pytest.approx(64 * 512 * token / (8 * 312e12), rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "row", "changes", "said"),
    [
        ("training", STEP, {"gpu": "Z100"}, "line 2, gpu"),
        ("training", STEP, {"recompute": "some"}, "line 2, recompute"),
        ("training", STEP, {"heads": "7"}, "line 2, heads"),
        ("training", STEP, {"TP": "0"}, "line 2, TP"),
        ("training", STEP, {"TP": "4"}, "line 2, gpus"),
        ("training", STEP, {"gpu": "tpu_v4"}, "allowed: a100_40gb, a100_80gb, "),
        ("training", STEP, {"global_batch": "17"}, "line 2, global_batch.* = 2 x 1"),
        ("training", STEP, {"microbatch": "3"}, "line 2, global_batch.* = 2 x 3"),
        ("fsdp", SHARDED, {"GPU": "v100"}, "allowed: a100_40gb, a100_80gb, h100$"),
        ("fsdp", SHARDED, {"MFU": "101"}, "line 2, MFU: got 101.0; .* percent"),
        ("fsdp", SHARDED, {"MFU": "0.4"}, "line 2, MFU: got 0.4; .* percent"),
        ("fsdp", SHARDED, {"MicroBatchSize": "5"}, "line 2, GlobalBatchSize.* = 8 x 5"),
        ("fsdp", SHARDED, {"Model": "2b"}, "line 2, Model"),
        ("fsdp", SHARDED, {"GPU": "tpu_v4"}, "line 2, GPU"),
        ("fsdp", SHARDED, {"Precision": "amp_fp8"}, "has no peak_TFLOPs_fp8"),
        ("fsdp", SHARDED, {"Activation Checkpointing": "yes"}, "line 2, Activation Checkpointing"),
    ],
)
def test_bad_rows_are_named(tmp_path, kind, row, changes, said):
    path = write(tmp_path / "bad.csv", [row | changes])
    with pytest.raises(InputError, match=said):
        validate(kind, path)


def test_the_command(tmp_path, capsys):
    path = write(tmp_path / "steps.csv", [STEP, STEP | {"microbatch": "4"}])
    assert main(["validate", "training", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == 2
    assert answer["max"] >= answer["mape"] > 0


@pytest.mark.parametrize(
    ("kind", "name", "most"),
    [("training", "training_steps", 0.06), ("fsdp", "training_fsdp", 0.06)],
)
def test_measured_steps_are_met(kind, name, most):
    path = SHARED / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"../shared/data/{name}.csv is not in this checkout")
    figures = validate(kind, path).figures
    assert figures["mape"] <= most
    if kind == "training":
        assert figures["mape_microbatch_given"] <= 0.06
        assert figures["max"] < 0.1
