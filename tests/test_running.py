"""Sweeps in a folder: killed, damaged, out of disk, resumed: the same front to the bit."""

import dataclasses
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dse
from dse import job as job_module
from dse import running
from dse.job import Job
from dse.manifest import describe, differences, rebuild
from dse.sampling import Grid, Sampled, Table
from dse.sweeping import WORKERS
from dse.trial import tried
from hwmodels import InputError, load_workload

SPACE = dse.Space(
    "vector",
    (
        dse.Parameter("clock_GHz", "log", 0.3, 1.7),
        dse.Parameter("lanes", "power2", 16, 512),
        dse.Parameter("dram_kind", "choice", choices=("hbm3", "lpddr5")),
        dse.Parameter("cores", "integer", 3, 90),
    ),
    constraints=(dse.Constraint("area_mm2", 300.0),),
)


def a_job(**changes):
    given = {"chunk": 512, "sampling": Sampled("random", 16384, 3)} | changes
    return Job((SPACE,), load_workload("mlp"), **given)


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    monkeypatch.setattr(job_module, "UNIT", 1024)
    monkeypatch.setattr(job_module, "KEPT_UNIT", 1024)
    monkeypatch.setattr(job_module, "PLAIN", 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from end to end, in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_module, "UNIT", 1024)
        patch.setattr(job_module, "PLAIN", 0)
        folder = tmp_path_factory.mktemp("whole") / "run"
        job = a_job()
        running.start(folder, job)
        running.write_front(folder, running.proceed(folder, job))
    return folder


def bits(folder):
    return [(folder / name).read_bytes() for name in ("front.csv", "variant_fronts.csv")]


def resume(folder, **options):
    job = running.reopen(folder)
    running.write_front(folder, running.proceed(folder, job, **options))


def test_the_folder_holds_a_file_for_each_unit(whole):
    files = sorted(path.name for path in (whole / "units").iterdir())
    assert len(files) == 16
    assert files[-1] == "000-000015-of-16.unit"
    table = pd.read_parquet(whole / "front.parquet")
    plain = dse.sweep(SPACE, load_workload("mlp"), designs=16384, seed=3).front.table
    pd.testing.assert_frame_equal(table, plain, check_exact=True)


