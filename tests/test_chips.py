"""The catalog of real chips: every file loads and cites, bad ones are named, predictions hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import hwmodels
from dse.cli.main import main
from hwmodels import InputError
from hwmodels.accelerators.catalog import (
    CHIPS,
    UNBUILT,
    catalog,
    chips,
    find_entry,
    load_chip,
    load_entry,
)
from hwmodels.accelerators.facts import CONFIDENCES, PUBLISHED
from hwmodels.accelerators.headline import headline, solve, sustained_clock
from hwmodels.quantity import quantities
from hwmodels.technology import NODES_NM, NOMINAL_CLOCK_GHZ, NOMINAL_V

NAMES = chips()
MINE = """
name = "Mine"
variant = "systolic"
year = 2030
family = "mine"
source = "a sketch"
confidence = "assumed"

[chip]
node_nm = 7
clock_GHz = 1.0
number_format = "bf16"
rows = 64
columns = { value = 48, source = "a better sketch", confidence = "derived" }
arrays = 2
vector_lanes = 512
sram_capacity_MiB = 16

[published]
die_area_mm2 = { at_most = 300 }
tdp_W = 40
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(old: str = "", new: str = "") -> Path:
        assert old in MINE
        path = tmp_path / "mine.toml"
        path.write_text(MINE.replace(old, new, 1) if old else MINE + new)
        return path

    return _write


