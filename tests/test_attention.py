"""Fused attention as a transformation of a traced step: traffic, work and memory by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

import hwmodels
from hwmodels.errors import InputError
from hwmodels.workloads.attention import ON_CHIP, fuse_attention
from hwmodels.workloads.networks.gpt import GptConfig, gpt

LAYERS, HIDDEN, HEADS, SEQUENCE, SAMPLES = 5, 24, 3, 14, 2
TINY = GptConfig("tiny", LAYERS, HIDDEN, HEADS, SEQUENCE, vocabulary=60)
DROPPED = dataclasses.replace(TINY, dropout=0.1)
SCORES = SAMPLES * HEADS * SEQUENCE**2
VALUES = SAMPLES * SEQUENCE * HIDDEN  # elements of q, k, v or o
LINES = SAMPLES * HEADS * SEQUENCE  # rows of scores


@pytest.fixture(scope="module", params=[TINY, DROPPED], ids=["plain", "dropout"])
def unfused(request):
    return gpt(request.param, sequences=SAMPLES)


@pytest.fixture(scope="module")
def tiny():
    return gpt(TINY, sequences=SAMPLES)


def core(workload, phase):
    return [r for r in workload.rows if r.core and r.phase == phase]


def products(workload, phase):
    return [r for r in core(workload, phase) if r.kind == "contraction"]


def outside(workload):
    """What is no part of attention, by all its numbers."""
    return [r for r in workload.rows if not r.core]


def total(rows, what):
    return sum(row.count * getattr(row, what) for row in rows)


def moved(row):
    """Elements that a row exchanges with memory, without its stand-ins and row statistics."""
    return sum(t.elements for t in (*row.reads, *row.writes) if t.elements >= VALUES)


def test_scores_stay_on_chip(unfused):
    fused = fuse_attention(unfused)
    tensors = [t for r in fused.rows for t in (*r.reads, *r.writes)]
    assert any(t.elements == SCORES for r in unfused.rows for t in (*r.reads, *r.writes))
    assert all(t.elements != SCORES for t in tensors)
    # No mask either: they come from indices, dropout's from a hash.
    assert all(t.floating for phase in ("forward", "backward") for r in core(fused, phase)
               for t in (*r.reads, *r.writes))  # fmt: skip
    # q, k, v in, o out; v, do; do, dv; k, dq; q, dk; and q, k for the scores again.
    assert sum(r.count * moved(r) for r in products(fused, "forward")) == LAYERS * 4 * VALUES
    assert sum(r.count * moved(r) for r in products(fused, "backward")) == LAYERS * 10 * VALUES


def test_bytes_by_hand(tiny):
    fused = fuse_attention(tiny)
    forward, backward = products(fused, "forward"), products(fused, "backward")
    # Statistics: the maximum is written by the product and read by what followed it, and two
    # are kept; the backward phase reads these two, makes and reads the sum of dP P, and the
    # maximum again. Stand-ins: two forward; one for each of five products and two for dS.
    assert total(forward, "bytes") == LAYERS * 2 * (4 * VALUES + 4 * LINES + 2 * ON_CHIP)
    assert total(backward, "bytes") == LAYERS * 2 * (10 * VALUES + 5 * LINES + 5 * ON_CHIP)


def test_backward_makes_the_scores_again(unfused):
    fused = fuse_attention(unfused)
    product = SCORES * HIDDEN / HEADS  # multiply-accumulates of any of the products
    for phase, before, after in (("forward", 2, 2), ("backward", 4, 5)):
        assert total(products(unfused, phase), "macs") == LAYERS * before * product
        assert total(products(fused, phase), "macs") == LAYERS * after * product
    first = products(unfused, "forward")[0]
    # Elementwise work moves into the products; of the scores: their epilogue, and exp(S - max).
    for name in ("simple", "special", "flops", "transcendentals"):
        again = LAYERS * (getattr(first, name) + SCORES)
        assert total(fused.rows, name) == pytest.approx(total(unfused.rows, name) + again)
    # What still launches by itself beside five forward and backward products reads no scores.
    loose = [r for p in ("forward", "backward") for r in core(fused, p) if r.kind != "contraction"]
    assert all(t.elements != SCORES for r in loose for t in (*r.reads, *r.writes))
    assert not [r for r in core(fused, "forward") if r.kind != "contraction"]


def test_nothing_else_changes(unfused):
    fused = fuse_attention(unfused, causal=True)
    assert outside(fused) == outside(unfused)
    assert total(fused.rows, "reduced") == total(unfused.rows, "reduced")
    assert (fused.layers, fused.cut, fused.gradients) == (
        unfused.layers, unfused.cut, unfused.gradients,
    )  # fmt: skip
    for row in [*products(fused, "forward"), *products(fused, "backward")]:
        assert (row.split, row.spread, row.place) == ("batch", "batch", "layers")
    # Rows stay in the order of the program.
    kept = [r.name for r in fused.rows if not r.name.startswith("again")]
    before = iter(r.name for r in unfused.rows)
    assert all(name in before for name in kept)


def test_causal_blocks_are_skipped(unfused):
    whole, half = fuse_attention(unfused), fuse_attention(unfused, causal=True)
    for phase in ("forward", "backward"):
        some, all_ = products(half, phase), products(whole, phase)
        for name in ("macs", "simple", "special", "flops", "transcendentals"):
            assert total(some, name) == pytest.approx(0.5 * total(all_, name))
        # q, k, v and o are read and written whole, heads are not cut.
        assert total(some, "bytes") == total(all_, "bytes")
        assert [r.batch for r in some] == [r.batch for r in all_]
    keys, head = SEQUENCE / 2, HIDDEN / HEADS
    sizes = [(r.m, r.n, r.k) for r in products(half, "forward")]
    assert sizes == [(SEQUENCE, keys, head), (head, SEQUENCE, keys)]


def test_statistics_are_all_that_is_saved(unfused):
    fused = fuse_attention(unfused)
    kept = [x for x in fused.saved if x.core]
    assert sum(x.elements * x.count for x in kept) == LAYERS * 2 * LINES
    assert [x for x in fused.saved if not x.core] == [x for x in unfused.saved if not x.core]
    # The peak of what is alive holds every saved tensor, and falls by what is saved no more.
    masks = len([x for x in unfused.saved if x.core and x.bits == 8.0])  # of dropout
    gone = {16.0: 2, 8.0: masks}
    for before, after in zip(unfused.footprints, fused.footprints, strict=True):
        if before.role == "activation" and before.bits in gone:
            lost = LAYERS * SCORES * gone[before.bits]
            assert after.elements == before.elements - lost
            assert after.elements > 0
        else:
            assert after == before


def test_tensors_as_large_as_scores_are_not_mistaken():
    """With sequence = 4 x head, what a GELU keeps has as many elements as the scores; with 3 x
    head, the joined gradient of q, k and v."""
    for times in (3, 4):
        config = dataclasses.replace(TINY, sequence=times * HIDDEN // HEADS)
        unfused = gpt(config, sequences=SAMPLES)
        scores = SAMPLES * HEADS * config.sequence**2
        fused = fuse_attention(unfused)
        assert outside(fused) == outside(unfused)
        size = [x for x in unfused.saved if x.elements == scores and not x.core]
        assert size
        assert size == [x for x in fused.saved if x.elements == scores]
        if times == 3:
            joined = [r for r in core(unfused, "backward") if r.kind == "movement"]
            assert [t.elements for r in joined for t in r.writes] == [scores]
            assert joined == [r for r in core(fused, "backward") if r.kind == "movement"]


def attend(q, k, v, bias=0.0):
    scores = jnp.einsum("bnqd,bnkd->bnqk", q, k) + bias
    return jnp.einsum("bnqk,bnkd->bnqd", jax.nn.softmax(scores), v)


def test_attention_of_two_sizes_with_a_learnt_bias():
    """Self-attention over 10 keys with a bias for each head and pair, then 10 queries see 7."""

    def step(weights, x, memory):
        def loss(w):
            q, k, v, queries, keys, values = (
                jnp.einsum("bsh,hnd->bnsd", y, m)
                for y, m in zip((x, x, x, x, memory, memory), w[0], strict=True)
            )
            return jnp.mean((attend(q, k, v, w[1]) + attend(queries, keys, values)) ** 2)

        return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights))

    def f32(*shape):
        return jax.ShapeDtypeStruct(shape, "float32")

    state = (f32(6, 12, 2, 5), f32(2, 10, 10))
    batch = (f32(3, 10, 12), f32(3, 7, 12))
    unfused = hwmodels.trace(
        lambda w, b: step(w, *b), state, batch, samples=3, name="two"
    )  # fmt: skip
    fused = fuse_attention(unfused)
    sizes = {3 * 2 * 10 * 10, 3 * 2 * 10 * 7}
    seen = {t.elements for r in fused.rows if r.core for t in (*r.reads, *r.writes)}
    assert not sizes & seen
    again = [r for r in fused.rows if r.name.startswith("again")]
    assert {r.batch * r.m * r.n for r in again} == sizes
    assert total(fused.rows, "macs") == unfused.macs + 5 * sum(sizes)
    # The bias's gradient is summed from dS inside the kernel, and leaves it.
    written = [t for r in fused.rows if r.phase == "backward" for t in r.writes]
    assert 2 * 10 * 10 in {t.elements for t in written}


def answer(queries):
    """Attention of inference, head size 4."""
    heads = jax.ShapeDtypeStruct((2, 3, queries, 4), "float32")
    weights = jax.ShapeDtypeStruct((4, 4), "float32")
    return hwmodels.trace(
        lambda w, x: attend(jnp.einsum("bnsd,de->bnse", x, w), x, x), weights, heads, samples=2,
        name="answer",
    )  # fmt: skip


def test_inference_has_no_backward_products():
    unfused = answer(11)
    fused = fuse_attention(unfused)
    assert fused.macs == unfused.macs
    assert not core(fused, "backward")
    assert not [r for r in fused.rows if r.core and r.kind != "contraction"]


def test_the_numeric_form_has_the_same_totals(unfused):
    """What accelerators and plans read: operands that stay on chip are no special case."""
    fused = fuse_attention(unfused, causal=True)
    operations = fused.operations
    products = operations.contraction
    macs = products.count * products.batch * products.m * products.n * products.k
    assert macs.sum() == pytest.approx(fused.macs, rel=1e-6)
    kinds = (products, operations.vector, operations.movement)
    assert sum((x.count * x.every_byte).sum() for x in kinds) == pytest.approx(fused.bytes)
    assert fused.bytes < unfused.bytes


def test_bad_input_is_one_clear_line():
    with pytest.raises(InputError, match="no attention"):
        fuse_attention(hwmodels.load_workload("mlp"))
    # Products of activations that nothing weighs values with, as of two encoders (CLIP).
    weights, x = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((6, 5), (9, 6)))
    pairs = hwmodels.trace(lambda w, x: (x @ w) @ jnp.sin(x @ w).T, weights, x, samples=9, name="x")
    assert [r.core for r in pairs.rows if r.m == r.n == 9] == [True]
    with pytest.raises(InputError, match="no attention"):
        fuse_attention(pairs)
    square = dataclasses.replace(TINY, sequence=HIDDEN // HEADS)
    with pytest.raises(InputError, match="as large as scores"):
        fuse_attention(gpt(square, sequences=SAMPLES))
