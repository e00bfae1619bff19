"""Sweeps: computing the groups of records that a folder lacks, in one pool of worker processes.

The workers measure, one group at a time and single-threaded; the driver alone writes, each group as
it finishes. So a sweep may be stopped anywhere and started again, and no number depends on where.
"""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from hierlearn.engine.git import git
from hierlearn.experiment import Experiment
from hierlearn.records import (
    GroupState,
    Provenance,
    RecordError,
    RecordStore,
    fingerprint,
    sole_writer,
)
from hierlearn.sweeps import costs
from hierlearn.sweeps.executors import Executor, LocalPool, Result, Unit


class SweepError(RuntimeError):
    """Some groups could not be computed; it names them, and the others are recorded."""


class Summary(NamedTuple):
    """What a sweep did: groups computed, groups that were there before."""

    n_computed: int
    n_present: int


def compute(
    experiments: Iterable[Experiment],
    profile: str,
    store: RecordStore,
    *,
    device: str = "auto",
    workers: int | None = None,
    executor: Executor | None = None,
    measured_before: RecordStore | None = None,
    progress: bool = True,
) -> Summary:
    """Compute what `store` lacks of `experiments` at `profile`: missing, stale and damaged groups.

    `workers` is the number of single-threaded processes: one a core unless given, one on CUDA;
    `executor`, if given, measures instead. The groups that take longest, as `store` and
    `measured_before` tell, start first. With `progress`, a bar of expected seconds and a closing
    line appear on stderr. Of two processes that compute one folder the second waits. Experiments
    that lack data or a GPU here are left out, and told.

    Raises SweepError that names the groups whose measurement failed, after all others are recorded;
    RecordError when the store is frozen and lacks something, or cannot be written; DeviceError when
    there is no such device; ExecutorError when nothing can be measured.
    """
    start = time.perf_counter()
    executor = executor or LocalPool.on(device, workers)
    experiments = list(experiments)
    stores = [store, measured_before] if measured_before else [store]
    missing, states = _missing(experiments, profile, stores)
    n_computed = 0
    if missing:
        with sole_writer(store.folder, tell=progress):
            store.tidy()
            missing, states = _missing(experiments, profile, stores, tell=True)
            n_computed = _compute(missing, store, executor, label=profile, progress=progress)
    lacking = [state for state in states if state.lacks]
    n_present = len(states) - len(missing) - len(lacking)
    if progress and lacking:
        names = ", ".join(dict.fromkeys(state.group.experiment for state in lacking))
        why = "; ".join({why: None for state in lacking for why in state.lacks.values()})
        print(f"{profile}: not run, {len(lacking)} groups ({names}): {why}", file=sys.stderr)
    if progress:
        seconds = time.perf_counter() - start
        said = f"{n_computed} groups computed, {n_present} already there, {seconds:.1f} s"
        if n_left := len(missing) - n_computed:
            said += f"; {n_left} left for want of time"
            said += ", which the same command computes" if n_computed else ": give it more"
        print(f"{profile}: {said}", file=sys.stderr)
    return Summary(n_computed, n_present)


def _missing(
    experiments: list[Experiment], profile: str, stores: Sequence[RecordStore], tell: bool = False
) -> tuple[list[Unit], list[GroupState]]:
    """Return the units that the first store lacks, longest first, and the states of all groups.

    With `tell`, damage is reported on stderr. Raises RecordError where a frozen store lacks a unit.
    """
    store = stores[0]
    states = [(one, state) for one in experiments for state in store.states(one, profile)]
    lacking = [(one, state) for one, state in states if state.to_compute]
    expected: dict[str, costs.Cost] = {}
    for one in {one.name: one for one, _ in lacking}.values():
        expected |= costs.estimates(one, profile, stores)
    took = {key: one.known + one.scaled for key, one in expected.items()}
    units = [Unit(one, state.group, took[state.group.key]) for one, state in lacking]
    if units and store.frozen:
        lines = "\n".join(dict.fromkeys(f"  {s.status}: {s.problem}" for _, s in lacking))
        raise RecordError(
            f"the frozen records in {store.folder} lack {len(units)} groups of profile {profile}, "
            f"and nothing is computed there; compute them in another folder, and freeze:\n{lines}"
        )
    for _, state in lacking:
        if tell and state.status == "damaged":
            print(f"computed again: {state.problem}", file=sys.stderr)
    return sorted(units, key=lambda unit: -unit.seconds), [state for _, state in states]


