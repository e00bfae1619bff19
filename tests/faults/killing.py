"""Killing sweeps at random instants, and writes before each of their lines."""

import random
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hierlearn.records import GroupState, RecordStore, files
from hierlearn.sweeps.executors import MAX_DEATHS

from .bench import Bench, as_other_code
from .processes import Driver, die_at

KINDS = ("group", "driver", "worker")
WRITERS = (RecordStore.write, RecordStore._put_aside, files.write_file, files.copy_to_free_name)


@dataclass
class Tally:
    """What was killed so far: how many of each kind, and how many left a file half written."""

    limit: int
    kills: Counter[str] = field(default_factory=Counter)
    n_inside: int = 0
    n_starts: int = 0

    @property
    def full(self) -> bool:
        return self.kills.total() >= self.limit


def kill_sweeps(bench: Bench, draw: random.Random, n_kills: int) -> str:
    """Kill sweeps at random instants, starting each again until its folder is full.

    Every other folder holds damaged groups and groups of other code to begin with.
    """
    tally, n_folders = Tally(n_kills), 0
    while not tally.full:
        folder = bench.root / f"killed{n_folders}"
        others, aside = _others(bench, folder, draw) if n_folders % 2 else ({}, {})
        while not _start_and_kill(bench, folder, others, draw, tally):
            pass
        bench.check_finished(folder)
        _check_aside(aside)
        shutil.rmtree(folder)
        n_folders += 1
    counts = ", ".join(f"{tally.kills[kind]} of a {kind}" for kind in KINDS)
    return (
        f"{tally.kills.total()} SIGKILLs ({counts}; {tally.n_inside} inside a write) "
        f"in {tally.n_starts} starts on {n_folders} folders"
    )


def _start_and_kill(
    bench: Bench, folder: Path, others: dict[str, str], draw: random.Random, tally: Tally
) -> bool:
    """Start a sweep, kill it or its workers, check the folder; return whether it came to its end.

    A unit is given up when its worker dies MAX_DEATHS times: fewer workers are killed a start.
    """
    driver = bench.sweep(folder)
    tally.n_starts += 1
    spare = MAX_DEATHS - 1
    while driver.wait(None if tally.full else draw.uniform(0.0, bench.seconds)) is None:
        workers = driver.children()
        kind = draw.choice(KINDS if workers and spare else KINDS[:2])
        tally.kills[kind] += 1
        if kind == "worker":
            draw.choice(workers).send_signal(signal.SIGKILL)
            spare -= 1
            bench.check_unfinished(folder, others)
            continue
        driver.kill(kind)
        tally.n_inside += any(folder.rglob(".*.tmp"))
        bench.check_unfinished(folder, others)
        return False
    driver.expect(0)
    return True


def _others(
    bench: Bench, folder: Path, draw: random.Random
) -> tuple[dict[str, str], dict[Path, bytes]]:
    """Lay two damaged groups and two of other code into `folder`.

    Returns their status by key, and where what they held must be found in the end.
    """
    states = draw.sample(bench.states(bench.reference), 4)
    statuses = ("damaged", "damaged", "stale", "stale")
    others = {s.group.key: status for s, status in zip(states, statuses, strict=True)}
    return others, dict(_lay(s, others[s.group.key], folder, draw) for s in states)


def _lay(state: GroupState, status: str, folder: Path, draw: random.Random) -> tuple[Path, bytes]:
    """Write a damaged or stale file of a group; return where its content must be kept."""
    name = f"{state.group.experiment}/{state.group.key}.jsonl"
    if status == "damaged":
        content = b"".join(record.line() for record in state.records)
        content, kept = content[: draw.randrange(len(content))], folder / f"{name}.damaged"
    else:
        content = b"".join(as_other_code(record).line() for record in state.records)
        kept = folder / "superseded" / name
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return kept, content


def _check_aside(aside: dict[Path, bytes]) -> None:
    for path, content in aside.items():
        copies = list(path.parent.glob(f"{path.name}*"))
        assert copies, f"{path} is lost"
        assert all(one.read_bytes() == content for one in copies), f"{copies} are not all whole"


def kill_writes(bench: Bench, draw: random.Random, stride: int) -> str:
    """Kill the writing of a group before each line of it, or each `stride`-th.

    The group is missing, damaged or of other code before.
    """
    state = bench.states(bench.reference)[0]
    measured = [record.measurement for record in state.records]
    folder = bench.root / "written"
    n_kills = 0

    def write() -> None:
        RecordStore(folder).write(state.group, measured, state.provenance)

    for status in ("missing", "damaged", "stale"):
        code, step = -signal.SIGKILL, draw.randint(1 - stride, 0)
        while code:
            step += stride
            aside = dict([] if status == "missing" else [_lay(state, status, folder, draw)])
            code = Driver(die_at(step, write, WRITERS), bench.log).wait()
            assert code in (0, -signal.SIGKILL), bench.log.read_text()
            n_kills += code != 0
            bench.check_unfinished(folder, {state.group.key: status})
            if code:
                RecordStore(folder).tidy()
                write()
            assert bench.check_unfinished(folder) == 1
            _check_aside(aside)
            assert not list(folder.rglob(".*.tmp"))
            shutil.rmtree(folder)
    return f"{n_kills} SIGKILLs, one before every {stride}. line that writes a group"
