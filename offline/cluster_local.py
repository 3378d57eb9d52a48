"""Dask's workers on this machine: a scheduler and processes that live as long as a run.

What there is to wait for before the first recording is imports: of PyTorch and of Dask. On Linux one process
imports both while this one imports Dask and starts the scheduler, and each worker is a fork of that process,
also one in place of a worker that died.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..processes import cores, interrupts_held_back
from .errors import LoadError

#: Of the workers, from their first moment on: a thread for each, and, as ``keep_memory``, memory that is
#: kept. Their tasks are a thread's, whose memory glibc hands back whenever it is empty: a tenth of the time.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
#: Dask looks at itself a hundred times a second, which is a twentieth of each core; the dashboard is as
#: good with less.
_CALM = {
    "distributed.worker.profile.interval": "200ms",
    "distributed.worker.profile.cycle": "10s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
}
_IMPORTED = ["hppnet.cli", "hppnet.offline.executors.cluster_workers", "hppnet.model.transcriber", "distributed"]


@contextmanager
def local_client(count: str) -> Iterator[Any]:
    """Of so many workers ("": one a core). Raises LoadError for what is no number of workers."""
    if count and (not count.isdecimal() or int(count) < 1):
        raise LoadError(f"--cluster local:{count}: expected local:N with N workers, 1 or more")
    with interrupts_held_back():  # the workers inherit that: Ctrl-C is ours
        method = _begin_imports()
        cluster = _start(int(count or cores()), method)
    try:
        with cluster.get_client() as client:
            yield client
    finally:
        with interrupts_held_back():
            cluster.close()


def _begin_imports() -> str:
    """Returns how Dask is to start its workers."""
    if sys.platform != "linux":
        return "spawn"  # elsewhere a fork of a process that has imported much may fail
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload(_IMPORTED)
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
    return "forkserver"


def _start(workers: int, method: str) -> Any:
    import dask.config
    import distributed

    how = {
        **_CALM,
        "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
        "distributed.worker.multiprocessing-method": method,
    }
    with dask.config.set(how), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*[Pp]ort .* is already in use")
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=None, silence_logs=logging.CRITICAL
        )
