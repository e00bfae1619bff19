"""Killing a freeze: before each line that replaces something, and at random instants."""

import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from hierlearn.records import RecordStore, files, freeze, freezing

from .bench import Bench, plain
from .processes import Driver, die_at

REPLACERS = (freezing._replace, files.write_file)
PROFILE = "smoke"


def kill_freezes(bench: Bench, draw: random.Random, n_kills: int, stride: int) -> str:
    """Kill freezes before each `stride`-th line, and `n_kills` times at random instants.

    They freeze into an empty folder or over an older version. Afterwards all that is shown is of
    one version, the rest is reported as not fitting the manifest, and freezing again repairs it.
    """
    bench = replace(bench, experiments=bench.experiments[1:])
    older = RecordStore(bench.root / "older")
    for state in bench.states(bench.reference):
        older.write(state.group, [{"older": 1.0}] * len(state.records), state.provenance)
    before = bench.root / "frozen_older"
    freeze(older, before, PROFILE, bench.experiments)
    start = time.perf_counter()
    Driver(_freezing(bench, bench.root / "frozen_newer"), bench.log).expect(0)
    seconds = time.perf_counter() - start
    found: Counter[str] = Counter()
    for earlier in (None, before):
        for step in count(draw.randint(1, stride), stride):
            outcome = _kill(bench, earlier, step=step)
            if outcome is None:
                break
            found[outcome] += 1
    n_lines = found.total()
    while found.total() < n_lines + n_kills:
        earlier = draw.choice((None, before))
        outcome = _kill(bench, earlier, seconds=draw.uniform(0.0, seconds))
        if outcome is not None:
            found[outcome] += 1
    outcomes = ", ".join(f"{n} {outcome}" for outcome, n in sorted(found.items()))
    return (
        f"{n_lines} SIGKILLs, one before every {stride}. line, and {n_kills} at random; "
        f"left: {outcomes}"
    )


def _freezing(bench: Bench, target: Path) -> Callable[[], object]:
    return lambda: freeze(bench.reference, target, PROFILE, bench.experiments)


def _kill(
    bench: Bench, earlier: Path | None, *, step: int = 0, seconds: float | None = None
) -> str | None:
    """Freeze over `earlier`, kill, check, freeze again; return what was left, None if it lived."""
    target = bench.root / "frozen"
    shutil.rmtree(target, ignore_errors=True)
    if earlier is not None:
        shutil.copytree(earlier, target)
    work = _freezing(bench, target)
    driver = Driver(die_at(step, work, REPLACERS) if step else work, bench.log)
    if driver.wait(seconds) is None:
        driver.kill("driver")
    code = driver.wait()
    assert code in (0, -signal.SIGKILL), bench.log.read_text()
    outcome = _shown(bench, earlier, target)
    freeze(bench.reference, target, PROFILE, bench.experiments)
    assert _bytes(target) == _bytes(bench.root / "frozen_newer"), "freezing again differs"
    return outcome if code else None


def _shown(bench: Bench, earlier: Path | None, target: Path) -> str:
    """Return which version a folder shows: "the old", "the new", or "a reported mixture"."""
    stores = {"the new": bench.root / "frozen_newer", "the old": earlier}
    versions = {
        name: [plain(s.records) for s in bench.states(RecordStore(folder, frozen=True))]
        if folder
        else [[] for _ in bench.states(bench.reference)]
        for name, folder in stores.items()
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
