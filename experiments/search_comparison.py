"""Search methods at equal numbers of evaluations: `python -m experiments.search_comparison`

Each method searches each space of `experiments/spaces` for the front of throughput, power and
scalability, with the same number of evaluated designs and several seeds. What counts is the
hypervolume that the designs found so far dominate, in logarithms of the objectives, up to a fixed
reference point, as a share of that of a reference front: the exact one, where the space can be
exhausted, otherwise the best known, of a sweep of 10^7 random designs and all runs of all methods
together. (Add a method, and shares of the second kind may shrink.)

Clocks start after compilation: programs are compiled before, and each method searches once
unmeasured; a gradient counts as an evaluation. Needs `pip install '.[baselines]'`.

`--tune` instead prints what each population of `POPULATIONS` reaches, on seeds of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dse.space import Space
from experiments import search_report
from experiments.search_methods import (
    METHODS,
    POPULATIONS,
    TUNABLE,
    TUNED,
    check_installed,
    population,
)
from experiments.search_problem import (
    Problem,
    Recorder,
    corner_of,
    front,
    hypervolume,
    reference,
    running,
)
from hwmodels import InputError, load_workload
from hwmodels.errors import check_choice

SPACES = Path(__file__).parent / "spaces"
REFERENCE = 10_000_000  # random designs that a best known front starts from
WARM_SEED, TUNING_SEED = 900_000, 1000  # apart from the measured ones, 0, 1, ...
QUICK = {"seeds": 2, "budget": 600, "methods": ["random", "nsga2"], "reference": 200_000}


class Search(NamedTuple):
    """One measured run of `method`."""

    method: str
    seed: int
    recorder: Recorder


def search(problem: Problem, method: str, seed: int, size: int, recorder: Recorder) -> Search:
    """One run with a population of `size`, to the end of the recorder's budget or seconds."""
    METHODS[method](problem, recorder, seed, size)
    if not recorder.batches:
        raise InputError(
            method, "no designs", f"allowed: some within {recorder.budget} evaluations and "
            f"{recorder.seconds:g} s",
        )  # fmt: skip
    return Search(method, seed, recorder)


def runs(
    problem: Problem,
    name: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    budget: int,
    cap: float,
) -> tuple[list[Search], dict[str, float]]:
    """Every method on every seed, and the seconds of each method's first, unmeasured search."""
    first = {}
    for method in methods:
        begin = time.perf_counter()
        size = population(name, method)
        # What the gradient search compiles may depend on its budget; others compile nothing.
        warm = budget if method == "gradient" else 2 * max(size, 1)
        search(problem, method, WARM_SEED, size, Recorder(warm, cap))
        first[method] = time.perf_counter() - begin
    # Seeds outside: if the machine slows down meanwhile, it does so for all methods.
    done = [
        search(problem, method, seed, population(name, method), Recorder(budget, cap))
        for seed in seeds
        for method in methods
    ]
    return done, first


def compare(
    name: str, space: Space, workload: Any, methods: Sequence[str], seeds: Sequence[int],
    budget: int, cap: float, designs: int,
) -> dict[str, Any]:  # fmt: skip
    """All runs on one space: `curves` [method, seed, seconds, evaluations, ratio], `space`."""
    begin = time.perf_counter()
    problem = Problem(space, workload)
    compiling = time.perf_counter() - begin
    known, exact = reference(space, workload, designs)
    done, first = runs(problem, name, methods, seeds, budget, cap)
    corner = corner_of(known)
    found = [running(one.recorder, corner) for one in done]
    best = known if exact else front(np.concatenate([known, *[held for _, held in found]]))
    whole = hypervolume(best, corner)
    curves = [
        {
            "space": name, "method": one.method, "seed": one.seed, "seconds": seconds,
            "evaluations": evaluations, "feasible": len(points), "ratio": float(volume) / whole,
        }
        for one, (volumes, _) in zip(done, found, strict=True)
        for (seconds, evaluations, points), volume in zip(
            one.recorder.batches, volumes, strict=True
        )
    ]  # fmt: skip
    about = {
        "space": name, "parameters": len(space.parameters), "exact": exact,
        "reference_ratio": hypervolume(known, corner) / whole, "reference_front": len(best),
        "compile_s": compiling, "first_search_s": first,
    }  # fmt: skip
    return {"curves": curves, "space": about}


def tune(
    space: Space, workload: Any, methods: Sequence[str], seeds: Sequence[int], budget: int,
    cap: float, designs: int,
) -> dict[str, dict[int, float]]:  # fmt: skip
    """The median hypervolume of each population, as a share of the reference front's."""
    problem = Problem(space, workload)
    known, _ = reference(space, workload, designs)
    corner = corner_of(known)
    table: dict[str, dict[int, float]] = {}
    for method in [m for m in methods if m in TUNABLE]:
        for size in POPULATIONS:
            done = [
                search(problem, method, TUNING_SEED + seed, size, Recorder(budget, cap))
                for seed in seeds
            ]
            final = [running(one.recorder, corner)[0][-1] for one in done]
            ratio = float(np.median(final)) / hypervolume(known, corner)
            table.setdefault(method, {})[size] = ratio
    return table


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="search_comparison", description=(__doc__ or "").split("\n")[0]
    )
    made.add_argument("--space", nargs="+", metavar="NAME", help="of experiments/spaces (all)")
    made.add_argument("--method", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)}")
    made.add_argument("--workload", default="mlp")
    made.add_argument("--budget", type=int, help="evaluations a search (20000)")
    made.add_argument("--seeds", type=int, help="searches of each method (5)")
    made.add_argument("--cap", type=float, default=120.0, help="seconds a search at most (120)")
    made.add_argument("--out", type=Path, default=Path("runs/search_comparison"))
    made.add_argument("--quick", action="store_true", help="a small run of two methods")
    made.add_argument("--tune", action="store_true", help="print what populations reach")
    return made


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    every = sorted(path.stem for path in SPACES.glob("*.toml"))
    options.space = options.space or every
    for name in options.space:
        check_choice("space", name, every)
    quick = QUICK if options.quick else {}
    options.method = options.method or quick.get("methods", list(METHODS))
    for name in options.method:
        check_choice("method", name, METHODS)
        check_installed(name)
    options.budget = quick.get("budget", 20_000) if options.budget is None else options.budget
    options.seeds = quick.get("seeds", 5) if options.seeds is None else options.seeds
    options.reference = quick.get("reference", REFERENCE)
    for name, least in (("budget", 1), ("seeds", 1), ("cap", 1e-3)):
        if not getattr(options, name) >= least:
            raise InputError(f"--{name}", getattr(options, name), f"allowed: >= {least:g}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit status: 0, or 2 for bad input."""
    try:
        print(_run(_checked(parser().parse_args(arguments))))
    except InputError as error:
        print(f"search_comparison: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> str:
    workload = load_workload(options.workload)
    spaces = {name: Space.load(SPACES / f"{name}.toml") for name in options.space}
    settings = (options.method, range(options.seeds), options.budget, options.cap)
    if options.tune:
        return "\n".join(
            search_report.tuning(name, tune(space, workload, *settings, options.reference))
            for name, space in spaces.items()
        )
    found = [
        compare(name, space, workload, *settings, options.reference)
        for name, space in spaces.items()
    ]
    described = {
        "workload": options.workload, "budget": options.budget, "seeds": options.seeds,
        "cap_s": options.cap, "populations": TUNED, "reference_designs": options.reference,
    }  # fmt: skip
    return search_report.write(options.out, found, described)


if __name__ == "__main__":
    sys.exit(main())
