"""Workloads by text (`hwmodels.workloads.settings`): the library's, the user's, other tools'."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hwmodels.errors import check_choice
from hwmodels.workloads.function import load_function
from hwmodels.workloads.importers.files import is_file, load_file
from hwmodels.workloads.mlp import MLP, MLP_LARGE, MlpConfig, workload
from hwmodels.workloads.networks import convnets, decoder, dlrm, encoder, gpt, recurrent, unet
from hwmodels.workloads.networks.network import Network
from hwmodels.workloads.scenario import FOLDER, load_scenario
from hwmodels.workloads.scenario import names as scenarios
from hwmodels.workloads.settings import Settings, parse
from hwmodels.workloads.workload import Workload


def _mlp(config: MlpConfig) -> Network:
    def build(settings: Settings) -> Workload:
        batch = settings.batch or config.batch
        return workload(dataclasses.replace(config, batch=batch))

    return Network(config.name, ("train",), {"batch": config.batch}, build)


# name -> network
WORKLOADS: dict[str, Network] = {
    network.name: network
    for network in (
        *map(_mlp, (MLP, MLP_LARGE)),
        *gpt.NETWORKS,
        *convnets.NETWORKS,
        *unet.NETWORKS,
        *encoder.NETWORKS,
        *decoder.NETWORKS,
        *recurrent.NETWORKS,
        *dlrm.NETWORKS,
    )
}


def load_workload(text: str, batches: int = 1) -> Workload:
    """The workload that `text` asks for (`hwmodels.workloads.settings`), with `batches` times its
    batch: a network, a scenario, a user's `module:function`, or a file of another tool.

    Raises:
      InputError: an unknown name (the known ones are listed), a setting that it does not have,
        a file that cannot be read, a function that cannot be traced.
    """
    target, settings = parse(text)
    if target in WORKLOADS:
        found = _network(WORKLOADS[target], settings, batches)
    elif target in scenarios() or target.endswith(".toml"):
        settings.only()
        path = Path(target) if target.endswith(".toml") else FOLDER / f"{target}.toml"
        return load_scenario(path, lambda part: load_workload(part, batches))
    elif is_file(target):
        if batches > 1:
            if settings.batch is None:
                settings = dataclasses.replace(
                    settings, batch=int(load_file(target, settings).samples)
                )
            settings = dataclasses.replace(settings, batch=(settings.batch or 1) * batches)
        found = load_file(target, settings)
    elif ":" in target:
        found = load_function(target, settings, batches)
    else:
        check_choice("workload", target, [*WORKLOADS, *scenarios()])
    return dataclasses.replace(found, name=text)


def _network(network: Network, settings: Settings, batches: int) -> Workload:
    if batches > 1:
        batch = settings.batch or network.defaults["batch"]
        settings = dataclasses.replace(settings, batch=batch * batches)
    return network.load(settings)
