"""What the commands have in common: their options, and what these mean."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hierlearn.book.project import Project
from hierlearn.book.published import chapters as chapter_names
from hierlearn.claims.declarations import Claim
from hierlearn.engine import devices
from hierlearn.errors import UsageError
from hierlearn.experiment import PROFILES, Experiment, pilot
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps.executors import Executor, LocalPool

WHERE = ("workers", "scheduler", "local-workers")
"""The options that, with --device, say what measures; `executor_for` takes their values."""


def _seeds(_: Any, __: Any, text: str | None) -> range | None:
    """Return the range that the text of `--seeds` means; an error says what is valid."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not 0 <= last - first < 1000:
        raise click.BadParameter(
            f"{text!r} is no range of seeds; valid: FIRST-LAST, e.g. 1000-1007"
        )
    return range(first, last + 1)


_ARGUMENTS = {"chapters": "[CHAPTER]...", "names": "[CHAPTER|EXPERIMENT]..."}
_OPTIONS: dict[str, dict[str, Any]] = {
    "profile": dict(type=click.Choice(PROFILES), help="Size; default: laptop."),
    "device": dict(type=click.Choice(devices.DEVICES), default="auto", show_default=True),
    "records": dict(metavar="DIR", help="Folder, from the project's root; _build/records."),
    "seeds": dict(
        callback=_seeds,
        metavar="FIRST-LAST",
        help="Pilot runs at seeds that the book does not use, in _build/pilots.",
    ),
    "workers": dict(type=click.IntRange(min=1), help="Processes; default: one a core."),
    "scheduler": dict(metavar="ADDRESS", help="Compute on the workers of a dask scheduler."),
    "local-workers": dict(
        type=click.IntRange(min=1),
        help="Compute on a local dask cluster; on CUDA one worker a GPU.",
    ),
    "frozen": dict(is_flag=True, help="Read committed records, compute nothing."),
    "seed": dict(
        type=click.IntRange(min=0), default=0, show_default=True, help="Draws another sample."
    ),
}


def options(*names: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options and arguments of these names to a command."""

    def decorate(function: Callable) -> Callable:
        for name in reversed(names):
            if name in _ARGUMENTS:
                function = click.argument(name, nargs=-1, metavar=_ARGUMENTS[name])(function)
            else:
                function = click.option(f"--{name}", **_OPTIONS[name])(function)
        return function

    return decorate


@contextmanager
def executor_for(
    *, device: str, workers: int | None, scheduler: str | None, local_workers: int | None
) -> Iterator[Executor]:
    """Give what measures: processes here, a local dask cluster, or the one at `scheduler`."""
    given = {"--workers": workers, "--scheduler": scheduler, "--local-workers": local_workers}
    if len(named := [name for name, value in given.items() if value is not None]) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other; give one of them, or none")
    if scheduler is None and local_workers is None:
        yield LocalPool.on(device, workers)
        return
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{named[0]} needs the extra dask: python -m pip install 'hierlearn[dask]'"
        ) from None
    from hierlearn.sweeps import cluster

    if scheduler is not None:
        yield cluster.Cluster(scheduler, device)
        return
    assert local_workers is not None
    with cluster.local_cluster(local_workers, device) as local:
        yield local


def wanted(project: Project, chapters: Sequence[str]) -> list[str]:
    """Return the notebooks to execute: those named, else all.

    Those that only read records come first: what they read is computed before, and executed last
    they would keep one core waiting.
    """
    named = [project.find_notebook(chapter) for chapter in chapters]
    order = sorted(project.notebooks(), key=lambda stem: stem in chapter_names())
    return [name for name in order if name in named or not named]


def store_at(project: Project, folder: str | None, *, pilots: bool = False) -> RecordStore:
    """Return the store in `folder`, by default the working one, or that of pilot runs."""
    default = project.pilot_records if pilots else project.working_records
    return RecordStore(default if folder is None else project.records_folder(folder))


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


def readable_store(project: Project, folder: str | None) -> RecordStore:
    """Return the store to read: `folder`, else the working one, else the committed one."""
    if folder is None and not project.working_records.is_dir():
        frozen = RecordStore(project.frozen_records)
        if frozen.frozen:
            return frozen
    return store_at(project, folder)
