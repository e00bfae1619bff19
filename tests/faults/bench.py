"""What the faults are done to: cheap groups of the book, and their undisturbed records."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hierlearn.experiment import Experiment, Run
from hierlearn.records import Record, RecordError, RecordStore, freeze
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import pools
from hierlearn.sweeps import sweep as sweeps
from hierlearn.sweeps.sweep import compute

from .processes import Driver

N_GROUPS = {"kernel_half_error": 8, "ball_uniform": 2}
"""Experiments of the registry, and how many of their smoke groups: about 0.1 s each, or less."""
REFUSED = 3
"""The exit code of a sweep that ended with a RecordError."""
VOLATILE = {"wall_s", "cpu_s", "peak_mb", "finished"}


class Skipped(Exception):
    """A part that this machine does not allow, and why."""


@dataclass(frozen=True)
class Bench:
    """Experiments whose undisturbed records lie in `reference`; a sweep of them takes `seconds`."""

    root: Path
    experiments: tuple[Experiment, ...]
    reference: RecordStore
    seconds: float

    @cached_property
    def expected(self) -> dict[str, list[str]]:
        """The undisturbed records by group."""
        return {s.group.key: plain(s.records) for s in self.states(self.reference)}

    @property
    def log(self) -> Path:
        """Where the process that runs at the moment writes what it says."""
        return self.root / "said.txt"

    def sweep(self, folder: Path) -> Driver:
        """Start a sweep into `folder`."""
        return Driver(sweep_of(self.experiments, folder), self.log)

    def freezing(self, working: RecordStore, frozen: Path) -> Callable[[], object]:
        """Return what freezes `working` into `frozen`."""
        return lambda: freeze(working, frozen, "smoke", self.experiments)

    def check_finished(self, folder: Path) -> None:
        """Assert that a finished folder holds the undisturbed records and no temporary file."""
        assert self.check_unfinished(folder) == len(self.expected), f"{folder} lacks groups"
        assert plain_files(folder) == plain_files(self.reference.folder), f"{folder} differs"
        left = [*folder.rglob("*.tmp"), *folder.rglob(".*.tmp")]
        assert not left, f"temporary files are left: {left}"

    def check_unfinished(self, folder: Path, others: dict[str, str] | None = None) -> int:
        """Assert that each group is as undisturbed, or missing, or as `others` (status by key) say.

        Returns how many are present.
        """
        n_present = 0
        for state in self.states(RecordStore(folder)):
            key = state.group.key
            if state.status == "present":
                assert plain(state.records) == self.expected[key], (
                    f"group {key} is shown, but differs"
                )
                n_present += 1
            else:
                before = (others or {}).get(key, "missing")
                assert state.status == before, f"{before} group is {state.status}: {state.problem}"
        return n_present

    def states(self, store: RecordStore) -> list:
        """The states of all groups."""
        return [state for one in self.experiments for state in store.states(one, "smoke")]


def make_bench(root: Path) -> Bench:
    """Measure the reference with workers as the book starts them, then time forked ones."""
    experiments = tuple(first_groups(EXPERIMENTS[name], n) for name, n in N_GROUPS.items())
    bench = Bench(root, experiments, RecordStore(root / "reference"), 0.0)
    # Whoever commits while the campaign runs must not change what it compares.
    state = sweeps.git_state()
    sweeps.git_state = lambda: state
    bench.sweep(bench.reference.folder).expect(0)
    pools.START_METHOD = "fork"
    times = []
    for folder in (root / "forked", root / "forked_again"):  # the first also warms caches
        start = time.perf_counter()
        bench.sweep(folder).expect(0)
        times.append(time.perf_counter() - start)
        bench.check_finished(folder)
    return replace(bench, seconds=min(times))


def first_groups(experiment: Experiment, n: int) -> Experiment:
    """Return the experiment with the first `n` of its smoke groups only."""
    groups = experiment.groups("smoke")[:n]
    return replace(experiment, groups=lambda profile: groups if profile == "smoke" else [])


def sweep_of(experiments: tuple[Experiment, ...], folder: Path) -> Callable[[], object]:
    """Return a sweep on two workers; a RecordError is printed and exits with REFUSED."""

    def run() -> None:
        try:
            compute(
                experiments, "smoke", RecordStore(folder), device="cpu", workers=2, progress=False
            )
        except RecordError as error:
            print(error)
            sys.exit(REFUSED)

    return run


def plain(records: tuple[Record, ...]) -> list[str]:
    """Return what must not depend on when and how fast records were computed, as lines."""
    return [_without_times(record.model_dump()) for record in records]


def plain_files(folder: Path) -> dict[str, list[str]]:
    """Return the working files of a folder, by path and line, as `plain` does."""
    paths = {path.relative_to(folder): path for path in folder.glob("*/*.jsonl")}
    return {
        name.as_posix(): [_without_times(json.loads(line)) for line in path.open()]
        for name, path in paths.items()
        if name.parts[0] != "superseded"
    }


def _without_times(record: dict) -> str:
    provenance = {k: v for k, v in record.pop("provenance").items() if k not in VOLATILE}
    del record["checksum"]
    return json.dumps({**record, "provenance": provenance}, sort_keys=True)


def as_other_code(record: Record) -> Record:
    """Return a record as other code would have left it: other measurement, other fingerprint."""
    return Record.of(
        Run(record.experiment, record.config, record.seed),
        group=record.group,
        measurement={"other": 1.0},
        provenance=record.provenance.model_copy(update={"fingerprints": ["0ther"]}),
    )
