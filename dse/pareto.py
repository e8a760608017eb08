"""The main job: train and trace the reference model, sweep every variant, refine, report.

One `run_pareto` does it all and returns an `Answer` for each workload; `write` puts them into a run
folder. Nothing here models anything.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dse.checkpoint import Request
from dse.defaults import default_space
from dse.evaluating import Options
from dse.front import Front, plain
from dse.gathering import Sweep
from dse.job import Job
from dse.manifest import read_space
from dse.origin import subfolder
from dse.plots.fronts import draw_front
from dse.provenance import provenance
from dse.readings import Constraint
from dse.sampling import Sampled
from dse.scalability import scalability
from dse.searching import Search, search
from dse.space import Space, budget_words
from dse.stages import Stages
from dse.store import RunFolder
from hwmodels import VARIANTS, InputError, Workload, load_workload
from hwmodels.fleet.scaling import LARGEST_FLEET, Fleet
from hwmodels.fleet.sizing import DIMENSIONS
from hwmodels.workloads import mlp
from hwmodels.workloads.datasets import random_samples
from hwmodels.workloads.workload import same_shapes

# A mid-size die with air cooling: the budgets under which variants compete unless others are given.
DEFAULT_BUDGETS = (Constraint("area_mm2", 400.0), Constraint("power_W", 300.0))
DEFAULT_WORKLOADS = ("mlp", "mlp-large")

# stage (a short text), fraction of the stage done
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Settings:
    """What `run_pareto` is asked for; `designs` per workload."""

    workloads: tuple[str, ...] = DEFAULT_WORKLOADS
    spaces: tuple[Space, ...] = dataclasses.field(
        default_factory=lambda: tuple(
            default_space(variant).with_constraints(DEFAULT_BUDGETS) for variant in VARIANTS
        )
    )
    designs: int = 1_000_000
    evaluations: int = 100_000  # of the gradient search
    seed: int = 0
    options: Options = Options()

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "workloads": list(self.workloads), "designs": self.designs,
            "evaluations": self.evaluations, "seed": self.seed, "runtime": self.options.runtime,
            "residency": self.options.residency, "scalability": self.options.scalability.name,
            "spaces": [dataclasses.asdict(space) for space in self.spaces],
        }  # fmt: skip

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Settings:
        """What `describe` wrote; `InputError` for anything else."""
        try:
            axis = scalability(content["scalability"])
            return cls(
                tuple(content["workloads"]), tuple(map(read_space, content["spaces"])),
                content["designs"], content["evaluations"], content["seed"],
                Options(content["runtime"], content["residency"], axis),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("manifest", repr(error), "not one that this command wrote") from None


@dataclass(frozen=True)
class Answer:
    """The answer for one workload: the sweep, its refinement, seconds of each."""

    workload: Workload
    sweep: Sweep
    refinement: Search

    @property
    def front(self) -> Front:
        """The joint front of all variants."""
        return self.refinement.front

    @property
    def corners(self) -> tuple[dict[str, float], dict[str, float]]:
        """(reference, ideal) of the hypervolume: worst and best of all variants' own fronts."""
        every = pd.concat([f.table for f in self.refinement.variant_fronts.values()])
        low, high = every.min(numeric_only=True), every.max(numeric_only=True)
        worst = {
            o.column: float((low if o.maximise else high)[o.column]) for o in self.front.objectives
        }
        best = {
            o.column: float((high if o.maximise else low)[o.column]) for o in self.front.objectives
        }
        return worst, best

    @property
    def most_chips(self) -> int:
        """Chips in a fleet, at most: the workload's largest sensible batch over a chip's."""
        return int(min(LARGEST_FLEET, self.workload.max_global_batch / self.workload.samples))

    def summary(self) -> dict[str, Any]:
        """What `dse pareto --json` says of this workload."""
        worst, best = self.corners
        return {
            "designs": self.sweep.designs + self.refinement.candidates,
            "feasible": self.sweep.census.feasible,
            "gradients": self.refinement.gradients,
            "front_size": len(self.front),
            "hypervolume": self.front.hypervolume(worst, best),
            "hypervolume_before_refinement": self.sweep.front.hypervolume(worst, best),
            "hypervolume_reference": worst,
            "hypervolume_ideal": best,
            "best": {o.column: plain(self.front.best(o)) for o in self.front.objectives},
            "knee": {
                variant: plain(front.knee())
                for variant, front in self.refinement.variant_fronts.items()
            },
            "front_by_variant": {v: len(f) for v, f in self.front.by_variant().items()},
            "most_chips": self.most_chips,
            "sweep_s": self.sweep.wall_s,
            "refine_s": self.refinement.wall_s,
        }


