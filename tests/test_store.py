"""Run folders: whole or absent, readable back, and honest one-line errors."""

import json
import os
import re
import stat
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse import store
from dse.provenance import provenance
from dse.store import RunFolder, default_folder, read_front
from hwmodels.errors import InputError


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "variant": ["systolic", "simt", "vector"],
            "rows": [128, 7, 13],
            "throughput_per_s": [1.1e6, 0.7e6, 0.6e6],
            "power_W": [171.3, 40.0, 41.0],
            "scalability_per_s": [3e8, 1 / 3, 0.2],  # the last is dominated by the second
        }
    )


def snapshot(folder: Path):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_round_trip(tmp_path, table):
    with RunFolder.create(tmp_path / "a" / "run") as run:
        run.write_table("front", table)
        run.write_manifest({"seed": np.int32(3), "out": Path("x"), "sizes": (1, np.float64(2.5))})
        assert not run.path.exists()
        assert run.commit() == tmp_path / "a" / "run"
    assert sorted(os.listdir(tmp_path / "a")) == ["run"]
    back = RunFolder.open(tmp_path / "a" / "run")
    pd.testing.assert_frame_equal(back.table("front"), table)
    pd.testing.assert_frame_equal(pd.read_csv(back.path / "front.csv"), table, check_exact=True)
    assert back.manifest() == {"seed": 3, "out": "x", "sizes": [1, 2.5]}
    text = (back.path / "manifest.json").read_text()
    assert list(json.loads(text)) == ["out", "seed", "sizes"]
    assert len(read_front(back.path)) == len(read_front(back.path / "front.parquet")) == 2


def test_committed_folder_has_ordinary_permissions(tmp_path):
    with RunFolder.create(tmp_path / "run") as run:
        run.commit()
    (tmp_path / "plain").mkdir()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "plain")}
    assert len(modes) == 1


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing_behind(tmp_path, table, error):
    def fail():
        with RunFolder.create(tmp_path / "a" / "b" / "run") as run:
            run.write_table("front", table)
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == []


def test_without_commit_nothing_appears(tmp_path):
    with RunFolder.create(tmp_path / "run") as run:
        run.write_manifest({})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["full", "empty", "file", "dangling link"])
def test_existing_path_is_refused_and_untouched(tmp_path, kind):
    path = tmp_path / "run"
    if kind == "file":
        path.write_text("mine")
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
    if kind == "full":
        (path / "notes.txt").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=r"--out.*choose a new folder"):
        RunFolder.create(path)
    assert snapshot(tmp_path) == before
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("theirs", ["notes.txt", "manifest.json"])
def test_a_folder_that_appears_meanwhile_is_kept(tmp_path, theirs):
    path = tmp_path / "run"
    with RunFolder.create(path) as run:
        path.mkdir()
        (path / theirs).write_text("x")
        with pytest.raises(InputError, match="meanwhile"):
            run.commit()
    assert os.listdir(tmp_path) == ["run"]
    assert os.listdir(path) == [theirs]


def test_parent_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out") as caught:
        RunFolder.create(tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), np.float32("inf"), np.array([1.0, np.nan])])
def test_manifest_refuses_non_finite_numbers_by_key(tmp_path, bad):
    with (
        pytest.raises(InputError, match=r"manifest\.timings\.sweep"),
        RunFolder.create(tmp_path / "run") as run,
    ):
        run.write_manifest({"timings": {"sweep": bad}})


def test_manifest_refuses_arbitrary_objects(tmp_path):
    with (
        pytest.raises(InputError, match=r"manifest\.f"),
        RunFolder.create(tmp_path / "run") as run,
    ):
        run.write_manifest({"f": object()})


def test_reading_errors_are_one_line(tmp_path, table):
    with pytest.raises(InputError, match="no such folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        RunFolder.open(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_front(tmp_path)
    (tmp_path / "front.parquet").write_text("not parquet\nat all")
    with pytest.raises(InputError, match="not a readable parquet") as caught:
        read_front(tmp_path)
    assert "\n" not in str(caught.value)
    table.drop(columns="power_W").to_parquet(tmp_path / "front.parquet")
    with pytest.raises(InputError, match="power_W"):
        read_front(tmp_path)
    (tmp_path / "manifest.json").write_text("[1")
    with pytest.raises(InputError, match="manifest"):
        RunFolder.open(tmp_path).manifest()


def test_default_folder(tmp_path):
    now = datetime(2026, 3, 4, 5, 6, 7)
    first = default_folder("pareto", tmp_path, now)
    assert first.name == "pareto-20260304-050607"
    first.mkdir()
    assert default_folder("pareto", tmp_path, now).name == "pareto-20260304-050607-2"
    assert default_folder("pareto").parts[0] == "runs"


def test_provenance_is_json_and_never_fails(tmp_path, monkeypatch):
    facts = provenance()
    json.dumps(facts, allow_nan=False)
    assert {"chipgrad", "python", "jax", "numpy", "git_commit", "platform", "cpu_count"} <= {*facts}
    assert facts["git_commit"] is None or re.fullmatch("[0-9a-f]{40}", str(facts["git_commit"]))
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert provenance()["git_commit"] is None
    monkeypatch.setattr(store, "__file__", str(tmp_path / "gone" / "store.py"))
    assert provenance()["git_commit"] is None
