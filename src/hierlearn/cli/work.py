"""What commands share. It brings what computes and judges, which takes seconds to import."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hierlearn.book import changes
from hierlearn.book.project import Project
from hierlearn.book.published import (
    DEFAULT_PROFILE,
    chapters,
    find_experiments,
    load_claims,
    shown_profiles,
)
from hierlearn.claims import verdicts
from hierlearn.claims.declarations import Claim, ClaimError
from hierlearn.cli import tables
from hierlearn.cli.status import readable_store, store_at
from hierlearn.engine.devices import DeviceError, available_cores
from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import AbsentArm, Experiment, pilot
from hierlearn.formatting import say
from hierlearn.images.data import SETS
from hierlearn.records import RecordError, RecordStore, finish, freeze, groups_of
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import agreement, costs, pushing, replay, sweep
from hierlearn.sweeps.executors import Executor, ExecutorError, LocalPool

__all__ = [
    "DEFAULT_PROFILE", "EXPERIMENTS", "FAILURES", "SETS", "USAGE", "RecordStore", "at_seeds",
    "changes", "chapters", "costs", "execute", "executor_for", "find_experiments", "finish",
    "freeze", "groups_of", "how_to_read", "load_claims", "pushing", "readable_store", "replay",
    "show_published", "shown_profiles", "store_at", "sweep", "tables", "tell_agreement",
    "verdicts", "wanted", "wanted_claims", "runnable", "write_figure",
]  # fmt: skip

USAGE = (UsageError, DeviceError)
FAILURES = (RunError, ClaimError, RecordError, sweep.SweepError, ExecutorError)


def execute(
    project: Project,
    names: list[str],
    *,
    profile: str | None,
    records: str | None,
    frozen: bool,
    **where: Any,
) -> None:
    """Execute the notebooks `names` with what the options of `run` and `book` mean."""
    from hierlearn.book import running

    if frozen and records is None:
        records = os.fspath(project.frozen_records)
    store = store_at(project, records)
    if frozen and not store.frozen:
        raise RunError(
            f"{project.relative(store.folder)} holds no frozen records (no manifest.json); "
            "run `python -m hierlearn book` without --frozen, which computes them here"
        )
    profiles = shown_profiles(project, names, store, profile)
    with executor_for(**where) as executor:
        running.execute(project, profiles, store=store, device=where["device"], executor=executor)


@contextmanager
def executor_for(
    *,
    device: str,
    workers: int | None,
    scheduler: str | None,
    local_workers: int | None,
    budget: float = math.inf,
) -> Iterator[Executor]:
    """Give what measures: processes here, a local dask cluster, or the one at `scheduler`."""
    given = {"--workers": workers, "--scheduler": scheduler, "--local-workers": local_workers}
    if math.isfinite(budget) and (scheduler or local_workers):
        raise UsageError("--budget is for processes on this machine, not for a dask cluster")
    if len(named := [name for name, value in given.items() if value is not None]) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other; give one of them, or none")
    if scheduler is None and local_workers is None:
        yield LocalPool.on(device, workers, budget)
        return
    if find_spec("distributed") is None:
        raise UsageError(
            f"{named[0]} needs the extra dask: in a clone, python -m pip install -e '.[dask]'"
        )
    from hierlearn.sweeps import cluster

    if scheduler is not None:
        yield cluster.Cluster(scheduler, device)
        return
    assert local_workers is not None
    with cluster.local_cluster(local_workers, device) as local:
        yield local


def show_published(project: Project, profile: str, settings: Mapping[str, Any]) -> None:
    """Build the site from the committed records, and say what is computed while it can be read."""
    from hierlearn.book import build

    store = store_at(project, settings["records"])
    cost = costs.cost(EXPERIMENTS.values(), profile, store, RecordStore(project.frozen_records))
    if not cost.n_groups:
        return
    try:
        published = {**settings, "profile": None, "records": None, "frozen": True}
        execute(project, wanted(project, ()), **published)
        index = build.build(project)
    except RunError as error:
        say(f"The published book cannot be shown: {error}")
        return
    n_workers = settings["workers"] or available_cores()
    minutes = max(1, round((cost.known + cost.scaled) / n_workers / 60))
    say(
        f"\nThis is the published book. {how_to_read(index)}\n"
        f"Now this machine computes all of it at profile {profile}: about {minutes} min with "
        f"{n_workers} processes, by the records' times. Ctrl-C loses nothing: the same command "
        "goes on.\n"
    )


def how_to_read(index: Path) -> str:
    """Say how to open the site."""
    address = index.as_uri()
    return f"To read it, open {address} in a browser, or: python3 -m webbrowser {address}"


def write_figure(
    project: Project, name: str, store: RecordStore, profile: str | None, formats: Sequence[str]
) -> list[Path]:
    """Write the figure "chapter.name" in these formats; UsageError lists the valid ones."""
    from hierlearn.book import drawn, pages

    first, _, own = name.partition(".")
    every = load_claims(project)
    begins = {claim.id.partition(".")[0]: claim.chapter for claim in every}
    chapter = begins.get(first) or project.find_notebook(first)
    figures = drawn.shown(project, chapter)
    own = own.replace("_", "-")
    if own not in figures:
        raise UsageError(f"{chapter} has no figure {own!r}; valid: {', '.join(figures)}")
    at = shown_profiles(project, [chapter], store, profile)[chapter]
    page = pages.open_chapter(chapter, profile=at, records=store.folder)
    stem = project.stage.parent / "figures" / f"{first}.{own}"
    try:
        return drawn.write(page, figures[own], stem, formats)
    except AbsentArm as what:
        raise RunError(f"not in profile {at}: the figure {own}, which needs {what}") from what


def tell_agreement(project: Project, store: RecordStore, profile: str) -> list[str]:
    """Print how the records of a profile compare with the committed ones; return what disagrees.

    Raises RunError where there is nothing to compare.
    """
    published = RecordStore(project.frozen_records)
    found = agreement.agreements(store, published, profile, load_claims(project), EXPERIMENTS)
    if not found:
        raise RunError(
            f"{project.relative(store.folder)} and {project.relative(published.folder)} have no "
            f"group of profile {profile} in common; see `python -m hierlearn status`"
        )
    say(f"your records beside the published ones, profile {profile}:")
    say(tables.agreement_table(found))
    return [line for one in found for line in one.changed]


def wanted(project: Project, names: Sequence[str]) -> list[str]:
    """Return the notebooks to execute: those named, else all.

    Those that only read records come first: what they read is computed before, and executed last
    they would keep one core waiting.
    """
    named = [project.find_notebook(name) for name in names]
    order = sorted(project.notebooks(), key=lambda stem: stem in chapters())
    return [name for name in order if name in named or not named]


def runnable(experiments: Mapping[str, Experiment], profile: str) -> dict[str, Experiment]:
    """Return the experiments that can be run here, and say which others are left out, and why."""
    lacks = {name: one.lacks(groups_of(one, profile)) for name, one in experiments.items()}
    for why in dict.fromkeys(why for lacking in lacks.values() for why in lacking.values()):
        names = [name for name, lacking in lacks.items() if why in lacking.values()]
        say(f"left out: {', '.join(names)}: {why}")
    return {name: one for name, one in experiments.items() if not lacks[name]}


def at_seeds(experiments: Mapping[str, Experiment], seeds: range | None) -> dict[str, Experiment]:
    """Return the experiments at pilot seeds if there are any; UsageError for bad ones."""
    try:
        return {n: pilot(one, seeds) if seeds else one for n, one in experiments.items()}
    except ValueError as error:
        raise UsageError(str(error)) from error


def wanted_claims(project: Project, names: Sequence[str], every: Sequence[Claim]) -> list[Claim]:
    """Return the claims named by id, of these chapters, or reading these experiments; else all."""
    experiments = {name for name in names if name in EXPERIMENTS}
    ids = {claim.id for claim in every} & set(names)
    try:
        chapters = {project.find_notebook(name) for name in set(names) - experiments - ids}
    except UsageError as error:
        raise UsageError(
            f"{error}; valid experiments: {', '.join(EXPERIMENTS)}; valid claims: "
            "those of book/claims"
        ) from error
    return [
        claim
        for claim in every
        if not names or claim.id in ids or claim.chapter in chapters or experiments & claim.reads
    ]
