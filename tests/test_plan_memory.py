"""Memory of a plan against the formulas of ZeRO (2020) and of Korthikanti et al. (2022)."""

import dataclasses

import pytest
from gpt_rows import gpt, saving

import hwmodels
from hwmodels.fleet.memory import held, memory_terms
from hwmodels.fleet.plan import ClusterTuning, make_plan
from hwmodels.fleet.schedule import in_flight
from hwmodels.fleet.stores import stores

LAYERS, HIDDEN, HEADS, SEQ, VOCAB = 12, 96, 6, 40, 210
WORKLOAD = gpt(LAYERS, HIDDEN, HEADS, SEQ, VOCAB, samples=2)
PARAMETERS = 12 * LAYERS * HIDDEN**2 + 2 * VOCAB * HIDDEN
SBH, CORE = SEQ * HIDDEN, 5 * HEADS * SEQ**2  # of one sample


def terms(workload=WORKLOAD, tuning=None, microbatches=8.0, **fields):
    plan = make_plan(**fields)
    flight = in_flight(plan, microbatches)
    store = stores(workload, 16.0)
    found = memory_terms(store, plan, tuning or ClusterTuning(gradient_bits=16.0), flight)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize(("zero", "divided"), [(0, 0), (1, 12), (2, 14), (3, 16)])
def test_sixteen_bytes_a_parameter_less_what_zero_shards(zero, divided):
    # fp16 weight and gradient, fp32 master copy and two moments; 7 replicas.
    got = terms(data=7, zero=zero)
    stored = got["parameters"] + got["gradients"] + got["optimizer"]
    assert stored == pytest.approx(PARAMETERS * (16 - divided + divided / 7), rel=1e-6)
    # Two blocks of twelve are gathered.
    assert got["gathered"] == pytest.approx(2 * PARAMETERS * 2 / 12 if zero == 3 else 0.0)


def test_fp32_keeps_no_second_copy():
    store = stores(WORKLOAD, 32.0)
    assert (store.working, store.master, store.states) == (4.0, 0.0, 8.0)


def test_gradient_width_is_tuned():
    got = terms(tuning=ClusterTuning(gradient_bits=32.0))
    assert got["gradients"] == pytest.approx(4 * PARAMETERS)


@pytest.mark.parametrize(("tensor", "pipeline"), [(1, 1), (3, 1), (2, 4), (6, 12)])
def test_parameters_by_tensor_and_pipeline(tensor, pipeline):
    blocks, table = 12 * LAYERS * HIDDEN**2, VOCAB * HIDDEN
    ends = 2 * table if pipeline == 1 else table  # embedding and head on different stages
    expected = blocks / (tensor * pipeline) + ends / tensor
    mine = held(stores(WORKLOAD, 16.0), make_plan(tensor=tensor, pipeline=pipeline))
    assert float(mine.dense) == pytest.approx(expected, rel=1e-6)
    assert mine.experts is None


def test_tied_table_is_stored_at_both_ends():
    tied = PARAMETERS - VOCAB * HIDDEN
    state = [t for t in WORKLOAD.footprints if t.role != "parameter"]
    parameter = hwmodels.Tensor("parameter", float(tied), 32.0)
    workload = dataclasses.replace(WORKLOAD, footprints=(parameter, *state))
    store = stores(workload, 16.0)
    assert float(held(store, make_plan()).dense) == pytest.approx(tied)
    blocks, table = 12 * LAYERS * HIDDEN**2, VOCAB * HIDDEN
    piped = held(store, make_plan(pipeline=3))
    assert float(piped.dense) == pytest.approx(blocks / 3 + table, rel=1e-6)


def test_experts_are_shared_among_replicas():
    rows = [
        dataclasses.replace(
            row, expert=True, batch=8.0,
            reads=tuple(dataclasses.replace(t, elements=8 * t.elements) for t in row.reads),
        )
        if row.name == "up" else row
        for row in WORKLOAD.rows
    ]  # fmt: skip
    up = 4 * LAYERS * HIDDEN**2
    grown = hwmodels.Tensor("parameter", float(PARAMETERS + 7 * up), 32.0)
    store = stores(dataclasses.replace(WORKLOAD, rows=tuple(rows), footprints=(grown,)), 16.0)
    assert store.experts == 8.0
    mine = held(store, make_plan(data=8, expert=4, tensor=3, pipeline=2))
    assert float(mine.experts) == pytest.approx(8 * up / (3 * 2 * 4), rel=1e-6)


@pytest.mark.parametrize(
    ("recompute", "sequence", "each"),
    [
        # Korthikanti et al. (2022), table 2; sbh (10 + 24 / t + 5 a s / (h t)) without either.
        ("none", 0, lambda t: SBH * (10 + 24 / t) + CORE / t),
        ("none", 1, lambda t: SBH * 34 / t + CORE / t),
        ("selective", 0, lambda t: SBH * (10 + 24 / t)),
        ("selective", 1, lambda t: SBH * 34 / t),
        ("full", 0, lambda t: SBH * 2),
        ("full", 1, lambda t: SBH * 2 / t),
    ],
)
@pytest.mark.parametrize("tensor", [1, 3])
def test_activations_of_a_block(recompute, sequence, each, tensor):
    got = terms(tensor=tensor, recompute=recompute, sequence=sequence, microbatch=5)
    logits = 2 * SEQ * VOCAB / tensor
    assert got["activations"] == pytest.approx(5 * (LAYERS * each(tensor) + logits), rel=1e-6)


def test_what_is_recomputed_is_there_for_one_block():
    assert terms()["recomputed"] == 0.0
    assert terms(recompute="selective", tensor=3)["recomputed"] == pytest.approx(CORE / 3)
    full = terms(recompute="full", tensor=3)["recomputed"]
    assert full == pytest.approx(SBH * (10 + 24 / 3) + CORE / 3)


@pytest.mark.parametrize(
    ("schedule", "interleave", "flight"), [("gpipe", 1, 8), ("1f1b", 1, 4), ("1f1b", 3, 5)]
)
def test_activations_in_flight(schedule, interleave, flight):
    got = terms(pipeline=4, schedule=schedule, interleave=interleave, recompute="selective")
    first = flight * (LAYERS / 4) * 34 * SBH
    held_back = 8 if schedule == "gpipe" else 1
    late = {"gpipe": 8, "1f1b": (4 * (interleave - 1) + 1) / interleave}[schedule]
    last = late * (LAYERS / 4) * 34 * SBH + held_back * 2 * SEQ * VOCAB
    assert got["activations"] == pytest.approx(max(first, last), rel=1e-6)


def test_a_large_head_makes_the_last_stage_the_fullest():
    wide = dataclasses.replace(
        WORKLOAD, saved=(saving(2 * SBH, LAYERS), saving(2e6, 1, place="last", split=True))
    )
    got = terms(wide, pipeline=4)
    block = 2 * SBH  # two samples of s b h, two bytes
    assert got["activations"] == pytest.approx(LAYERS / 4 * block + 2 * 2e6 / 2, rel=1e-6)


def test_workspace_and_rest():
    got = terms(tuning=ClusterTuning(workspace=3.5e9))
    assert got["workspace"] == 3.5e9
    plain = dataclasses.replace(WORKLOAD, saved=())
    alive = [t for t in WORKLOAD.footprints if t.role == "activation"]
    assert terms(plain, microbatch=5)["activations"] == pytest.approx(5 / 2 * 2 * alive[0].elements)
