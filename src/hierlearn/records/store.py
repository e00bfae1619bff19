"""The folders that keep records: working ones, one file a group, and frozen ones, read-only."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from hierlearn.errors import check_choice
from hierlearn.experiment import PROFILES, Experiment, Group, Groups, canonical
from hierlearn.records import files
from hierlearn.records.files import Manifest, Numbered, Provenance, Record, RecordError
from hierlearn.records.fingerprints import fingerprint

log = logging.getLogger(__name__)

Status = Literal["present", "missing", "stale", "damaged", "cannot run"]


@dataclass(frozen=True)
class GroupState:
    """What a store holds of a group: records in the order of its runs, none if missing or damaged.

    `problem` says what is wrong when it is not present. What `lacks` data sets or a GPU, by name
    and why, cannot be computed here: it is then as it was `published`, or "cannot run".
    """

    group: Group
    status: Status
    records: tuple[Record, ...] = ()
    problem: str | None = None
    lacks: dict[str, str] = field(default_factory=dict)
    published: bool = False

    @property
    def to_compute(self) -> bool:
        """Whether it is not there as it should be, and can be computed here."""
        return self.status != "present" and not self.lacks

    @property
    def provenance(self) -> Provenance | None:
        """What computed the group, if it is there."""
        return self.records[0].provenance if self.records else None


class RecordStore:
    """A folder of records; in a frozen one nothing is ever computed or written.

    Unless `frozen` says so, it is one when it holds a `manifest.json`. Groups that cannot be
    computed on this machine are read from the frozen folder `published`, where it has them.
    """

    def __init__(
        self, folder: Path | str, *, frozen: bool | None = None, published: Path | None = None
    ) -> None:
        self.folder = Path(folder)
        self._published = RecordStore(published, frozen=True) if published else None
        own = os.path.lexists(self.folder / "manifest.json")  # also what cannot be read as one
        self.frozen = own if frozen is None else frozen
        self._frozen_files: dict[tuple[str, str], tuple[Path, dict[str, Numbered], list[str]]] = {}

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of a frozen folder, empty where there is none; RecordError if damaged."""
        return files.read_manifest(files.inside(self.folder, "manifest.json").parent)

    def forget(self) -> None:
        """Forget what was read of frozen files, because they were replaced."""
        self._frozen_files.clear()
        self.__dict__.pop("manifest", None)

    def states(self, experiment: Experiment, profile: str) -> list[GroupState]:
        """Return the state of every group of `experiment` at `profile`, in order."""
        check_choice("profile", profile, PROFILES)
        groups = groups_of(experiment, profile)
        counts = Counter(run.key for group in groups for run in group.runs)
        if counts and max(counts.values()) > 1:
            raise ValueError(f"{experiment.name}: a run belongs to two groups of {profile}")
        return [self.find(group, experiment, profile) for group in groups]

    def find(self, group: Group, experiment: Experiment, profile: str) -> GroupState:
        """Return what is there of `group`, a group of `experiment` at `profile`."""
        state = self._find(group, experiment, profile)
        if state.status == "present" or (self.frozen and state.status != "missing"):
            return state
        if not (lacks := experiment.lacks([group], here=not self.frozen)):
            return state
        if not state.records and self._published:
            there = self._published._find(group, experiment, profile)
            if there.records:
                return replace(there, lacks=lacks, published=True)
        if state.status == "missing":
            problem = f"{experiment.name} {experiment.awaits([group])}"
            return GroupState(group, "cannot run", problem=problem, lacks=lacks)
        return replace(state, lacks=lacks)

    def _find(self, group: Group, experiment: Experiment, profile: str) -> GroupState:
        if self.frozen:
            path, by_group, problems = self._load_frozen(experiment, profile)
            entries = by_group.get(group.key, [])
        else:
            path = self._path(group)
            entries, problems = files.read_lines(path)
        if not entries and not problems:
            return GroupState(group, "missing", problem=f"{path}: group {group.key} is not there")
        if problems := problems or files.misfits(path, [group], entries):
            return GroupState(group, "damaged", problem="\n".join(problems))
        by_key = {record.key: record for _, record in entries}
        records = tuple(by_key[run.key] for run in group.runs)
        now = fingerprint(experiment.measure)
        if all(now in record.provenance.fingerprints for record in records):
            return GroupState(group, "present", records)
        then = records[0].provenance.fingerprints[-1]
        problem = f"{path}: group {group.key} comes from other code ({then}; it is {now} now)"
        return GroupState(group, "stale", records, problem)

    def read(self, experiment: Experiment, profile: str) -> list[Record]:
        """Return the records of `experiment` at `profile`, in the order of its groups and runs.

        Stale ones are among them. Damaged ones are not: warnings name them by file and line.
        """
        states = self.states(experiment, profile)
        for problem in dict.fromkeys(s.problem for s in states if s.status == "damaged"):
            log.warning("not used: %s", problem)
        return [record for state in states for record in state.records]

    def stale(self, experiment: Experiment, profile: str) -> bool:
        """Return whether any of the records that `read` returns was computed by other code."""
        return any(state.status == "stale" for state in self.states(experiment, profile))

    def write(self, group: Group, measurements: Sequence[Any], provenance: Provenance) -> None:
        """Write a whole group, in the order of its runs, or nothing.

        An earlier file is never lost: a damaged one is kept as `.damaged`, one with other
        measurements moves to `superseded/`; of one with the same the fingerprints are kept. Raises
        RecordError when the folder is frozen or cannot be written, and ValueError when the
        measurements are not JSON or not one for each run.
        """
        if self.frozen:
            raise RecordError(f"{self.folder} holds frozen records: write to another folder")
        measured = files.plain_measurements(group, measurements)
        path = self._path(group)
        with files.writing(path):
            provenance = self._put_aside(path, group, measured, provenance)
            lines = [
                Record.of(run, group=group.key, measurement=one, provenance=provenance).line()
                for run, one in zip(group.runs, measured, strict=True)
            ]
            files.write_file(path, b"".join(lines))

    def tidy(self) -> None:
        """Remove what interrupted writes left behind; only while no other process writes here."""
        for where in ("*", "superseded/*"):  # the folder may be a home: what is not ours stays
            for path in self.folder.glob(f"{where}/.*.jsonl*.*.tmp"):
                if path.is_file():
                    path.unlink(missing_ok=True)

    def _path(self, group: Group) -> Path:
        if group.experiment == "superseded":
            raise RecordError("an experiment cannot be called 'superseded': the folder is taken")
        return files.inside(self.folder, group.experiment, f"{group.key}.jsonl")

    def _put_aside(
        self, path: Path, group: Group, measured: list[dict[str, Any]], provenance: Provenance
    ) -> Provenance:
        """Save an earlier file of the group where it says something else than `measured`."""
        entries, problems = files.read_lines(path)
        if not path.exists():
            return provenance
        if problems or files.misfits(path, [group], entries):
            aside = path.with_name(f"{path.name}.damaged")
        else:
            earlier = {record.key: record.measurement for _, record in entries}
            if canonical([earlier[run.key] for run in group.runs]) == canonical(measured):
                both = entries[0][1].provenance.stamped(provenance.fingerprints).fingerprints
                return provenance.model_copy(update={"fingerprints": both})
            aside = files.inside(self.folder, "superseded", *path.relative_to(self.folder).parts)
        files.copy_to_free_name(path, aside)
        return provenance

    def _load_frozen(
        self, experiment: Experiment, profile: str
    ) -> tuple[Path, dict[str, Numbered], list[str]]:
        """Return a frozen file, its records by group, and its problems: any spoils all of it."""
        key = experiment.name, profile
        if key not in self._frozen_files:
            path = files.inside(self.folder, profile, f"{experiment.name}.jsonl")
            stated = self.manifest.get(profile, {}).get(experiment.name)
            found = _summed(path) if stated else ""
            entries, problems = _lines(path, found) if stated else ([], [])
            if stated and not path.is_file():
                problems = [*problems, f"{path}: is listed in manifest.json but not there"]
            elif stated and (problems or not _agrees(stated.sha256, found, entries)):
                problems = problems or files.misfits(path, groups_of(experiment, profile), entries)
                problems = [
                    *problems,
                    f"{path}: has not the hash that manifest.json states: one of the two was "
                    "changed; restore both (git checkout), or freeze again",
                ]
            by_group: dict[str, Numbered] = {}
            for number, record in entries:
                by_group.setdefault(record.group, []).append((number, record))
            self._frozen_files[key] = path, by_group, problems
        return self._frozen_files[key]


