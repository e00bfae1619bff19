"""Verdicts: what the records of a profile say about the claims of `book/claims/`.

A claim is supported iff its whole interval satisfies its rule and the whole interval of its
control satisfies the control's rule; refuted iff its whole interval violates its rule; not run
where the profile has no rule or no groups for it; inconclusive otherwise, with the reason. Two
things decide beside the intervals: a claim that needs converged runs is inconclusive while one of
them was still moving, and a control that is the same at every seed is none unless it is declared
exact.

Beside the verdict stands what decides nothing: how often the rule would hold for seeds drawn like
those of the control; whether the claim survives Holm's correction over its chapter; which claims
read the same runs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from scipy import stats

from hierlearn.claims.declarations import (
    Claim,
    ClaimError,
    Control,
    Reference,
    Rule,
    load_claims,
    parse_rule,
)
from hierlearn.claims.resampling import rate
from hierlearn.claims.rows import ControlRow, Outcome, Row, Verdict
from hierlearn.experiment import PROFILES, Experiment, Runs
from hierlearn.intervals import CONFIDENCE, Bound, Interval, IntervalError, IntervalKind, interval
from hierlearn.records import groups_of

__all__ = [
    "DECIDED",
    "Claim",
    "ClaimError",
    "ControlRow",
    "Evidence",
    "Row",
    "Store",
    "evaluate",
    "evaluate_all",
    "judge",
    "load_claims",
]


@runtime_checkable
class Store(Protocol):
    """What is needed of `records.RecordStore`."""

    def read(self, experiment: Experiment, profile: str) -> Sequence[Any]:
        """The records of an experiment's groups at a profile."""

    def stale(self, experiment: Experiment, profile: str) -> bool:
        """Whether one of them was computed by other code than today's."""


Place = tuple[str, int]
"""An experiment, and the place of one of its records."""


class MissingRecords(ClaimError):
    """An experiment that a claim reads has not been computed, or not all of it."""


class Evidence:
    """The records of one profile, each experiment read and checked for completeness once.

    Raises ClaimError for an unknown profile and, when first asked, MissingRecords.
    """

    def __init__(self, store: Store, profile: str, experiments: Mapping[str, Experiment]) -> None:
        if profile not in PROFILES:
            raise ClaimError(f"unknown profile {profile!r}; valid: {', '.join(PROFILES)}")
        self.store, self.profile, self.experiments = store, profile, experiments
        self._records: dict[str, Runs] = {}
        self._stale: dict[str, bool] = {}

    def records(self, name: str) -> Runs:
        """The records of an experiment; none where it has no groups at this profile."""
        if name not in self._records:
            experiment = self.experiments[name]
            keys = {run.key for group in groups_of(experiment, self.profile) for run in group.runs}
            found = list(self.store.read(experiment, self.profile)) if keys else []
            missing = keys - {record.key for record in found}
            if missing:
                raise MissingRecords(
                    f"{len(missing)} of {len(keys)} records of experiment {name!r} at profile "
                    f"{self.profile!r} are missing; compute them with "
                    f"`python -m hierlearn compute {name} --profile {self.profile}`"
                )
            self._records[name] = experiment.runs(self.profile, found)
            self._stale[name] = bool(keys) and self.store.stale(experiment, self.profile)
        return self._records[name]

    def stale(self, name: str) -> bool:
        """Whether one of the experiment's records was computed by other code than today's."""
        self.records(name)
        return self._stale[name]

    def values(self, reference: Reference) -> tuple[dict[int, float], frozenset[Place]]:
        """Return the statistic, one value a seed in the order of the seeds, and the runs it read.

        None becomes nan.
        """
        statistic = self.experiments[reference.experiment].statistics[reference.name]
        runs = self.records(reference.experiment)
        runs.taken.clear()
        found = statistic(runs)
        taken = frozenset((reference.experiment, place) for place in runs.taken)
        return {s: math.nan if found[s] is None else found[s] for s in sorted(found)}, taken

    def unfinished(self, places: Iterable[Place]) -> int:
        """Count the runs that were still moving when they stopped.

        Raises ClaimError where an experiment that has a budget does not say of any.
        """
        of: dict[str, list[Any]] = {}
        for name, place in places:
            of.setdefault(name, []).append(self.records(name)[place].measurement.get("converged"))
        for name, said in of.items():
            if set(said) == {None} and not isinstance(self.experiments[name].budget, str):
                raise ClaimError(
                    f"a claim needs converged runs of {name!r}, whose measurements have no "
                    "`converged`; let `measure` say it, or let `budget` be the reason why the "
                    "experiment has none"
                )
        return sum(one is False for said in of.values() for one in said)


