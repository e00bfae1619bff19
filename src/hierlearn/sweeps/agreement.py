"""Does a rerun agree with what is published? Two stores side by side, chapter by chapter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hierlearn.claims import verdicts
from hierlearn.experiment import Experiment, canonical
from hierlearn.records import GroupState, RecordStore
from hierlearn.sweeps.replay import changes


@dataclass(frozen=True)
class Agreement:
    """How a chapter's records in one store compare with those in another.

    Of the `n_groups` groups that both have, `n_same` are the same bit for bit; of the `n_claims`
    claims that both judge, `n_agree` have the same verdict and an estimate inside the published
    interval, and `changed` says what is otherwise. `n_lacking` groups cannot be rerun here.
    """

    chapter: str
    n_groups: int
    n_same: int
    n_claims: int
    n_agree: int
    changed: tuple[str, ...]
    machines: frozenset[str]
    published: frozenset[str]
    n_lacking: int = 0


def agreements(
    mine: RecordStore,
    published: RecordStore,
    profile: str,
    claims: Iterable[verdicts.Claim],
    experiments: Mapping[str, Experiment],
) -> list[Agreement]:
    """Compare the chapters of which both stores have records at `profile`, stale ones too."""
    claims, found = list(claims), []
    rows = [
        {row.id: row for row in verdicts.evaluate_all(claims, store, profile, experiments)}
        for store in (published, mine)
    ]
    reads = {claim.id: claim.reads for claim in claims}
    paired = {n: _pairs(one, profile, mine, published) for n, one in experiments.items()}
    not_rerun = {name for name, both in paired.items() if any(a.lacks for a, _ in both)}
    for chapter in dict.fromkeys(one.chapter for one in experiments.values()):
        own = [name for name, one in experiments.items() if one.chapter == chapter]
        every = [pair for name in own for pair in paired[name]]
        pairs = [(a, b) for a, b in every if not a.lacks]
        if not every:
            continue
        judged = [
            (old, rows[1][old.id])
            for old in rows[0].values()
            if old.chapter == chapter
            and old.n_seeds
            and rows[1][old.id].n_seeds
            and not reads[old.id] & not_rerun
        ]
        both = [(_numbers(a), _numbers(b)) for a, b in pairs]
        otherwise = [[*changes(old, new)] for old, new in judged]
        found.append(
            Agreement(
                chapter,
                len(pairs),
                sum(a == b for a, b in both),
                len(judged),
                sum(not lines for lines in otherwise),
                tuple(line for lines in otherwise for line in lines),
                frozenset(a.provenance.hardware for a, _ in pairs if a.provenance),
                frozenset(b.provenance.hardware for _, b in pairs if b.provenance),
                len(every) - len(pairs),
            )
        )
    return found


def _pairs(
    one: Experiment, profile: str, *stores: RecordStore
) -> list[tuple[GroupState, GroupState]]:
    pairs = zip(*(store.states(one, profile) for store in stores), strict=True)
    return [(a, b) for a, b in pairs if b.records and (a.records or a.lacks)]


def _numbers(state: GroupState) -> str:
    return canonical([record.measurement for record in state.records])
