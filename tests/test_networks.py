"""The library's networks against published numbers of parameters and operations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hwmodels.errors import InputError
from hwmodels.workloads import WORKLOADS, Workload, load_workload
from hwmodels.workloads.networks import decoder, encoder, gpt

# Parameters and multiply-adds [1e9] of one image, of the published torchvision models
# (https://pytorch.org/vision/stable/models.html, columns Params and GFLOPS), and the parameters
# of U-Net's original layers, 31.03 million (Ronneberger et al., 2015, figure 1).
IMAGES = {
    "alexnet": (61_100_840, 0.71),
    "vgg16": (138_357_544, 15.47),
    "resnet18": (11_689_512, 1.81),
    "resnet50": (25_557_032, 4.09),
    "mobilenet-v2": (3_504_872, 0.30),
    "vit-b16": (86_567_656, 17.56),
    "vit-l16": (304_326_632, 61.55),
}
# Parameters as the published checkpoints have them.
LANGUAGE = {
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
}


def parameters(workload: Workload) -> float:
    return sum(t.elements for t in workload.footprints if t.role == "parameter")


def products(workload: Workload) -> float:
    return sum(2 * row.count * row.macs for row in workload.rows)


def text_of(name: str, mode: str) -> str:
    if mode == "infer" and "infer" not in WORKLOADS[name].modes:
        return f"{name}@prefill,batch=1,sequence=64"
    return f"{name}@{mode},batch=1"


@pytest.mark.parametrize("name", IMAGES)
def test_image_networks_are_as_published(name: str) -> None:
    count, giga_macs = IMAGES[name]
    found = load_workload(f"{name}@infer,batch=1")
    assert parameters(found) == count
    assert found.macs == pytest.approx(giga_macs * 1e9, rel=0.01)
    assert not found.training


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_models_are_as_published(name: str) -> None:
    assert parameters(load_workload(text_of(name, "infer"))) == LANGUAGE[name]


def test_sizes_that_are_padded_or_rounded() -> None:
    xl = dataclasses.replace(gpt.GPT2_XL, vocabulary=50257)
    assert xl.parameters == 1_557_611_200
    # Brown et al. (2020), table 2.1: 125M, 1.3B, 6.7B, 13.0B, 175.0B
    stated = (125e6, 1.3e9, 6.7e9, 13.0e9, 175.0e9)
    for config, count in zip((*gpt.GPT3, gpt.GPT3_175B), stated, strict=True):
        assert config.parameters == pytest.approx(count, rel=0.015)
    # Zaremba et al. (2014): 66 million; MLPerf: 187,767,399 rows of 128 beside the products
    assert parameters(load_workload("lstm-ptb@infer")) == pytest.approx(66e6, rel=0.001)
    unet = load_workload("unet@infer")
    assert parameters(unet) == pytest.approx(31.03e6, rel=0.001)
    recommending = load_workload("dlrm@infer,batch=3")
    tables = 187_767_399 * 128
    bottom = 13 * 512 + 512 * 256 + 256 * 128
    top = 479 * 1024 + 1024 * 1024 + 1024 * 512 + 512 * 256 + 256
    biases = 512 + 256 + 128 + 1024 + 1024 + 512 + 256 + 1
    assert parameters(recommending) == tables + bottom + top + biases
    assert recommending.macs == 3 * (bottom + top + 27 * 27 * 128)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_network_trains(name: str) -> None:
    found = load_workload(f"{name}@train,batch=2")
    assert found.training
    assert found.samples == 2
    assert "uncosted" not in found.coverage.values()
    roles = {t.role for t in found.footprints}
    assert {"parameter", "gradient", "activation"} <= roles
    phases = {row.phase for row in found.rows}
    assert phases == {"forward", "backward", "optimizer"}
    spent = {
        phase: sum(row.count * row.macs for row in found.rows if row.phase == phase)
        for phase in phases
    }
    # Two products backward for each forward one; less where nothing asks for the first input's,
    # more where a stride does not divide a kernel: its input's gradient streams some zeros.
    assert 1.0 < spent["backward"] / spent["forward"] < 2.4


@pytest.mark.parametrize(
    "config", [decoder.LLAMA3_8B, decoder.MIXTRAL_8X7B, gpt.as_decoder(gpt.GPT2[0])]
)
def test_products_of_decoders_add_up(config: decoder.DecoderConfig) -> None:
    n, s, name = 3, 96, config.name
    found = products(load_workload(f"{name}@prefill,batch={n},sequence={s}"))
    assert found == pytest.approx(config.flops(n * s, s, n), rel=0.01)
    found = products(load_workload(f"{name}@decode,batch={n},context={s}"))
    # Three tokens times two experts use six of eight: full at one token each.
    assert found == pytest.approx(config.flops(n, s, n), rel=0.01)


def test_training_is_three_forward_phases() -> None:
    found = products(load_workload("llama3-8b@train,batch=2,sequence=64"))
    assert found == pytest.approx(3 * decoder.LLAMA3_8B.flops(128, 64, 128), rel=0.01)


def test_decoding_reads_weights_and_cache_once() -> None:
    config, n, context = decoder.LLAMA3_8B, 16, 8192
    found = load_workload(f"llama3-8b@decode,batch={n},context={context}")
    weights = 2 * (8_030_261_248 - config.vocabulary * config.hidden)  # but for the look-up's table
    cache = 2 * 2 * config.layers * n * context * config.groups * config.width
    # The scores and what is made of them come on top: 4 bytes of 128 a key.
    assert 1.0 <= found.bytes / (weights + cache) < 1.05
    kept = [t.elements for t in found.footprints if t.role == "activation"]
    assert sum(kept) == pytest.approx(cache / 2, rel=0.01)
    written = sum(row.count * sum(t.bytes() for t in row.writes) for row in found.rows)
    assert written < 0.05 * cache


def test_few_tokens_read_few_experts() -> None:
    one = load_workload("mixtral-8x7b@decode,batch=1,context=64")
    many = load_workload("mixtral-8x7b@decode,batch=64,context=64")
    config = decoder.MIXTRAL_8X7B
    expert = 2 * config.layers * 3 * config.hidden * config.feedforward
    rest = 2 * (46_702_792_704 - config.vocabulary * config.hidden) - 8 * expert
    np.testing.assert_allclose(one.bytes, rest + 2 * expert, rtol=0.02)
    np.testing.assert_allclose(many.bytes, rest + 8 * expert, rtol=0.03)


def test_tables_are_not_read_whole() -> None:
    n = 2048
    found = load_workload(f"dlrm@train,batch={n}")
    # 26 rows of 128 numbers a sample: read, read again and written by the update.
    rows = 26 * 128 * 4 * n
    update = [r for r in found.rows if r.name.startswith("scatter-add [187767399")]
    assert len(update) == 1
    assert sum(t.bytes() for t in update[0].writes) == rows
    assert found.bytes < 25 * rows + 3 * 4 * 2.4e6 * 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet50@decode", "mode of resnet50: got decode; allowed: train, infer"),
        ("gpt2@decode,context=2000", "context: got 2000; allowed: 1 to 1024"),
        ("bert-base@sequence=513", "sequence: got 513"),
        ("vgg16@sequence=3", "sequence: got 3; allowed here"),
        ("resnet5", "did you mean resnet50?"),
    ],
)
def test_bad_settings_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_workload(text)
    assert said in str(caught.value)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="groups"):
        dataclasses.replace(decoder.LLAMA3_8B, groups=5)
    with pytest.raises(InputError, match="chosen"):
        dataclasses.replace(decoder.MIXTRAL_8X7B, chosen=9)
    with pytest.raises(InputError, match="heads"):
        dataclasses.replace(encoder.BERT_BASE, heads=7)
