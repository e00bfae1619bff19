"""Pushing: decided claims, judged again on runs with a longer budget, other starts, other data.

What a claim says must not rest on where its runs were stopped. Of each chosen claim the runs that
its statistic and its control read are trained again, with `times` the budget that their experiment
declares and at seeds the book does not use; a claim about a named budget, and an experiment that
has none, change seeds only.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock
from pydantic import BaseModel, TypeAdapter

from hierlearn.claims.declarations import Claim
from hierlearn.claims.verdicts import DECIDED, Evidence, Judged, Row, judged
from hierlearn.errors import RunError
from hierlearn.experiment import Experiment, pushed
from hierlearn.formatting import format_interval
from hierlearn.records import RecordStore
from hierlearn.records.files import misread, write_file
from hierlearn.sweeps import sweep
from hierlearn.sweeps.executors import Executor


class Pushed(BaseModel):
    """One claim before and after: verdict, measured interval and reason."""

    id: str
    chapter: str
    headline: bool
    statement: str
    budget: str
    times: int
    profile: str
    before: str
    verdict_before: str
    after: str
    verdict_after: str
    reason: str | None
    commit: str
    hardware: str
    finished: str

    @property
    def held(self) -> bool:
        """Whether the verdict is the same."""
        return self.verdict_before == self.verdict_after


class Chosen(NamedTuple):
    """A claim with what was found before, and by how much its runs' budget grows."""

    claim: Claim
    before: Judged
    times: int


def choose(
    claims: Iterable[Claim],
    evidence: Evidence,
    *,
    times: int,
    n: int | None = None,
    seed: int = 0,
) -> list[Chosen]:
    """Return `n` random ones of the claims that `evidence` decides (None: all), fixed by `seed`."""
    found = [Chosen(one, judged(one, evidence), 1 if one.budget else times) for one in claims]
    kept = [one for one in found if one.before.row.verdict in DECIDED and one.before.row.n_seeds]
    return sweep.sample(kept, n, seed)


def _longer(chosen: Sequence[Chosen], evidence: Evidence) -> dict[str, Experiment]:
    """Return the experiments that claims of one `times` read, with these runs, pushed, by name."""
    keys: dict[str, set[str]] = {}
    for one in chosen:
        for name, place in one.before.runs | one.before.control_runs:
            keys.setdefault(name, set()).add(evidence.records(name)[place].key)
    longer = {}
    for name in sorted(keys):
        own = evidence.experiments[name]
        took = {record.group: record.provenance for record in evidence.records(name)}.values()
        rate = sum(one.cpu_s for one in took) / max(1, sum(one.n_runs for one in took))
        longer[name] = pushed(own, chosen[0].times, keys[name], seconds=rate)
    return longer


def push(
    chosen: Sequence[Chosen], evidence: Evidence, *, into: RecordStore, executor: Executor
) -> list[Pushed]:
    """Compute the longer runs of the chosen claims in the store `into`, and judge on them."""
    after: dict[str, Row] = {}
    for times in sorted({one.times for one in chosen}):
        some = [one for one in chosen if one.times == times]
        longer = _longer(some, evidence)
        sweep.compute(longer.values(), evidence.profile, into, executor=executor)
        new = Evidence(into, evidence.profile, longer)
        after |= {one.claim.id: judged(one.claim, new).row for one in some}
    return [_compared(one, after[one.claim.id], evidence) for one in chosen]


def _compared(chosen: Chosen, after: Row, evidence: Evidence) -> Pushed:
    before, own = chosen.before.row, evidence.experiments[chosen.claim.statistic.experiment].budget
    budget = f"none: {own}" if isinstance(own, str) else f"{' and '.join(own)} × {chosen.times}"
    same = {name: getattr(before, name) for name in ("id", "chapter", "headline", "statement")}
    return Pushed(
        **same,
        budget="named by the claim" if chosen.claim.budget else budget,
        times=chosen.times,
        profile=before.profile,
        before=format_interval(before.estimate, before.interval, before.side),
        verdict_before=before.verdict,
        after=format_interval(after.estimate, after.interval, after.side),
        verdict_after=after.verdict,
        reason=after.reason,
        commit=after.commit,
        hardware=after.hardware,
        finished=after.finished,
    )


_MANY = TypeAdapter(list[Pushed])


def read(path: Path) -> list[Pushed]:
    """Return what `write` wrote; nothing where there is no such file."""
    try:
        return _MANY.validate_json(path.read_bytes()) if path.exists() else []
    except (OSError, ValueError) as error:
        told = f"{path} is not what `push --publish` writes: {misread(error)}"
        raise RunError(f"{told}; restore it (git checkout)") from error


def write(path: Path, found: Sequence[Pushed]) -> None:
    """Write what pushing gave, in place of what is there of the same claims and profile."""
    new = {(one.id, one.profile): one for one in found}
    lock = path.parent.parent / "_build" / f"{path.name}.lock"  # of two pushes both are kept
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        old = {(one.id, one.profile): one for one in read(path)}
        whole = sorted((old | new).values(), key=lambda one: (one.chapter, one.id, one.profile))
        write_file(path, _MANY.dump_json(whole, indent=1) + b"\n")
