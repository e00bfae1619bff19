"""What `status` prints, within a second: nothing that measures is imported, which takes several.

What it asks of the experiments, their groups and fingerprints, is kept in `_build/outline`, under
the hash of all that it follows from: the code, the claims, the manifest, the packages' versions.
"""

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from hierlearn.book.project import Project
from hierlearn.experiment import PROFILES, Experiment, Group, Run, digest
from hierlearn.formatting import columns
from hierlearn.records import RecordStore, fingerprint, groups_of
from hierlearn.records.files import write_file
from hierlearn.sweeps import costs

STATUSES = ("present", "missing", "stale", "damaged", "cannot run")
_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class _Resource:
    """A data set, or a GPU, by name; whether it is at hand is asked where it matters."""

    name: str
    sha256: str

    def missing(self) -> str:
        if not self.sha256:
            from hierlearn.engine.devices import GPU

            return GPU().missing()
        from hierlearn.images.data import SETS

        return SETS[self.name].missing()


@dataclass(frozen=True)
class _Measure:
    """Stands for the function of this fingerprint."""

    fingerprint: str


def status_table(project: Project, store: RecordStore, profile: str | None) -> str:
    """Return one line an experiment: its groups by status, and the cost of those to compute.

    Without `profile` each chapter is told at the one that it shows.
    """
    lines = [["chapter", "experiment", "profile", *STATUSES, "CPU seconds to compute"]]
    committed, total = RecordStore(project.frozen_records), costs.Cost()
    lacking: dict[str, str] = {}
    profiles, experiments = _outline(project, store, profile)
    for one in experiments:
        at = profiles[one.chapter]
        states = store.states(one, at)
        found = Counter[str]("cannot run" if state.lacks else state.status for state in states)
        counts = [str(found[status]) for status in STATUSES]
        lacking |= {name: why for state in states for name, why in state.lacks.items()}
        cost = costs.of_states(one, at, states, (store, committed))
        lines.append([one.chapter, one.name, at, *counts, str(cost)])
        total += cost
    lines.append(["total", *[""] * (len(STATUSES) + 2), str(total)])
    why = [f"cannot run: {reason}" for reason in lacking.values()]
    return "\n".join([columns(lines), "", total.sentences(), *why])


def store_at(project: Project, folder: str | None, *, pilots: bool = False) -> RecordStore:
    """Return the store in `folder`, by default the working one, or that of pilot runs."""
    default = project.pilot_records if pilots else project.working_records
    return project.store(default if folder is None else project.records_folder(folder))


def readable_store(project: Project, folder: str | None) -> RecordStore:
    """Return the store to read: `folder`, else the working one, else the committed one."""
    if folder is None and not project.working_records.is_dir():
        frozen = RecordStore(project.frozen_records)
        if frozen.frozen:
            return frozen
    return store_at(project, folder)


def _outline(
    project: Project, store: RecordStore, profile: str | None
) -> tuple[dict[str, str], list[Experiment]]:
    """Return the profile of each chapter, and the experiments: as kept, else as they are."""
    if "hierlearn.registry" in sys.modules:
        return _asked(project, store, profile)
    folder, name = project.stage.parent / "outline", _name(project, store, profile)
    with suppress(OSError, ValueError):
        profiles, experiments = json.loads((folder / name).read_text(encoding="utf-8"))
        return profiles, [_kept(*each) for each in experiments]
    found = _asked(project, store, profile)
    if name == _name(project, store, profile):  # else the code has changed meanwhile
        with suppress(OSError):
            for old in folder.glob("*"):
                if old.name.partition("-")[0] != name.partition("-")[0]:
                    old.unlink()
            content = json.dumps((found[0], [_plain(one) for one in found[1]]))
            write_file(folder / name, content.encode())
    return found


def _name(project: Project, store: RecordStore, profile: str | None) -> str:
    """Return the name of the outline: the hashes of the code, and of what else it follows from."""

    def summed(paths: Iterable[Path], *more: object) -> str:
        each = [(path.name, sha256(path.read_bytes()).hexdigest()) for path in sorted(paths)]
        return digest([each, *more])

    versions = [platform.python_version(), *map(version, ("torch", "numpy", "scipy"))]
    read = [*project.claims.glob("*.yml"), store.folder / "manifest.json"] if store.frozen else []
    return f"{summed(_PACKAGE.rglob('*.py'), versions)}-{summed(read, profile, store.frozen)}.json"


def _asked(
    project: Project, store: RecordStore, profile: str | None
) -> tuple[dict[str, str], list[Experiment]]:
    from hierlearn.book import published

    profiles = published.shown_profiles(project, published.chapters(), store, profile)
    return profiles, list(published.EXPERIMENTS.values())


def _plain(one: Experiment) -> list[Any]:
    groups = {
        profile: [
            (group.weight, [(run.config, run.seed) for run in group.runs])
            for group in groups_of(one, profile)
        ]
        for profile in PROFILES
    }
    resources = [(each.name, each.sha256) for each in one.resources]
    return [one.name, one.chapter, fingerprint(one.measure), resources, groups]


def _kept(
    name: str, chapter: str, code: str, needed: list[Any], known: dict[str, Any]
) -> Experiment:
    def groups(profile: str) -> list[Group]:
        return [
            Group(tuple(Run(name, config, seed) for config, seed in runs), weight)
            for weight, runs in known[profile]
        ]

    resources = tuple(_Resource(*each) for each in needed)
    return Experiment(name, chapter, groups, cast(Any, _Measure(code)), resources=resources)
