"""Sweeps on a cluster: the front of a single machine, though workers die and join."""

import os
import signal

import pandas as pd
import pytest
from test_running import a_job

from dse import job as job_module
from dse.cluster import cluster
from dse.sweeping import run
from hwmodels import InputError

distributed = pytest.importorskip("distributed")


@pytest.mark.filterwarnings("ignore")
def test_a_worker_is_killed_and_others_join(monkeypatch):
    monkeypatch.setattr(job_module, "UNIT", 512)
    monkeypatch.setattr(job_module, "PLAIN", 0)
    alone = run(a_job())
    killed = []
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as local, cluster(local.scheduler_address) as execute:

        def finished(unit, found):
            if not killed:
                killed.append(local.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)
                local.scale(3)

        together = run(a_job(), execute=execute, finished=finished)
    assert killed
    pd.testing.assert_frame_equal(alone.front.table, together.front.table, check_exact=True)
    assert alone.census == together.census


@pytest.mark.filterwarnings("ignore")
def test_bad_addresses_are_one_line(monkeypatch):
    monkeypatch.setattr("dse.cluster.CONNECT_S", 0.2)
    for address in ("local:0", "local:many", "tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(InputError, match=r"^--cluster: got"), cluster(address):
            pass
