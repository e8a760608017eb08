"""How parallel training divides traced operators: Megatron's partitioning, by hand."""

import dataclasses
from collections import Counter

import jax
import jax.numpy as jnp
import pytest

import hwmodels
from hwmodels.workloads.networks.gpt import GptConfig, gpt


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def products(workload, phase):
    return [r for r in workload.rows if r.kind == "contraction" and r.phase == phase]


def test_two_layers_by_hand():
    def step(weights, x):
        def loss(w):
            return jnp.mean((jnp.maximum(x @ w[0], 0.0) @ w[1]) ** 2)

        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights))

    workload = hwmodels.trace(step, (f32(30, 70), f32(70, 20)), f32(6, 30), samples=6)
    first, second = products(workload, "forward")
    # Column-parallel: the 70 outputs are split; row-parallel: they are summed over.
    assert (first.split, first.spread, first.reduced) == ("n", "m", 0)
    assert (second.split, second.spread, second.reduced) == ("k", "m", 6 * 20)
    marks = {
        (r.m, r.n, r.k): (r.split, r.spread, r.reduced) for r in products(workload, "backward")
    }
    # (x w0)^T dy and x^T d: gradients grow with samples in what they sum over.
    assert marks[20, 70, 6] == ("n", "k", 0)
    assert marks[6, 70, 20] == ("n", "m", 0)  # dy w1^T: as the first one, sharded
    assert marks[70, 30, 6] == ("m", "k", 0)
    updates = [r for r in workload.rows if r.place == "optimizer"]
    assert updates
    assert all(r.split == "all" and r.spread == "" for r in updates)
    assert workload.layers == 1


TINY = GptConfig("tiny", layers=5, hidden=24, heads=3, sequence=14, vocabulary=60)


@pytest.fixture(scope="module")
def tiny():
    return gpt(TINY, sequences=2)


def test_a_block_communicates_as_megatron_lm_does(tiny):
    """Two all-reduces of s b h forward and two backward in each block (Shoeybi et al., 2019)."""
    handed = 2 * 14 * 24
    for phase in ("forward", "backward"):
        rows = [r for r in tiny.rows if r.phase == phase and r.place == "layers" and r.reduced]
        assert sum(r.count * r.reduced for r in rows) == 5 * 2 * handed
    # The table of the vocabulary is split: its look-up is summed, and the head's input gradient.
    assert [r.reduced for r in tiny.rows if r.place == "first" and r.reduced] == [handed]
    assert [r.reduced for r in tiny.rows if r.place == "last" and r.reduced] == [handed]
    assert tiny.layers == 5
    assert tiny.cut.elements == handed


def test_every_product_is_divided(tiny):
    rows = [r for r in tiny.rows if r.kind == "contraction"]
    assert all(r.split and r.spread for r in rows)
    core = [r for r in rows if r.core]
    # Scores and weighted values; their four gradients, two of equal sizes.
    assert sum(r.count for r in core) == 5 * 6
    assert all(r.split == r.spread == "batch" and r.batch == 2 * 3 for r in core)
    gradients = [r for r in rows if r.spread == "k"]
    assert sum(r.count for r in gradients) == 5 * 4 + 1
    assert all(r.k == 2 * 14 for r in gradients)


def test_saved_activations_are_korthikantis(tiny):
    """s b h (24 / t + 10 + 4 a s / h t) bytes a block without dropout, whose masks are one byte of
    5 a s / h t and two of 10 (Korthikanti et al., 2022, equation 2): here the third of ten is the
    copy of the residual stream that the loop keeps."""
    sbh = 14 * 2 * 24
    blocks = [x for x in tiny.saved if x.place == "layers"]

    def size(split, core):
        some = [x for x in blocks if x.split == split and x.core == core]
        return sum(x.count * x.elements * x.bits / 8 for x in some) / (5 * sbh)

    assert size(split=True, core=False) == pytest.approx(24, rel=0.01)
    assert size(split=False, core=False) == pytest.approx(10, rel=0.01)
    statistics = 2 * 2 * 3 / 24  # maximum and sum of a row of scores, two bytes
    assert size(split=True, core=True) == pytest.approx(4 * 3 * 14 / 24 + statistics, rel=0.01)
    assert size(split=False, core=True) == 0


