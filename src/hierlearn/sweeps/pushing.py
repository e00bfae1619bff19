"""Pushing: decided claims, judged again on runs with a longer budget, other starts, other data.

What a claim says must not rest on where its runs were stopped. Of each chosen claim the runs that
its statistic and its control read are trained again, with `times` the budget that their experiment
declares and at seeds the book does not use; a claim about a named budget, and an experiment that
has none, change seeds only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter

from hierlearn.claims.declarations import Claim
from hierlearn.claims.verdicts import DECIDED, Evidence, Judged, Row, judged
from hierlearn.experiment import Experiment, Group, pushed
from hierlearn.formatting import format_interval
from hierlearn.records import GroupState, RecordStore
from hierlearn.sweeps import sweep
from hierlearn.sweeps.executors import Executor


class Pushed(BaseModel):
    """One claim before and after: verdict, measured interval and reason."""

    model_config = ConfigDict(frozen=True)

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


@dataclass(frozen=True)
class Chosen:
    """A claim with what was found before, and by how much its runs' budget grows."""

    claim: Claim
    before: Judged
    times: int


def choose(
    claims: Iterable[Claim],
    evidence: Evidence,
    store: RecordStore,
    *,
    times: int,
    n: int | None = None,
    seed: int = 0,
    below: float | None = None,
) -> list[Chosen]:
    """Return `n` random ones of the claims that `store` decides (None: all), fixed by `seed`.

    With `below`, only claims whose longer runs are expected to take less than so many CPU seconds.
    """
    found = []
    for claim in claims:
        one = Chosen(claim, judged(claim, evidence), 1 if claim.budget else times)
        if one.before.row.verdict not in DECIDED or not one.before.row.n_seeds:
            continue
        if below is None or _cost(_longer([one], evidence, store), evidence.profile) < below:
            found.append(one)
    if n is None or n >= len(found):
        return found
    picked = np.random.default_rng(seed).choice(len(found), size=n, replace=False)
    return [found[i] for i in sorted(picked)]


Longer = dict[tuple[str, int], Experiment]
"""Experiments by name and by what multiplies their budget."""


def _longer(chosen: Iterable[Chosen], evidence: Evidence, store: RecordStore) -> Longer:
    """Return the experiments with those runs that the chosen claims read, pushed."""
    keys: dict[tuple[str, int], set[str]] = {}
    for one in chosen:
        for name, place in one.before.runs | one.before.control_runs:
            run = evidence.records(name)[place]
            keys.setdefault((name, one.times), set()).add(run.key)
    return {
        (name, times): _with_seconds(
            pushed(evidence.experiments[name], times, keys[name, times]),
            store.states(evidence.experiments[name], evidence.profile),
            times,
        )
        for name, times in sorted(keys)
    }


def _with_seconds(one: Experiment, states: Iterable[GroupState], times: int) -> Experiment:
    """Return the experiment with weights from what the book's own groups took."""
    took = [(s.provenance.cpu_s, len(s.group.runs)) for s in states if s.provenance]
    rate = sum(t for t, _ in took) / max(1, sum(n for _, n in took))
    grows = times if isinstance(one.budget, tuple) else 1

    def groups(profile: str) -> list[Group]:
        return [replace(g, weight=rate * len(g.runs) * grows) for g in one.groups(profile)]

    return replace(one, groups=groups)


def _cost(longer: Longer, profile: str) -> float:
    return sum(g.weight for one in longer.values() for g in one.groups(profile))


def push(
    chosen: Sequence[Chosen],
    evidence: Evidence,
    store: RecordStore,
    *,
    into: RecordStore,
    executor: Executor,
) -> list[Pushed]:
    """Compute the longer runs of the chosen claims in the store `into`, and judge on them."""
    longer = _longer(chosen, evidence, store)
    for times in {times for _, times in longer}:
        some = [one for (_, t), one in longer.items() if t == times]
        sweep.compute(some, evidence.profile, into, executor=executor)
    of = {
        times: Evidence(
            into, evidence.profile, {name: one for (name, t), one in longer.items() if t == times}
        )
        for _, times in longer
    }
    return [
        _compared(one, judged(one.claim, of[one.times]).row, _budget(one, evidence))
        for one in chosen
    ]


def _budget(chosen: Chosen, evidence: Evidence) -> str:
    if chosen.claim.budget:
        return "named by the claim"
    own = evidence.experiments[chosen.claim.statistic.experiment].budget
    return f"none: {own}" if isinstance(own, str) else f"{' and '.join(own)} × {chosen.times}"


def _compared(chosen: Chosen, after: Row, budget: str) -> Pushed:
    before = chosen.before.row
    same = {name: getattr(before, name) for name in ("id", "chapter", "headline", "statement")}
    return Pushed(
        **same,
        budget=budget,
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
    return _MANY.validate_json(path.read_bytes()) if path.exists() else []


def write(path: Path, found: Sequence[Pushed]) -> None:
    """Write what pushing gave, in place of what is there of the same claims and profile."""
    new = {(one.id, one.profile): one for one in found}
    old = {(one.id, one.profile): one for one in read(path)}
    whole = sorted((old | new).values(), key=lambda one: (one.chapter, one.id, one.profile))
    path.write_bytes(_MANY.dump_json(whole, indent=1) + b"\n")
