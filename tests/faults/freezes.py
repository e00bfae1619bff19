"""Killing what replaces frozen records: before each of its lines, and at random instants.

There are two such commands: freezing and restamping.
"""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from hierlearn.records import (
    RecordStore,
    files,
    finish,
    freeze,
    freezing,
    restamp,
)

from .bench import Bench, plain
from .processes import Driver, die_at

REPLACERS = (freezing._replace, files.write_file)
PROFILE = "smoke"


@dataclass(frozen=True)
class Way:
    """A command that turns the frozen folder `before` (None: an empty one) into `after`."""

    command: Callable[[Path], object]
    before: Path | None
    after: Path
    seconds: float = 0.0

    def start(self, target: Path) -> None:
        """Make `target` what the command starts from."""
        shutil.rmtree(target, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, target)


def kill_freezes(bench: Bench, draw: random.Random, n_kills: int, stride: int) -> str:
    """Kill commands before each `stride`-th line, and `n_kills` times at random instants.

    Afterwards all that is shown is of one version, the rest is reported as not fitting the
    manifest, and the same command once more repairs it.
    """
    bench = replace(bench, experiments=bench.experiments[1:])
    ways = _ways(bench)
    left: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for name, way in ways.items():
        for step in count(draw.randint(1, stride), stride):
            outcome = _kill(bench, way, step=step)
            if outcome is None:
                break
            left[outcome] += 1
            lines[name] += 1
    n_lines = left.total()
    while left.total() < n_lines + n_kills:
        way = draw.choice([*ways.values()])
        outcome = _kill(bench, way, seconds=draw.uniform(0.0, way.seconds))
        if outcome is not None:
            left[outcome] += 1
    return (
        f"{n_lines} SIGKILLs, one before every {stride}. line ({_listed(lines)}), and {n_kills} "
        f"at random; left: {_listed(left)}"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))


def _ways(bench: Bench) -> dict[str, Way]:
    """Return the commands, each tried and timed once undisturbed."""
    root, first = bench.root, bench.experiments[0]
    older = RecordStore(root / "older")
    for state in bench.states(bench.reference):
        older.write(state.group, [{"older": 1.0}] * len(state.records), state.provenance)
    before = root / "frozen_older"
    freeze(older, before, PROFILE, bench.experiments)

    def freezes(target: Path) -> object:
        return freeze(bench.reference, target, PROFILE, bench.experiments)

    def restamps(target: Path) -> object:
        finish(target)
        store = RecordStore(target, frozen=True)
        return restamp(store, first, PROFILE, seen=store.states(first, PROFILE)[0], code="0ther")

    newer = root / "frozen_newer"
    ways = {
        "of a first freeze": Way(freezes, None, newer),
        "of a freeze": Way(freezes, before, newer),
        "of a restamping": Way(restamps, newer, root / "frozen_restamped"),
    }
    for name, way in ways.items():
        way.start(way.after)
        start = time.perf_counter()
        Driver(lambda way=way: way.command(way.after), bench.log).expect(0)
        ways[name] = replace(way, seconds=time.perf_counter() - start)
    assert _bytes(newer) != _bytes(root / "frozen_restamped")
    return ways


def _kill(bench: Bench, way: Way, *, step: int = 0, seconds: float | None = None) -> str | None:
    """Start, kill, check, do it again; return what was left, None if it lived."""
    target = bench.root / "frozen"
    way.start(target)

    def work() -> object:
        return way.command(target)

    driver = Driver(die_at(step, work, REPLACERS) if step else work, bench.log)
    if driver.wait(seconds) is None:
        driver.kill("driver")
    code = driver.wait()
    assert code in (0, -signal.SIGKILL), bench.log.read_text()
    outcome = _shown(bench, way, target)
    work()
    assert _bytes(target) == _bytes(way.after), "the same command once more leaves something else"
    return outcome if code else None


def _shown(bench: Bench, way: Way, target: Path) -> str:
    """Return which version a folder shows: "the old", "the new", or "a reported mixture"."""
    versions = {
        name: [plain(s.records) for s in bench.states(RecordStore(folder, frozen=True))]
        if folder
        else [[] for _ in bench.states(bench.reference)]
        for name, folder in {"the new": way.after, "the old": way.before}.items()
    }
    states = bench.states(RecordStore(target, frozen=True))
    damaged = [state.status == "damaged" for state in states]
    for state in states:
        if state.status == "damaged":
            assert "manifest.json" in state.problem and not state.records, state.problem
    for name, version in versions.items():
        pairs = zip(states, version, strict=True)
        if all(s.status == "damaged" or plain(s.records) == one for s, one in pairs):
            return "a reported mixture" if any(damaged) else name
    raise AssertionError(f"{target} shows neither the old nor the new version")


def _bytes(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, hidden ones too, by their path."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
