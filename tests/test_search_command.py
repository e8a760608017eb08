"""`dse search` as a user runs it."""

import json
import subprocess
import sys
import time

import pandas as pd
import pytest

from dse.cli.main import main

SPACE = """
variant = "vector"
[parameters]
clock_GHz = { kind = "log", low = 0.3, high = 1.7 }
lanes = { kind = "power2", low = 16, high = 512 }
dram_kind = { choices = ["hbm3", "lpddr5"] }
cores = { kind = "integer", low = 3, high = 90 }
voltage_V = { low = 0.55, high = 0.95 }
"""
SETTINGS = ["--evaluations", "3000", "--at-most", "area=120", "--at-most", "power_W=30"]


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("spaces") / "mine.toml"
    path.write_text(SPACE)
    return str(path)


@pytest.fixture
def run(capsys):
    def call(*arguments):
        status = main(["search", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_a_run_in_words_and_as_json(space, run, tmp_path):
    status, out, _ = run(space, *SETTINGS, "--out", str(tmp_path / "words"))
    assert status == 0
    assert "one more mm² buys" in out
    status, out, _ = run(space, *SETTINGS, "--out", str(tmp_path / "json"), "--json")
    assert status == 0
    summary = json.loads(out)
    assert summary["evaluations"] <= 3000
    budgets = {price["budget"] for price in summary["prices"]["throughput_per_s"]}
    assert "area_mm2 <= 120" in budgets
    first, second = (
        pd.read_parquet(tmp_path / name / "front.parquet") for name in ("words", "json")
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert len(first) == summary["front_size"]
    assert (tmp_path / "json" / "front_pairwise.png").stat().st_size > 5000
    # From there, on two axes, without losing a design to a worse one.
    status, out, _ = run(
        space, *SETTINGS, "--start", str(tmp_path / "json" / "front.csv"), "--json",
        "--objective", "throughput_per_s", "--objective", "cost_USD",
        "--out", str(tmp_path / "more"),
    )  # fmt: skip
    assert status == 0
    more = json.loads(out)["best"]["throughput_per_s"]["throughput_per_s"]
    assert more >= first["throughput_per_s"].max()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--evaluations", "10"], ["evaluations", "10", ">= 1024"]),
        (["--evaluations", "many"], ["--evaluations", "many", "1e7"]),
        (["--optimizer", "adm"], ["optimizer", "adm", "adam"]),
        (["--learning-rate", "0"], ["learning_rate", "0"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--objective", "speed", "--objective", "power_W"], ["objective", "speed"]),
        (["--at-most", "area=9", "--at-least", "area_mm2=20"], ["area_mm2", "20", "at most 9"]),
        (["--start", "none.csv"], ["--start", "none.csv", "cannot be read"]),
    ],
)
def test_bad_input_is_one_line(space, run, tmp_path, arguments, words):
    status, out, err = run(space, *arguments, "--out", str(tmp_path / "run"))
    lines = [line for line in err.splitlines() if line.startswith("dse:")]
    assert (status, out, len(lines)) == (2, "", 1), err
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "run").exists()


def test_a_start_outside_the_space_is_named(space, run, tmp_path):
    table = tmp_path / "designs.csv"
    table.write_text("clock_GHz,lanes,dram_kind,cores,voltage_V\n1,64,hbm3,500,0.8\n")
    status, _, err = run(space, "--start", str(table), "--out", str(tmp_path / "run"))
    assert status == 2
    assert "table row 1, cores: got 500; allowed: 3 to 90" in err


def test_an_empty_choice_is_named(run, tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text('variant = "vector"\n[parameters]\ndram_kind = { choices = [] }\n')
    status, _, err = run(str(path))
    assert (status, "dram_kind.choices: got empty" in err) == (2, True)


def killed(folder, *arguments):
    """Start a search of that folder and kill it as soon as it has noted where it stands."""
    command = [sys.executable, "-c", "import sys; from dse.cli.main import main; sys.exit(main())"]
    process = subprocess.Popen(
        [*command, "search", *arguments, "--out", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    noted = folder.with_name(folder.name + ".checkpoint")
    end = time.monotonic() + 60
    while not noted.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()


def test_a_killed_search_goes_on_to_the_same_front(tmp_path, capsys):
    axes = ["--objective", "throughput_per_s", "--objective", "power_W"]  # and so no figures
    asked = ["systolic", "vector", "--evaluations", "300000", "--seed", "7", *axes]
    folder = tmp_path / "killed"
    killed(folder, *asked)
    assert not folder.exists()
    assert main(["search", "--resume", str(folder), "--seed", "8"]) == 2
    assert "--seed" in capsys.readouterr().err
    assert main(["search", "--resume", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_dir"] == str(folder)
    assert main(["search", *asked, "--out", str(tmp_path / "whole")]) == 0
    for name in ("front.csv", "variant_fronts.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]
    capsys.readouterr()
    assert main(["search", "--resume", str(folder)]) == 2
    assert "finished" in capsys.readouterr().err
    # A file that was cut short is told from a whole one.
    noted = tmp_path / "other.checkpoint"
    noted.write_bytes(b"chipgrad search\n" + bytes(100))
    assert main(["search", "--resume", str(tmp_path / "other")]) == 2
    assert "damaged" in capsys.readouterr().err
