"""What the commands have in common: their options, and what these mean."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from hierlearn.book.project import Project, execution_order
from hierlearn.engine import devices
from hierlearn.errors import UsageError
from hierlearn.experiment import PROFILES
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps.executors import Executor, LocalPool

WHERE = ("workers", "scheduler", "local-workers")
"""The options that say what measures; `executor_for` takes their values."""


def options(*names: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options and arguments of these names to a command."""
    known: dict[str, Callable] = {
        "chapters": click.argument("chapters", nargs=-1, metavar="[CHAPTER]..."),
        "names": click.argument("names", nargs=-1, metavar="[CHAPTER|EXPERIMENT]..."),
        "profile": click.option(
            "--profile", type=click.Choice(PROFILES), help="Size; default: laptop."
        ),
        "device": click.option(
            "--device", type=click.Choice(devices.DEVICES), default="auto", show_default=True
        ),
        "records": click.option(
            "--records", metavar="DIR", help="Folder, from the project's root; _build/records."
        ),
        "workers": click.option(
            "--workers", type=click.IntRange(min=1), help="Processes; default: one a core."
        ),
        "scheduler": click.option(
            "--scheduler", metavar="ADDRESS", help="Compute on the workers of a dask scheduler."
        ),
        "local-workers": click.option(
            "--local-workers",
            type=click.IntRange(min=1),
            help="Compute on a local dask cluster; on CUDA one worker a GPU.",
        ),
        "frozen": click.option(
            "--frozen", is_flag=True, help="Read committed records, compute nothing."
        ),
    }

    def decorate(function: Callable) -> Callable:
        for name in reversed(names):
            function = known[name](function)
        return function

    return decorate


@contextmanager
def executor_for(
    device: str, *, workers: int | None, scheduler: str | None, local_workers: int | None
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
    """Return the notebooks to execute: those named, else all; readers of records last."""
    named = [project.find_notebook(chapter) for chapter in chapters]
    return [n for n in execution_order(project, EXPERIMENTS) if n in named or not named]


def store_at(project: Project, folder: str | None) -> RecordStore:
    """Return the store in `folder`, by default the working one."""
    path = project.working_records if folder is None else project.records_folder(folder)
    return RecordStore(path)


def readable_store(project: Project, folder: str | None) -> RecordStore:
    """Return the store to read: `folder`, else the working one, else the committed one."""
    if folder is None and not project.working_records.is_dir():
        frozen = RecordStore(project.frozen_records)
        if frozen.frozen:
            return frozen
    return store_at(project, folder)
