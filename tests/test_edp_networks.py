"""Energy x cycles of networks on the Gemmini-like array: closed form, search, command."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from hwmodels import InputError
from hwmodels.mapping.gemmini import (
    DRAM_pJ,
    MAC_pJ,
    REGISTER_pJ,
    accumulator_pJ,
    gemmini,
    scratchpad_pJ,
)
from hwmodels.mapping.gemmini_tiles import mapping_text, tilings
from hwmodels.mapping.machine import evaluate_mapping
from hwmodels.mapping.mapper import best_mapping
from hwmodels.mapping.mapping import parse_mapping
from hwmodels.mapping.problem import convolution

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[1])
    from experiments import edp_networks, edp_search

DATA = Path(__file__).parents[2] / "shared" / "data" / "workloads"
PROBLEMS = [
    {"R": 3, "S": 3, "P": 12, "Q": 10, "C": 24, "K": 32},
    {"P": 128, "C": 48, "K": 96},
    {"R": 7, "S": 7, "P": 12, "Q": 12, "C": 3, "K": 32, "stride": 2},
    {"R": 3, "S": 2, "P": 6, "Q": 8, "C": 17, "K": 40, "N": 4, "stride": (2, 1)},
    {"C": 64, "K": 100, "N": 6},
    {"R": 3, "P": 8, "Q": 6, "C": 32, "K": 16, "dilation": 2},
]
HEADER = "layer,R,S,P,Q,C,K,N,Wstride,Hstride,Wdilation,Hdilation,count"
NETWORK = [(("one", 3, 3, 14, 14, 32, 64), 2), (("two", 1, 1, 7, 7, 64, 128), 3)]


def layers(*rows):
    return [
        edp_search.Layer(
            name, convolution(**dict(zip("RSPQCK", sizes, strict=True))), count
        )
        for (name, *sizes), count in rows
    ]  # fmt: skip


@pytest.mark.parametrize("sizes", PROBLEMS, ids=str)
def test_closed_form_is_what_nest_counts(sizes):
    problem = convolution(**sizes)
    table = tilings(problem)
    rng = np.random.default_rng(0)
    for row in rng.integers(len(table.cycles), size=100):
        KB = np.ceil([table.accumulator_words[row] / 16, table.scratchpad_words[row] / 1024])
        nest = parse_mapping(mapping_text(problem, table.factors[row]))
        _, cost = evaluate_mapping(gemmini(16, *KB), problem, nest)  # refuses what does not fit
        energy = (
            MAC_pJ * problem.macs + REGISTER_pJ * table.registers[row]
            + accumulator_pJ(KB[0], 16) * table.accumulator[row]
            + scratchpad_pJ(KB[1]) * table.scratchpad[row] + DRAM_pJ * table.dram_blocks[row]
        )  # fmt: skip
        assert energy * 1e-12 == pytest.approx(float(cost.energy), rel=1e-9)
        assert table.cycles[row] == float(cost.cycles)


def test_one_tiling_by_hand():
    """P 4, C 16, K 32 in one go: weights and inputs once, sums once, two passes over K."""
    problem = convolution(P=4, C=16, K=32)
    table = tilings(problem)
    whole = np.flatnonzero(
        (table.accumulator_words == 8) & (table.scratchpad_words == 16 * 32 + 4 * 16)
    )
    macs, weights, inputs, sums = 4 * 16 * 32, 16 * 32, 4 * 16, 4 * 32
    assert set(table.registers[whole]) == {macs + weights}
    assert set(table.accumulator[whole]) == {2 * macs / 16 - sums + sums}
    assert set(table.scratchpad[whole]) == {weights + inputs + weights + macs / 16}
    assert set(table.dram_blocks[whole]) == {512 + 64 + 128 + 0}
    assert set(table.cycles[whole]) == {(512 + 64 + 128) / 8}  # DRAM is the bound


@pytest.mark.parametrize("buffers", [(4, 16), (8, 40), (64, 6)])
def test_no_mapper_finds_better_for_one_layer(buffers):
    """The general mapper, which enumerates loop by loop, on sizes whose factors all divide."""
    for sizes in (
        {"P": 128, "C": 256, "K": 128},
        {"R": 3, "S": 3, "P": 16, "Q": 8, "C": 64, "K": 64},
    ):
        problem = convolution(**sizes)
        table = edp_search.choices([edp_search.Layer("it", problem, 1)])
        found, rows = edp_search.mapped(table, *buffers)
        energy, cycles = edp_search.costs(table, *buffers)
        rows = edp_search.exchanged(table, rows, energy, cycles)
        found = float((energy * cycles)[rows[0]])
        best = best_mapping(problem, gemmini(16, *buffers), objective="edp")
        assert found <= best.energy * 1e12 * best.cycles * (1 + 1e-6)


def test_the_least_product_of_two_sums():
    """Against all pairs of mappings of two layers."""
    table = edp_search.choices(layers(*NETWORK))
    for buffers in ((2, 12), (5, 30), (16, 80)):
        energy, cycles = edp_search.costs(table, *buffers)
        rows = edp_search.exchanged(table, edp_search.mapped(table, *buffers)[1], energy, cycles)
        found = (table.counts @ energy[rows]) * (table.counts @ cycles[rows])
        cut = table.begins[1]
        pairs = [
            2 * x[:cut, None] + 3 * x[None, cut:] for x in (energy, cycles)
        ]  # fmt: skip
        assert found == pytest.approx((pairs[0] * pairs[1]).min(), rel=1e-12)


def test_no_other_buffers_are_better():
    """Against every pair of sizes that some tile needs."""
    table = edp_search.choices(layers(*NETWORK))
    found = edp_search.mapped(table, *edp_search.best_buffers(table))[0]
    every = itertools.product(*(np.unique(column) for column in table.needs_KB.T))
    assert found == min(edp_search.mapped(table, *pair)[0] for pair in every)


def written(path, rows):
    lines = [f"{','.join(map(str, row))},1,1,1,1,1,{count}" for row, count in rows]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return str(path)


def test_command(tmp_path, capsys):
    path = written(tmp_path / "net.csv", NETWORK)
    assert edp_networks.main(["--workload", path, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["edp_uJ_cycles"] == pytest.approx(told["energy_uJ"] * told["cycles"])
    machine = gemmini(16, told["accumulator_KB"], told["scratchpad_KB"])
    energy = cycles = 0.0
    for layer, one in zip(layers(*NETWORK), told["layers"], strict=True):
        _, cost = evaluate_mapping(machine, layer.problem, parse_mapping(one["mapping"]))
        energy += one["count"] * float(cost.energy) * 1e6
        cycles += one["count"] * float(cost.cycles)
    assert told["energy_uJ"] == pytest.approx(energy)
    assert told["cycles"] == cycles
    assert 0.1 < told["area_mm2"] < 5
    assert told["wall_s"] > 0
    assert edp_networks.main(["--workload", path]) == 0
    assert "two" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("one,3,3,0,14,32,64,1,1,1,1,1,1", ["line 2", "P", "0"]),
        ("one,3,3,14,14,32,64,1,1,1,1,1,many", ["line 2", "count", "many"]),
        ("one,3,3,14", ["line 2", "4 cells"]),
        ("one,1,1,720720,720720,720720,720720,1,1,1,1,1,1", ["tilings", "at most"]),
    ],
)
def test_bad_tables_are_one_line(tmp_path, capsys, row, told):
    path = tmp_path / "bad.csv"
    path.write_text(f"{HEADER}\n{row}\n")
    assert edp_networks.main(["--workload", str(path), "--json"]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == 1
    assert all(part in captured.err for part in told), captured.err


def test_too_many_tilings_name_the_limit():
    with pytest.raises(InputError, match="at most"):
        tilings(convolution(P=720720, Q=720720, C=720720))


@pytest.mark.skipif(not DATA.exists(), reason="the tables of layers are not here")
@pytest.mark.parametrize(("name", "most"), [("bert", 5.85e9), ("resnet50", 2.12e11)])
def test_published_networks(name, most):
    """The best gradient search published for this template: 6.54e9 and 2.43e11 uJ x cycles."""
    answer = edp_networks.search(edp_networks.read_layers(DATA / f"{name}.csv"))
    assert answer.edp_uJ_cycles < most