def _compute(
    units: list[Unit], store: RecordStore, executor: Executor, *, label: str, progress: bool
) -> int:
    """Measure and record `units`; return how many, or raise SweepError naming the failures."""
    commit, dirty = git_state()
    failures: list[str] = []
    n_done = 0
    try:
        for unit, result in measured(units, executor, label=label, progress=progress):
            if result.error:
                failures.append(f"{unit}: {result.error.strip().splitlines()[-1]}")
                continue
            by = {"commit": commit, "dirty": dirty, "fingerprints": [result.code]}
            used = unit.experiment.needs([unit.group])
            data = {"data": {one.name: one.sha256 for one in used if one.sha256}}
            own = {**by, "n_runs": len(unit.group.runs), **data, **result.circumstances}
            store.write(unit.group, result.measurements, Provenance.model_validate(own))
            n_done += 1
    except KeyboardInterrupt:
        tqdm.write(f"interrupted: {n_done} groups are recorded", file=sys.stderr)
        raise
    if failures:
        head = f"{len(failures)} of {len(units)} groups failed, {n_done} are recorded:"
        raise SweepError("\n  ".join([head, *failures]))
    return n_done


def measured(
    units: Sequence[Unit], executor: Executor, *, label: str, progress: bool
) -> Iterator[tuple[Unit, Result]]:
    """Give each of `units` with its result, in any order, under a bar of their expected seconds.

    A failed one is told on stderr and given, too. Raises SweepError when a worker ran other code
    than this process holds, and what the executor raises.
    """
    codes = {unit.experiment.name: fingerprint(unit.experiment.measure) for unit in units}
    total = sum(unit.seconds for unit in units)
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    n_done = 0
    with (
        tqdm(total=total, bar_format=form, file=sys.stderr, disable=not progress) as bar,
        closing(executor.results(units)) as results,
    ):
        bar.set_description_str(f"{label}: 0/{len(units)} groups")
        for finished in results:
            if finished is None:
                if sys.stderr.isatty():  # elsewhere it would only fill a log
                    bar.refresh()
                continue
            unit, result = finished
            if result.error:
                tqdm.write(f"{unit} failed:\n{result.error}", file=sys.stderr)
            elif result.code != codes[unit.experiment.name]:
                raise SweepError(
                    f"the code of {unit.experiment.name} has changed since this process started, "
                    f"or a worker has another version of it; {n_done} groups are done, of the code "
                    "before; start again"
                )
            yield unit, result
            n_done += not result.error
            bar.set_description_str(f"{label}: {n_done}/{len(units)} groups", refresh=False)
            bar.update(min(unit.seconds, total - bar.n))  # never past the end by rounding


def sample(found: Sequence[Any], n: int | None, seed: int) -> list[Any]:
    """Return `n` random ones in their order (None: all), the same ones for the same `seed`."""
    if n is None or n >= len(found):
        return list(found)
    picked = np.random.default_rng(seed).choice(len(found), size=n, replace=False)
    return [found[i] for i in sorted(picked)]


def git_state() -> tuple[str, bool | None]:
    """Return the commit of this package's checkout, if there is one, and if its code differs."""
    here = Path(__file__).parent
    try:
        git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        return git(here, "rev-parse", "HEAD"), bool(git(here, "status", "--porcelain", "--", ".."))
    except (OSError, subprocess.CalledProcessError) as error:
        if (here.parents[2] / ".git").exists():
            said = str(getattr(error, "stderr", error)).strip().splitlines() or [str(error)]
            tqdm.write(f"the commit is recorded as unknown; git says: {said[0]}", file=sys.stderr)
        return "unknown", None
