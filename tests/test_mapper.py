"""The mapper: nothing drawn at random beats it, and what it returns recounts to its numbers."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from hwmodels import InputError, Operation, Tensor, best_mapping, gemmini, load_machine
from hwmodels.mapping.machine import Machine, Memory, evaluate_mapping
from hwmodels.mapping.mapper import OBJECTIVES, best_mappings
from hwmodels.mapping.mapping import Level, Loop, Mapping, parse_mapping
from hwmodels.mapping.mapspace import chains, structures
from hwmodels.mapping.problem import convolution, matmul


def small(machine, **capacities):
    """A machine with other capacities, in words."""
    memories = tuple(
        dataclasses.replace(memory, capacity=float(capacities.get(memory.name, memory.capacity)))
        for memory in machine.memories
    )
    return dataclasses.replace(machine, memories=memories)


def random_mapping(rng, machine, problem):
    """Any valid nest: any order of loops, any tile sizes, tensors in any order of depth."""
    levels = []
    for memory in machine.memories:
        parts = rng.permutation(list(memory.tensors)) if memory.own_depth else [memory.tensors]
        levels += [(memory, str(part)) for part in parts]
    loops = [[] for _ in levels]
    for d, size in problem.sizes.items():
        tile = 1
        for i in reversed(range(len(levels))):
            memory = levels[i][0]
            last = i + 1 == len(levels) or levels[i + 1][0] is not memory
            axes = [a for a in memory.axes if a.dimension(problem) == d] if last else []
            left = math.ceil(size / tile)
            for axis in axes:
                trips = min(int(axis.size), left, int(rng.integers(1, int(axis.size) + 1)))
                loops[i].append(Loop(d, float(trips), float(trips), True))
                tile *= trips
                left = math.ceil(size / tile)
            trips = left if i == 0 else int(left ** rng.choice([0, 1, rng.random()]))
            if memory.capacity == 1 and any(d in problem.shape.spans[t] for t in memory.tensors):
                trips = 1
            loops[i].append(Loop(d, float(trips), float(trips)))
            tile *= trips
    result = []
    for (memory, tensors), row in zip(levels, loops, strict=True):
        order = sorted(rng.permutation(len(row)), key=lambda j: row[j].spatial)
        result.append(Level(memory.name, tensors, tuple(row[j] for j in order)))
    return Mapping(tuple(result))


def separate(words):
    """A buffer for each tensor, one inside the other: tensors are held at fixed, unlike depths."""
    dram = load_machine("ws32").memories[0]
    buffers = [
        Memory(name, tensor, energy=1.6e-12, capacity=float(words))
        for name, tensor in (("IBUF", "I"), ("WBUF", "W"), ("ACC", "O"))
    ]
    return Machine("separate", (dram, *buffers), 5e-13)


CASES = {
    "matmul on ws32": (small(load_machine("ws32"), SRAM=3000), matmul(60, 96, 72)),
    "odd matmul on ws32": (small(load_machine("ws32"), SRAM=700), matmul(37, 53, 41, batch=2)),
    "thin matmul on ws32": (small(load_machine("ws32"), SRAM=500), matmul(1, 97, 130)),
    "convolution on ws32": (
        small(load_machine("ws32"), SRAM=900),
        convolution(K=12, C=9, P=7, Q=7, R=3, S=3),
    ),
    "convolution on gemmini": (
        gemmini(4, 1, 1),
        convolution(N=2, K=12, C=10, P=9, Q=6, R=3, S=2, stride=(2, 1)),
    ),
    "matmul in separate buffers": (separate(64), matmul(64, 64, 64)),
    "convolution in separate buffers": (separate(64), convolution(K=16, C=16, P=8, Q=8, R=3, S=3)),
    "long matmul on gemmini": (gemmini(16, 1, 8), matmul(4096, 64, 16)),
    "matmul on gemmini": (gemmini(8, 2, 1), matmul(45, 33, 70)),
}


@pytest.mark.parametrize("case", CASES)
def test_no_random_mapping_is_better(case):
    machine, problem = CASES[case]
    best = best_mappings(problem, machine)
    rng = np.random.default_rng(len(case))
    tried = 0
    for _ in range(3000):
        mapping = random_mapping(rng, machine, problem)
        try:
            _, costs = evaluate_mapping(machine, problem, mapping)
        except InputError:
            continue
        tried += 1
        assert best["latency"].cycles <= costs.cycles, str(mapping)
        assert best["energy"].energy <= costs.energy * (1 + 1e-12), str(mapping)
        product = best["edp"].energy * best["edp"].cycles
        assert product <= costs.energy * costs.cycles * (1 + 1e-12), str(mapping)
    assert tried > 40


@pytest.mark.parametrize("case", CASES)
def test_text_recounts_to_the_same_numbers(case):
    machine, problem = CASES[case]
    for best in best_mappings(problem, machine).values():
        _, costs = evaluate_mapping(machine, problem, parse_mapping(best.text))
        assert costs.cycles == best.cycles
        assert costs.energy == pytest.approx(best.energy, rel=1e-12)
        assert all(margin >= 0 for margin in costs.margins.values())
        frame = best.frame()
        assert set(frame.memory) == {memory.name for memory in machine.memories}
        assert frame[frame.tensor == "O"].updates.max() > 0


def test_thinning_and_polishing_find_what_full_enumeration_finds():
    machine, problem = small(load_machine("ws32"), SRAM=20000), matmul(360, 640, 420)
    full = best_mappings(problem, machine, limit=2**23)
    thin = best_mappings(problem, machine)
    assert thin["edp"].compared < full["edp"].compared
    for objective, rank in zip(
        OBJECTIVES,
        (lambda b: b.cycles, lambda b: b.energy, lambda b: b.cycles * b.energy),
        strict=True,
    ):
        assert rank(thin[objective]) <= rank(full[objective]) * 1.01


def test_more_memory_never_worsens_the_best():
    problem = matmul(50, 70, 90)
    previous = None
    for words in (200, 400, 1000, 3000, 10000, 10**6):
        best = best_mappings(problem, small(load_machine("ws32"), SRAM=words))
        now = best["latency"].cycles, best["energy"].energy
        if previous:
            assert now[0] <= previous[0]
            assert now[1] <= previous[1] * (1 + 1e-12)
        previous = now
    whole = best["energy"].counts.traffic[0]
    assert sum(moved.reads + moved.updates for moved in whole.values()) == sum(
        problem.elements(t) for t in "WIO"
    )


def test_chains_cover_and_are_all_ceilings():
    machine, problem = load_machine("ws32"), matmul(18, 80, 7)
    structure = structures(machine, problem)[0]
    for d in "MNK":
        rows = chains(structure, d, problem.sizes[d], 100, partly=False)
        assert (rows.prod(1) >= problem.sizes[d]).all()
        assert len(np.unique(rows, axis=0)) == len(rows)
    # Of 80 columns on an axis of 32: all, three even passes of 27, or the divisor 20.
    slots = structure.slots("N")
    column = next(i for i, slot in enumerate(slots) if slot.axis)
    assert {20, 27, 32} <= set(chains(structure, "N", 80, 100, partly=False)[:, column])
    assert len(list(itertools.islice(structures(machine, problem), 10))) == 6


def test_an_operation_of_a_workload_is_mapped():
    tensors = [Tensor("input", 60, 32), Tensor("parameter", 96, 32), Tensor("activation", 90, 32)]
    operation = Operation(
        "contraction", "product", "forward", tuple(tensors[:2]), tuple(tensors[2:]),
        batch=1, m=60, n=96, k=72,
    )  # fmt: skip
    found = best_mapping(operation, "ws32", "latency")
    assert found.cycles == best_mapping(matmul(60, 96, 72), "ws32", "latency").cycles
    assert found.time == pytest.approx(found.cycles * 1e-9)
    vector = dataclasses.replace(operation, kind="vector")
    with pytest.raises(InputError, match="operation: got product; allowed: a contraction"):
        best_mapping(vector, "ws32")


def test_bad_input_is_named():
    with pytest.raises(InputError, match="objective: got speed; allowed: latency, energy, edp"):
        best_mapping(matmul(2, 2, 2), "ws32", "speed")
    with pytest.raises(InputError, match="machine: got ws64"):
        best_mapping(matmul(2, 2, 2), "ws64")
    with pytest.raises(
        InputError, match=r"ws32 with SRAM.WIO. 2, REG.W. 1 words; allowed: a word of each"
    ):
        best_mapping(matmul(2, 2, 2), small(load_machine("ws32"), SRAM=2))
