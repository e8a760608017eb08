"""Machines: a mapping's cost worked by hand, catalog files, and bad mappings by name."""

import dataclasses

import jax
import numpy as np
import pytest

from hwmodels import InputError, best_mapping, gemmini, load_machine
from hwmodels.mapping.catalog import MACHINES, machines
from hwmodels.mapping.machine import cost, evaluate_mapping
from hwmodels.mapping.mapping import fit, parse_mapping
from hwmodels.mapping.nest import count
from hwmodels.mapping.problem import convolution, matmul

WS32 = load_machine("ws32")


def test_ws32_by_hand():
    # 32 x 10 x 10 fits whole: every operand crosses DRAM once, 740 words of 16 bits.
    text = "DRAM[WIO] N1 - SRAM[WIO] N10X K10X - REG[W] M32"
    counts, costs = evaluate_mapping(WS32, matmul(32, 10, 10), parse_mapping(text))
    assert counts.macs == 3200
    assert costs.cycle_terms["compute"] == 32  # one column of 10 x 10 units a row of I
    assert costs.cycle_terms["DRAM"] == 740 / 8
    assert costs.cycles == 93
    picojoule = {name: joule * 1e12 for name, joule in costs.energy_terms.items()}
    assert picojoule["mac"] == pytest.approx(3200 * 0.3)
    assert picojoule["DRAM"] == pytest.approx(740 * 16 * 4)
    # I and W in and out, O in and out: each word of the three passes the SRAM twice.
    assert picojoule["SRAM"] == pytest.approx(2 * 740 * 16 * 0.08)
    assert picojoule["REG"] == pytest.approx((3200 + 100) * 16 * 0.01)
    assert costs.energy == pytest.approx(50742.4e-12)  # AccelForge 1.0.467's own number


def test_depths_of_one_memory_share_its_capacity_and_ports():
    text = "DRAM[WIO] M2 N2 - SRAM[O] K12 - SRAM[I] K2 - SRAM[W] N12 N32X K32X - REG[W] M256"
    counts, costs = evaluate_mapping(WS32, matmul(512, 768, 768), parse_mapping(text))
    held = counts.traffic[1]["O"].tile, counts.traffic[2]["I"].tile, counts.traffic[3]["W"].tile
    assert held == (256 * 384, 256 * 64, 384 * 32)
    assert costs.words["SRAM"] == sum(held)
    # AccelForge's mapping of least latency: SRAM reads bound it, 51 times the input.
    assert costs.cycles == 51 * 512 * 768 / 64 == 313344


def test_gemmini_by_hand():
    # Weight of one unit; 4 x 4 array, C=4 over rows, K=4 over columns, 5 positions, twice in C.
    text = "L3[WIO] C2 - L2[WI] K4X - L1[O] C4X - L0[W] P5"
    _, costs = evaluate_mapping(gemmini(4, 1, 1), convolution(C=8, K=4, P=5), parse_mapping(text))
    macs, updates = 160.0, 160 / 4
    scratchpad = (32 + 32) + (40 + 160 / 4)  # W in and out, I in and out
    # L1: its zeros are written, its drains are not read (as Timeloop counts).
    accumulator = updates + (updates - 20) + 20
    blocks = 64 + 64 + 0 + 64
    expected = (
        0.5608 * macs + 0.48746172 * (macs + 32) + (0.1005 / 4 + 1.94) * accumulator
        + (0.02513 + 0.49) * scratchpad + 100 * blocks
    )  # fmt: skip
    assert costs.energy == pytest.approx(expected * 1e-12)
    terms = costs.cycle_terms
    assert terms["compute"] == 10
    assert terms["L1"] == accumulator / (2 * 4)
    assert terms["L2"] == scratchpad / (2 * 4)
    assert terms["L3"] == (32 + 40 + 20) / 8
    assert costs.cycles == 18  # scratchpad


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DRAM[WIO] K24 - SRAM[WIO] N24 N32X K32X - REG[W] M512",
         r"mapping, SRAM: got tiles of W 24576, I 16384, O 393216 words; capacity 131072 words"),
        ("DRAM[WIO] K24 N24 - SRAM[WIO] N32X K32X - REG[W] M512 N2", r"REG: got tiles of W 2 w"),
        ("DRAM[WIO] K24 N24 - SRAM[WIO] N32X K16X - REG[W] M512",
         "factors of K make 384; dimension K has size 768"),
        ("DRAM[WIO] K24 N24 - SRAM[WIO] N33X K32X - REG[W] M512", "N33X; .* at most 32 of N"),
        ("DRAM[WIO] K24 N24 M2X - SRAM[WIO] N32X K32X - REG[W] M256", "M2X; .* at most 1 of M"),
        ("DRAM[WIO] K12 N24 - SRAM[WIO] N32X K16X K4X - REG[W] M512", "K64X; .* at most 32 of K"),
        ("DRAM[WIO] K24 N24 - SRAM[WI] N32X K32X - SRAM[O] N1 - REG[W] M512",
         "SRAM: got spatial loops outside SRAM.O.; the array stands inside the last level"),
        ("DRAM[WI] K24 N24 - SRAM[WIO] N32X K32X - REG[W] M512", "DRAM: got O; the outermost"),
        ("DRAM[WIO] K24 N24 - SRAM[WIO] N32X K32X - REG[I] M512", "REG: got I; holds each of W"),
        ("SRAM[WIO] K24 N24 - DRAM[WIO] N32X K32X - REG[W] M512", "order DRAM, SRAM, REG"),
        ("DRAM[WIO] K24 N24 - SRAM[W] N1 - SRAM[WIO] N32X K32X - REG[W] M512", "SRAM: got W"),
        ("DRAM[WIO] K24 N24 - SRA[WIO] N32X K32X - REG[W] M512", "did you mean SRAM"),
    ],
)  # fmt: skip
def test_a_bad_mapping_is_named(text, said):
    with pytest.raises(InputError, match=said):
        evaluate_mapping(WS32, matmul(512, 768, 768), parse_mapping(text))


