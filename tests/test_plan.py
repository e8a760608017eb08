"""Parallel plans: partitioned rows, stages, transfers and overlap, by hand and by property."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gpt_rows import gpt
from hypothesis import given, settings
from hypothesis import strategies as st

import hwmodels
from hwmodels import InputError
from hwmodels.fleet import groups, replicas, schedule
from hwmodels.fleet.collectives import collective
from hwmodels.fleet.marks import marked
from hwmodels.fleet.network import Network
from hwmodels.fleet.partition import Cut, contraction_part, vector_part
from hwmodels.fleet.plan import Cluster, ClusterTuning, make_plan
from hwmodels.fleet.problem import pose
from hwmodels.fleet.reliability import YEAR_S, Reliability, lost_share, slowdown
from hwmodels.fleet.stage import calls_of
from hwmodels.fleet.step import (
    CutCosts,
    combine,
    cut_costs,
    evaluate_plan,
    layout_costs,
)

CHIP = hwmodels.VARIANTS["simt"]()
WORKLOAD = gpt(layers=12, hidden=768, heads=12, seq=256, vocab=1003, samples=2)
NETWORK = Network(bandwidth=25e9, latency=0.7e-6, startup=1.5e-6, energy=10e-12, topology="switch")
CLUSTER = Cluster(chips=72.0, node_chips=4.0, network=NETWORK)
NET = groups.wiring(CLUSTER, CHIP.link)
TUNED = ClusterTuning(link_efficiency=0.7, network_efficiency=0.6, pipeline_overlap=0.5)
BATCH = 72


def step(cluster=CLUSTER, batch=BATCH, chip=CHIP, workload=WORKLOAD, **fields):
    return evaluate_plan(chip, workload, cluster, make_plan(**fields), batch)


@pytest.mark.parametrize("variant", ["simt", "systolic"])
def test_one_chip_is_evaluate(variant):
    chip, batch = hwmodels.VARIANTS[variant](), WORKLOAD.samples
    alone = hwmodels.evaluate(chip, WORKLOAD)
    got = evaluate_plan(chip, WORKLOAD, CLUSTER, make_plan(microbatch=batch), batch)
    assert float(got.time) == pytest.approx(float(alone.time), rel=1e-6)
    assert float(got.utilization) == pytest.approx(float(alone.utilization), rel=1e-6)
    chip_power = got.power_terms["chip_dynamic"] + got.power_terms["chip_static"]
    assert float(chip_power) == pytest.approx(float(alone.power), rel=1e-5)


def row(workload, name):
    """The numeric row called `name`, and its marks."""
    packed = marked(workload, workload.at_format(16.0), 16.0)
    products = [r.name for r in workload.rows if r.kind == "contraction"]
    others = [r.name for kind in ("vector", "movement") for r in workload.rows if r.kind == kind]
    both = jax.tree.map(
        lambda a, b: np.concatenate([a, b]), packed.operations.vector, packed.operations.movement
    )
    pairs = ((products, packed.operations.contraction, packed.contraction),
             (others, both, packed.elementwise))  # fmt: skip
    names, *found = pairs[0] if name in products else pairs[1]
    at = names.index(name)
    return jax.tree.map(lambda leaf: leaf[at], tuple(found))


@pytest.mark.parametrize(
    ("name", "sizes", "shares"),
    [
        # 2 samples of 40 tokens; 3 chips, 5 samples: tokens 200, shares of lhs, rhs, result.
        ("qkv", (1, 200, 96, 96), (2.5, 1 / 3, 2.5 / 3)),
        ("qkv dx", (1, 200, 96, 96), (2.5 / 3, 1 / 3, 2.5)),
        ("qkv dw", (1, 96, 96, 200), (2.5, 2.5 / 3, 1 / 3)),
        ("projection", (1, 200, 96, 32), (2.5 / 3, 1 / 3, 2.5)),
        ("projection dw", (1, 32, 96, 200), (2.5 / 3, 2.5, 1 / 3)),
        ("scores", (10, 40, 40, 16), (2.5 / 3,) * 3),
    ],
)
def test_products_are_divided_as_megatron_does(name, sizes, shares):
    op, marks = row(gpt(heads=6), name)
    part = contraction_part(op, marks, Cut(3.0, 5.0, 0.0, 1.0), 2.0)
    assert (part.batch, part.m, part.n, part.k) == pytest.approx(sizes, rel=1e-6)
    for share, before, after in zip(
        shares, (op.lhs, op.rhs, op.once), (part.lhs, part.rhs, part.once), strict=True
    ):
        assert sum(after) == pytest.approx(share * sum(before), rel=1e-6)
    assert part.every_byte == pytest.approx(sum(map(sum, (part.lhs, part.rhs, part.once))))


@pytest.mark.parametrize(
    ("name", "sequence", "share"),
    [("norm", 0.0, 2.5), ("norm", 1.0, 2.5 / 3), ("gelu", 0.0, 2.5 / 3), ("gelu", 1.0, 2.5 / 3),
     ("adam", 1.0, 1 / 3)],
)  # fmt: skip
def test_elementwise_rows_are_divided(name, sequence, share):
    op, marks = row(gpt(), name)
    part = vector_part(op, marks, Cut(3.0, 5.0, sequence, 1.0), 2.0)
    assert part.simple == pytest.approx(share * op.simple, rel=1e-6)
    assert part.every_byte == pytest.approx(share * op.every_byte, rel=1e-6)


def test_experts_are_shared_with_their_tokens():
    op, marks = row(gpt(), "qkv")
    marks, op = marks._replace(expert=1.0), dataclasses.replace(op, batch=np.float32(6))
    part = contraction_part(op, marks, Cut(1.0, 2.0, 0.0, 3.0), 2.0)
    assert (part.batch, part.m) == pytest.approx((2, 3 * op.m))
    assert sum(part.rhs) == pytest.approx(sum(op.rhs) / 3)
    assert sum(part.lhs) == pytest.approx(sum(op.lhs))


def test_experts_exchange_tokens():
    # Eight experts in place of each feed-forward network, a token's vector there and back.
    hidden = 512 * 768.0
    rows = tuple(
        dataclasses.replace(
            row, expert=True, batch=8.0, m=row.m / 8,
            exchanged=hidden if row.name in ("up", "down") else 0.0,
        )
        if row.name in ("up", "down") else row
        for row in WORKLOAD.rows
    )  # fmt: skip
    workload = dataclasses.replace(WORKLOAD, rows=rows)
    alone = step(workload=workload, data=8, microbatch=3)
    assert float(alone.time_terms["expert"]) == 0.0
    got = step(workload=workload, data=8, microbatch=3, expert=4, recompute="full")
    size = 3 * 256 * 768 * 2
    one = size * 3 / 4 / 300e9 + 2 * CHIP.link.latency
    # 12 blocks x 2 exchanges, forward and once again.
    assert float(got.time_terms["expert"]) == pytest.approx(3 * 12 * 2 * 2 * one, rel=1e-5)
    assert bool(got.feasible)
    assert float(step(workload=workload, data=6, expert=3).margins["expert"]) < 0.0
    assert float(got.memory_terms["parameters"]) < float(alone.memory_terms["parameters"])


def test_groups_see_their_part_of_the_cluster():
    # Four chips in one node, on its switch: bytes, and two hops.
    near = groups.call("reduce_scatter", NET, 4.0, 1.0, 60e6)
    assert float(near.time) == pytest.approx(60e6 * 3 / 4 / 300e9 + 2 * CHIP.link.latency)
    assert float(near.energy) == 0.0
    # Three chips, one a node: to start two messages, two hops between nodes.
    far = groups.call("reduce_scatter", NET, 3.0, 4.0, 60e6)
    moved = 60e6 * 2 / 3
    assert float(far.time) == pytest.approx(moved / 25e9 + 2 * 1.5e-6 + 2 * 0.7e-6)
    assert float(far.energy) == pytest.approx(moved * 8 * 2 * 10e-12)
    for kind in ("all_reduce", "all_gather", "all_to_all", "point_to_point"):
        assert float(groups.call(kind, NET, 1.0, 3.0, 60e6).time) < 1e-12


def test_messages_add_up_by_calls_and_bytes():
    one = collective("all_reduce", NET, 6.0, 7e6, stride=2.0)
    size = groups.message("all_reduce", NET, 6.0, 2.0, 7e6)
    sent = size.sent(3.5 * 7e6, 4.0)
    assert float(sent.time) == pytest.approx(float(4 * one.latency + 3.5 * one.bandwidth))
    assert float(sent.energy) == pytest.approx(float(3.5 * one.energy / 6))


def test_tuning_lowers_rates():
    net = groups.wiring(dataclasses.replace(CLUSTER, tuning=TUNED), CHIP.link)
    assert net.bandwidth == pytest.approx(0.7 * 300e9)
    assert net.outer.bandwidth == pytest.approx(0.6 * 25e9)


def test_tensor_transfers_by_hand():
    # Reduced in a block: two in forward, two in backward; the embedding; the head's gradient.
    got = step(tensor=3, data=3, microbatch=4, batch=24)
    size = 4 * 256 * 768 * 2
    one = 2 * (size * 2 / 3 / 300e9 + 2 * CHIP.link.latency)
    assert float(got.time_terms["tensor"]) == pytest.approx(2 * 50 * one, rel=1e-5)
    again = step(tensor=3, data=3, microbatch=4, batch=24, recompute="full")
    assert float(again.time_terms["tensor"]) == pytest.approx(2 * 74 * one, rel=1e-5)
    tuning = ClusterTuning(tensor_overlap=0.25)
    hidden = step(dataclasses.replace(CLUSTER, tuning=tuning), 24, tensor=3, data=3, microbatch=4)
    assert float(hidden.time_terms["tensor"]) == pytest.approx(1.5 * 50 * one, rel=1e-5)


@pytest.mark.parametrize(("chunks", "share"), [(1, 3 / 12), (3, 1 / 12)])
def test_bubble_of_even_stages(chunks, share):
    plan = make_plan(pipeline=4, interleave=chunks)
    assert float(schedule.bubble(plan, 2.0, 8.0)) == pytest.approx(share * 12 * 2.0)


def test_bubble_and_slowest_stage_of_a_step():
    alone, piped = step(microbatch=1, batch=24), step(pipeline=4, microbatch=1, batch=24)
    whole = sum(float(alone.time_terms[k]) for k in ("forward", "backward")) / 24
    mine = sum(float(piped.time_terms[k]) for k in ("forward", "backward")) / 24
    assert mine > whole / 4  # the head's stage is the slowest
    # The first micro-batch passes all stages, the others follow at the slowest one's pace.
    assert float(piped.time_terms["bubble"]) == pytest.approx(whole - mine, rel=1e-4)


def test_in_flight_of_schedules():
    gpipe = schedule.in_flight(make_plan(pipeline=5, schedule="gpipe"), 7.0)
    assert (gpipe.first, gpipe.last, gpipe.head) == (7, 7, 7)
    plain = schedule.in_flight(make_plan(pipeline=5), 7.0)
    assert (plain.first, plain.last, plain.head) == (5, 1, 1)
    chunked = schedule.in_flight(make_plan(pipeline=5, interleave=2), 10.0)
    assert (chunked.first, chunked.last) == (5 * (1 + 4 / (5 * 2)), 3.0)
    assert schedule.in_flight(make_plan(pipeline=5), 3.0).first == 3


def test_pipeline_transfers_by_hand():
    tuned = dataclasses.replace(CLUSTER, tuning=TUNED)
    got = step(tuned, 24, pipeline=4, data=3, microbatch=2, interleave=3)
    # Twelve chips are three nodes: some boundaries cross. Each of 4 micro-batches crosses three
    # chunk boundaries forward and backward, half of it hidden; three hops to fill, three to drain.
    one = 2 * 256 * 768 * 2 / (25e9 * 0.6) + 1.5e-6 + 2 * 0.7e-6
    assert float(got.time_terms["pipeline"]) == pytest.approx(2 * one * (4 * 3 * 0.5 + 3), rel=1e-5)
    # Inside a node, and cut among tensor-parallel chips, that gather it or keep it apart.
    fast = CHIP.link.injection_bandwidth * 0.7
    near = step(tuned, 24, pipeline=2, tensor=2, microbatch=24, sequence=1)
    size = 24 * 256 * 768 * 2
    sent = size / 2 / fast + 2 * CHIP.link.latency
    assert float(near.time_terms["pipeline"]) == pytest.approx(2 * sent * (0.5 + 1), rel=1e-5)
    whole = step(tuned, 24, pipeline=2, tensor=2, microbatch=24)
    gathered = size / 2 / fast + 2 * CHIP.link.latency
    assert float(whole.time_terms["pipeline"]) == pytest.approx(3 * (sent + gathered), rel=1e-5)


def test_exposed_reduction_by_hand():
    assert replicas.exposed(10.0, 6.0, 0.25) == 2.5 + 1.5
    assert replicas.exposed(10.0, 8.0, 0.25) == 2.5


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_replicas_by_hand(zero):
    store = pose(CHIP, WORKLOAD, CLUSTER, BATCH, "graph", "cold").stores
    plan = make_plan(data=6, zero=zero, pipeline=2)
    forward, backward, m = 0.15e-3, 0.35e-3, 9.0
    tuning = CLUSTER.tuning
    one = replicas.shards(NET, tuning, replicas.Layout(1.0, 2.0, 6.0, 1.0), store)
    got = replicas.replicas(one, tuning, plan, store, m, forward, backward)
    block = (6 * 12 * 768**2 + 1003 * 768) / 6  # six blocks, one table
    scatter = 6 * float(groups.call("reduce_scatter", NET, 6.0, 1.0, 4.0 * block).time)
    gather = 6 * float(groups.call("all_gather", NET, 6.0, 1.0, 2.0 * block / 6).time)
    assert gather > 2 * forward  # so that all of the terms below count
    late = float(replicas.exposed(scatter, backward, 1 / 6))
    ahead = float(replicas.exposed(gather, forward, 1 / 6))
    twice = float(replicas.exposed(2 * scatter, backward, 1 / 6))
    fetched = gather / 6 + 5 * max(0.0, gather / 6 - forward / 6)
    returned = scatter / 6 + 5 * max(0.0, (scatter + gather) / 6 - backward / 6)
    expected = (
        (twice, 0.0), (late, ahead), (m * late, ahead), (m * returned, m * fetched)
    )[zero]  # fmt: skip
    assert (float(got.reduce), float(got.gather)) == pytest.approx(expected, rel=1e-5)


def test_update_is_shared_by_zero_and_stages():
    whole = float(step(data=6, batch=24).time_terms["update"])
    assert float(step(data=6, zero=1, batch=24).time_terms["update"]) < whole / 4
    assert float(step(data=6, pipeline=4, batch=24).time_terms["update"]) < whole / 3


def test_terms_add_up():
    got = step(tensor=2, pipeline=3, data=6, microbatch=2, zero=2, recompute="selective")
    for total, terms in (
        ("time", "time_terms"),
        ("memory", "memory_terms"),
        ("power", "power_terms"),
    ):
        parts = [float(term) for term in getattr(got, terms).values()]
        assert float(getattr(got, total)) == pytest.approx(sum(parts), rel=1e-6)
        assert min(parts) >= 0.0
    assert float(got.throughput) == pytest.approx(BATCH / float(got.time))


def test_infinite_bandwidth_leaves_no_communication():
    link = dataclasses.replace(CHIP.link, bandwidth=jnp.asarray(1e30), latency=jnp.asarray(0.0))
    endless, nothing = jnp.asarray(1e30), jnp.asarray(0.0)
    network = dataclasses.replace(NETWORK, bandwidth=endless, latency=nothing, startup=nothing)
    cluster = dataclasses.replace(CLUSTER, network=network)
    chip = dataclasses.replace(CHIP, link=link)
    got = step(cluster, chip=chip, tensor=3, pipeline=4, data=6, microbatch=3, zero=3)
    for term in ("tensor", "expert", "pipeline", "reduce", "gather"):
        assert float(got.time_terms[term]) < 1e-12, term
    assert float(got.time_terms["bubble"]) > 0.0


PLANS = st.fixed_dictionaries(
    {
        "tensor": st.sampled_from([1, 2, 3, 4, 6, 12]),
        "pipeline": st.sampled_from([1, 2, 3, 4, 6]),
        "data": st.sampled_from([1, 2, 3, 6, 9]),
        "microbatch": st.sampled_from([1, 2, 4]),
        "interleave": st.sampled_from([1, 2]),
        "zero": st.sampled_from([0, 1, 2, 3]),
        "sequence": st.sampled_from([0, 1]),
        "recompute": st.sampled_from([0, 1, 2]),
    }
)


@settings(max_examples=60, deadline=None)
@given(PLANS, st.sampled_from(["inside", "between"]))
def test_doubling_bandwidth_is_never_slower(fields, which):
    before = float(step(**fields).time)
    if which == "inside":
        link = dataclasses.replace(CHIP.link, bandwidth=2.0 * CHIP.link.bandwidth)
        after = step(chip=dataclasses.replace(CHIP, link=link), **fields)
    else:
        faster = dataclasses.replace(NETWORK, bandwidth=2.0 * NETWORK.bandwidth)
        after = step(dataclasses.replace(CLUSTER, network=faster), **fields)
    assert float(after.time) <= before * (1 + 1e-5)


@settings(max_examples=60, deadline=None)
@given(PLANS)
def test_memory_falls_with_zero_recomputation_and_sequence(fields):
    def memory(**other):
        terms = step(**(fields | other)).memory_terms
        return float(sum(v for k, v in terms.items() if k not in ("recomputed", "gathered")))

    for name, values in (("zero", (0, 1, 2, 3)), ("recompute", (0, 1, 2)), ("sequence", (0, 1))):
        series = [memory(**{name: value}) for value in values]
        assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(series)), name


def test_gradients_equal_central_differences():
    inside, between = ("bandwidth", "latency"), ("bandwidth", "latency", "startup")
    with jax.enable_x64(True):
        plan = jax.tree.map(
            jnp.float64, make_plan(tensor=3, pipeline=4, data=6, microbatch=2, zero=3)
        )
        cluster = dataclasses.replace(CLUSTER, tuning=TUNED)
        packed = pose(CHIP, WORKLOAD, cluster, float(BATCH), "graph", "cold")
        packed = jax.tree.map(lambda x: jnp.asarray(x, float), packed)
        cut = Cut(plan.tensor, plan.microbatch, plan.sequence, plan.expert)
        # What the rows cost does not depend on links.
        rows = jax.jit(lambda: cut_costs(packed, cut, runtime="graph", residency="cold").rows)()

        def scaled(part, names, factors):
            changes = {n: getattr(part, n) * f for n, f in zip(names, factors, strict=True)}
            return dataclasses.replace(part, **changes)

        @jax.jit
        def log_throughput(logs):
            factors = jnp.exp(logs)
            network = scaled(NETWORK, between, factors[:3])
            link = scaled(CHIP.link, inside, factors[3:5])
            problem = packed._replace(
                cluster=dataclasses.replace(cluster, network=network),
                chip=dataclasses.replace(CHIP, link=link),
                global_batch=BATCH * factors[5],
            )
            # The last one: another number of replicas, their batches and all.
            grown = dataclasses.replace(plan, data=6.0 * factors[5])
            layout = replicas.Layout(grown.tensor, grown.pipeline, grown.data, grown.expert)
            net, sent = groups.wiring(problem.cluster, problem.chip.link), packed.stores.cut
            costs = CutCosts(rows, calls_of(rows, net, cut, sent, experts=False))
            step = combine(problem, costs, layout_costs(problem, layout), grown)
            return jnp.log(step.throughput)

        slopes = jax.grad(log_throughput)(jnp.zeros(6))
        h = 1e-5
        for i, slope in enumerate(slopes):
            away = jnp.zeros(6).at[i].set(h)
            difference = (float(log_throughput(away)) - float(log_throughput(-away))) / (2 * h)
            assert math.isfinite(slope)
            assert abs(slope) > 1e-7, i
            assert float(slope) == pytest.approx(difference, rel=1e-3, abs=1e-9), i


def test_margins_say_what_does_not_divide():
    assert bool(step(tensor=3, pipeline=4, data=6, microbatch=3).feasible)
    for name, fields in {
        "tensor": {"tensor": 8}, "layers": {"pipeline": 5}, "batch": {"data": 5},
        "expert": {"data": 6, "expert": 4}, "interleave": {"interleave": 2},
        "chips": {"data": 73},
    }.items():  # fmt: skip
        margins = step(**fields).margins
        assert float(margins[name]) < 0.0, name
    gpipe = step(pipeline=4, interleave=3, schedule="gpipe", microbatch=2).margins
    assert float(gpipe["interleave"]) < 0.0
    # Seven micro-batches are no multiple of four stages.
    uneven = step(pipeline=4, interleave=3, batch=7).margins
    assert float(uneven["interleave"]) < 0.0


def test_stragglers_and_failures():
    real = Reliability(deviation=0.05, failures=2.0 / YEAR_S)
    even = step(data=6, microbatch=2)
    got = step(dataclasses.replace(CLUSTER, reliability=real), data=6, microbatch=2)
    assert float(even.time_terms["stragglers"]) == float(even.time_terms["failures"]) == 0.0
    slow = float(slowdown(real, 6.0))
    expected = float(even.time) * slow * (1 + float(lost_share(real, 6.0)))
    assert float(got.time) == pytest.approx(expected, rel=1e-5)


def test_fleet_power_terms_by_hand():
    got = step(tensor=2, data=6, microbatch=2)
    assert float(got.power_terms["hosts"]) == pytest.approx(12 / 4 * 800)
    assert float(got.power_terms["network_ports"]) == pytest.approx(12 * 50)
    # The only traffic between nodes: gradients of 4 bytes, halved by tensor, a call a block.
    volume = 4 * (12 * 12 * 768**2 + 2 * 1003 * 768) / 2 / 12
    one = collective("reduce_scatter", NET, 6.0, volume, stride=2.0)
    expected = 2 * 12 * 2 * float(one.energy) / float(got.time)  # two groups, there and back
    assert float(got.power_terms["network_traffic"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tensor": 0}, "plan.tensor"),
        ({"tensor": 2.5}, "whole"),
        ({"zero": 4}, "plan.zero"),
        ({"recompute": "som"}, "selective"),
        ({"tensors": 2}, "tensor"),
    ],
)
def test_bad_plans_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        make_plan(**fields)


def test_bad_problems_are_refused():
    with pytest.raises(InputError, match="cluster"):
        evaluate_plan(CHIP, WORKLOAD, None, make_plan(), 8)
    with pytest.raises(InputError, match="plan"):
        evaluate_plan(CHIP, WORKLOAD, CLUSTER, {"tensor": 2}, 8)
    with pytest.raises(InputError, match="global_batch"):
        evaluate_plan(CHIP, WORKLOAD, CLUSTER, make_plan(), 0)
    with pytest.raises(InputError, match="node_chips"):
        evaluate_plan(CHIP, WORKLOAD, Cluster(node_chips=0.0), make_plan(), 8)
