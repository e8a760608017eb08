"""Elasticities, interactions and targets of chips, and the command."""

import json
import math

import jax
import numpy as np
import pytest

from dse.cli.main import main
from dse.elasticity import interactions, sensitivity, swings
from dse.point import METRICS, SHARP, Point
from dse.targets import reach, target
from hwmodels import VARIANTS, InputError, evaluate, load_workload
from hwmodels.quantity import multiplied, read_quantities
from hwmodels.technology import Scale

MLP = load_workload("mlp")
ENERGIES = ("logic_energy", "wire_energy", "sram_energy", "leakage")


@pytest.fixture(scope="module")
def chip():
    return VARIANTS["systolic"]()


@pytest.fixture(scope="module")
def large():
    return load_workload("mlp-large")


@pytest.fixture(scope="module")
def point(chip, large):
    return Point(chip, large)


@pytest.fixture(scope="module")
def found(chip, large):
    return sensitivity(chip, large, load_workload("mlp-large", 2))


def of(found, metric, parameter):
    rows = found.table
    return rows[(rows["metric"] == metric) & (rows["parameter"] == parameter)].iloc[0]


def test_a_process_as_tabled_changes_no_bit(chip):
    plain, scale = evaluate(chip, MLP), multiplied(chip, {f"scale_{n}": 1.0 for n in ENERGIES})
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(evaluate(scale, MLP)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_metrics_are_those_of_evaluate(found, chip, large):
    metrics = evaluate(chip, large)
    assert found.metrics["throughput_per_s"] == pytest.approx(float(metrics.throughput), rel=1e-5)
    assert found.metrics["power_W"] == pytest.approx(float(metrics.power), rel=1e-5)
    assert found.metrics["area_mm2"] == pytest.approx(1e6 * float(metrics.area), rel=1e-5)


def test_elasticities_known_by_hand(found, chip, large):
    """A clock twice as fast does on-chip work in half of the time; DRAM's energy is its share."""
    metrics = evaluate(chip, large)
    assert of(found, "area_mm2", "clock_GHz")["elasticity"] == pytest.approx(0.0, abs=1e-6)
    share = float(metrics.energy_terms["dram"]) / float(metrics.energy)
    told = of(found, "energy_mJ", "dram_energy_pJ_per_bit")
    assert told["elasticity"] == pytest.approx(share, rel=1e-3)
    launch = float(metrics.time_terms["launch"]) / float(metrics.time)
    assert of(found, "time_us", "clock_GHz")["elasticity"] == pytest.approx(launch - 1, abs=2e-2)
    time = of(found, "time_us", "clock_GHz")["elasticity"]
    assert of(found, "throughput_per_s", "clock_GHz")["elasticity"] == pytest.approx(-time)
    assert of(found, "power_W", "tdp_W") is not None if chip.tdp < math.inf else True


def test_all_energies_scaled_scale_the_energy(found, chip, large):
    """Euler: of a sum that is linear in prices, the elasticities to all prices make 1, less what
    has no price here: idle power and the vector unit's share of logic count within logic."""
    metrics = evaluate(chip, large)
    total = sum(of(found, "energy_mJ", f"scale_{n}")["elasticity"] for n in ENERGIES)
    total += of(found, "energy_mJ", "dram_energy_pJ_per_bit")["elasticity"]
    total += of(found, "energy_mJ", "dram_idle_power_W")["elasticity"]
    total += of(found, "energy_mJ", "link_energy_pJ_per_bit")["elasticity"]
    idle = float(metrics.power_terms["static_idle"]) / float(metrics.power)
    assert total == pytest.approx(1.0 - idle, abs=5e-3)


def test_slopes_are_differences_where_they_say_so(found):
    calm = found.table[found.table["agrees"] & found.table["elasticity"].notna()]
    assert len(calm) > 0.9 * len(found.table)
    middle = (calm["smaller"] + calm["larger"]) / 2
    assert (calm["elasticity"] - middle).abs().max() < 0.16
    assert (calm["elasticity"] - middle).abs().median() < 1e-3


def test_a_dimension_that_just_fits_is_a_step(found):
    """Widths of 4096 on 128 rows: one row less takes a whole pass more."""
    rows = of(found, "throughput_per_s", "rows")
    assert rows["smaller"] > 3 * rows["larger"]
    assert not rows["agrees"]


def test_batch_and_node_are_re_evaluated(found, chip, large):
    more = evaluate(chip, load_workload("mlp-large", 2))
    told = math.log2(float(more.throughput) / found.metrics["throughput_per_s"])
    row = of(found, "throughput_per_s", "batch")
    assert row["larger"] == pytest.approx(told, abs=1e-5)
    assert math.isnan(row["elasticity"])
    assert math.isnan(row["smaller"])
    assert of(found, "area_mm2", "node_nm")["larger"] > 0.3


def test_rows_of_a_metric_are_the_strongest_first(found):
    rows = found.of("power_W")
    strength = rows[["elasticity", "smaller", "larger"]].abs().mean(axis=1).to_numpy()
    assert (np.diff(strength) <= 1e-12).all()
    assert "cost_USD" not in set(rows["parameter"])
    with pytest.raises(InputError, match="metric"):
        found.of("powr_W")


def test_swings_are_re_evaluations(point, chip, large):
    table = swings(point, "power_W", 0.1).set_index("parameter")
    before = float(evaluate(chip, large).power)
    for name, factor, side in (
        ("clock_GHz", 0.9, "less"), ("voltage_V", 1.1, "more"), ("arrays", 0.75, "less"),
        ("rows", 141 / 128, "more"),
    ):  # fmt: skip
        after = float(evaluate(multiplied(chip, {name: factor}), large).power)
        assert table.loc[name, side] == pytest.approx(after / before - 1, abs=1e-5), name
    told = table[["value", "below", "above"]]
    assert list(told.loc["arrays"]) == [4, 3, 5]
    assert list(told.loc["rows"]) == [128, 115, 141]
    clock = float(chip.clock) / 1e9
    assert list(told.loc["clock_GHz"]) == pytest.approx([clock, 0.9 * clock, 1.1 * clock])


def test_nothing_moves_beyond_its_range(point, found):
    """Ideal efficiencies are 1: there is none larger, neither to look at nor to reach a target."""
    table = swings(point, "throughput_per_s", 0.1).set_index("parameter")
    names = ["tuning_overlap", "tuning_dram_efficiency", "tuning_compute_efficiency"]
    assert (table.loc[names, "more"] == 0.0).all()
    assert (table.loc[names, "above"] == table.loc[names, "value"]).all()
    assert table.loc[names, "less"].max() <= 0.0 > table.loc[names, "less"].min()
    for name in names:
        assert math.isnan(of(found, "throughput_per_s", name)["larger"])
    with pytest.raises(InputError, match="out of reach"):
        reach(point, [target("throughput=1e7")], ["software"])


def test_interactions_are_what_pairs_add(point, chip, large):
    pairs = interactions(point, "throughput_per_s", ["clock_GHz", "dram_bandwidth_GBps", "arrays"])
    assert len(pairs) == 3
    names = list(pairs.loc[0, ["parameter_a", "parameter_b"]])

    def log(*changed):
        return math.log(evaluate(multiplied(chip, dict.fromkeys(changed, 1.1)), large).throughput)

    told = log(*names) - log(names[0]) - log(names[1]) + log()
    assert pairs.loc[0, "gain"] == pytest.approx(told, abs=2e-6)
    assert pairs["gain"].abs().is_monotonic_decreasing


def test_a_target_is_met_exactly_and_with_least_change(point, chip, large):
    goal = target("power=90")
    found = reach(point, [goal], ["technology"])
    after = evaluate(multiplied(chip, found.factors), large)
    assert float(after.power) == pytest.approx(90.0, rel=2e-3)
    assert found.metrics["power_W"] <= 90.0 * (1 + 1e-5)
    # Karush, Kuhn and Tucker: logarithms are proportional to slopes, here of the smooth model.
    u = np.zeros(len(point.numbers))
    for name, factor in found.factors.items():
        u[point.names.index(name)] = math.log(factor)
    slope = point.slopes(u, SHARP)[1][METRICS.index("power_W")]
    free = point.chosen(["technology"])
    ratio = u[free] @ slope[free] / np.linalg.norm(u[free]) / np.linalg.norm(slope[free])
    assert ratio < -0.99
    # No single number does it with less.
    for name in found.factors:
        try:
            alone = reach(point, [goal], [name])
        except InputError:
            continue
        assert alone.total >= found.total * (1 - 1e-3)


def test_two_targets_together(point):
    goals = [target("power=110"), target("throughput=800000")]
    found = reach(point, goals, ["technology", "design"])
    assert found.metrics["power_W"] <= 110 * (1 + 1e-4)
    assert found.metrics["throughput_per_s"] >= 800_000 * (1 - 1e-4)


@pytest.mark.parametrize(
    ("wanted", "free", "told"),
    [
        ("power=1000", "technology", "already met"),
        ("power=0.5", "network", "out of reach"),
        ("power=90", "logic_energy", "did you mean scale_logic_energy"),
        ("power", "technology", "METRIC=NUMBER"),
        ("powr=90", "technology", "did you mean power_W"),
        ("power=-3", "technology", "> 0"),
    ],
)
def test_bad_targets_are_one_line(point, wanted, free, told):
    with pytest.raises(InputError, match=told):
        reach(point, [target(wanted)], [free])


def test_the_command(tmp_path, capsys):
    out = str(tmp_path / "run")
    arguments = ["sensitivity", "systolic", "--workload", "mlp", "--metric", "power"]
    options = ["--second-order", "--target", "power=28", "--out", out]
    assert main([*arguments, *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = set(read_quantities(VARIANTS["systolic"]()))
    assert {row["parameter"] for row in told["elasticities"]} <= names | {"batch"}
    assert told["target"]["metrics"]["power_W"] <= 28 * (1 + 2e-5)
    assert told["interactions"]
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"tornado.png", "swings.csv"}
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "voltage_V" in text
    assert "bound" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metric", "powr"], ["powr", "did you mean power_W"]),
        (["--free", "design"], ["--free", "--target"]),
        (["--target", "power=1e9"], ["already met"]),
    ],
)
def test_bad_input_is_one_line_and_status_2(capsys, arguments, told):
    assert main(["sensitivity", "systolic", "--workload", "mlp", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert all(part in captured.err for part in told), captured.err


def test_scale_fields_are_numbers_of_every_variant():
    wanted = {f"scale_{name}" for name in Scale.__dataclass_fields__}
    for cls in VARIANTS.values():
        assert wanted <= set(read_quantities(cls()))