@dataclass(frozen=True)
class _Reading:
    """A statistic under a rule: its interval, or the problem that left it without one."""

    rule: Rule
    kind: IntervalKind
    values: tuple[float, ...]
    found: Interval | None = None
    problem: str | None = None
    runs: frozenset[Place] = frozenset()
    exact: bool = True

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def estimate(self) -> float | None:
        return self.found.estimate if self.found else None

    @property
    def side(self) -> str | None:
        return self.estimate.side if isinstance(self.estimate, Bound) else None

    @property
    def ends(self) -> tuple[float, float] | None:
        return (self.found.low, self.found.high) if self.found else None


def _read(reference: Reference, rule: Rule, evidence: Evidence) -> _Reading:
    values, runs = evidence.values(reference)
    reading = _reading(values, rule, reference.interval, str(reference))
    if not isinstance(reference, Control):
        return replace(reading, runs=runs)
    constant = len(values) > 1 and len(set(values.values())) == 1
    if constant and reading.found and not reference.exact:
        problem = "it is the same at every seed, and not declared exact: it cannot fail"
        return replace(reading, runs=runs, exact=False, problem=problem)
    return replace(reading, runs=runs)


def _reading(values: Mapping[int, float], rule: Rule, kind: IntervalKind, name: str) -> _Reading:
    reading = _Reading(rule, "range" if rule.reports else kind, (*values.values(),))
    bad = [str(seed) for seed, value in values.items() if not math.isfinite(value)]
    if bad:
        problem = f"{name} is not a finite number for seed(s) {', '.join(bad)}"
        return replace(reading, problem=problem)
    try:
        found = interval(reading.values, reading.kind)
        return replace(reading, found=found, kind=found.kind)
    except IntervalError as error:
        return replace(reading, problem=f"{name}: {error}")


def judge(
    values: Mapping[int, float],
    rule: str,
    *,
    control: Mapping[int, float],
    control_rule: str,
    kind: IntervalKind = "t",
) -> tuple[Verdict, str | None, Interval | None]:
    """Return the verdict on a statistic of your own, the reason where it has one, the interval.

    As in the book: the rule must hold on the whole interval over seeds, and so must the control's
    on its own.

    Args:
        values: the statistic, one number a seed.
        rule: e.g. "interval within [0.9, 1.1]", "interval above 2", or "interval below 0.1".
        control: the same in the ablation in which the effect must vanish.
        control_rule: where it holds, the control is as required: the effect has vanished.
        kind: of both intervals.

    Raises:
        ValueError: for a text that is no rule.
    """
    reading = _reading(values, parse_rule(rule), kind, "the statistic")
    other = _reading(control, parse_rule(control_rule), kind, "the control")
    outcome = _outcome(other)
    return *_decide(reading, ControlRow(description="", outcome=outcome)), reading.found


def _outcome(reading: _Reading) -> Outcome:
    if reading.ends is None:
        return "unclear"
    if not reading.exact:
        return "not as required"
    if reading.rule.reports:
        return "reported"
    if reading.rule.satisfied(*reading.ends):
        return "as required"
    return "not as required" if reading.rule.violated(*reading.ends) else "unclear"


def _read_control(claim: Claim, evidence: Evidence) -> _Reading | None:
    control = claim.control
    rule = control.rule_at(evidence.profile) if control else None
    if control is None or rule is None or not evidence.records(control.experiment):
        return None
    return _read(control, rule, evidence)


