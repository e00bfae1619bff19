"""Sweeps: computing the groups of records that a folder lacks, in one pool of worker processes.

The workers measure, one group at a time and single-threaded; the driver alone writes, each group as
it finishes. So a sweep may be stopped anywhere and started again, and no number depends on where.
"""

import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from hierlearn import devices
from hierlearn.experiments.base import Experiment, Group
from hierlearn.records import Provenance, RecordError, RecordStore, fingerprint
from hierlearn.workers import Result, measure_unit, refuse_in_worker, worker_pool

MAX_DEATHS = 3
"""A unit whose worker died so often is given up, and named."""


class SweepError(RuntimeError):
    """Some groups could not be computed; the message names them, and the others are recorded."""


@dataclass(frozen=True)
class Summary:
    """What a sweep did: groups computed, groups that were there before, wall seconds."""

    n_computed: int
    n_present: int
    seconds: float


@dataclass(frozen=True)
class Unit:
    """A group to be measured, with its experiment."""

    experiment: Experiment
    group: Group

    def __str__(self) -> str:
        runs = self.group.runs
        seeds = sorted({run.seed for run in runs})
        about = shorten(f"{len(runs)} runs, seeds {seeds}, first config {runs[0].config}", 160)
        return f"{self.experiment.name}, group {self.group.key} ({about})"