def _agrees(stated: str, found: str, entries: Numbered) -> bool:
    """Say whether a file of hash `found` has the stated records, in whatever order."""
    if stated == found:
        return True
    return stated == sha256(files.sorted_lines(record for _, record in entries)).hexdigest()


def _summed(path: Path) -> str:
    """Return the hash of a file, nothing where it cannot be read."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


@cache
def _lines(path: Path, _: str) -> tuple[Numbered, list[str]]:
    """Return `files.read_lines` of a file of this hash, read once a process."""
    return files.read_lines(path)


def groups_of(experiment: Experiment, profile: str) -> tuple[Group, ...]:
    """Return `experiment.groups(profile)`, made once a process: a profile has thousands of runs."""
    return _groups(experiment.groups, profile)


@cache
def _groups(groups: Groups, profile: str) -> tuple[Group, ...]:
    return tuple(groups(profile))


def computed(
    stores: Sequence[RecordStore], experiments: Iterable[Experiment], profile: str
) -> list[tuple[Group, Provenance]]:
    """Return the groups of a profile that were ever computed, with what computed them.

    A group comes once for each hardware; of two stores with the same, the first one's word counts.
    """
    found = {
        (state.group.key, state.provenance.hardware): (state.group, state.provenance)
        for one in experiments
        for store in reversed(stores)
        for state in store.states(one, profile)
        if state.provenance
    }
    return list(found.values())
