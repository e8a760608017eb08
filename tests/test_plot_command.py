"""`dse plot`: figures of a run's own axes, and its page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.cli.main import main
from dse.front import OBJECTIVES
from dse.plots.fronts import pairwise
from dse.plots.parallel import parallel
from dse.plots.style import ONE_COLUMN_INCHES


def table(count: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame({
        "variant": random.choice(["simt", "systolic"], count),
        "design": range(count),
        "throughput_per_s": 10 ** random.uniform(2, 6, count),
        "power_W": 10 ** random.uniform(0, 2, count),
        "scalability_per_s": 10 ** random.uniform(2, 9, count),
        "cost_USD": random.uniform(100, 900, count),
        "sms": np.where(random.uniform(size=count) < 0.5, np.nan, 8.0),
    })  # fmt: skip


def run_folder(path: Path, manifest: dict[str, object]) -> Path:
    path.mkdir()
    table().to_parquet(path / "front.parquet", index=False)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_a_run_of_three_axes(tmp_path, capsys):
    run = run_folder(tmp_path / "run", {"settings": {"scalability": "s80"}})
    assert main(["plot", str(run), "--format", "png", "--columns", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    names = {Path(file).name for file in answer["files"]}
    assert names == {"front.html", "front_3d.png", "front_pairwise.png", "front_parallel.png"}
    assert answer["run_dir"] == f"{run}-plots"
    assert '"throughput_per_s"' in (Path(answer["run_dir"]) / "front.html").read_text()


def test_a_run_of_two_axes_has_those(tmp_path, capsys):
    run = run_folder(tmp_path / "run", {"objectives": ["throughput_per_s", "cost_USD"]})
    out = tmp_path / "out"
    assert main(["plot", str(run), "--format", "svg", "--out", str(out)]) == 0
    assert {file.name for file in out.iterdir()} == {"front.html", "front_parallel.svg"}
    svg = (out / "front_parallel.svg").read_text()
    assert "Cost" in svg or "cost" in svg


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such"),
        (["RUN", "--columns", "3"], "--columns: got 3; allowed: 1, 2"),
        (["RUN", "--format", "jpg"], "allowed: png, svg, pdf"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, words):
    run = run_folder(tmp_path / "run", {})
    given = [str(run) if a == "RUN" else a for a in arguments]
    assert main(["plot", *given]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_one_column_is_as_wide_as_a_column():
    tables = dict(iter(table().groupby("variant")))
    figure = pairwise(tables, table(), columns=1)
    assert figure.get_size_inches()[0] == pytest.approx(ONE_COLUMN_INCHES)
    assert len(figure.axes) == 3


def test_parallel_axes_are_those_that_all_designs_have():
    figure = parallel(table(), OBJECTIVES)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "Throughput" in words
    assert "cost_USD" in words
    assert "sms" not in words
    (lines,) = figure.axes[0].collections
    places = np.stack([path.vertices for path in lines.get_paths()])
    assert ((places[..., 1] >= 0) & (places[..., 1] <= 1)).all()