def test_what_is_missing_is_done_again_and_nothing_else(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    gone = sorted((folder / "units").iterdir())[3:12:2]
    for path in gone:
        path.unlink()
    (folder / "units" / ".000-000001-of-16.unit.partial").write_bytes(b"half of")
    calls = []
    job = running.reopen(folder)
    running.proceed(folder, job, progress=lambda done, held: calls.append(done))
    assert [path for path in gone if not path.exists()] == []
    assert calls[-1] == 16384
    # Five units of two blocks each, and the eleven that were done.
    assert sum(1 for a, b in itertools.pairwise(calls) if b - a == 512) <= 10
    resume(folder)
    assert bits(folder) == bits(whole)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text"])
def test_a_damaged_unit_is_named_and_done_again(whole, tmp_path, damage):
    folder = shutil.copytree(whole, tmp_path / "run")
    path = sorted((folder / "units").iterdir())[5]
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 4
    path.write_bytes(
        {"cut": data[: len(data) // 2], "bit": data, "empty": b"", "text": b"hello\nworld"}[damage]
    )
    told = []
    resume(folder, warn=told.append)
    assert len(told) == 1
    assert str(path) in told[0]
    assert "done again" in told[0]
    assert bits(folder) == bits(whole)
    resume(folder, warn=told.append)
    assert len(told) == 1


def test_a_full_disk_loses_nothing(whole, tmp_path, monkeypatch):
    folder, job = tmp_path / "run", a_job()
    running.start(folder, job)
    real, left = os.fsync, [7]

    def full(number):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(number)

    with monkeypatch.context() as patch:
        patch.setattr(running.os, "fsync", full)
        with pytest.raises(InputError, match=r"No space left on device; make room.*--resume"):
            running.proceed(folder, job)
    assert 0 < len(list((folder / "units").glob("*.unit"))) < 16
    assert not list((folder / "units").glob(".*"))
    resume(folder)
    assert bits(folder) == bits(whole)


KILLED = """
    import os, random, signal, sys, time
    from pathlib import Path
    import pandas
    import jax
    from dse import job, running
    from dse.sweeping import in_threads
    job.UNIT, job.PLAIN = 1024, 0
    folder, copies, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw, done = random.Random(1), 0
    while done < kills:
        # Forked before JAX has started: a fresh process without the time of the imports.
        child = os.fork()
        if child == 0:
            for i in range(copies):
                run = folder / str(i)
                running.write_front(run, running.proceed(run, running.reopen(run)))
            os._exit(0)
        begin = time.monotonic()
        count = len(list(folder.glob("*/units/*.unit")))
        # Some die while they compile, most a few files later.
        wanted = count + draw.randint(0, 3)
        while len(list(folder.glob("*/units/*.unit"))) < wanted:
            time.sleep(draw.uniform(0.0, 0.004))
            if os.waitpid(child, os.WNOHANG)[0]:
                print("ended", flush=True)
                sys.exit(1)
        time.sleep(draw.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done += 1
    print("killed", done)
"""


def test_twenty_kills_do_not_change_a_bit(whole, tmp_path):
    folder = tmp_path / "runs"
    job = a_job()
    copies = 3
    for i in range(copies):
        running.start(folder / str(i), job)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(folder), str(copies), "20"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.stdout.strip() == "killed 20", done.stderr[-2000:]
    files = len(list(folder.glob("*/units/*.unit")))
    assert 0 < files < 16 * copies
    for i in range(copies):
        resume(folder / str(i))
        assert bits(folder / str(i)) == bits(whole)


def test_all_designs_are_kept(tmp_path):
    folder, job = tmp_path / "run", a_job(keep_all=True, sampling=Sampled("sobol", 4096, 1))
    running.start(folder, job)
    swept = running.proceed(folder, job)
    files = sorted((folder / "designs").iterdir())
    assert len(files) == len(job.units(WORKERS)) == 4
    every = pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
    assert sorted(every["design"]) == list(range(4096))
    assert every["feasible"].sum() == swept.census.feasible
    found = dse.Front.from_table(every[every["feasible"]])
    assert set(found.table["design"]) == set(swept.front.table["design"])
    # The screened sweep has the same front.
    less = dse.sweep(SPACE, job.workload, designs=4096, seed=1, sampler="sobol").front.table
    pd.testing.assert_frame_equal(less, swept.front.table, check_exact=True)
    files[2].write_bytes(files[2].read_bytes()[:-9])
    told = []
    again = running.proceed(folder, running.reopen(folder), warn=told.append)
    assert "000-000002-of-4" in told[0]
    pd.testing.assert_frame_equal(again.front.table, swept.front.table, check_exact=True)
    assert pd.read_parquet(files[2]).shape == (1024, every.shape[1])


def test_another_code_or_space_is_refused_with_the_difference(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["sweep"]["code"]["hwmodels/evaluate.py"] = "0123"
    content["sweep"]["libraries"]["jax"] = "0.1"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        running.reopen(folder)
    assert "hwmodels/evaluate.py changed" in str(error.value)
    assert "libraries.jax: was 0.1, is" in str(error.value)
    assert "\n" not in str(error.value)
    path.write_text("{}")
    with pytest.raises(InputError, match="not the folder of a sweep"):
        running.reopen(folder)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampled("latin", 5000, 9),
        Grid((("clock_GHz", 3),), 2),
        Table(pd.DataFrame({"clock_GHz": [1.0], "lanes": 32, "dram_kind": "hbm3", "cores": 3})),
    ],
)  # fmt: skip
def test_a_manifest_rebuilds_its_job(sampling):
    options = dse.Options(metrics=("throughput_per_s", "cost_USD"), runtime="eager")
    job = a_job(sampling=sampling, options=options, epsilon=0.1)
    frame = sampling.frame if isinstance(sampling, Table) else None
    content = json.loads(json.dumps(describe(job)))
    again = rebuild(content, frame)
    assert differences(content, describe(again)) == []
    assert again.designs == job.designs
    other = dataclasses.replace(job, spaces=(SPACE.with_constraints(()),), epsilon=0.2)
    found = differences(content, describe(other))
    assert "epsilon: was 0.1, is 0.2" in found
    assert any("constraints" in line for line in found)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_two_to_five_objectives(count):
    metrics = ("throughput_per_s", "power_W", "area_mm2", "cost_USD", "scalability_per_s")[:count]
    job = a_job(options=dse.Options(metrics=metrics), keep_all=True)
    swept = dse.sweeping.run(job)
    table = pd.concat([job.run(u).everything for u in job.units(WORKERS)], ignore_index=True)
    table = table[table["feasible"]]
    points = table[list(metrics)].to_numpy(float)
    points = points * [-1 if name.endswith("per_s") else 1 for name in metrics]
    sample = np.random.default_rng(0).choice(len(points), 300, replace=False)
    front = set(swept.front.table["design"])
    for i in sample:
        beaten = ((points <= points[i]).all(axis=1) & (points < points[i]).any(axis=1)).any()
        equal = (points == points[i]).all(axis=1)
        first = table["design"].to_numpy()[equal].min()
        design = table["design"].iloc[i]
        assert (design in front) == (not beaten and design == first)
    screened = dse.sweeping.run(dataclasses.replace(job, keep_all=False))
    pd.testing.assert_frame_equal(screened.front.table, swept.front.table, check_exact=True)


def test_objectives_are_checked():
    for bad in (("power_W",), ("power_W", "power_W"), ("a", "b"), ("power_W",) * 6):
        with pytest.raises(InputError, match="objective"):
            dse.Options(metrics=bad)


def test_an_approximate_front_covers_the_exact_one():
    exact = dse.sweeping.run(a_job()).front
    for epsilon in (0.02, 0.2):
        job = a_job(epsilon=epsilon)
        front = dse.sweeping.run(job).front
        assert len(front) < len(exact)
        assert front.epsilon(exact) <= epsilon * (1 + 1e-6)
        assert set(front.table["design"]) <= set(exact.table["design"])
        other = dse.sweeping.run(dataclasses.replace(job, chunk=128)).front
        pd.testing.assert_frame_equal(front.table, other.table, check_exact=True)


DEVICES = """
    import sys, pandas, jax
    from dse import job
    job.UNIT, job.PLAIN = 1024, 0
    sys.path.insert(0, sys.argv[1])
    from test_running import a_job
    from dse.sweeping import run
    assert len(jax.devices()) == 3
    run(a_job()).front.table.to_csv(sys.argv[2], index=False)
"""


def test_the_number_of_devices_does_not_change_a_bit(whole, tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=3"
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DEVICES), str(Path(__file__).parent),
         str(tmp_path / "front.csv")],
        check=True, timeout=300, env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert (tmp_path / "front.csv").read_bytes() == (whole / "front.csv").read_bytes()


def test_runs_are_started_once(whole):
    with pytest.raises(InputError, match=r"--out: .*exists already"):
        running.start(whole, a_job())


def test_a_trial_chooses_the_fastest_settings_and_only_those(tmp_path):
    job = a_job(chunk=None)
    chosen, tried_ones = tried(job, seconds=1.5)
    assert tried_ones
    best = max(tried_ones, key=lambda entry: entry["designs_per_s"])
    assert (chosen.chunk, chosen.filter_points) == (best["chunk"], best["filter_points"])
    assert all(entry["designs_per_s"] > 0 for entry in tried_ones)
    assert dataclasses.replace(chosen, chunk=None, filter_points=None) == job
    running.start(tmp_path / "run", chosen, tried_ones)
    again = running.reopen(tmp_path / "run")
    assert (again.chunk, again.filter_points) == (chosen.chunk, chosen.filter_points)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["trial"] == tried_ones


def test_a_unit_of_another_sweep_is_done_again(whole, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(whole, run)
    running.start(other, a_job(sampling=Sampled("random", 16384, 4)))
    running.proceed(other, running.reopen(other))
    name = "000-000003-of-16.unit"
    shutil.copy(other / "units" / name, run / "units" / name)
    told = []
    resume(run, warn=told.append)
    assert bits(run) == bits(whole)
    assert len(told) == 1
    assert "of another sweep; done again" in told[0]


def test_a_folder_has_one_process(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    with (tmp_path / "run" / running.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is at work"):
            resume(tmp_path / "run")
    resume(tmp_path / "run")
