"""Where jobs run: processes of this machine, or Ray."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .engine import Pool
from .execution import Settings
from .job import Place
from .processes import Processes


@contextlib.contextmanager
def opened(
    place: Place, jobs: int, threads: int | None, retries: int, ray: str | None = None, gpus: float = 0.0
) -> Iterator[Pool]:
    """A pool, closed at the end.

    Args:
        jobs: at a time on this machine.
        threads: of each; None for an even share of the processor's, with Ray for `ray_pool.THREADS`.
        ray: the address of a cluster, or `local`.
        gpus: that Ray reserves for each.

    Raises:
        UsageError: Ray is not installed, or has no such machine.
    """
    processors = os.cpu_count() or 1
    if ray is None:
        share = None if jobs == 1 else max(1, processors // jobs)
        yield Processes(place, Settings(threads or share, retries), jobs)
        return
    from .ray_pool import RayPool

    embedded = max(processors, jobs * threads) if threads else processors
    pool = RayPool(ray, place, Settings(threads, retries), gpus, embedded)
    try:
        yield pool
    finally:
        pool.close()