def test_a_memory_without_own_depths_stands_once():
    with pytest.raises(InputError, match="order L3, L2, L1, L0"):
        evaluate_mapping(
            gemmini(4, 1, 1),
            convolution(K=4),
            parse_mapping("L3[WIO] N1 - L2[W] K4 - L2[I] N1 - L1[O] N1"),
        )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: matmul("a", 1, 1), "M: got a; allowed: a whole number from 1"),
        (lambda: matmul(2**60, 1, 1), "M: got 11529215"),
        (lambda: matmul(None, 1, 1), "M: got None"),
        (lambda: convolution(K=0), "K: got 0"),
        (lambda: convolution(stride=(2,)), r"stride: got \(2,\); allowed: a number or two"),
        (lambda: gemmini(pe_dim=0), "pe_dim: got 0"),
        (lambda: gemmini(pe_dim=16.5), "pe_dim: got 16.5"),
        (lambda: gemmini(scratchpad_KB=-4), "scratchpad_KB: got -4"),
        (lambda: evaluate_mapping("ws32", matmul(1, 1, 1), parse_mapping("DRAM[WIO]")), "Machine"),
        (lambda: evaluate_mapping(WS32, matmul(1, 1, 1), "DRAM[WIO]"), "mapping: .* a Mapping"),
        (lambda: parse_mapping(None), "mapping: got None"),
        (lambda: best_mapping("x", "ws32"), "operation: got x; allowed: an Operation or a Problem"),
    ],
)
def test_wrong_arguments_are_named(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_cost_is_differentiable_in_machine_and_mapping():
    problem = convolution(C=8, K=8, P=5)
    mapping = fit(parse_mapping("L3[WIO] C2 K2 - L2[WI] K4X - L1[O] C4X - L0[W] P5"), problem)

    def energy(sizes, mapping):
        costs = cost(gemmini(*sizes), mapping, count(problem, mapping))
        return costs.energy * 1e12 + costs.cycles

    slopes = jax.grad(energy, argnums=(0, 1))((4.0, 3.0, 5.0), mapping)
    assert np.isfinite(jax.tree.leaves(slopes)).all()
    # A larger buffer costs more a word (straight through its rounding), and saves none here.
    assert slopes[0][1] > 0
    assert slopes[0][2] > 0
    assert any(abs(x) > 0 for x in jax.tree.leaves(slopes[1]))


def test_catalog_files_load_and_state_their_source():
    assert "ws32" in machines()
    for name in machines():
        assert load_machine(name).name == name
        assert "source" in (MACHINES / f"{name}.toml").read_text()
    with pytest.raises(InputError, match="did you mean ws32"):
        load_machine("ws3")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cycle_ns", "cycle_s", "did you mean cycle_ns"),
        ("energy_pJ_per_bit = 0.08", "energy_pJ_per_bit = -1", "SRAM.energy_pJ_per_bit: got -1"),
        ("size = 32", "size = true", "SRAM.axis.size: got True"),
        ("word_bits = 16", "", "DRAM.word_bits: got nothing"),
        ('tensors = "W"', 'tensors = "WW"', "REG.tensors: got WW"),
        ('tensors = "WIO"', 'tensors = "WI"', "the outermost memory holds W, I and O"),
        ("own_depth = true", 'own_depth = "yes"', "SRAM.own_depth: got yes"),
        ('name = "REG"', 'name = "RE G"', "memory.name: got RE G"),
        ('name = "REG"', 'name = "SRAM"', "memory.name: got DRAM, SRAM, SRAM; each name once"),
        ("size = 32", "size = 4.5", "SRAM.axis.size: got 4.5"),
        ("size = 32", "size = inf", "SRAM.axis.size: got inf"),
        ("size = 32", "size = 32\ncount = 2", "SRAM.axis: got count"),
        ("word_bits = 16", 'word_bits = "16"', "DRAM.word_bits: got '16'"),
        ("capacity_KiB = 256", "capacity_KiB = 256\ncapacity_bits = 9", "one capacity"),
        (
            "bandwidth_bits_per_cycle = 128",
            "bandwidth_bits_per_cycle = 128\nread_bandwidth_bits_per_cycle = 1",
            "one port, or two separate",
        ),
        ('matmul = "K"', 'matmul = "Q"', "axis.dimension.matmul: got Q"),
        ('matmul = "K", ', "", "SRAM.axis"),
        ("[[memory]]", "[[memory", "machine: got .* a readable TOML file"),
    ],
)
def test_bad_machine_files_are_named(tmp_path, old, new, said):
    text = (MACHINES / "ws32.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        load_machine(path)
    path.write_text(text)
    assert dataclasses.replace(load_machine(path), name="ws32") == WS32
    with pytest.raises(InputError, match="readable"):
        load_machine(tmp_path / "none.toml")
