"""Thread-block tiles, waves and split-K by hand, at odd sizes."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from hwmodels import Relax
from hwmodels.accelerators import Simt
from hwmodels.accelerators.catalog import load_entry
from hwmodels.parts import sram
from hwmodels.workloads.numeric import Contractions


def compute(m, n, k, batch=1.0, **settings):
    sizes = {"m": m, "n": n, "k": k, "batch": batch}
    fields = {name: jnp.float32(value) for name, value in sizes.items()}
    empty = dict.fromkeys(Contractions.__dataclass_fields__, 0.0)
    usual = {"sms": 10, "macs_per_sm": 512, "register_file_KiB": 256, "shared_memory_KiB": 160}
    chip = Simt().replace(**{**usual, "sram_bandwidth_B_per_cycle": 2**20, **settings})
    return chip.contraction(Contractions(**{**empty, **fields}), Relax(), 0.0)


def test_waves_by_hand():
    # Side 128: 4 x 3 tiles on 10 processors, 2 waves of 128 x 128 x 48 / 512. Side 64: 7 x 6 tiles,
    # 5 waves of a quarter. Side 32: 14 x 11 = 154 tiles, 16 waves of a sixteenth: the fastest.
    got = compute(420, 350, 33)
    assert float(got.cycles) == 16 * 32 * 32 * 48 / 512
    # L2: (32 + 32) x 33 words a tile, and the fp32 sums.
    assert float(got.buffer_bytes) == 154 * 64 * 33 * 2 + 420 * 350 * 4
    # With 7 processors: 2 waves of 12 tiles, 6 of 42 or 22 of 154 take 2, 1.5 and 1.375.
    assert float(compute(420, 350, 33, sms=7).cycles) == 22 * 32 * 32 * 48 / 512
    # A slow L2 makes larger tiles the faster ones: 2 x 3 of 256 x 128, in one wave.
    slow = compute(420, 350, 33, sram_bandwidth_B_per_cycle=256)
    assert float(slow.cycles) == 256 * 128 * 48 / 512
    assert float(slow.buffer_bytes) == 6 * 384 * 33 * 2 + 420 * 350 * 4
    # Its 48 KiB of operand slices do not fit 40; those of 128 x 128 do.
    small = compute(420, 350, 33, sram_bandwidth_B_per_cycle=256, shared_memory_KiB=40)
    assert float(small.cycles) == 2 * 128 * 128 * 48 / 512
    assert float(small.buffer_bytes) == 12 * 256 * 33 * 2 + 420 * 350 * 4


def test_a_tile_lies_along_the_longer_side():
    # 1000 x 130: 4 x 2 tiles of 256 x 128 are one wave of 10; upright or lying, alike.
    tall = compute(1000, 130, 64, sram_bandwidth_B_per_cycle=128)
    assert float(tall.cycles) == 256 * 128 * 64 / 512
    assert float(tall.buffer_bytes) == 8 * 384 * 64 * 2 + 1000 * 130 * 4
    flat = compute(130, 1000, 64, sram_bandwidth_B_per_cycle=128)
    assert [float(x) for x in flat[:3]] == [float(x) for x in tall[:3]]


def test_split_k_by_hand():
    # 112 x 80 is one tile for 10 processors: 9990 words of K in 10 parts of ceil16(999) = 1008.
    # 32-sided tiles: 4 x 3 in 2 waves of 32 x 32 x 10000.
    got = compute(112, 80, 9990)
    assert float(got.cycles) == 112 * 80 * 1008 / 512
    # Ten parts of the sums are written and read again.
    assert float(got.buffer_bytes) == (112 + 80) * 9990 * 2 + 21 * 112 * 80 * 4
    # Four products: 2 parts of each.
    assert float(compute(112, 80, 9990, batch=4).cycles) == 112 * 80 * 5008 / 512
    # No part is shorter than 256 words: 600 makes three of ceil16(200).
    assert float(compute(16, 16, 600).cycles) == 16 * 16 * 208 / 512
    # Registers that hold no tile of side 128 leave smaller tiles, unsplit: 2 waves of 12.
    small = compute(112, 80, 9990, register_file_KiB=64)
    assert float(small.cycles) == 2 * 32 * 32 * 10000 / 512


def test_split_k_is_left_where_its_sums_cost_more():
    assert float(compute(112, 80, 9990, sram_bandwidth_B_per_cycle=16).buffer_bytes) == (
        (112 + 80) * 9990 * 2 + 112 * 80 * 4
    )


@pytest.mark.parametrize(("name", "low", "high"), [("a100", 0.93, 1.0), ("h100", 0.72, 0.84)])
def test_large_products_of_shipped_chips(name, low, high):
    """An H100 sustains 700 to 800 of 989 TFLOP/s (public worklogs of cuBLAS, from memory)."""
    chip = load_entry(name).chip()
    for m, n, k in [(2048, 49152, 12288), (12288, 49152, 2048), (8192, 8192, 8192)]:
        sizes = {"m": m, "n": n, "k": k, "batch": 1.0}
        empty = dict.fromkeys(Contractions.__dataclass_fields__, 0.0)
        op = Contractions(**{**empty, **{key: jnp.float32(value) for key, value in sizes.items()}})
        got = chip.contraction(op, Relax(), 0.0)
        cycles = max(float(got.cycles), float(got.buffer_bytes / chip.sram.bandwidth))
        assert low < float(m) * n * k / float(chip.macs_per_cycle) / cycles < high


@pytest.mark.parametrize("bandwidth", [512.0, 5120.0, 65536.0])
def test_never_beats_the_roofline(bandwidth):
    rng = np.random.default_rng(1)
    m, n, k = np.exp(rng.uniform(0, 10, (3, 4096))).round()
    sms = rng.integers(1, 200, 4096).astype(np.float32)
    got = compute(m, n, k, sms=sms, sram_bandwidth_B_per_cycle=bandwidth)
    assert np.all(got.cycles >= m * n * k / (sms * 512) * (1 - 1e-6))


def test_the_port_of_shared_memory_is_as_wide_as_tensor_units_ask():
    def local(macs, number_format):
        chip = dataclasses.replace(Simt(), number_format=number_format)
        chip = chip.replace(sms=7, macs_per_sm=macs, shared_memory_KiB=96)
        return float(chip.areas(chip.technology.resolve())["local"])

    # Cells: 8 x 96 KiB of the memory, 512 x 4 x 44 for each 64 bytes a cycle of the port.
    memory, port = 8 * 96 * 1024, 512 * 4 * 44
    # 3072 bf16 MACs read 2 / 64 words of 2 bytes each: 192 bytes a cycle. Of int8 96, below the
    # 128 that lanes ask for; of fp32 384.
    asked = {"int8": 128, "bf16": 192, "fp32": 384}
    cells = {f: memory + port * width / 64 for f, width in asked.items()}
    for number_format, expected in cells.items():
        got = local(3072, number_format) / local(3072, "int8")
        assert got == pytest.approx(expected / cells["int8"], rel=1e-6)
    # Lanes' own port below: an A100's 1024 and an H100's 2048 MACs change nothing.
    assert local(1024, "bf16") == local(2048, "bf16") == local(16, "bf16")


def test_shared_memory_energy_by_hand():
    # A multiply-accumulate reads 2 / 64 words of 2 bytes, at what a byte of a memory of that port
    # takes: 4096 MACs ask for 256 bytes a cycle, four banks.
    chip = Simt().replace(macs_per_sm=4096, shared_memory_KiB=96)
    process = chip.technology.resolve()
    byte = float(sram.energy(process, 96 * 1024, 256))
    assert float(chip.mac_energy(process)["local"]) == pytest.approx(byte * 2 / 32, rel=1e-6)
