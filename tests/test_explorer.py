"""The explorer's file: one, safe, with every number as it was."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from explorers import HOSTILE, designs

from dse.explorer import MOST, explorer
from dse.explorer.columns import column, title
from dse.explorer.page import island
from dse.front import OBJECTIVES, non_dominated
from dse.plots.style import variant_style
from hwmodels import InputError


def unpacked(found: dict[str, Any]) -> np.ndarray:
    """Values of a packed column."""
    data, bytes_ = found["data"], base64.b64decode(found["data"]["bytes"])
    if "table" in data:
        return np.array(data["table"], float)[np.frombuffer(bytes_, "u1")]
    return np.frombuffer(bytes_, f"<f{data['bits'] // 8}")


def test_the_page_is_one_file_without_a_network():
    page = explorer(designs(50), OBJECTIVES, title=HOSTILE)
    assert not re.search(r"(src|href)\s*=", page.replace("link.href =", ""))
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert HOSTILE not in page
    assert page.count("</script>") == 2


def test_an_island_holds_anything():
    text = "</script><!--\u2028\u2029&amp;{{PROGRAM}}\\"
    made = island({"a": text})
    assert not set("<>&\u2028\u2029") & set(made)
    assert json.loads(made) == {"a": text}


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_too_few_and_too_many_are_one_line(count):
    with pytest.raises(InputError, match="allowed: 1 to 200,000"):
        explorer(designs(1).iloc[np.zeros(count, int)], OBJECTIVES)


def test_a_missing_objective_is_named():
    with pytest.raises(InputError, match="power_W"):
        explorer(designs(3).drop(columns="power_W"), OBJECTIVES)


@pytest.mark.parametrize(
    ("name", "values", "bits"),
    [
        ("design", np.arange(300) + 1_040_004, 32),
        ("design", 2 * np.arange(300) + 2**24 + 1, 64),
        ("design", 2.0 * np.arange(300) + 2**24 + 1, 64),
        ("rows", np.tile([4, np.nan, 64], 100), None),
        ("voltage_V", np.linspace(0.1, 0.2, 256), None),
        ("power_W", np.geomspace(1e-60, 1e60, 300), 64),
    ],
)
def test_numbers_are_packed_without_harm(name, values, bits):
    found = column(name, pd.Series(values), None)
    assert found is not None
    np.testing.assert_array_equal(unpacked(found), values)
    assert found["data"].get("bits") == bits


def test_measurements_are_packed_as_float32():
    values = pd.Series(np.random.default_rng(1).uniform(1, 2, 1000))
    found = column("time_us", values, None)
    assert found is not None
    assert found["data"]["bits"] == 32
    assert not found["whole"]
    np.testing.assert_allclose(unpacked(found), values, rtol=6e-8)
    # float32 is whole by chance above 2^24: that does not make it a count.
    found = column("time_us", np.floor(1e8 * values), None)
    assert found is not None
    assert not found["whole"]


def test_identifiers_that_no_float_holds_are_texts():
    found = column("design", pd.Series([2**60 + 1, 2**60 + 2]), None)
    assert found is not None
    assert found["labels"] == [str(2**60 + 1), str(2**60 + 2)]


def test_missing_texts_are_no_label():
    found = column("dataflow", pd.Series(["b", None, "a", "-"], dtype=object), None)
    assert found is not None
    assert found["labels"] == ["-", "a", "b"]
    np.testing.assert_array_equal(unpacked(found), [2, np.nan, 1, 0])
    assert column("dataflow", pd.Series([None, None], dtype=object), None) is None
    assert column("rows", pd.Series([np.nan, np.inf]), None) is None


def test_variants_look_as_in_the_figures():
    names = ["__proto__", "my_own", "simt"]
    found = column("variant", pd.Series(names), None)
    assert found is not None
    assert found["texts"] == [variant_style(name).label for name in names]
    assert found["colours"] == [variant_style(name).colour for name in names]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sram_capacity_MiB", "SRAM capacity (MiB)"),
        ("sram_bandwidth_B_per_cycle", "SRAM bandwidth (B/cycle)"),
        ("area_mm2", "Area (mm²)"),
        ("pe_rows", "PE rows"),
        ("throughput_without_launch_per_s", "Throughput without launch (1/s)"),
        ("_", " "),
    ],
)
def test_titles_carry_units(name, words):
    assert title(name) == words


def embedded(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The columns of a page by name, in order."""
    page = explorer(table, OBJECTIVES)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return {c["name"]: c for c in json.loads(found[1])["columns"]}


def test_the_joint_front_is_marked_where_designs_are_dominated():
    table = designs(300)
    table.loc[7, "scalability_per_s"] = np.nan
    columns = embedded(table)
    joint = columns["joint_front"]
    points = table[[o.column for o in OBJECTIVES]].to_numpy()
    present = np.isfinite(points).all(axis=1)
    expected = np.zeros(300)
    expected[present] = non_dominated(points[present], maximise=[o.maximise for o in OBJECTIVES])
    assert joint["labels"] == ["no", "yes"]
    np.testing.assert_array_equal(unpacked(joint), expected)
    assert "joint_front" not in embedded(table[expected == 1])


def test_what_is_asked_for_first_comes_first():
    table = designs(30).assign(peak_power_W=1.5, cost_USD=2.5, area_mm2=3.5)
    assert list(embedded(table))[:8] == [
        "throughput_per_s", "power_W", "scalability_per_s", "variant", "design", "area_mm2",
        "cost_USD", "peak_power_W",
    ]  # fmt: skip
