"""Measuring units: what is done with one, what an executor is, and worker processes here.

An executor gives each unit's result once, in any order, and a unit that always kills its worker as
a failure; the driver alone writes.
"""

import ast
import math
import os
import platform
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol, runtime_checkable

import numpy
import scipy
import torch

import hierlearn
from hierlearn.engine import devices
from hierlearn.engine.memory import available_bytes
from hierlearn.experiment import Experiment, Group
from hierlearn.records import fingerprint, plain_measurements
from hierlearn.records.fingerprints import edited
from hierlearn.sweeps.pools import worker_pool


@dataclass(frozen=True)
class Unit:
    """A group to be measured, with its experiment, and how many seconds it is expected to take."""

    experiment: Experiment
    group: Group
    seconds: float = 1.0

    def __str__(self) -> str:
        runs = self.group.runs
        seeds = sorted({run.seed for run in runs})
        about = shorten(f"{len(runs)} runs, seeds {seeds}, first config {runs[0].config}", 160)
        return f"{self.experiment.name}, group {self.group.key} ({about})"


@dataclass(frozen=True)
class Result:
    """What comes back from a worker: plain values, or the traceback of a failure as `error`.

    `code` is the fingerprint of what it ran; `circumstances`, of the provenance, only it knows.
    """

    code: str
    measurements: list[dict[str, Any]] = field(default_factory=list)
    circumstances: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def measure_unit(
    measure: Callable[[Group, torch.device], list[dict[str, Any]]], group: Group, device: str
) -> Result:
    """Measure one group in this process, on one thread; never raises what `measure` raises.

    `device` is resolved here: a remote worker may have a GPU where the driver has none.
    """
    code = ""
    try:
        code = fingerprint(measure)
        if changed := edited(measure):
            raise RuntimeError(f"{changed[0]} changed after this worker started; start it again")
        target = devices.resolve(device)
        devices.prepare(target)
        devices.reset_peak_memory(target)
        wall, cpu = time.perf_counter(), _cpu_seconds()
        measurements = plain_measurements(group, measure(group, target))
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    except Exception:  # whatever it is, the driver names the unit and the others go on
        return Result(code, error=traceback.format_exc())
    circumstances = {
        "packages": {
            "python": platform.python_version(),
            **{one.__name__: one.__version__ for one in (torch, numpy, scipy, hierlearn)},
        },
        "device": "cpu" if target.type == "cpu" else devices.describe(target),
        "machine": devices.machine(),
        "dtype": str(group.runs[0].config.get("dtype", torch.get_default_dtype())),
        "threads": torch.get_num_threads(),
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "peak_mb": devices.peak_memory_mb(target),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Result(code, measurements, circumstances)


def _cpu_seconds() -> float:
    """Return what this process and those that it started and outlived have used."""
    return time.process_time() + sum(os.times()[2:4])


def measuring_variables() -> dict[str, str]:
    """Return the environment of workers that measure: one thread each."""
    threads = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    return dict.fromkeys(threads, "1")


def refuse_unguarded() -> None:
    """Raise ExecutorError where worker processes, which import the main script, would run it."""
    main, frame = sys.modules["__main__"], sys._getframe()
    while not (frame.f_globals is vars(main) and frame.f_code.co_name == "<module>"):
        if frame.f_back is None:
            return
        frame = frame.f_back
    script, line = getattr(main, "__file__", None), frame.f_lineno
    if script == "<stdin>":
        raise ExecutorError(
            "worker processes import the main script, and standard input they cannot read; "
            "save it as a file and run that, or use `python -c`"
        )
    try:
        nodes = list(ast.walk(ast.parse(Path(script or "").read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return  # a notebook, `python -c`, an archive
    ifs = [n for n in nodes if isinstance(n, ast.If) and "__name__" in ast.unparse(n.test)]
    if not any(one.lineno <= line <= (one.end_lineno or 0) for one in ifs):
        raise ExecutorError(
            f"{script} computes in line {line}, outside of `if __name__ == '__main__':`, and "
            "worker processes import it: they would compute, too. Put it there; a chapter's "
            "script is to be read, `python -m hierlearn run` or Jupyter execute its notebook"
        )


WORKER_BYTES = 2**29  #: what a worker of most groups needs, torch included
MAX_DEATHS = 3  #: a unit whose worker died so often is given up, and named


def room_for_workers() -> tuple[int, int]:
    """Return for how many worker processes there are cores, and memory: more than both are none."""
    room = int(available_bytes(torch.device("cpu")) // WORKER_BYTES)
    return devices.available_cores(), max(1, room)


Results = Generator[tuple[Unit, Result] | None, None, None]
"""Units with their results; None whenever a second has passed without one."""


class ExecutorError(RuntimeError):
    """Units cannot be measured at all: no scheduler, or no worker that starts."""


DIED = Result("", error="its worker died again and again (out of memory, or killed)")


@runtime_checkable
class Executor(Protocol):
    """What measures units."""

    def results(self, units: Sequence[Unit]) -> Results:
        """Give each unit with its result; ExecutorError when nothing can be measured any more."""


class _OutOfTime(Exception):
    """The time is up: workers are stopped, and what they had not finished is not recorded."""


FASTER = {"cpu": 1.0, "cuda": 0.2}
"""Seconds a CPU second expected takes, until units that are done tell."""


@dataclass(frozen=True)
class LocalPool:
    """`n_workers` single-threaded processes on this machine; a killed one costs a retry.

    At `until`, on the monotonic clock, they are stopped, and no unit is begun that is not expected
    to be done by then.
    """

    n_workers: int
    device: str = "cpu"
    until: float = math.inf

    @classmethod
    def on(
        cls, device: str, n_workers: int | None = None, seconds: float = math.inf
    ) -> "LocalPool":
        """Return the pool of a device for `seconds`: `n_workers`, else one a core with room for it.

        On CUDA it is one. Raises DeviceError when there is no such device, or one on which so many
        processes cannot work, ValueError for fewer than one.
        """
        target, until = devices.resolve(device), time.monotonic() + seconds
        if n_workers is not None and n_workers < 1:
            raise ValueError(f"workers is {n_workers}; expected at least 1, or None: one a core")
        if target.type == "cpu":
            by_cores, by_memory = room = room_for_workers()
            if n_workers and n_workers > max(room):
                raise devices.DeviceError(
                    f"workers is {n_workers}, but there is memory for {by_memory}, and there are "
                    f"{by_cores} cores; valid: 1 to {max(room)}"
                )
            return cls(n_workers or min(room), until=until)
        if n_workers not in (None, 1):
            raise devices.DeviceError(
                f"workers is {n_workers} on {target.type}, where one process uses the whole GPU; "
                "valid: 1, or device cpu (on several GPUs: local workers, one a GPU)"
            )
        return cls(1, target.type, until)

    def results(self, units: Sequence[Unit]) -> Results:
        """Give each unit with its result; one suspected of killing its worker runs alone."""
        refuse_unguarded()
        waiting, deaths, n_done = deque(units), Counter[str](), 0
        while waiting and time.monotonic() < self.until:
            alone = deaths[waiting[0].group.key] > 0
            running: dict[Future[Result], Unit] = {}
            some = deque([waiting.popleft()]) if alone else waiting
            for finished in self._one_pool(some, running):
                n_done += finished is not None
                yield finished
            if time.monotonic() >= self.until:
                return
            if running and not n_done:
                _check_that_workers_start()
            for unit in running.values():
                deaths[unit.group.key] += 1
                if deaths[unit.group.key] < MAX_DEATHS:
                    waiting.appendleft(unit)
                else:
                    yield unit, DIED

    def _one_pool(self, units: deque[Unit], running: dict[Future[Result], Unit]) -> Results:
        """Measure `units` until none is left, or a worker dies: what ran then is in `running`."""
        n_workers = min(self.n_workers, max(len(units), 1))
        took, expected = FASTER[self.device], 1.0
        stops = suppress(BrokenProcessPool, _OutOfTime)
        with stops, worker_pool(n_workers, measuring_variables()) as pool:
            while units or running:
                if (left := self.until - time.monotonic()) <= 0:
                    raise _OutOfTime
                # One more than the workers: the next unit is there when a worker is free.
                while units and len(running) <= n_workers:
                    if units[0].seconds * took / expected <= left:
                        args = units[0].experiment.measure, units[0].group, self.device
                        running[pool.submit(measure_unit, *args)] = units[0]
                    units.popleft()
                done, _ = wait(running, timeout=min(1, left), return_when=FIRST_COMPLETED)
                for future in done:
                    error = future.exception()
                    if not isinstance(error, BrokenProcessPool):  # but of the transport, if any
                        failed = Result("", error=f"{type(error).__name__}: {error}")
                        unit, result = running.pop(future), failed if error else future.result()
                        took += result.circumstances.get("wall_s", 0.0)
                        expected += unit.seconds if result.circumstances else 0.0
                        yield unit, result
                if any(future in running for future in done):
                    break
                if not done:
                    yield None


def _check_that_workers_start() -> None:
    """Raise ExecutorError unless a worker starts; one that is killed meanwhile proves nothing."""
    for _ in range(MAX_DEATHS):
        with suppress(BrokenProcessPool), worker_pool(1, measuring_variables()) as pool:
            pool.submit(os.getpid).result()
            return
    raise ExecutorError(
        "worker processes cannot start: what they said stands above. They import the main script, "
        "which must compute under `if __name__ == '__main__':` only"
    )
