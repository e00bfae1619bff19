"""Running the book: computing what its notebooks lack, then executing them."""

from collections.abc import Collection, Iterable

from hierlearn.book import notebooks, pages
from hierlearn.book.project import Project
from hierlearn.book.published import experiments_read, load_claims
from hierlearn.engine.devices import available_cores
from hierlearn.errors import RunError
from hierlearn.experiment import Experiment
from hierlearn.formatting import say
from hierlearn.records import RecordStore
from hierlearn.sweeps import costs, sweep
from hierlearn.sweeps.executors import Executor, LocalPool


def execute(
    project: Project,
    names: list[str],
    *,
    store: RecordStore,
    profiles: dict[str, str],
    device: str,
    executor: Executor,
) -> None:
    """Compute what the notebooks `names` lack on one executor, then execute each at its profile.

    A frozen store is only read. Raises RunError, before anything is executed, that lists what it
    lacks; and afterwards one that names the notebooks that failed.
    """
    folder = project.relative(store.folder)
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
        if store.frozen:
            refuse_incomplete(needed.values(), store, profile)
        else:
            compute(project, needed.values(), store, profile, executor=executor)
    ready = {n: parameters[n] for n in names if _complete(n, store, reads[n], profiles[n])}
    at_once = executor.n_workers if isinstance(executor, LocalPool) else available_cores()
    done = _executed(project, ready, at_once)
    if failed := [name for name in names if name not in done]:
        raise RunError(
            f"{len(failed)} of {len(names)} notebooks failed: {', '.join(failed)}; "
            f"as far as they came they lie in {project.relative(project.stage)}/book"
        )


def refuse_incomplete(experiments: Iterable[Experiment], store: RecordStore, profile: str) -> None:
    """Raise RunError listing what a frozen folder lacks or holds from other code."""
    if gaps := pages.incomplete(store, experiments, profile):
        raise RunError(
            f"nothing executed: {store.folder} does not have all records of profile {profile}:\n  "
            + "\n  ".join(gaps)
            + "\n`python -m hierlearn run` computes them here, `freeze` puts them there"
        )


def compute(
    project: Project,
    experiments: Collection[Experiment],
    store: RecordStore,
    profile: str,
    *,
    executor: Executor,
) -> None:
    """Compute all missing groups at once; a failing one is told, and its chapter fails."""
    if not experiments:
        return  # only notebooks that read what others computed
    committed = RecordStore(project.frozen_records)
    say(costs.cost(experiments, profile, store, committed).sentences())
    try:
        sweep.compute(experiments, profile, store, executor=executor, measured_before=committed)
    except sweep.SweepError as error:
        say(f"Error: {error}")


def _complete(name: str, store: RecordStore, read: dict[str, Experiment], profile: str) -> bool:
    """Tell whether all records that a notebook reads are there, and say which are not."""
    gaps = pages.incomplete(store, read.values(), profile)
    if gaps:
        say(f"{name}: not executed, its records are not complete\n  " + "\n  ".join(gaps))
    return not gaps


def _executed(project: Project, parameters: dict[str, dict[str, str]], at_once: int) -> set[str]:
    """Execute notebooks, say how each went, and return the names of those without an error."""
    done = set()
    if parameters:
        say(f"executing {', '.join(parameters)}")
    for name, outcome in notebooks.execute(project, parameters, at_once=at_once):
        if isinstance(outcome, RunError):
            say(f"{name}: failed\n{notebooks.last_lines(outcome)}")
        else:
            say(f"{name}: {outcome:.1f} s")
            done.add(name)
    return done