def _control_row(claim: Claim, profile: str, reading: _Reading | None) -> ControlRow:
    control = claim.control
    if control is None:
        return ControlRow(description=claim.no_control or "", outcome="none")
    rule = control.rule_at(profile)
    row = ControlRow(
        statistic=str(control),
        description=control.description,
        rule=rule.text if rule else None,
        same_quantity=control.same_quantity,
        exact=control.exact,
        outcome="not run",
    )
    if reading is None:
        return row
    holds = _rate(reading, reading)
    found = {
        "estimate": reading.estimate,
        "side": reading.side,
        "interval": reading.ends,
        "interval_kind": reading.kind,
        "n_seeds": reading.n,
        "failure_rate": None if holds is None else 1 - holds,
        "outcome": _outcome(reading),
        "reason": reading.problem,
    }
    return row.model_copy(update=found)


def _rate(judged: _Reading | None, control: _Reading | None) -> float | None:
    """How often the rule of `judged` would hold for seeds drawn like those of `control`."""
    if judged is None or control is None or judged.rule.reports:
        return None
    if any(isinstance(value, Bound) for value in control.values):
        return None
    return rate(control.values, judged.rule, n=judged.n, kind=judged.kind, logs=control.kind != "t")


def _p(reading: _Reading) -> float | None:
    """Return the largest level 1 - p at which the interval still obeys the rule, as p.

    Of a range it is that of the median's interval, 2^(1-n); None where the rule does not hold.
    """
    if not reading.ends or reading.rule.reports or not reading.rule.satisfied(*reading.ends):
        return None
    if reading.kind == "range":
        return 2.0 ** (1 - reading.n)
    log = reading.kind == "log-t"
    values = np.log(reading.values) if log else np.array(reading.values)
    error = float(values.std(ddof=1)) / math.sqrt(reading.n)
    ends = [end for end in (reading.rule.low, reading.rule.high) if math.isfinite(end)]
    apart = [abs(values.mean() - (math.log(e) if log else e)) for e in ends if e > 0 or not log]
    if not apart or not error:
        return 0.0
    return float(2 * stats.t.sf(min(apart) / error, reading.n - 1))


def _decide(
    reading: _Reading, control: ControlRow, unfinished: int = 0
) -> tuple[Verdict, str | None]:
    if reading.ends is None:
        return "inconclusive", reading.problem
    if reading.rule.reports:
        return "reported", None
    if unfinished:
        runs = "run was" if unfinished == 1 else "runs were"
        return "inconclusive", f"budget: {unfinished} {runs} still moving when stopped"
    if reading.rule.violated(*reading.ends):
        return "refuted", None
    if not reading.rule.satisfied(*reading.ends):
        return "inconclusive", "the interval reaches across a bound of the rule"
    if control.outcome in ("as required", "none"):
        return "supported", None
    why = {
        "not as required": "the control is not as required",
        "unclear": "whether the control is as required is unclear",
    }.get(control.outcome, "the control was not run")
    return "inconclusive", f"the rule holds, but {why}"


def _provenance(names: Iterable[str], evidence: Evidence) -> dict[str, str]:
    stands = [record.provenance for name in names for record in evidence.records(name)]
    commits = {str(p.commit)[:9] + ("+" if p.dirty else "") for p in stands}
    hardware = {str(p.hardware) for p in stands}
    return {
        "commit": ", ".join(sorted(commits)),
        "hardware": ", ".join(sorted(hardware)),
        "finished": max((str(p.finished) for p in stands), default=""),
    }


_DECLARED = (
    "id chapter headline paper cited locus theorems source statement predicted note needs budget "
    "revised"
).split()


def evaluate(claim: Claim, evidence: Evidence) -> Row:
    """Return the row of `judged`; what depends on other claims is left out."""
    return judged(claim, evidence).row


class Judged(NamedTuple):
    """A claim's row, and the runs that its statistic and its control read."""

    row: Row
    runs: frozenset[Place]
    control_runs: frozenset[Place]


