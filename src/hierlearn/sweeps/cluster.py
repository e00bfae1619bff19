"""Measuring units on a dask.distributed cluster, for which the extra `dask` has to be installed.

Whatever starts workers there will do: dask's command line, Slurm, Kubernetes, SSH, dask-cuda.
"""

import asyncio
import math
import os
import queue
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch
from tqdm import tqdm

from hierlearn.engine import devices
from hierlearn.sweeps import executors
from hierlearn.sweeps.executors import DIED, MAX_DEATHS, ExecutorError, Result, Results, Unit

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as ClusterFuture

CONNECT_SECONDS = 5  #: a scheduler that does not answer for so long is unreachable
FETCH_SECONDS = 10  #: a result that cannot be fetched for so long is measured again
LOST_SECONDS = 20  #: a scheduler that was there and stays away for so long ends the sweep
GONE_SECONDS = 60  #: so do workers that were there and of which none comes back


@dataclass(frozen=True)
class Cluster:
    """The workers of the dask.distributed scheduler at `address`, such as "tcp://host:8786".

    Each has one thread and this version of the package; `device` is resolved there. A unit whose
    worker dies runs again, and one result is given. Encryption is set in dask's own configuration
    (distributed.comm.tls).
    """

    address: str
    device: str = "auto"

    def results(self, units: Sequence[Unit]) -> Results:
        """Give each unit with its result; those whose workers died too often run alone once more.

        What waited on a worker that died is under suspicion as well.
        """
        with _connected(self.address) as client:
            suspects: list[Unit] = []
            yield from self._measure(client, deque(units), suspects, window=math.inf)
            guilty: list[Unit] = []
            yield from self._measure(client, deque(suspects), guilty, window=1)
            for unit in guilty:
                yield unit, DIED

    def _measure(
        self, client: "Client", units: deque[Unit], suspects: list[Unit], *, window: float
    ) -> Results:
        """Keep `window` units, at most two a worker, on the cluster until all are measured.

        A window, not all at once: a scheduler slows down with the number of tasks that it knows.
        """
        from distributed import KilledWorker

        done: queue.SimpleQueue[ClusterFuture] = queue.SimpleQueue()
        running: dict[Any, tuple[Unit, ClusterFuture]] = {}
        lost = Counter[str]()
        modules = (executors.__name__, *(unit.experiment.measure.__module__ for unit in units))
        watch = _Watch(client, self.address, modules)
        while units or running:
            watch.check()
            while units and len(running) < min(window, 2 * watch.n_workers):
                unit = units.popleft()
                # A name of its own each time: equal names would share one result.
                key = f"{unit.experiment.name}-{unit.group.key}-{uuid4().hex[:8]}"
                args = unit.experiment.measure, unit.group, self.device
                future = client.submit(executors.measure_unit, *args, key=key, pure=False)
                future.add_done_callback(done.put)
                running[key] = unit, future
            try:
                future = done.get(timeout=1)
            except queue.Empty:
                yield None
                continue
            unit, _ = running.pop(future.key)
            try:
                result = future.result(timeout=FETCH_SECONDS)
            except KilledWorker:
                suspects.append(unit)
                continue
            except TimeoutError:  # the worker died after it had measured: the result went with it
                future.cancel()
                lost[unit.group.key] += 1
                if lost[unit.group.key] < MAX_DEATHS:
                    units.append(unit)
                    continue
                result = Result("", error=f"no result in {FETCH_SECONDS} s, {MAX_DEATHS} times")
            except CancelledError as error:
                raise ExecutorError(
                    f"the scheduler at {self.address} dropped {unit}; start again"
                ) from error
            except Exception as error:  # of the transport: measure_unit itself raises nothing
                result = Result("", error=f"{type(error).__name__}: {error}")
            yield unit, result


