"""Comparisons: differences add up exactly, equal chips come out equal, scaling meets its target."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from dse.amounts import amount, amounts
from dse.breakdown import break_down, find_chip
from dse.cli.main import main
from dse.comparison import CALIBRATED, KINSHIP, UNCERTAINTY, Comparison, Ratio, compare, uncertainty
from dse.iso import to_equal, to_node
from dse.plots.difference import difference
from dse.remarks import broken_limits, clock_remark, whole_die_mm2
from hwmodels import VARIANTS, InputError, evaluate, load_workload

# One structure, so one compilation; sizes far from round.
SMALL = VARIANTS["systolic"]().replace(arrays=3, clock_GHz=0.9, sram_capacity_MiB=11)
LARGE = VARIANTS["systolic"]().replace(arrays=7, clock_GHz=1.1, dram_stacks=2, node_nm=5)
WORKLOAD = load_workload("mlp-large")


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare("small", SMALL, "large", LARGE, WORKLOAD)


def test_differences_add_up_by_operation_and_by_term(found: Comparison) -> None:
    for quantity, unit in (("time", "s"), ("energy", "J")):
        a, b = found.a.totals[quantity], found.b.totals[quantity]
        by_operation = found.by_operation[f"difference_{unit}"].sum()
        by_term = found.by_term.query("quantity == @quantity")["difference"].sum()
        assert by_operation == pytest.approx(b - a, rel=1e-12)
        assert by_term == pytest.approx(b - a, rel=1e-9)
        assert b != a


def test_the_breakdown_is_the_evaluation(found: Comparison) -> None:
    metrics = evaluate(LARGE, WORKLOAD)
    table = found.b.table
    assert table["time_s"].sum() == pytest.approx(float(metrics.time), rel=1e-5)
    assert table["energy_J"].sum() == pytest.approx(float(metrics.energy), rel=1e-5)
    assert table["share"].sum() == pytest.approx(1.0)
    rows = metrics.frame()
    assert list(table["operation"]) == list(rows["operation"])
    assert list(table["bound"]) == list(rows["bound"])
    assert table["time_s"].to_numpy() == pytest.approx(rows["time_us"] * rows["count"] / 1e6)
    assert table["utilization"].to_numpy() == pytest.approx(rows["utilization"].to_numpy())
    # The optimiser's update of two layers' biases: one row, two runs, each with its launch.
    twice = table[table["count"] == 2].iloc[0]
    assert twice["time_launch_s"] == pytest.approx(2e-6)
    # By hand: 1024 x 4096 x 4096 products in a forward pass.
    product = table[table["operation"].str.startswith("dot 1024x4096x4096 + add")].iloc[0]
    macs = 1024 * 4096 * 4096
    peak = float(LARGE.macs_per_cycle) * float(metrics.clock)
    assert product["utilization"] == pytest.approx(macs / (product["time_s"] * peak), rel=1e-5)
    assert product["flops"] >= 2 * macs


def test_a_chip_equals_itself() -> None:
    same = compare("x", SMALL, "x", SMALL, WORKLOAD)
    assert same.headline == "B is as fast as A on mlp-large."
    for ratio in same.ratios.values():
        assert ratio.ratio == 1.0
        assert ratio.within
    assert (same.by_operation["difference_s"] == 0).all()
    assert (same.by_term["difference"] == 0).all()


def test_uncertainty_by_hand() -> None:
    kin = SMALL.replace(arrays=5)
    apart = math.sqrt(0.25**2 + 0.25**2)
    assert UNCERTAINTY["time"][0] == 0.25
    assert uncertainty(SMALL, LARGE, "time") == pytest.approx(math.exp(apart))  # another node
    assert uncertainty(SMALL, kin, "time") == pytest.approx(math.exp(KINSHIP * apart))
    measured = LARGE.replace(tuning_dram_efficiency=0.83)
    apart = math.sqrt(0.25**2 + CALIBRATED**2)
    assert uncertainty(SMALL, measured, "time") == pytest.approx(math.exp(apart))
    assert uncertainty(SMALL, measured, "area") == uncertainty(SMALL, LARGE, "area")
    vector = VARIANTS["vector"]()
    assert float(vector.technology.node) == float(SMALL.technology.node)
    assert uncertainty(SMALL, vector, "area") == pytest.approx(math.exp(math.sqrt(2) * 0.28))
    # Inside on both sides of 1, and only there.
    inside = [Ratio("time", 1.0, b, 1.25).within for b in (0.79, 0.81, 1.0, 1.24, 1.26)]
    assert inside == [False, True, True, True, False]
    assert Ratio("time", 2.0, 4.0, 1.25).verdict == "more than the model's uncertainty of 1.25x"


def test_headline_says_how_much_how_sure_and_where(found: Comparison) -> None:
    time = found.ratios["time"]
    assert time.ratio < 1
    assert found.headline.startswith(
        f"large is {1 / time.ratio:.3g}x faster than small on mlp-large"
    )
    assert time.verdict in found.headline
    rows = found.by_operation
    best = rows.loc[rows["difference_s"].idxmin()]
    assert f"mostly in {best['operation']} ({best['phase']}; bound by " in found.headline
    change = best["difference_s"] * 1e6
    assert found.headline.endswith(f": {change:+.4g} of {(time.b - time.a) * 1e6:+.4g} us.")
    back = compare("large", LARGE, "small", SMALL, WORKLOAD)
    assert f"small is {1 / time.ratio:.3g}x slower than large" in back.headline


@pytest.mark.parametrize("quantity", ["area", "power"])
@pytest.mark.parametrize("pair", [(SMALL, LARGE), (LARGE, SMALL)])
def test_scaling_meets_its_target(pair: tuple, quantity: str) -> None:
    a, b = pair
    found = compare("a", a, "b", b, WORKLOAD, iso=quantity)
    ratio = found.ratios[quantity].ratio
    assert ratio == pytest.approx(1.0, abs=0.01)
    for name in ("arrays", "dram_stacks", "link_count", "vector_lanes"):
        assert float(found.b.chip.quantities()[name]).is_integer()
    assert float(found.b.chip.technology.voltage) == float(b.technology.voltage)
    assert found.changes[0].startswith("scaled by ")
    assert any(change.startswith("sram_capacity_MiB ") for change in found.changes)
    if quantity == "area":
        assert float(found.b.chip.clock) == float(b.clock)
    else:
        assert float(found.b.metrics.margins["clock"]) >= 0


def test_what_cannot_run_is_said_first() -> None:
    chip = VARIANTS["sram_only"]().replace(number_format="int8", sram_capacity_MiB=40)
    found = compare("tiny", chip, "small", SMALL, WORKLOAD)
    stored = 1.0 - float(found.a.metrics.margins["capacity"])
    assert stored > 1
    said = f"INFEASIBLE (A: the step's tensors need {stored:.3g}x the on-chip memory, "
    assert found.headline.startswith(said + "int8 cannot train). Without these limits small is ")
    back = compare("small", SMALL, "tiny", chip, WORKLOAD)
    assert back.headline.startswith("INFEASIBLE (B: ")
    over = SMALL.replace(clock_GHz=2.5, sram_capacity_MiB=1 / 64)
    limits = broken_limits(break_down("x", over, WORKLOAD))
    margins = evaluate(over, WORKLOAD).margins
    assert f"the clock is {1 / (1 + float(margins['clock'])):.3g}x" in " ".join(limits)
    assert "a memory on the chip" in " ".join(limits)


def test_a_cap_and_a_whole_die_are_remarked() -> None:
    found = break_down("a100", find_chip("a100"), WORKLOAD)
    said = clock_remark("a100", found)
    assert said.startswith("power cap of 400 W lowers the clock from 1.41 to 1.3")
    whole = whole_die_mm2("a100")
    assert whole is not None
    assert whole > 1.1e6 * found.totals["area"]
    assert whole_die_mm2("systolic") is None
    assert clock_remark("systolic", break_down("systolic", SMALL, WORKLOAD)) == ""


def test_amounts() -> None:
    assert amounts([0.1125, 0.0963], "s") == (["112.5", "96.3"], "ms")
    assert amounts([-5.09e-5, 2.0], "s", "+") == (["-5.09e-05", "+2"], "s")
    assert amount(46_231.4, "mm2") == "46,230 mm2"
    assert amount(0.0, "J") == "0 J"
    assert amount(0.99999, "W") == "1 W"


def test_scaling_by_hand_and_out_of_reach() -> None:
    # A measure that is the number of units itself: three times as many of everything that counts.
    chip, changes = to_equal(SMALL, 9.0, lambda c: float(c.arrays), "area")
    numbers, before = chip.quantities(), SMALL.quantities()
    for name in ("arrays", "sram_capacity_MiB", "dram_stacks", "link_count", "vector_lanes"):
        assert float(numbers[name]) == pytest.approx(3 * float(before[name]), rel=1e-3), name
    assert float(numbers["tdp_W"]) == pytest.approx(3 * float(before["tdp_W"]), rel=1e-3)
    assert changes[0] == "scaled by 3"
    with pytest.raises(InputError, match="cannot be scaled"):
        to_equal(SMALL, 1e6, lambda c: float(c.arrays), "area")
    # Two counts that make up the units together grow as the root.
    spatial = VARIANTS["spatial"]().replace(pe_rows=20, pe_columns=30)
    wider, _ = to_equal(spatial, 2400.0, lambda c: float(c.pe_rows * c.pe_columns), "area")
    assert (float(wider.pe_rows), float(wider.pe_columns)) == (40, 60)


def test_a_move_to_another_node_takes_its_voltage_and_limits_the_clock() -> None:
    fast = LARGE.replace(clock_GHz=2.0, node_nm=5, voltage_V=0.75)
    moved, changes = to_node(fast, 28e-9)
    numbers = moved.quantities()
    assert numbers["node_nm"] == pytest.approx(28)
    assert numbers["voltage_V"] == pytest.approx(0.9, abs=1e-3)
    assert numbers["clock_GHz"] == pytest.approx(1.1, rel=1e-3)  # the table's clock at 28 nm
    assert [change.split()[0] for change in changes] == ["node_nm", "voltage_V", "clock_GHz"]
    slow, changes = to_node(fast.replace(clock_GHz=0.7), 28e-9)
    assert slow.quantities()["clock_GHz"] == pytest.approx(0.7)
    found = compare("a", SMALL, "b", LARGE, WORKLOAD, iso="node")
    assert float(found.b.chip.technology.node) == pytest.approx(float(SMALL.technology.node))
    assert float(found.b.metrics.margins["clock"]) >= 0


def test_every_variant_can_be_scaled() -> None:
    for cls in VARIANTS.values():
        chip, _ = to_equal(cls(), 2.0 * float(cls().macs_per_cycle),
                           lambda c: float(c.macs_per_cycle), "area")  # fmt: skip
        assert float(chip.macs_per_cycle) == pytest.approx(
            2.0 * float(cls().macs_per_cycle), rel=0.1
        )


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["compare", "tpu_v4", "systolic", "--iso", "area"]) == 0
    text = capsys.readouterr().out
    first = text.splitlines()[0]
    assert first.startswith("systolic, scaled to tpu_v4's area, is ")
    assert "the model's uncertainty of 1.16x" in first
    assert "B at A's area: scaled by" in text
    for part in ("B - A by operation", "B - A by term", "others", "sum", "static", "launch"):
        assert part in text
    assert main(["compare", "tpu_v4", "systolic", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    differences = sum(row["difference_s"] for row in answer["by_operation"])
    times = answer["b"]["time_us"] - answer["a"]["time_us"]
    assert differences * 1e6 == pytest.approx(times, rel=1e-9)
    assert answer["ratios"]["area"]["uncertainty"] > 1
    assert answer["changes"] == []
    out = tmp_path / "pair"
    assert main(["compare", "tpu_v4", "systolic", "--out", str(out)]) == 0
    assert f"written: {out}" in capsys.readouterr().out
    table = pd.read_csv(out / "by_operation.csv")
    assert table["difference_s"].sum() * 1e6 == pytest.approx(times, rel=1e-6)
    assert "tpu_v4" in (out / "difference.svg").read_text()
    assert json.loads((out / "manifest.json").read_text())["headline"] == answer["headline"]


def test_the_plot_draws_both_sides() -> None:
    time = pd.DataFrame({"label": ["a", "b_$x$"], "A": [3.0, 1.0], "B": [2.0, 0.0]})
    energy = pd.DataFrame({"label": ["mac"], "A": [0.0], "B": [5.0]})
    left, right = difference(time, energy, ("x", "y"), "a title").axes
    assert [bar.get_width() for bar in left.patches] == [3.0, 1.0, 2.0, 0.0]
    assert [text.get_text() for text in left.texts] == ["0.67×", "only A"]
    assert [text.get_text() for text in right.texts] == ["only B"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tpu_v4", "tpu_v44"], "did you mean tpu_v4"),
        (["tpu_v4", "missing.toml"], "missing.toml"),
        (["tpu_v4", "simt", "--iso", "volume"], "allowed: area, power, node"),
        (["tpu_v4", "simt", "--runtime", "slow"], "--runtime: got slow"),
        (["tpu_v4"], "B"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