def judged(claim: Claim, evidence: Evidence) -> Judged:
    """Return the claim's row: its interval, control and verdict at the profile of `evidence`.

    A stale row shows its verdict but never counts as expected. Where records are missing the claim
    is not run, and says which; a value that is not finite, or not positive under "log-t", makes it
    inconclusive. Beside it come the runs that were read.
    """
    profile, rule = evidence.profile, claim.rule_at(evidence.profile)
    main = claim.statistic.experiment
    reading, without = None, None
    verdict: Verdict = "not run"
    reason: str | None = f"profile {profile} has no {'groups of ' + main if rule else 'rule'}"
    try:
        if rule is not None and evidence.records(main):
            reading = _read(claim.statistic, rule, evidence)
        without = _read_control(claim, evidence) if reading else None
    except MissingRecords as missing:
        reading, reason = None, str(missing)
    control = _control_row(claim, profile, without)
    if reading is not None:
        read = reading.runs if claim.needs else frozenset()
        if claim.control and claim.control.needs and without:
            read |= without.runs
        unfinished = evidence.unfinished(read)
        verdict, reason = _decide(reading, control, unfinished)
    names = [main] if reading else []
    if claim.control and control.outcome != "not run" and claim.control.experiment != main:
        names.append(claim.control.experiment)
    stale = any(evidence.stale(name) for name in names)
    found = {
        "statistic": str(claim.statistic),
        "estimate": reading and reading.estimate,
        "side": reading and reading.side,
        "interval": reading and reading.ends,
        "interval_kind": reading.kind if reading else claim.statistic.interval,
        "rule": rule and rule.text,
        "verdict": verdict,
        "reason": reason,
        "excluded": verdict == "supported" and _excludes(reading, claim.predicted),
        "p": reading and _p(reading),
        "false_positive_rate": _rate(reading, without) if control.same_quantity else None,
        "control": control,
        "n_seeds": reading.n if reading else 0,
        "profile": profile,
        "expected": claim.expected_at(profile),
        "as_expected": verdict == claim.expected_at(profile) and not stale,
        "stale": stale,
    }
    declared = {name: getattr(claim, name) for name in _DECLARED}
    row = Row.model_validate(declared | found | _provenance(names, evidence))
    runs = [one.runs if one else frozenset() for one in (reading, without)]
    return Judged(row, *runs)


def _excludes(reading: _Reading | None, predicted: float | str) -> bool:
    if reading is None or reading.ends is None or isinstance(predicted, str):
        return False
    return not reading.ends[0] <= predicted <= reading.ends[1]


def evaluate_all(
    claims: Iterable[Claim],
    store: Store,
    profiles: str | Mapping[str, str],
    experiments: Mapping[str, Experiment],
) -> list[Row]:
    """Return the rows of all claims, in their order, each with its family and Holm's correction.

    `profiles` is one profile, or that of each chapter.
    """
    claims = list(claims)
    if isinstance(profiles, str):
        profiles = dict.fromkeys((claim.chapter for claim in claims), profiles) or {"": profiles}
    of = {name: Evidence(store, name, experiments) for name in set(profiles.values())}
    found = [judged(claim, of[profiles[claim.chapter]]) for claim in claims]
    return with_families(with_holm([one.row for one in found]), [one.runs for one in found])


DECIDED = ("supported", "refuted", "inconclusive")


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `holm` set on the supported ones.

    Of the m decided claims of a chapter, those with the k smallest p stand for which
    p_(i) <= .05 / (m - i + 1) up to i = k (Holm 1979).
    """
    stands: dict[str, bool] = {}
    for chapter in dict.fromkeys(row.chapter for row in rows):
        decided = [row for row in rows if row.chapter == chapter and row.verdict in DECIDED]
        holds = True
        for i, row in enumerate(sorted(decided, key=lambda row: 1.0 if row.p is None else row.p)):
            p = 1.0 if row.p is None else row.p
            holds = holds and p <= (1 - CONFIDENCE) / (len(decided) - i)
            stands[row.id] = holds
    supported = [row.verdict == "supported" for row in rows]
    return [
        row.model_copy(update={"holm": stands[row.id]}) if one else row
        for row, one in zip(rows, supported, strict=True)
    ]


def with_families(rows: Sequence[Row], runs: Sequence[frozenset[Place]]) -> list[Row]:
    """Return the rows with the first claim of each one's family: those that share a run with it."""
    family: dict[Place, str] = {}
    first = {row.id: row.id for row in rows}

    def root(key: str) -> str:
        return key if first[key] == key else root(first[key])

    for row, places in zip(rows, runs, strict=True):
        for place in places:
            other = root(family.setdefault(place, row.id))
            one = root(row.id)
            first[max(one, other, key=[*first].index)] = min(one, other, key=[*first].index)
    return [
        row.model_copy(update={"family": root(row.id) if places else None})
        for row, places in zip(rows, runs, strict=True)
    ]