def compute(
    experiments: Iterable[Experiment],
    profile: str,
    store: RecordStore,
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> Summary:
    """Compute what `store` lacks of `experiments` at `profile`: missing, stale and damaged groups.

    `workers` is the number of single-threaded processes: one a core unless given, one on CUDA.
    With `progress`, a bar and a closing line appear on stderr. Two processes never compute the same
    folder at once: the second waits, and then finds the records there.

    Raises SweepError that names the groups whose measurement failed, after all others are recorded;
    RecordError when the store is frozen and lacks something, or cannot be written; DeviceError when
    there is no such device. After a KeyboardInterrupt what was finished is there.
    """
    start = time.perf_counter()
    refuse_in_worker()
    target = devices.resolve(device)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected at least 1, or None for one a core")
    experiments = list(experiments)
    missing, n_groups = _missing(experiments, profile, store)
    n_computed = 0
    if missing:
        with _sole_writer(store, progress):
            store.tidy()
            missing, n_groups = _missing(experiments, profile, store, tell=True)
            n_workers = 1 if target.type == "cuda" else workers or devices.available_cores()
            sweep = _Sweep(store, target, min(n_workers, max(len(missing), 1)))
            n_computed = sweep.run(missing, label=profile, progress=progress)
    summary = Summary(n_computed, n_groups - len(missing), time.perf_counter() - start)
    if progress:
        print(
            f"{profile}: {summary.n_computed} groups computed, {summary.n_present} already there, "
            f"{summary.seconds:.1f} s",
            file=sys.stderr,
        )
    return summary


def _missing(
    experiments: list[Experiment], profile: str, store: RecordStore, *, tell: bool = False
) -> tuple[list[Unit], int]:
    """Return the units to compute, heaviest first, and the number of all groups.

    With `tell`, damage is reported on stderr. Raises RecordError where a frozen store lacks a unit.
    """
    states = [(one, state) for one in experiments for state in store.states(one, profile)]
    units = {s.group.key: Unit(one, s.group) for one, s in states if s.status != "present"}
    if units and store.frozen:
        problems = (f"  {s.status}: {s.problem}" for _, s in states if s.status != "present")
        lines = "\n".join(dict.fromkeys(problems))
        raise RecordError(
            f"the frozen records in {store.folder} lack {len(units)} groups of profile {profile}, "
            f"and nothing is computed there; compute them in another folder, and freeze:\n{lines}"
        )
    for problem in (s.problem for _, s in states if tell and s.status == "damaged"):
        print(f"computed again: {problem}", file=sys.stderr)
    return sorted(units.values(), key=lambda unit: -unit.group.weight), len(states)


@contextmanager
def _sole_writer(store: RecordStore, progress: bool) -> Iterator[None]:
    """Hold the folder's lock, and say so when another process has it."""
    lock = FileLock(store.folder / ".lock")
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            print(f"another process computes in {store.folder}: waiting", file=sys.stderr)
        lock.acquire(poll_interval=0.2)
    except OSError as error:
        raise RecordError(
            f"cannot write in {store.folder}: {error.strerror or error}; "
            "choose another records folder, or make this one writable"
        ) from error
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Sweep:
    """One pass over the missing units: who failed, whose worker died, how many are recorded."""

    store: RecordStore
    device: torch.device
    n_workers: int
    git: tuple[str, bool | None] = field(default_factory=lambda: git_state())
    n_done: int = 0
    failures: list[str] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)

    def run(self, units: list[Unit], *, label: str, progress: bool) -> int:
        """Measure and record `units`; return how many, or raise SweepError naming the failures."""
        if not units:
            return 0
        total = sum(unit.group.weight for unit in units)
        form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
        with tqdm(total=total, bar_format=form, file=sys.stderr, disable=not progress) as self.bar:
            self.label = f"{label}: {{}}/{len(units)} groups"
            self._advance(0.0)
            try:
                self._work(deque(units))
            except KeyboardInterrupt:
                tqdm.write(f"interrupted: {self.n_done} groups are recorded", file=sys.stderr)
                raise
        if self.failures:
            lines = "\n".join(f"  {failure}" for failure in self.failures)
            raise SweepError(
                f"{len(self.failures)} of {len(units)} groups failed, "
                f"{self.n_done} are recorded:\n{lines}"
            )
        return self.n_done

    def _advance(self, weight: float) -> None:
        self.bar.set_description_str(self.label.format(self.n_done), refresh=False)
        self.bar.update(weight)

    def _work(self, waiting: deque[Unit]) -> None:
        """Measure until none waits; a unit under suspicion of killing its worker runs alone."""
        while waiting:
            alone = self.deaths[waiting[0].group.key] > 0
            suspects = self._one_pool(deque([waiting.popleft()]) if alone else waiting)
            if suspects and not self.n_done:
                _check_that_workers_start()
            for unit in suspects:
                self.deaths[unit.group.key] += 1
                if self.deaths[unit.group.key] < MAX_DEATHS:
                    waiting.appendleft(unit)
                else:
                    self.failures.append(
                        f"{unit}: its worker died {MAX_DEATHS} times (out of memory, or killed)"
                    )
                    self._advance(unit.group.weight)

    def _one_pool(self, units: deque[Unit]) -> list[Unit]:
        """Measure `units` until none is left, or a worker dies: return what was running then."""
        running: dict[Future[Result], Unit] = {}
        with worker_pool(self.n_workers) as pool:
            try:
                while units or running:
                    # One more than the workers: the next unit is there when a worker is free.
                    while units and len(running) <= self.n_workers:
                        unit = units[0]
                        args = unit.experiment.measure, unit.group, str(self.device)
                        running[pool.submit(measure_unit, *args)] = unit
                        units.popleft()
                    done, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                    for future in done:
                        if not isinstance(future.exception(), BrokenProcessPool):
                            self._take(running.pop(future), future)
                    if any(future in running for future in done):
                        break
                    if sys.stderr.isatty():  # elsewhere it would only fill a log
                        self.bar.refresh()
            except BrokenProcessPool:  # raised by submit
                pass
        return list(running.values())

    def _take(self, unit: Unit, future: "Future[Result]") -> None:
        """Record a measured unit, or note its failure."""
        error = future.exception()
        result = Result("", error=f"{type(error).__name__}: {error}") if error else future.result()
        if result.error:
            tqdm.write(f"{unit} failed:\n{result.error}", file=sys.stderr)
            self.failures.append(f"{unit}: {result.error.strip().splitlines()[-1]}")
        elif result.code != fingerprint(unit.experiment):
            raise SweepError(
                f"the code of {unit.experiment.name} has changed since this process started; "
                f"{self.n_done} groups are recorded, of the code before; start again"
            )
        else:
            provenance = self._provenance(unit, result)
            self.store.write(unit.group, result.measurements, provenance)
            self.n_done += 1
        self._advance(unit.group.weight)

    def _provenance(self, unit: Unit, result: Result) -> Provenance:
        return Provenance(
            commit=self.git[0],
            dirty=self.git[1],
            fingerprints=[result.code],
            n_runs=len(unit.group.runs),
            **result.circumstances,
        )


def _check_that_workers_start() -> None:
    try:
        with worker_pool(1) as pool:
            pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise SweepError(
            "worker processes cannot start; a script that computes must do so under "
            "`if __name__ == '__main__':`, for the workers import it"
        ) from error


def git_state() -> tuple[str, bool | None]:
    """Return the commit of this package's checkout and whether its code differs from it.

    ("unknown", None) where the package is not part of a checkout.
    """
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        # No optional locks: killed in the middle, git would leave the reader's index locked.
        command = ["git", "--no-optional-locks", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None
