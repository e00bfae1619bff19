"""Damaging record files at random: each damage is found, named by file and line, and not used."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from hierlearn.experiment import Experiment
from hierlearn.records import GroupState, RecordStore, freeze

from .bench import Bench, plain

Draw = random.Random


def mutate_files(bench: Bench, draw: Draw, n_mutations: int) -> str:
    """Damage working and frozen files `n_mutations` times in all; others only reorder lines."""
    frozen = bench.root / "to_mutate"
    freeze(bench.reference, frozen, "smoke", bench.experiments)
    states = bench.states(bench.reference)
    every = [record.line() for state in states for record in state.records]
    counts: Counter[str] = Counter()
    while counts["working"] + counts["frozen"] < n_mutations:
        whole = draw.choice(bench.experiments)
        group = draw.choice(whole.groups("smoke"))
        kind = draw.choice(("working", "frozen"))
        if kind == "working":
            one, folder = (
                replace(whole, groups=lambda _, group=group: [group]),
                bench.reference.folder,
            )
            path = folder / whole.name / f"{group.key}.jsonl"
        else:
            one, folder, path = whole, frozen, frozen / "smoke" / f"{whole.name}.jsonl"
        lines = set(path.read_bytes().splitlines(keepends=True))
        foreign = draw.choice([line for line in every if line not in lines])
        found = _mutate_once(path, partial(_states, folder, one), foreign, draw)
        counts[kind if found == "damaged" else found] += 1
    return (
        f"{counts['working']} mutations of working files and {counts['frozen']} of frozen files "
        f"found and named by line; {counts['reordered']} reorderings read as before"
    )


def _states(folder: Path, experiment: Experiment) -> list[GroupState]:
    return RecordStore(folder).states(experiment, "smoke")


def _mutate_once(
    path: Path, read: Callable[[], list[GroupState]], foreign: bytes, draw: Draw
) -> str:
    """Mutate a file, check what its reader says, restore it; return what the mutation was."""
    good = path.read_bytes()
    before = [plain(state.records) for state in read()]
    bad = draw.choice(MUTATIONS)(good, foreign, draw)
    if bad == good:
        return "unchanged"
    path.write_bytes(bad)
    try:
        states = read()
    finally:
        path.write_bytes(good)
    if sorted(bad.split(b"\n")) == sorted(good.split(b"\n")) and bad.endswith(b"\n"):
        assert [s.status for s in states] == ["present"] * len(states), states[0].problem
        assert [plain(state.records) for state in states] == before
        return "reordered"
    for state in states:
        assert state.status == "damaged" and not state.records, (path, bad)
        for line in damaged_lines(good, bad):
            assert f"{path}:{line}: " in state.problem, (line, state.problem, bad)
    return "damaged"


def damaged_lines(good: bytes, bad: bytes) -> list[int]:
    """Return the lines of `bad` that are not once in `good`; the end, where some only lack."""
    known, (*lines, rest) = set(good.splitlines()), bad.split(b"\n")
    wrong = [n for n, line in enumerate(lines, 1) if line not in known or line in lines[: n - 1]]
    return wrong + [len(lines) + 1] if rest else wrong or [len(lines) + 1]


def _truncate(good: bytes, foreign: bytes, draw: Draw) -> bytes:
    return good[: draw.randrange(len(good))]


def _flip(good: bytes, foreign: bytes, draw: Draw) -> bytes:
    bad, at = bytearray(good), draw.randrange(len(good))
    bad[at] ^= 1 << draw.randrange(8)
    return bytes(bad)


def _delete(good: bytes, foreign: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(good))
    return good[:at] + good[at + draw.randint(1, 40) :]


def _duplicate(good: bytes, foreign: bytes, draw: Draw) -> bytes:
    at = draw.randrange(len(good))
    return good[: at + draw.randint(1, 40)] + good[at:]


def _insert(good: bytes, foreign: bytes, draw: Draw) -> bytes:
    at = draw.randint(0, len(good))
    return good[:at] + draw.choice((draw.randbytes(draw.randint(1, 40)), b"\n")) + good[at:]


def _lines(change: Callable[[list[bytes], bytes, Draw], object]) -> Callable:
    def mutate(good: bytes, foreign: bytes, draw: Draw) -> bytes:
        lines = good.splitlines(keepends=True)
        change(lines, foreign, draw)
        return b"".join(lines)

    return mutate


def _place(lines: list[bytes], draw: Draw) -> int:
    return draw.randint(0, len(lines))


MUTATIONS = (
    _truncate,
    _flip,
    _delete,
    _duplicate,
    _insert,
    _lines(lambda lines, foreign, draw: lines.insert(_place(lines, draw), foreign)),
    _lines(lambda lines, foreign, draw: lines.__setitem__(draw.randrange(len(lines)), foreign)),
    _lines(lambda lines, foreign, draw: lines.insert(_place(lines, draw), draw.choice(lines))),
    _lines(lambda lines, foreign, draw: lines.pop(draw.randrange(len(lines)))),
    _lines(lambda lines, foreign, draw: draw.shuffle(lines)),
)
"""Each takes the file, a line of another group, and the random numbers; it returns the new file."""
