"""Running the book: computing what its notebooks lack, then executing them."""

from collections.abc import Iterable

from hierlearn import costs, devices, notebooks, pages, sweeps
from hierlearn.experiments import Experiment
from hierlearn.project import Project, RunError
from hierlearn.records import RecordStore
from hierlearn.tables import say


def execute(
    project: Project,
    names: list[str],
    *,
    store: RecordStore,
    profile: str,
    device: str,
    workers: int | None,
) -> None:
    """Compute what the notebooks `names` lack in one pool, then execute them.

    A frozen store is only read. Raises RunError, before anything is executed, that lists what it
    lacks; and afterwards one that names the notebooks that failed.
    """
    devices.resolve(device)
    folder = project.relative(store.folder)
    parameters = {"profile": profile, "device": device, "records": folder}
    for name in names:
        notebooks.check_parameters(project, name, parameters)
    every = pages.load_claims(project)
    reads = {name: pages.experiments_read(name, every) for name in names}
    say(f"profile {profile}, device {device}, records {folder}")
    if store.frozen:
        refuse_incomplete(reads.values(), store, profile)
    else:
        needed = {key: one for read in reads.values() for key, one in read.items()}
        committed = RecordStore(project.frozen_records)
        say(costs.cost(needed.values(), profile, store, committed).sentences())
        compute(reads.values(), store, profile, device=device, workers=workers)
    failed = [n for n in names if not _executed(project, n, store, reads[n], parameters)]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(names)} notebooks failed: {', '.join(failed)}; "
            f"as far as they came they lie in {project.relative(project.stage)}/book"
        )


def refuse_incomplete(
    reads: Iterable[dict[str, Experiment]], store: RecordStore, profile: str
) -> None:
    """Raise RunError listing what a frozen folder lacks or holds from other code."""
    experiments = {name: one for read in reads for name, one in read.items()}
    if gaps := pages.incomplete(store, experiments.values(), profile):
        raise RunError(
            f"nothing executed: {store.folder} does not have all records of profile {profile}:\n  "
            + "\n  ".join(gaps)
            + "\n`python -m hierlearn run` computes them here, `freeze` puts them there"
        )


def compute(
    reads: Iterable[dict[str, Experiment]],
    store: RecordStore,
    profile: str,
    *,
    device: str,
    workers: int | None,
) -> None:
    """Compute all missing groups in one pool; a failing one is told, and its chapter fails."""
    experiments = {name: one for read in reads for name, one in read.items()}
    if not experiments:
        return  # only notebooks that read what others computed
    try:
        sweeps.compute(experiments.values(), profile, store, device=device, workers=workers)
    except sweeps.SweepError as error:
        say(f"Error: {error}")


def _executed(
    project: Project,
    name: str,
    store: RecordStore,
    read: dict[str, Experiment],
    parameters: dict[str, str],
) -> bool:
    """Execute one notebook whose records are there, and tell how it went."""
    gaps = pages.incomplete(store, read.values(), parameters["profile"])
    if gaps:
        say(f"{name}: not executed, its records are not complete\n  " + "\n  ".join(gaps))
        return False
    say(f"{name}: executing")
    try:
        seconds = notebooks.execute(project, name, parameters)
    except RunError as error:
        say(f"{name}: failed\n{notebooks.last_lines(error)}")
        return False
    say(f"{name}: {seconds:.1f} s")
    return True
