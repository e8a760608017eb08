"""Fronts under uncertain technology."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import dse
from dse.cli.main import main
from dse.robustness import UNCERTAIN
from hwmodels import VARIANTS, InputError, load_workload
from hwmodels.quantity import quantities

WORKLOAD = load_workload("mlp")
COLUMNS = ["throughput_per_s", "power_W", "scalability_per_s"]
SPACE = dse.Space(
    "systolic",
    (
        dse.Parameter("arrays", "power2", 1, 16),
        dse.Parameter("sram_capacity_MiB", "log", 1, 256),
        dse.Parameter("clock_GHz", "log", 0.2, 1.7),
    ),
    (("voltage_V", 0.75),),
)


@pytest.fixture(scope="module")
def front():
    return dse.search(SPACE, WORKLOAD, evaluations=3000).front.table


@pytest.fixture(scope="module")
def found(front):
    return dse.robust_front(front, SPACE, WORKLOAD, worlds=64, seed=3)


def test_a_certain_world_is_the_model(front):
    sure = dse.robust_front(front, SPACE, WORKLOAD, worlds=2, uncertain={"scale_leakage": 0.0})
    assert (sure.table["chance"] == 1).all()
    assert (sure.table["chance_of_limits"] == 1).all()
    for column in COLUMNS:
        for name in ("low", "median", "high"):
            told = sure.table[f"{column}_{name}"]
            np.testing.assert_allclose(told, sure.table[column], rtol=2e-6)
    band = sure.band("power_W", "throughput_per_s").dropna()
    np.testing.assert_array_equal(band["low"], band["high"])


def test_chance_of_two_designs_by_hand():
    """Of two designs the slower one has more SRAM, which leaks, and a lower clock, which saves: it
    is on the front where leakage is small enough that it takes less power, and how often that is
    the normal distribution knows."""
    a = {"arrays": 4.0, "sram_capacity_MiB": 8.0, "clock_GHz": 1.0}
    c = {"arrays": 4.0, "sram_capacity_MiB": 32.0, "clock_GHz": 0.5}
    table = pd.DataFrame([a, c])
    sigma, worlds = 0.8, 4096
    made = dse.robust_front(
        table, SPACE, WORKLOAD, worlds=worlds, uncertain={"scale_leakage": sigma},
        options=dse.Options(metrics=("throughput_per_s", "power_W")),
    )  # fmt: skip
    # Power is linear in leakage: two worlds tell the line of each design.
    rng = np.random.default_rng(0)
    factor = np.exp(sigma * rng.standard_normal((worlds, 1)))[:, 0]
    rows = made.table.index[made.table["clock_GHz"] < 0.9]
    power = made.points[:, :, 1]
    slow = power[:, rows[0]]
    fast = power[:, 1 - rows[0]]
    slope, offset = np.polyfit(factor, slow - fast, 1)
    assert slope > 0
    assert offset < 0
    np.testing.assert_allclose(slow - fast, slope * factor + offset, atol=1e-4)
    limit = -offset / slope  # of the factor, below which the slower design takes less power
    expected = 0.5 * (1 + math.erf(math.log(limit) / sigma / math.sqrt(2)))
    told = made.table["chance"][rows[0]]
    assert 0.02 < expected < 0.98
    assert told == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / worlds))


def test_an_error_common_to_all_designs_changes_no_order(front):
    made = dse.robust_front(front, SPACE, WORKLOAD, worlds=16, uncertain={"scale_wafer_price": 0.5})
    assert (made.table["chance"] == 1).all()


def test_chances_are_of_fronts_and_ranked(found):
    table = found.table
    assert table["chance"].is_monotonic_decreasing
    assert table["chance"].between(0, 1).all()
    assert (table["chance"] <= table["chance_of_limits"]).all()
    assert 0 < table["chance"].iloc[-1] < 1  # some are not sure
    medians = table["power_W_median"] / table["power_W"]
    assert medians.between(0.8, 1.25).all()
    for column in COLUMNS:
        assert (table[f"{column}_low"] <= table[f"{column}_median"]).all()
        assert (table[f"{column}_median"] <= table[f"{column}_high"]).all()


def test_a_slow_process_breaks_tight_clocks(found):
    """A clock at the node's limit is met in half of the worlds, one far below it in nearly all."""
    clock = found.table["clock_GHz"]
    assert found.table["chance_of_limits"][clock < 1.0].min() > 0.97
    assert found.table["chance_of_limits"][clock > 1.6].max() < 0.85


def test_bands_hold_the_median_and_grow(found):
    band = found.band("power_W", "throughput_per_s").dropna()
    assert len(band) > 30
    assert (band["low"] <= band["median"]).all()
    assert (band["median"] <= band["high"]).all()
    assert band["median"].is_monotonic_increasing  # more power, no less throughput


def test_the_same_seed_is_the_same_result(front, found):
    again = dse.robust_front(front, SPACE, WORKLOAD, worlds=64, seed=3)
    pd.testing.assert_frame_equal(found.table, again.table, check_exact=True)
    other = dse.robust_front(front, SPACE, WORKLOAD, worlds=64, seed=4)
    assert not other.table["chance"].equals(found.table["chance"])


def test_every_uncertain_number_exists():
    known = {name for cls in VARIANTS.values() for name in quantities(cls)}
    assert set(UNCERTAIN) <= known
    assert {name for name in known if name.startswith("scale_")} <= set(UNCERTAIN)


@pytest.mark.parametrize(
    ("table", "settings", "told"),
    [
        (None, {"worlds": 1}, "worlds"),
        (None, {"worlds": 10**9}, "worlds"),
        (None, {"uncertain": {"scale_leakag": 0.1}}, "scale_leakage"),
        ({"arrays": [3e9], "sram_capacity_MiB": [8.0], "clock_GHz": [1.0]}, {}, "row 1"),
        ({"arrays": [1.0], "clock_GHz": [1.0]}, {}, "sram_capacity_MiB"),
    ],
)  # fmt: skip
def test_bad_input(front, table, settings, told):
    with pytest.raises(InputError, match=told):
        dse.robust_front(
            front if table is None else pd.DataFrame(table), SPACE, WORKLOAD, **settings
        )


def test_the_command(front, tmp_path, capsys):
    path, space = tmp_path / "front.csv", tmp_path / "space.toml"
    front.to_csv(path, index=False)
    space.write_text(
        'variant = "systolic"\n[fixed]\nvoltage_V = 0.75\n[parameters]\n'
        'arrays = { kind = "power2", low = 1, high = 16 }\n'
        'sram_capacity_MiB = { kind = "log", low = 1, high = 256 }\n'
        'clock_GHz = { kind = "log", low = 0.2, high = 1.7 }\n'
    )
    out = tmp_path / "run"
    options = ["--worlds", "32", "--out", str(out)]
    assert main(["robust", str(path), str(space), *options]) == 0
    assert "on the front" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} >= {"robust.csv", "robust.png", "robust.svg"}
    assert main(["robust", str(path), str(space), "--worlds", "32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["designs"] == len(front)
    assert main(["robust", str(path), str(space), "--worlds", "none"]) == 2
    assert "--worlds" in capsys.readouterr().err
