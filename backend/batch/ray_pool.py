"""Jobs as tasks of Ray: on the machines of a cluster that share the batch's folder, or on an embedded one."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import time
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .execution import ROOT, Settings, Ticket
from .job import FAILED, Place, Record

if TYPE_CHECKING:
    import ray

VERSION = "2.60.0"
"""The release that is tested; install/locks/backend.in has it too."""
LOCAL = "local"
THREADS = 4
"""Processors of a job unless `--threads` says otherwise, or all of a machine that has fewer."""
LOST = 3
"""How often Ray starts a job again whose machine was lost."""

_CAPACITY_S = 2.0


class RayPool:
    """A pool (`engine.Pool`).

    Args:
        address: `local` for an embedded cluster on this machine, else as Ray takes it: HOST:PORT, `auto`.
        gpus: of each job; Ray hides all others from it.
        processors: of the embedded cluster.

    Raises:
        UsageError: Ray is not installed, does not answer, or no machine has so many processors or GPUs.
    """

    def __init__(
        self, address: str, place: Place, settings: Settings, gpus: float = 0.0, processors: int | None = None
    ) -> None:
        self._ray = _connected(address, processors)
        self._place = place
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        most = int(max((node.get("CPU", 0) for node in nodes), default=0))
        self._threads = settings.threads or max(1, min(THREADS, most))
        if self._threads > most or gpus > max((node.get("GPU", 0) for node in nodes), default=0):
            raise UsageError(
                f"No machine of the cluster at {address} has {self._threads} processors and {gpus:g} GPUs for a job: "
                "give smaller --threads or --gpus"
            )
        self._settings = Settings(self._threads, settings.retries)
        self._task = _task(self._ray, self._threads, gpus)
        self._tickets: dict[ray.ObjectRef, Ticket] = {}
        self._counted, self._capacity = -_CAPACITY_S, 1

    @property
    def capacity(self) -> int:
        """What the cluster has room for now, and one more that waits for it: machines may come and go."""
        if time.monotonic() - self._counted > _CAPACITY_S:
            processors = self._ray.cluster_resources().get("CPU", 0)
            self._capacity, self._counted = int(processors // self._threads) + 1, time.monotonic()
        return self._capacity

    def start(self, ticket: Ticket) -> None:
        packed = pickle.dumps((ticket, self._place, self._settings))
        self._tickets[self._task.remote(str(ROOT), packed)] = ticket

    def finished(self, timeout_s: float) -> list[Record]:
        if not self._tickets:
            time.sleep(timeout_s)
            return []
        waiting = list(self._tickets)
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        return [self._record(ref, self._tickets.pop(ref)) for ref in ready]

    def cancel(self) -> None:
        self._place.cancel.touch()

    def close(self) -> None:
        """Leave the cluster; an embedded one ends."""
        self._ray.shutdown()

    def _record(self, ref: ray.ObjectRef, ticket: Ticket) -> Record:
        try:
            record: Record = pickle.loads(self._ray.get(ref))
            return record
        except self._ray.exceptions.RayError as error:
            text = f"Its machine or worker was lost {LOST + 1} times ({type(error).__name__}): see the cluster's logs."
            return Record(ticket.job.name, FAILED, ticket.key, error=text)


def _connected(address: str, processors: int | None) -> Any:
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--ray needs the package ray, which SyncTalk does not install: run "
            f"`{sys.executable} -m pip install ray=={VERSION}`"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent that the user did not ask for
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the coming default, which Ray warns of
    import ray

    settings: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == LOCAL:
        settings |= {"include_dashboard": False, "num_cpus": processors}
    try:
        ray.init(address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--ray {address} cannot be reached ({reason}): start it with `ray start --head`") from error
    return ray


def _task(ray: Any, threads: int, gpus: float) -> Any:
    """The remote function. It is sent as it is, and finds the backend in the folder that it is given, on every machine alike;
    a job's failure is a record, never an exception, and never an exit, which Ray would take for a crash."""

    def run(root: str, packed: bytes) -> bytes:
        import importlib
        import pickle
        import sys

        if root not in sys.path:
            sys.path.insert(0, root)
        execution = importlib.import_module("backend.batch.execution")
        ticket, place, settings = pickle.loads(packed)
        return pickle.dumps(execution.execute(ticket, place, settings, place.cancel.exists))

    return ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=LOST, retry_exceptions=False)(run)
