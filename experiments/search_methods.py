"""The search methods that `experiments.search_comparison` compares, each a function

    (problem, recorder, seed, population) -> None

that searches until `recorder.done`; all that it evaluates goes through `evaluated`. Evolutionary
methods come with the defaults of their packages, pymoo (Blank and Deb, 2020) and Optuna (Akiba et
al., 2019), except for the population, which is tuned (`TUNED`). They see the logarithms of the
objectives, and the worst margin as their one constraint. pymoo's vary all genes as continuous
numbers, which decoding rounds; Optuna's get integers and categories as such.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import qmc

import dse
from dse.parameter import Parameter
from experiments.search_problem import Problem, Recorder, evaluated, logs
from hwmodels import InputError

BLOCK = 256  # designs that the samplers evaluate at once
POPULATIONS = (50, 100, 200, 400)
# Das and Dennis: partitions whose reference directions just fit into a population, 3 objectives.
PARTITIONS = {50: 8, 100: 12, 200: 18, 400: 26}

Method = Callable[[Problem, Recorder, int, int], None]


def random(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """Uniform random genes."""
    rng = np.random.default_rng(seed)
    while recorder.done < 1:
        evaluated(problem, recorder, rng.random((BLOCK, len(problem.parameters))))


def sobol(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """Sobol's sequence, scrambled."""
    engine = qmc.Sobol(len(problem.parameters), scramble=True, rng=seed)
    while recorder.done < 1:
        evaluated(problem, recorder, engine.random(BLOCK))


def nsga2(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """NSGA-II (Deb et al., 2002) of pymoo."""
    from pymoo.algorithms.moo.nsga2 import NSGA2

    _pymoo(NSGA2(pop_size=population), problem, recorder, seed)


def nsga3(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """NSGA-III (Deb and Jain, 2014) of pymoo; Das and Dennis's reference directions."""
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.util.ref_dirs import get_reference_directions

    objectives = len(problem.objectives)
    directions = get_reference_directions(
        "das-dennis", objectives, n_partitions=PARTITIONS[population]
    )
    _pymoo(NSGA3(ref_dirs=directions, pop_size=population), problem, recorder, seed)


def sms_emoa(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """SMS-EMOA (Beume, Naujoks and Emmerich, 2007) of pymoo."""
    from pymoo.algorithms.moo.sms import SMSEMOA

    _pymoo(SMSEMOA(pop_size=population), problem, recorder, seed)


def _pymoo(algorithm: Any, problem: Problem, recorder: Recorder, seed: int) -> None:
    from pymoo.core.problem import Problem as Base
    from pymoo.core.termination import Termination
    from pymoo.optimize import minimize

    class Adapted(Base):
        def __init__(self) -> None:
            super().__init__(
                n_var=len(problem.parameters), n_obj=len(problem.objectives), n_ieq_constr=1,
                xl=0.0, xu=1.0,
            )  # fmt: skip

        def _evaluate(self, x: np.ndarray, out: dict[str, Any], *_: Any, **__: Any) -> None:
            points, margin = evaluated(problem, recorder, x)
            out["F"], out["G"] = logs(points), -margin[:, None]

    class Spent(Termination):
        def _update(self, algorithm: object) -> float:
            return recorder.done

    minimize(Adapted(), algorithm, Spent(), seed=seed, copy_algorithm=False)


def tpe(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """Tree-structured Parzen estimators (Ozaki et al., 2022) of Optuna, a design at a time."""
    import optuna

    _optuna(optuna.samplers.TPESampler(seed=seed), 1, problem, recorder)


def optuna_nsga2(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """NSGA-II of Optuna."""
    import optuna

    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
    _optuna(sampler, population, problem, recorder)


def _optuna(sampler: Any, batch: int, problem: Problem, recorder: Recorder) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = ["minimize"] * len(problem.objectives)
    study = optuna.create_study(sampler=sampler, directions=directions)
    axes = {p.name: _distribution(p) for p in problem.parameters}
    while recorder.done < 1:
        trials = [study.ask(fixed_distributions=axes) for _ in range(batch)]
        genes = [[gene(p, trial.params[p.name]) for p in problem.parameters] for trial in trials]
        points, margin = evaluated(problem, recorder, np.asarray(genes))
        for trial, values, room in zip(trials, logs(points), margin, strict=True):
            trial.set_constraint("margin", -float(room))
            study.tell(trial, values.tolist())


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if parameter.kind == "choice":
        return CategoricalDistribution(parameter.choices)
    if parameter.steps is not None:
        return IntDistribution(0, parameter.steps - 1)  # positions; of powers, exponents
    return FloatDistribution(parameter.low, parameter.high, log=parameter.kind == "log")


def gene(parameter: Parameter, value: Any) -> float:
    """The gene of a value as Optuna gives it: a choice, a position among values, or a number."""
    if parameter.kind == "choice":
        value = parameter.choices.index(value)
    if parameter.steps is not None:
        return (value + 0.5) / parameter.steps
    return float(parameter.coordinate(value))


def gradient(problem: Problem, recorder: Recorder, seed: int, population: int) -> None:
    """The gradient search of this package, which decides itself what it evaluates at once."""
    dse.search(
        problem.space, problem.workload,
        seed=seed, evaluations=recorder.budget, observe=recorder.observe,
    )  # fmt: skip


METHODS: dict[str, Method] = {
    "random": random,
    "sobol": sobol,
    "nsga2": nsga2,
    "nsga3": nsga3,
    "sms_emoa": sms_emoa,
    "optuna_nsga2": optuna_nsga2,
    "tpe": tpe,
    "gradient": gradient,
}
TUNABLE = ("nsga2", "nsga3", "sms_emoa", "optuna_nsga2")
PACKAGES = {
    "nsga2": "pymoo", "nsga3": "pymoo", "sms_emoa": "pymoo", "optuna_nsga2": "optuna",
    "tpe": "optuna",
}  # fmt: skip
# The population of each method on each space: the best of `POPULATIONS` in the median of two seeds,
# `python -m experiments.search_comparison --tune --seeds 2`.
TUNED = {
    "budgets": {"nsga2": 400, "nsga3": 200, "sms_emoa": 100, "optuna_nsga2": 50},
    "exhausted": {"nsga2": 400, "nsga3": 400, "sms_emoa": 400, "optuna_nsga2": 100},
    "mixed": {"nsga2": 50, "nsga3": 50, "sms_emoa": 200, "optuna_nsga2": 50},
}
DEFAULT_POPULATION = 100  # on a space that was not tuned for


def population(space: str, method: str) -> int:
    """The population of a method on a space; 0 of methods that have none."""
    if method not in TUNABLE:
        return 0
    return TUNED.get(space, {}).get(method, DEFAULT_POPULATION)


def missing(name: str) -> str | None:
    """The package that a method needs and that is not installed."""
    package = PACKAGES.get(name)
    return package if package and importlib.util.find_spec(package) is None else None


def check_installed(name: str) -> None:
    """Raise `InputError` if a method's package is missing."""
    if package := missing(name):
        raise InputError("method", name, f"needs {package}: pip install '.[baselines]'")
