"""Freezing: the records of a profile as they are committed; restamping: with a new fingerprint."""

import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hierlearn.experiment import Experiment, Run
from hierlearn.records import files
from hierlearn.records.files import FrozenFile, Manifest, Record, RecordError
from hierlearn.records.store import GroupState, RecordStore


def freeze(
    working: RecordStore,
    frozen_root: Path | str,
    profile: str,
    experiments: Iterable[Experiment],
    *,
    whole: bool = False,
) -> Manifest:
    """Copy the records of `profile` from `working` into `frozen_root`; return the new manifest.

    Those of other experiments stay, unless `experiments` are the `whole` profile. The result
    depends on nothing but the records. An optional experiment without any is left out. Raises
    RecordError that lists every group that is missing, stale or damaged; nothing is written then.
    """
    chosen, absent = list(experiments), {"missing", "cannot run"}
    states = {one.name: found for one in chosen if (found := working.states(one, profile))}
    for one in chosen:
        if one.optional and {state.status for state in states.get(one.name, ())} <= absent:
            states.pop(one.name, None)
    bad = [s for found in states.values() for s in found if s.status != "present"]
    if bad or not states:
        lines = [f"  {state.status}: {state.problem}" for state in bad] or ["  no groups at all"]
        raise RecordError("\n".join([f"nothing frozen at profile {profile}:", *lines]))
    root = Path(frozen_root)
    if root.resolve() == working.folder.resolve():
        raise RecordError(f"{root} holds the working records: freeze into another folder")
    with _writing_frozen(root):
        manifest = files.read_manifest(root)
        replaced = {one.name for one in chosen}
        others = {} if whole else manifest.get(profile, {})
        manifest[profile] = {name: e for name, e in others.items() if name not in replaced}
        _replace(root, profile, states, manifest)
        return files.read_manifest(root)


def restamp(
    store: RecordStore, experiment: Experiment, profile: str, *, seen: GroupState, code: str
) -> None:
    """Add the fingerprint `code` to the group `seen`, which it was seen to measure the same.

    A group that has been stamped so meanwhile is left as it is. Raises RecordError when the folder
    cannot be written, and when what is there now is not what was seen; nothing is written then.
    """
    key = seen.group.key
    with _writing_frozen(store.folder) if store.frozen else files.sole_writer(store.folder):
        store.forget()
        states = store.states(experiment, profile)
        damaged = [str(state.problem) for state in states if state.status == "damaged"]
        if store.frozen and damaged:
            raise RecordError("damaged while it was replayed: " + "; ".join(dict.fromkeys(damaged)))
        place = next(i for i, state in enumerate(states) if state.group.key == key)
        stamped = tuple(_stamped(record, code) for record in seen.records)
        if states[place].records == stamped:
            return
        if states[place].records != seen.records:
            raise RecordError(
                f"{store.folder}: group {key} of {experiment.name} was changed while it was "
                "replayed, and is left as it is; replay it again"
            )
        states[place] = replace(states[place], records=stamped)
        if store.frozen:
            _replace(store.folder, profile, {experiment.name: states}, store.manifest)
            store.forget()
            return
        path = store.folder / experiment.name / f"{key}.jsonl"
        with files.writing(path):
            files.write_file(path, b"".join(record.line() for record in stamped))


@contextmanager
def _writing_frozen(root: Path) -> Iterator[None]:
    """Hold the lock of a frozen folder, after finishing what a killed process began."""
    with files.sole_writer(root), files.writing(root):
        new = list(root.glob("*/*.jsonl.new"))
        for path in (root / "manifest.json", *(p.parent for p in new)):
            files.inside(root, path.name)
        if (root / "manifest.json.new").is_file():  # written last: all new files are there
            for path in new:
                os.replace(path, path.with_suffix(""))
            os.replace(root / "manifest.json.new", root / "manifest.json")
        else:
            for path in new:
                path.unlink()
        yield


def finish(root: Path) -> None:
    """Finish or undo the replacing of frozen files that a killed process left half done."""
    with _writing_frozen(root):
        pass


def _stamped(record: Record, code: str) -> Record:
    return Record.of(
        Run(record.experiment, record.config, record.seed),
        group=record.group,
        measurement=record.measurement,
        provenance=record.provenance.stamped([code]),
    )


def _replace(
    root: Path, profile: str, states: dict[str, list[GroupState]], manifest: Manifest
) -> None:
    """Write everything under other names first: a full disk then changes nothing."""
    for name, found in states.items():
        content = files.sorted_lines(record for state in found for record in state.records)
        costs = [state.provenance for state in found if state.provenance]
        manifest[profile][name] = FrozenFile(
            n_records=sum(len(state.records) for state in found),
            n_groups=len(found),
            sha256=sha256(content).hexdigest(),
            bytes=len(content),
            cpu_s=round(math.fsum(cost.cpu_s for cost in costs), 3),
            wall_s=round(math.fsum(cost.wall_s for cost in costs), 3),
        )
        files.write_file(files.inside(root, profile, f"{name}.jsonl.new"), content)
    plain = {p: {n: e.model_dump() for n, e in found.items()} for p, found in manifest.items()}
    text = json.dumps(plain, indent=2, sort_keys=True) + "\n"
    files.write_file(root / "manifest.json.new", text.encode())
    for name in states:
        os.replace(root / profile / f"{name}.jsonl.new", root / profile / f"{name}.jsonl")
    # Dying before this line leaves files whose hashes differ: found, and mended by the next writer.
    os.replace(root / "manifest.json.new", root / "manifest.json")
    kept = {f"{name}.jsonl" for name in manifest[profile]}
    for pattern in ("*.jsonl", ".*.jsonl.new.*.tmp"):  # notes and folders of others stay
        for path in (root / profile).glob(pattern):
            if path.name not in kept and path.is_file():
                path.unlink()
    for path in root.glob(".*.tmp"):
        path.unlink()
