"""A sweep on several machines: the same units, done by the workers of a dask.distributed cluster.

Workers may join, die and be slow: a unit that is lost is done again elsewhere, and the front does
not depend on who did what. Programs and results travel by pickle, as dask does it: use a scheduler
that you trust, on a network that you trust.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from dse.archive import Survivors
from dse.job import Found, Job, Unit
from dse.sweeping import Execute, Known, Report
from hwmodels import InputError

AHEAD = 2  # units a worker thread has waiting or at work
CONNECT_S = 30


@contextlib.contextmanager
def cluster(address: str) -> Iterator[Execute]:
    """Who does the units: `local:N` starts N worker processes here, a name that ends in .json is a
    scheduler's file (waited for), anything else the address of a running scheduler.

    Raises:
      InputError: dask.distributed is not installed, N is no whole number >= 1, or no scheduler
        answers within 30 s.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            "--cluster", address, "needs dask.distributed: pip install 'chipgrad[cluster]'"
        ) from None
    kind, _, count = address.partition(":")
    where = "scheduler_file" if address.endswith(".json") else "address"
    options: dict[str, Any] = {where: address, "timeout": CONNECT_S}
    with contextlib.ExitStack() as stack:
        if kind == "local":
            if not count.isdigit() or int(count) < 1:
                raise InputError(
                    "--cluster", address, "allowed: local:N with N >= 1, or an address"
                )
            local = distributed.LocalCluster(
                n_workers=int(count), threads_per_worker=1, dashboard_address=None
            )
            options["address"] = stack.enter_context(local)
        try:
            client = stack.enter_context(distributed.Client(**options))
        except (OSError, ValueError) as error:
            text = f"no scheduler answers there: {error}"
            raise InputError("--cluster", address, " ".join(text.split())) from None
        yield lambda *arguments: _run(client, distributed.as_completed, *arguments)


def _run(
    client: Any, as_completed: Any, job: Job, units: Sequence[Unit], known: Known, report: Report
) -> Iterator[tuple[Unit, Found]]:
    shared = client.scatter(job, broadcast=True)
    left, going = iter(units), as_completed()

    def submit() -> bool:
        unit = next(left, None)
        if unit is None:
            return False
        # Not a pure function: what is known decides how much comes back.
        going.add(client.submit(_do, shared, unit, known(unit.case), pure=False, retries=3))
        return True

    waiting = 0
    while True:
        # Asked each time: workers come and go.
        while waiting < AHEAD * max(sum(client.nthreads().values()), 1) and submit():
            waiting += 1
        if not waiting:
            return
        future = next(going)
        waiting -= 1
        unit, found = future.result()
        report(unit, found.designs, 0)
        yield unit, found


def _do(job: Job, unit: Unit, known: Survivors | None) -> tuple[Unit, Found]:
    return unit, job.run(unit, known)