class _Watch:
    """Knows how many workers a cluster has, that they can work, and when all of them are gone."""

    def __init__(self, client: "Client", address: str, modules: Iterable[str]) -> None:
        self.client, self.address, self.modules = client, address, sorted(set(modules))
        self.told, self.seen, self.counted, self.n_workers = False, time.monotonic(), 0.0, 0
        self.worked, self.asked, self.silent = math.inf, set[str](), Counter[str]()
        self.check()

    def check(self) -> None:
        """Count the workers and ask the new ones; ExecutorError when scheduler or all are gone."""
        threads = None
        if self.client.status == "running":
            if time.monotonic() < self.counted + 1:
                return
            with suppress(OSError):  # the scheduler may go while it is asked
                threads = self.client.nthreads()
        if threads is None:
            if time.monotonic() - self.seen > LOST_SECONDS:
                raise ExecutorError(f"the scheduler at {self.address} is gone; start it again")
            return
        self.seen = self.counted = time.monotonic()
        if worker := next((worker for worker, n in threads.items() if n != 1), None):
            raise ExecutorError(
                f"the worker {worker} has {threads[worker]} threads; expected 1 (dask worker "
                "--nthreads 1), so that time and memory are those of one unit"
            )
        if new := sorted(threads.keys() - self.asked):
            with suppress(OSError):  # the scheduler may go now, too
                self._ask(new)
        self.n_workers = len(threads.keys() & self.asked)
        if threads:
            self.worked = time.monotonic()
        elif time.monotonic() - self.worked > GONE_SECONDS:
            raise ExecutorError(
                f"all workers of {self.address} are gone for {GONE_SECONDS} s; what is recorded is "
                "kept; see why they ended, start workers, and start again"
            )
        elif not self.told:
            tqdm.write(f"the scheduler at {self.address} has no workers: waiting", file=sys.stderr)
            self.told = True

    def _ask(self, workers: list[str]) -> None:
        """Have new workers import what they need: of a task that they cannot load they would die.

        One that does not answer is asked again. Raises ExecutorError for one that never does, or
        lacks something.
        """
        answered = set(workers)
        for module in self.modules:
            said = self.client.run(import_module, module, workers=workers, on_error="return")
            for worker in workers:
                error = said.get(worker, OSError("no answer"))
                if isinstance(error, OSError) and self.silent[worker] < MAX_DEATHS:
                    self.silent[worker] += 1
                    answered.discard(worker)
                elif isinstance(error, Exception):
                    raise ExecutorError(
                        f"the worker {worker} cannot import {module} ({error}); install it there "
                        "from this commit, or set PYTHONPATH there, and start the worker again"
                    )
        self.asked |= answered


@contextmanager
def _connected(address: str) -> Iterator["Client"]:
    from distributed import Client
    from distributed.core import connect
    from distributed.security import Security

    async def knock() -> None:
        encryption = Security().get_connection_args("client")
        await (await connect(address, timeout=CONNECT_SECONDS, **encryption)).close()

    try:
        # First: a client that cannot connect complains once more when it is thrown away.
        with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop already
            thread.submit(asyncio.run, knock()).result()
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ExecutorError(
            f"no scheduler answers at {address!r} ({type(error).__name__}: {error}); valid: the "
            "address that `dask scheduler` printed, such as tcp://127.0.0.1:8786"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CONNECT_SECONDS)


@contextmanager
def local_cluster(n_workers: int, device: str = "auto") -> Iterator[Cluster]:
    """Start a scheduler and `n_workers` workers on this machine's loopback, and stop them after.

    On CUDA there is one worker a GPU. Raises DeviceError when there is no such device or when the
    number of workers does not fit it, ImportError without the extra `dask`.
    """
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    executors.refuse_unguarded()
    target = devices.resolve(device)
    n_gpus = torch.cuda.device_count() if target.type == "cuda" else 0
    most = n_gpus or max(executors.room_for_workers())
    if not 1 <= n_workers <= most:
        what = "one a GPU" if n_gpus else "for which there are cores or memory"
        raise devices.DeviceError(f"local workers is {n_workers}; valid: 1 to {most}, {what}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = visible if len(visible) == n_gpus else [str(i) for i in range(n_gpus)]
    where = {"host": "127.0.0.1", "dashboard": False}
    options = {**where, "nthreads": 1, "memory_limit": None, "silence_logs": 50}
    on = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{}] * n_workers
    workers = {i: {"cls": Nanny, "options": options | {"env": on[i]}} for i in range(n_workers)}
    settings = {
        # Else a unit that waits on a worker would be under suspicion when the worker dies.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.allowed-failures": MAX_DEATHS - 1,
        # Else a worker that needs longer to start again, on a busy machine, never comes back.
        "distributed.deploy.lost-worker-timeout": "10 minutes",
    }
    with dask.config.set(settings):
        scheduler = {"cls": Scheduler, "options": {**where, "port": 0}}
        with SpecCluster(workers, scheduler, silence_logs=50) as cluster:
            yield Cluster(cluster.scheduler_address, target.type)