def test_written_out_blocks_are_found_like_a_loop():
    def step(weights, x, unrolled):
        def block(x, w):
            return x + jnp.tanh(x @ w[0]) @ w[1], None

        def loss(ws):
            y = x
            if unrolled:
                for i in range(4):
                    y, _ = block(y, (ws[0][i], ws[1][i]))
            else:
                y, _ = jax.lax.scan(block, x, ws)
            return jnp.mean((y @ ws[0][0, :, :7]) ** 2)

        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights))

    state = (f32(4, 16, 40), f32(4, 40, 16))
    found = [
        hwmodels.trace(lambda w, x, u=u: step(w, x, u), state, f32(6, 16), samples=6, name="x")
        for u in (False, True)
    ]
    for workload in found:
        assert workload.layers == 4
        assert workload.cut.elements == 6 * 16
        head = next(r for r in workload.rows if r.n == 7 and r.phase == "forward")
        assert head.place == "last"
    looped, written_out = (
        sum(
            (
                Counter({(r.phase, r.place, r.m, r.n, r.k, r.split, r.spread, r.reduced): r.count})
                for r in workload.rows
                if r.kind == "contraction"
            ),
            Counter(),
        )
        for workload in found
    )
    # Written out, nothing asks for the gradient of the step's input.
    assert looped - written_out == {("backward", "layers", 6, 16, 40, "k", "m", 96): 1}
    assert not written_out - looped


@pytest.mark.parametrize("vocabulary", [60, 5000])
def test_a_large_head_does_not_hide_the_blocks(vocabulary):
    # 12 x 24^2 x 5 weights of blocks, 24 x 5000 of the head: 22% of the products repeat at 5000.
    workload = gpt(dataclasses.replace(TINY, vocabulary=vocabulary))
    assert workload.layers == (5 if vocabulary == 60 else 1)
    workload = gpt(dataclasses.replace(TINY, vocabulary=1500))
    assert workload.layers == 5


def test_experts_are_divided_and_exchanged():
    def step(weights, x):
        def loss(w):
            up, down = w
            chosen = x.reshape(3, 8, 10)  # tokens that were sent to each of three experts
            made = jnp.einsum("etf,efh->eth", jax.nn.relu(jnp.einsum("eth,ehf->etf", chosen, up)),
                              down)  # fmt: skip
            return jnp.mean(made**2)

        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights))

    workload = hwmodels.trace(step, (f32(3, 10, 50), f32(3, 50, 10)), f32(24, 10), samples=24)
    up, down = products(workload, "forward")
    assert up.expert
    assert down.expert
    assert (up.split, up.exchanged) == ("n", 24 * 10)
    assert (down.split, down.reduced, down.exchanged) == ("k", 24 * 10, 24 * 10)
    for row in products(workload, "backward"):
        assert row.expert
        assert row.spread == ("k" if row.k == 8 else "m")


def test_large_models_trace_by_shape_alone():
    config = GptConfig("1t", layers=128, hidden=25600, heads=160)
    workload = gpt(config)
    assert workload.layers == 128
    # 1008.0 billion parameters, Narayanan et al., SC 2021, Table 1; FLOPs by equation 3, less 1/4.
    assert config.parameters == pytest.approx(1008.0e9, rel=0.01)
    stored = sum(t.elements for t in workload.footprints if t.role == "parameter")
    assert stored == config.parameters
    s, h, v, layers = 2048, 25600, 51200, 128
    flops = 72 * s * layers * h**2 * (1 + s / (6 * h) + v / (12 * layers * h))
    assert 2 * workload.macs == pytest.approx(flops, rel=1e-6)
    assert config.flops(1) == pytest.approx(flops, rel=1e-6)
