"""`dse plot`: figures of a run's own axes, and its page."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

from dse.breakdown import break_down
from dse.cli.main import main
from dse.front import OBJECTIVES
from dse.origin import origin
from dse.plots.design import weak_curve
from dse.plots.fronts import pairwise
from dse.plots.parallel import parallel
from dse.plots.style import ONE_COLUMN_INCHES
from dse.store import read_front
from hwmodels import InputError, evaluate, load_workload
from hwmodels.fleet.strong import shares, strong_curve, strong_throughput


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
    run = run_folder(
        tmp_path / "run", {"settings": {"objectives": ["throughput_per_s", "cost_USD"]}}
    )
    out = tmp_path / "out"
    assert main(["plot", str(run), "--format", "svg", "--out", str(out)]) == 0
    names = {"front.html", "front_pairwise.svg", "front_parallel.svg"}
    assert {file.name for file in out.iterdir()} == names
    svg = (out / "front_parallel.svg").read_text()
    assert "Cost" in svg or "cost" in svg


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such"),
        (["RUN", "--columns", "3"], "--columns: got 3; allowed: 1, 2"),
        (["RUN", "--format", "jpg"], "allowed: png, svg, pdf"),
        (["RUN", "--design", "knee"], "--design: got knee; allowed: of a run folder"),
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
    assert "Cost (USD)" in words
    assert "sms" not in words
    (lines,) = figure.axes[0].collections
    places = np.stack([path.vertices for path in lines.get_paths()])
    assert ((places[..., 1] >= 0) & (places[..., 1] <= 1)).all()


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A run of two variants, with choices of every kind."""
    run = tmp_path_factory.mktemp("swept") / "run"
    sizes = ["--designs", "8192", "--at-most", "area=500"]
    assert main(["sweep", "systolic", "simt", "--workload", "mlp", *sizes, "--out", str(run)]) == 0
    return run


def test_rows_become_the_designs_that_they_are_of(swept):
    front, source = read_front(swept), origin(swept)
    assert source.workload == "mlp"
    workload = load_workload("mlp")
    for _, variant in front.table.groupby("variant"):
        row = variant.iloc[len(variant) // 2]
        chip, fleet = source.design(row)
        metrics = evaluate(chip, workload, fleet)
        for column, value in (
            ("throughput_per_s", metrics.throughput), ("power_W", metrics.power),
            ("scalability_per_s", metrics.scalability), ("cost_USD", metrics.cost),
        ):  # fmt: skip
            assert float(value) == pytest.approx(row[column], rel=1e-5), column
    with pytest.raises(InputError, match="needs"):
        source.spaces[0].design({"variant": "systolic"})
    with pytest.raises(InputError, match="this space's: systolic"):
        source.spaces[0].design({"variant": "simt"})
    with pytest.raises(InputError, match="the run's: systolic, simt"):
        source.design(row.replace("simt", "vector").replace("systolic", "vector"))


def test_designs_of_a_run(swept, tmp_path, capsys):
    number = str(read_front(swept).table["design"].iloc[0])
    asked = ["--design", "throughput", "--design", number, "--format", "png", "--json"]
    assert main(["plot", str(swept), *asked, "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    names = {Path(file).name for file in json.loads(told.out)["files"]}
    kinds = ("roofline", "energy", "parts", "scaling", "tornado")
    for design in ("best_throughput", f"design_{number}"):
        assert {f"{design}_{kind}.png" for kind in kinds} <= names
    assert "was" not in told.err  # nothing differs from the run
    assert main(["plot", str(swept), "--design", "nobody"]) == 2
    assert "--design: got nobody; allowed: knee, none, throughput" in capsys.readouterr().err


def test_curves_of_a_design(swept):
    source, workload = origin(swept), load_workload("mlp")
    chip, fleet = source.design(read_front(swept).best("throughput_per_s"))
    found = break_down("best", chip, workload)
    weak = weak_curve(found, fleet)
    assert weak["chips"].iloc[-1] <= workload.max_global_batch / workload.samples
    alone = float(found.metrics.throughput)
    np.testing.assert_allclose(weak["throughput"], alone * weak["chips"] * weak["efficiency"])
    parts = shares(chip, workload)
    options = {"training": True, "runtime": "graph", "residency": "warm"}
    curve = jax.jit(lambda: strong_curve(chip, parts, fleet, **options))()
    best = jax.jit(lambda: strong_throughput(chip, parts, fleet, **options))()
    assert float(curve[0]) == pytest.approx(alone, rel=1e-5)
    assert float(max(curve)) == pytest.approx(float(best), rel=1e-6)
