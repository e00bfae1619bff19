"""Running the book: computing what its notebooks lack, then executing them."""

from collections.abc import Collection
from contextlib import nullcontext

import click

from hierlearn.book import notebooks, pages
from hierlearn.book.project import Project
from hierlearn.book.published import experiments_read, load_claims
from hierlearn.engine.devices import available_cores
from hierlearn.errors import RunError
from hierlearn.experiment import Experiment
from hierlearn.formatting import say
from hierlearn.records import RecordStore, sole_writer
from hierlearn.sweeps import costs, sweep
from hierlearn.sweeps.executors import Executor, LocalPool


def execute(
    project: Project,
    profiles: dict[str, str],
    *,
    store: RecordStore,
    device: str,
    executor: Executor,
) -> None:
    """Compute what the notebooks of `profiles` lack on one executor, execute each at its profile.

    A frozen store is only read. Raises RunError, before anything is executed, that lists what it
    lacks; and afterwards one that names the notebooks that failed.
    """
    names, folder = list(profiles), project.relative(store.folder)
    # The device of a remote executor is not this machine's, and the notebooks compute nothing more.
    here = device if isinstance(executor, LocalPool) else "auto"
    parameters = {n: {"profile": profiles[n], "device": here, "records": folder} for n in names}
    for name in names:
        notebooks.check_parameters(project, name, parameters[name])
    every = load_claims(project)
    reads = {name: experiments_read(name, every) for name in names}
    for profile in dict.fromkeys(profiles[name] for name in names):
        some = [name for name in names if profiles[name] == profile]
        about = f" ({', '.join(some)})" if len(some) < len(names) else ""
        say(f"profile {profile}{about}, device {device}, records {folder}")
        needed = {key: one for name in some for key, one in reads[name].items()}
        _provide(project, needed.values(), store, profile, executor)
    ready = {}
    for name in names:
        # Of a frozen store all is there by now.
        if not store.frozen and (
            gaps := pages.incomplete(store, reads[name].values(), profiles[name])
        ):
            say(f"{name}: not executed, its records are not complete\n  " + "\n  ".join(gaps))
        else:
            ready[name] = parameters[name]
    at_once = executor.n_workers if isinstance(executor, LocalPool) else available_cores()
    if ready:
        say(f"executing {', '.join(ready)}")
    failed = set(names)
    with sole_writer(project.stage.parent, tell=True) if ready else nullcontext():
        for name, outcome in notebooks.execute(project, ready, at_once=at_once):
            if isinstance(outcome, RunError):
                end = click.unstyle(str(outcome)).rstrip().splitlines()[-12:]
                say("\n    ".join([f"{name}: failed", *end]))
            else:
                say(f"{name}: {outcome:.1f} s")
                failed.remove(name)
    if failed:
        raise RunError(
            f"{len(failed)} of {len(names)} notebooks failed: "
            f"{', '.join(name for name in names if name in failed)}; "
            f"as far as they came they lie in {project.relative(project.stage)}/book"
        )


def _provide(
    project: Project,
    experiments: Collection[Experiment],
    store: RecordStore,
    profile: str,
    executor: Executor,
) -> None:
    """Compute all missing groups at once; a failing one is told, and its chapter fails."""
    if store.frozen:
        if gaps := pages.incomplete(store, experiments, profile):
            raise RunError(
                f"nothing executed: {store.folder} does not have all records of profile "
                f"{profile}:\n  " + "\n  ".join(gaps) + "\n`python -m hierlearn run` computes "
                "them here, `freeze` puts them there"
            )
    elif experiments:  # else only notebooks that read what others computed
        committed = RecordStore(project.frozen_records)
        say(costs.cost(experiments, profile, store, committed).sentences())
        try:
            sweep.compute(experiments, profile, store, executor=executor, measured_before=committed)
        except sweep.SweepError as error:
            say(f"Error: {error}")