def test_catalog_is_large():
    assert len(NAMES) >= 25
    assert {e.variant for e in catalog().values()} >= {"systolic", "simt", "spatial"}
    names = [entry.name for entry in catalog().values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_field_cites_source_and_confidence(name):
    entry = catalog()[name]
    known = quantities(type(entry.chip()))
    for field, fact in {**entry.facts(), **entry.die, **entry.published}.items():
        assert fact.source.strip(), field
        assert fact.confidence in CONFIDENCES, field
    for field in entry.published:
        assert field in PUBLISHED
    # Values come back in the units of their names.
    numbers = entry.chip().quantities()
    for field, fact in entry.inputs.items():
        if field in known:
            assert numbers[field] == pytest.approx(fact.number)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_finite_and_add_up(name):
    entry = catalog()[name]
    found = headline(entry)
    terms = {**found.area_terms, **found.static_terms, **found.dynamic_terms}
    assert all(math.isfinite(v) and v >= 0 for v in terms.values()), terms
    assert found.clock <= found.max_clock * (1 + 1e-6)
    if entry.boundary == "package":
        whole = solve(jax.tree.map(float, entry.chip()))
        assert found.peak_power_W == pytest.approx(float(whole.peak_power), rel=1e-4)
    for bound in ("peak_TFLOPs", "peak_TOPS_int8"):
        if bound in entry.published and bound == _own_peak(entry):
            assert found.peak_rate / 1e12 == pytest.approx(
                entry.published[bound].number, rel=0.06
            ), bound


def _own_peak(entry) -> str:
    return "peak_TOPS_int8" if entry.chip().number_format == "int8" else "peak_TFLOPs"


def test_published_areas_and_powers_are_no_inputs():
    entry = load_entry("v100")
    blind = replace(entry, published={})
    assert headline(blind) == headline(entry)


def test_names_as_people_write_them():
    for text in ("tpu_v4", "TPU v4", "TPUv4", "tpu-V4"):
        assert load_entry(text).key == "tpu_v4"
    assert load_entry("A100").key == "a100_80gb"
    assert find_entry("no such chip") is None
    with pytest.raises(InputError, match="did you mean tpu_v4"):
        load_entry("tpu_v44")


def test_load_chip_runs_under_its_cap(write):
    assert float(load_chip("a100_80gb").quantities()["tdp_W"]) == 400
    assert hwmodels.load_chip(write()).quantities()["tdp_W"] == pytest.approx(40)
    assert load_entry(write()).chip().quantities()["tdp_W"] == 50000
    workload = hwmodels.load_workload("mlp")
    metrics = hwmodels.evaluate(load_chip("t4"), workload)
    assert metrics.clock < 1.59e9  # a 70 W cap
    # 1305-1335 MHz in large bf16 GEMMs at 400 W (third-party log).
    assert hwmodels.evaluate(load_chip("a100_80gb"), workload).clock == pytest.approx(
        1.32e9, rel=0.05
    )


def test_own_file_round_trip(write):
    entry = load_entry(write())
    numbers = entry.chip().quantities()
    assert entry.inputs["columns"].source == "a better sketch"
    assert entry.inputs["rows"].source == "a sketch"
    assert (numbers["clock_GHz"], numbers["sram_capacity_MiB"]) == (1.0, 16.0)
    assert entry.chip().clock == 1e9
    assert entry.chip().sram.capacity == 16 * 2**20
    assert entry.published["die_area_mm2"].bound == "at_most"


BAD = {
    "unknown field": ("rows = 64", "rovs = 64", r"chip: got rovs; did you mean rows\? allowed: "),
    "wrong unit": ("clock_GHz = 1.0", "clock_MHz = 1000", r"chip.clock_MHz: .*clock_GHz, in GHz"),
    "no unit": ("node_nm = 7", "node = 7", r"chip.node: .*node_nm, in nm"),
    "0 nm": ("node_nm = 7", "node_nm = 0", r"chip.node_nm: got 0; allowed: 3 to \d+ nm"),
    "40 V": ("rows = 64", "rows = 64\nvoltage_V = 40", r"chip.voltage_V: got 40; allowed: .* V"),
    "clock above voltage": (
        "clock_GHz = 1.0", "clock_GHz = 4.0", r"chip.clock_GHz: got 4.0; allowed: at most .* GHz"
    ),
    "unit in value": ("node_nm = 7", 'node_nm = "7 nm"', r"chip.node_nm: got 7 nm; .*a number"),
    "not a number": ("rows = 64", "rows = nan", r"chip.rows: got nan; allowed: 4 to"),
    "true": ("rows = 64", "rows = true", r"chip.rows: got True; .*a number"),
    "unknown variant": ('"systolic"', '"systolicc"', r"variant: got systolicc; .*did you mean"),
    "missing": ("arrays = 2", "", r"mine: got no chip.arrays; needed: chip.arrays: 1 to \d+"),
    "half a row": ("rows = 64", "rows = 64.5", r"chip.rows: got 64.5; allowed: a whole number"),
    "half a stack": ("rows = 64", "rows = 64\ndram_stacks = 1.5", r"dram_stacks: got 1.5; .*whole"),
    "confidence": ('"derived"', '"sure"', r"columns, confidence: got sure; allowed: verified"),
    "two values": ("{ at_most = 300 }", "{ at_most = 300, value = 2 }", r"needed: one of"),
    "bound as input": ("rows = 64", "rows = { at_most = 64 }", r"chip.rows: got at_most"),
    "unknown key": ("{ value = 48,", "{ value = 48, unit = 3,", r"chip.columns: got unit; allowed"),
    "unknown published": ("tdp_W", "tpd_W", r"published: got tpd_W; .*did you mean tdp_W"),
    "published unit": ("tdp_W = 40", "tdp_kW = 1", r"published.tdp_kW: .*tdp_W, in W"),
    "top level": ("year = 2030", "yaer = 2030", r"field: got yaer; .*did you mean year"),
    "year": ("year = 2030", "year = 30", r"year: got 30; allowed: a whole number"),
    "dram kind": ("rows = 64", 'rows = 64\ndram_kind = "hbm9"', r"chip.dram_kind: got hbm9"),
    "cap as input": ("rows = 64", "rows = 64\ntdp_W = 3", r"chip.tdp_W: .*\[published\]"),
    "boundary": ("year = 2030", 'year = 2030\nboundary = "board"', r"boundary: got board"),
    "no TOML": ("[chip]", "[chip", r"needed: a readable TOML file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named(write, case):
    old, new, message = BAD[case]
    with pytest.raises(InputError, match=message):
        load_entry(write(old, new))


def test_own_files_need_not_cite(tmp_path):
    head, chip = MINE.split("[chip]")
    path = tmp_path / "plain.toml"
    path.write_text('name = "Plain"\nvariant = "systolic"\n[chip]' + chip)
    entry = load_entry(path)
    assert (entry.family, entry.year) == ("own", UNBUILT)
    rows = entry.facts()["rows"]
    assert (rows.value, rows.source, rows.confidence) == (64, "the file", "assumed")
    path.write_text('variant = "systolic"\n[chip]\nrows = 64\nnumber_format = "bf16"')
    with pytest.raises(InputError) as caught:
        load_entry(path)
    for name in ("no name, chip.node_nm, chip.clock_GHz", "chip.arrays: 1 to", "name: a text"):
        assert name in str(caught.value)
    path.write_text(head.replace('variant = "systolic"\n', ""))
    with pytest.raises(InputError, match="no variant; needed: variant: systolic or"):
        load_entry(path)


def test_the_example_of_the_guide(tmp_path):
    readme = (Path(__file__).parents[1] / "hwmodels" / "accelerators" / "README.md").read_text(
        encoding="utf-8"
    )
    section = readme.split("\n## Describe your own chip\n")[1].split("\n## ")[0]
    path = tmp_path / "mine.toml"
    path.write_text(section.split("```toml\n")[1].split("```")[0])
    chip = load_chip(path)
    assert chip.quantities()["tdp_W"] == pytest.approx(200)
    assert hwmodels.evaluate(chip, hwmodels.load_workload("mlp")).feasible


def test_the_catalog_must_cite(tmp_path, monkeypatch):
    monkeypatch.setattr(hwmodels.accelerators.catalog, "CHIPS", tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace('source = "a sketch"\n', ""))
    with pytest.raises(InputError, match="node_nm, source: got None; needed"):
        load_entry(path)


def test_files_read_like_the_example():
    text = (CHIPS / "tpu_v4.toml").read_text()
    assert "rows = 128\n" in text
    assert all(line.isascii() and len(line) <= 180 for line in text.splitlines())


def test_capped_clock_of_a_measured_gemm():
    # 1305-1335 MHz in large bf16 GEMMs at 400 W (third-party log).
    entry = load_entry("a100_80gb")
    clock = sustained_clock(entry, entry.published["tdp_W"].number)
    assert clock == pytest.approx(1.32e9, rel=0.05)
    assert sustained_clock(entry, 1e4) == pytest.approx(1.41e9)


def test_shares_of_dies():
    # Jouppi et al., ISCA 2021: CMEM 28% and arrays 11% of less than 400 mm2; 2017: the array 24%
    # and the unified buffer 29% of at most 331 mm2, 24 of our buffer's 28 MiB.
    newer, older = (
        headline(load_entry("tpu_v4i")).area_terms,
        headline(load_entry("tpu_v1")).area_terms,
    )
    assert newer["buffer"] * 128 / 144 <= 112
    assert 22 <= newer["mac"] + newer["pipeline"] <= 44
    assert older["buffer"] * 24 / 28 <= 96
    assert older["mac"] + older["pipeline"] <= 79.4


def test_published_idle_powers():
    # To which systolic.IDLE_W_PER_M2 is set.
    for name in ("tpu_v1", "tpu_v2", "tpu_v4i", "tpu_v4"):
        entry = load_entry(name)
        idle = entry.published["idle_power_W"].number
        assert headline(entry).idle_power_W == pytest.approx(idle, rel=0.1), name


def test_typical_powers():
    # Half of the time busy, data that switch half as much as random bits.
    found = headline(load_entry("nvdla_512"))
    half = sum(found.dynamic_terms.values())  # a block without its memory
    assert found.typical_power_W == pytest.approx(found.idle_power_W + 0.25 * half)
    for name, allowed in (
        ("tpu_v1", 0.1), ("tpu_v4", 0.15), ("nvdla_2048", 0.1), ("nvdla_512", 0.35),
        ("eyeriss_v1", 0.25), ("shidiannao", 0.2), ("diannao", 0.7),
    ):  # fmt: skip
        entry = load_entry(name)
        published = entry.published["typical_power_W"].number
        assert headline(entry).typical_power_W == pytest.approx(published, rel=allowed), name


def test_leave_one_family_out():
    from experiments.fit_areas import left_out, table

    rows = table(list(catalog().values()))
    error = left_out(rows, rows["family"])[rows["bound"] == ""].abs()
    assert np.median(error) <= 0.25
    assert error.mean() <= 0.35


def test_cli_lists_and_shows(capsys):
    assert main(["chips"]) == 0
    out = capsys.readouterr().out
    assert "TPU v4i" in out
    assert "tpu_v4i " in out  # the key that other commands take
    assert main(["chips", "groq"]) == 0
    line = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("peak_TOPS_int8"))
    assert "737" in line  # by hand: 2 x 4 x 320^2 x 0.9 GHz
    assert main(["chips", "a100"]) == 0
    out = capsys.readouterr().out
    assert "disabled units included (enabled alone: 5" in out
    assert "number format of [chip]" in out
    assert main(["chips", "TPU", "v4"]) == 0
    out = capsys.readouterr().out
    for text in ("verified", "Jouppi et al., ISCA 2023", "die_area_mm2", "<= 600", "clock_tree"):
        assert text in out
    assert main(["chips", "v100", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["published"]["die_area_mm2"]["value"] == 815
    assert content["predicted_area_mm2"] == pytest.approx(sum(content["area_terms_mm2"].values()))
    assert content["fields"]["sms"]["confidence"] in CONFIDENCES
    assert main(["chips", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["chips"]) == len(NAMES)


def test_cli_refuses(capsys, write):
    assert main(["chips", "tpu_v44"]) == 2
    assert "did you mean tpu_v4" in capsys.readouterr().err
    assert main(["chips", str(write("clock_GHz = 1.0", "clock_GHz = 9"))]) == 2
    assert "clock_GHz: got 9; allowed: 0.05 to 5 GHz" in capsys.readouterr().err


def test_the_nominal_clock_of_a_node_is_within_its_limits():
    workload = hwmodels.load_workload("mlp")

    def margin(node, voltage, clock):
        chip = hwmodels.VARIANTS["systolic"]()
        chip = chip.replace(node_nm=node, voltage_V=voltage, clock_GHz=clock)
        return hwmodels.evaluate(chip, workload).margins["clock"]

    tables = [np.array(t) for t in (NODES_NM, NOMINAL_V, NOMINAL_CLOCK_GHZ)]
    margins = jax.jit(jax.vmap(margin))
    assert (margins(*tables) >= 0.0).all()
    assert (margins(*tables[:2], 1.0001 * tables[2]) < 0.0).all()