def load(names: Sequence[str], seed: int, progress: Progress) -> list[Workload]:
    """The named workloads, traced; the reference MLP after a real training run, whose measured
    densities go into the trace."""
    # A wrong name is answered before anything is trained.
    found = {name: load_workload(name) for name in names if name != mlp.MLP.name}
    if mlp.MLP.name in names:
        found[mlp.MLP.name] = _trained(seed, progress)
    return same_shapes([found[name] for name in names])


def _trained(seed: int, progress: Progress) -> Workload:
    config = dataclasses.replace(mlp.MLP, seed=seed)
    stage = f"training {config.name}"
    progress(stage, 0.0)

    def report(epoch: mlp.Epoch) -> None:
        progress(stage, epoch.epoch / config.epochs)

    result = mlp.train(config, random_samples(config), report)
    return mlp.workload(config, result.densities)


def run_pareto(
    settings: Settings, progress: Progress, stages: Stages
) -> tuple[list[Answer], float]:
    """Answers for all workloads, and wall seconds; `stages` keep what is done.

    Raises `InputError` as `sweep` does, and where `stages` are those of another run or code.
    """
    begin = time.perf_counter()
    answers = []
    for workload in load(settings.workloads, settings.seed, progress):
        sweeping, refining = f"sweeping {workload.name}", f"refining {workload.name}"
        settings.options.scalability.check(workload)
        progress(sweeping, 0.0)
        drawn = Sampled("random", settings.designs, settings.seed)
        swept = stages.sweep(
            Job(settings.spaces, workload, drawn, settings.options),
            _share(progress, sweeping, settings.designs),
        )
        progress(refining, 0.0)
        asked: dict[str, Any] = {"evaluations": settings.evaluations, "seed": settings.seed}
        # What it starts with is the sweep's front, which is there as well.
        request = Request(settings.spaces, workload, settings.options, None, asked)
        refined = search(
            settings.spaces, workload, start=swept, options=settings.options, **asked,
            progress=_share(progress, refining, settings.evaluations),
            checkpoint=stages.checkpoint(request),
        )  # fmt: skip
        answers.append(Answer(workload, swept, refined))
    return answers, time.perf_counter() - begin


def _share(progress: Progress, stage: str, total: int) -> Callable[[int, int], None]:
    return lambda done, _: progress(stage, done / total)


def _joining(spaces: Sequence[Space]) -> str:
    """Why scalability jumps where the power of some links is paid."""
    if any("topology" in (*space.names, *dict(space.fixed)) for space in spaces):
        return ""
    needed = 2 * DIMENSIONS[Fleet().topology]
    return f" With {needed} links a chip joins a fleet, a 2-D torus."


def write(
    run: RunFolder, settings: Settings, answers: Sequence[Answer], seconds: Mapping[str, float]
) -> None:
    """Tables, figures and manifest; the first workload's in the folder itself, the others' in a
    subfolder of their name."""
    for number, answer in enumerate(answers):
        name = answer.workload.name
        prefix = "" if number == 0 else f"{subfolder(name)}/"
        (run.folder / prefix).mkdir(exist_ok=True)
        own = answer.refinement.variant_fronts
        what = "Training " if answer.workload.training else ""
        run.write_table(f"{prefix}front", answer.front.table.assign(workload=name))
        variants = pd.concat([f.table for f in own.values()], ignore_index=True)
        run.write_table(f"{prefix}variant_fronts", variants.assign(workload=name))
        run.write_table(f"{prefix}trace", answer.workload.frame())
        draw_front(
            {variant: front.table for variant, front in own.items()},
            answer.front.table,
            run.folder / prefix,
            title=f"{what}{name}: throughput, power and scalability",
            budgets=f"Budgets: {budget_words(settings.spaces)}. "
            f"{answer.sweep.designs:,} random designs, "
            f"{answer.refinement.evaluations:,} in gradient search. At most "
            f"{answer.most_chips:,} chips in a fleet (global batch)."
            f"{_joining(settings.spaces)}",
            objectives=answer.front.objectives,
        )
    run.write_manifest(
        {
            "command": "pareto",
            "settings": settings.describe()
            | {"workloads": [answer.workload.name for answer in answers]},
            "workloads": {answer.workload.name: answer.summary() for answer in answers},
            "notes": {answer.workload.name: list(answer.workload.notes) for answer in answers},
            "seconds": dict(seconds),
            "provenance": provenance(),
        }
    )
