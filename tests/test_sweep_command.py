"""`dse sweep` as a user runs it."""

import json

import pandas as pd
import pytest

from dse import job as job_module
from dse.cli.main import main
from hwmodels.errors import InputError

SPACE = """
variant = "vector"
[parameters]
clock_GHz = { kind = "log", low = 0.3, high = 1.7 }
lanes = { kind = "power2", low = 16, high = 512 }
cores = { kind = "integer", low = 3, high = 90 }
[constraints]
area_mm2 = { at_most = 300 }
"""


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SPACE)
    return str(path)


def run(capsys, *arguments):
    assert main(["sweep", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_and_its_resumption(space, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(job_module, "UNIT", 4096)
    monkeypatch.setattr(job_module, "PLAIN", 0)
    out = tmp_path / "run"
    asked = [space, "--designs", "2e4", "--seed", 5, "--at-most", "power_W=60"]
    summary = run(capsys, *asked, "--out", out)
    assert summary["designs"] == 20_000
    assert 0 < summary["feasible"] < 20_000
    table = pd.read_csv(out / "front.csv")
    assert summary["front_size"] == len(table) > 3
    assert table["power_W"].max() <= 60
    assert summary["knee"]["design"] in set(table["design"])
    names = {path.name for path in out.iterdir()}
    assert {"front.parquet", "variant_fronts.csv", "front_pairwise.pdf", "manifest.json"} <= names
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["summary"]["front_size"] == len(table)
    before = (out / "front.csv").read_bytes()
    next((out / "units").glob("*.unit")).unlink()
    again = run(capsys, "--resume", out)
    assert again["front_size"] == len(table)
    assert (out / "front.csv").read_bytes() == before
    # Asked for once more, it must be the same.
    assert main(["sweep", *map(str, asked), "--resume", str(out)]) == 0
    asked[2] = "3e4"
    assert main(["sweep", *map(str, asked), "--resume", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "sampling.designs: was 20000, is 30000" in error
    assert main(["sweep", "--resume", str(out), "--out", "elsewhere"]) == 2
    assert main(["sweep", space, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_grid_all_of_it_kept(space, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["--grid", 5, "--grid", "cores=3", "--keep", "all", "--out", out]
    summary = run(capsys, space, *arguments, "--objective", "power_W", "--objective", "time_us")
    assert summary["designs"] == 5 * 5 * 3
    every = pd.concat(map(pd.read_parquet, (out / "designs").iterdir()))
    assert len(every) == 75
    assert set(summary["best"]) == {"power_W", "time_us"}
    drawn = {path.name for path in out.glob("*.png")}  # two axes: no figure in space
    assert drawn == {"front_pairwise.png", "front_parallel.png"}


def test_a_table_and_an_approximate_front(space, tmp_path, capsys):
    first = run(capsys, space, "--designs", 3000, "--sampler", "latin", "--out", tmp_path / "a")
    front = tmp_path / "a" / "front.csv"
    again = run(capsys, space, "--table", front, "--out", tmp_path / "b")
    assert again["designs"] == again["front_size"] == first["front_size"]
    less = run(capsys, space, "--table", front, "--epsilon", 0.3, "--out", tmp_path / "c")
    assert less["approximate"]
    assert less["front_size"] < first["front_size"]
    assert main(["sweep", space, "--table", str(front), "--epsilon", "0.3"]) == 0
    assert "approximate (epsilon 0.3)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "SPACE: got none"),
        (["systolik"], "did you mean systolic?"),
        (["no.toml"], "space file: got no.toml; no such file"),
        (["systolic", "systolic"], "each variant has one space"),
        (["systolic", "--designs", "2.5"], "--designs: got 2.5"),
        (["systolic", "--designs", "-4"], "--designs: got -4"),
        (["systolic", "--designs", "1e12"], "designs: got 1000000000000"),
        (["systolic", "--sampler", "halton"], "sampler: got halton"),
        (["systolic", "--grid", "clock=4"], "points: got clock"),
        (["systolic", "--grid", "x"], "--grid: got x"),
        (["systolic", "--grid", "4", "--designs", "9"], "one of them"),
        (["systolic", "--table", "no.csv"], "--table: got no.csv"),
        (["systolic", "--objective", "power_W"], "2 to 5 metrics"),
        (["simt", "--objective", "pover", "--objective", "time_us"], "objective: got pover"),
        (["systolic", "--keep", "some"], "--keep: got some"),
        (["systolic", "--epsilon", "2"], "--epsilon: got 2"),
        (["systolic", "--at-most", "power_W=much"], "power_W: got much"),
        (["systolic", "--workload", "mpl"], "workload: got mpl"),
        (["systolic", "--cluster", "local:x"], "--cluster: got local:x"),
        (["--resume", "nowhere"], "run folder: got nowhere; no such folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_worker_hands_on_bad_input_as_it_is():
    import pickle

    error = InputError("designs", 0, "allowed: >= 1")
    again = pickle.loads(pickle.dumps(error))  # as dask does, between trusted processes
    assert str(again) == str(error)
