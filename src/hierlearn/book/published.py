"""What each chapter reads, and at which profile it is shown."""

from collections.abc import Iterable, Sequence
from itertools import product

from hierlearn.book.project import Project, fitting
from hierlearn.claims import declarations
from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import PROFILES, Experiment
from hierlearn.records import RecordStore, groups_of
from hierlearn.registry import EXPERIMENTS

DEFAULT_PROFILE = "laptop"


def load_claims(project: Project) -> list[declarations.Claim]:
    """Return all claims of the book."""
    return declarations.load_claims(project.claims, EXPERIMENTS)


def chapters() -> list[str]:
    """Return the chapters that have experiments, in their order."""
    return list(dict.fromkeys(one.chapter for one in EXPERIMENTS.values()))


def find_experiments(names: Iterable[str]) -> dict[str, Experiment]:
    """Return the experiments that `names` mean, in their order; all of them when it is empty.

    A name is an experiment's, or a chapter's stem, number or unique part of its stem.
    """
    wanted: set[str] = set()
    for name in names:
        found = [] if name in EXPERIMENTS else fitting(name, chapters())
        if name not in EXPERIMENTS and len(found) != 1:
            problem = f"fits {', '.join(found)}" if found else "is no chapter or experiment"
            raise UsageError(
                f"{name!r} {problem}; valid chapters: {', '.join(chapters())}; "
                f"valid experiments: {', '.join(EXPERIMENTS)}"
            )
        wanted |= {key for key, one in EXPERIMENTS.items() if key == name or one.chapter in found}
    return {key: one for key, one in EXPERIMENTS.items() if key in wanted or not wanted}


def experiments_read(name: str, every: Iterable[declarations.Claim]) -> dict[str, Experiment]:
    """Return the experiments of the notebook `name`: its own, and those that its claims read."""
    read = {key for claim in every if claim.chapter == name for key in claim.reads}
    return {key: one for key, one in EXPERIMENTS.items() if one.chapter == name or key in read}


def shown_profiles(
    project: Project, names: Sequence[str], store: RecordStore, profile: str | None
) -> dict[str, str]:
    """Return the profile of each notebook: the one given, else what is frozen, else laptop.

    A notebook that reads what all chapters read, like the ledger, has the largest of theirs.
    """
    if profile is not None or not store.frozen or not names:
        return dict.fromkeys(names, profile or DEFAULT_PROFILE)
    some = names if set(names) <= set(chapters()) else None
    found = chapter_profiles(store, load_claims(project), names=some)
    largest = max(found.values(), key=PROFILES.index)
    return {name: found.get(name, largest) for name in names}


def chapter_profiles(
    store: RecordStore,
    every: Sequence[declarations.Claim],
    profile: str = PROFILES[-1],
    names: Iterable[str] | None = None,
) -> dict[str, str]:
    """Return the profile at which each chapter (of `names`) is shown when `profile` is asked for.

    In a frozen store it is the largest up to it at which the manifest lists all experiments with
    groups that the chapter reads, but for optional ones. Whether they are whole and of today's code
    is not asked: a frozen file that is not must be told, not passed over. Raises RunError that
    names the chapters of which nothing is frozen.
    """
    names = chapters() if names is None else names
    if not store.frozen:
        return dict.fromkeys(names, profile)
    found = {}
    for name, at in product(names, PROFILES[: PROFILES.index(profile) + 1]):
        read, listed = experiments_read(name, every), store.manifest.get(at, {})
        wanted = [one for one in read.values() if groups_of(one, at)]
        if listed and wanted and all(one.name in listed or one.optional for one in wanted):
            found[name] = at
    if missing := [name for name in names if name not in found]:
        raise RunError(
            f"{store.folder} holds no frozen records, up to profile {profile}, of all that these "
            f"chapters read: {', '.join(missing)}; "
            "run `python -m hierlearn book` instead, which computes them here"
        )
    return found
