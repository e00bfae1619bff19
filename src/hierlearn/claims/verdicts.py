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
from functools import cache
from numbers import Real
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats
from scipy.cluster.hierarchy import DisjointSet

from hierlearn.claims.declarations import (
    Claim,
    ClaimError,
    Control,
    Reference,
    Revision,
    Rule,
    Source,
    parse_rule,
)
from hierlearn.claims.resampling import rate
from hierlearn.errors import check_choice
from hierlearn.experiment import PROFILES, Experiment, Runs
from hierlearn.intervals import (
    CONFIDENCE,
    INTERVAL_KINDS,
    Bound,
    Interval,
    IntervalError,
    IntervalKind,
    interval,
)
from hierlearn.records import groups_of

Verdict = Literal["supported", "refuted", "inconclusive", "reported", "not run"]
Outcome = Literal["as required", "not as required", "unclear", "reported", "not run", "none"]
DECIDED = ("supported", "refuted", "inconclusive")


class ControlRow(BaseModel):
    """What the control showed; outcome "none" where the claim has none, with the reason.

    `failure_rate` is the share of experiments, resampled from the control's own seeds, in which
    its rule does not hold.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    statistic: str | None = None
    description: str
    estimate: float | None = None
    side: str | None = None
    interval: tuple[float, float] | None = None
    interval_kind: IntervalKind | None = None
    n_seeds: int = 0
    rule: str | None = None
    same_quantity: bool | None = None
    exact: str | None = None
    failure_rate: float | None = None
    outcome: Outcome
    reason: str | None = None


class Row(BaseModel):
    """One claim with its verdict at one profile; `model_dump_json()` is its JSON form.

    `side` is "≥" or "≤" where the estimate is a bound; an end that is left open is infinite.
    `excluded` says that the rule holds on an interval without the number predicted. `family` is the
    first of the claims that read the same runs; `p` the largest level at which a wider interval
    still obeys the rule, `holm` whether the claim stands under Holm's correction over the decided
    claims of its chapter. `reason` says why it is inconclusive or not run. `false_positive_rate` is
    the share of experiments, resampled from the control's seeds, in which the claim's rule holds;
    there is none where the control is another quantity, or nothing is decided.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    id: str
    chapter: str
    headline: bool
    paper: str
    cited: str
    locus: str
    theorems: tuple[str, ...]
    source: Source
    statement: str
    statistic: str
    predicted: float | str
    estimate: float | None = None
    side: str | None = None
    interval: tuple[float, float] | None = None
    interval_kind: IntervalKind
    rule: str | None
    verdict: Verdict
    reason: str | None
    excluded: bool
    p: float | None
    holm: bool | None = None
    family: str | None = None
    false_positive_rate: float | None
    control: ControlRow
    n_seeds: int = 0
    profile: str
    expected: str
    as_expected: bool
    stale: bool
    commit: str
    hardware: str
    finished: str
    note: str | None
    needs: str | None
    budget: str | None
    revised: tuple[Revision, ...]


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


class MissingResource(MissingRecords):
    """They are missing because they need a data set or a machine that is not at hand."""


class Evidence:
    """The records of one profile, each experiment read and checked for completeness once.

    Raises UsageError for an unknown profile and, when first asked, MissingRecords.
    """

    def __init__(self, store: Store, profile: str, experiments: Mapping[str, Experiment]) -> None:
        check_choice("profile", profile, PROFILES)
        self.store, self.profile, self.experiments = store, profile, experiments
        self._records: dict[str, Runs] = {}
        # Whether one of an experiment's records was computed by other code than today's.
        self.stale = cache(lambda name: store.stale(experiments[name], profile))

    def records(self, name: str) -> Runs:
        """The records of an experiment; none where it has no groups at this profile."""
        if name not in self._records:
            experiment = self.experiments[name]
            groups = groups_of(experiment, self.profile)
            keys = {run.key for group in groups for run in group.runs}
            found = list(self.store.read(experiment, self.profile)) if keys else []
            missing = keys - {record.key for record in found}
            if missing and (told := experiment.awaits(groups)):
                raise MissingResource(told)
            if missing:
                raise MissingRecords(
                    f"{len(missing)} of {len(keys)} records of experiment {name!r} at profile "
                    f"{self.profile!r} are missing; compute them with "
                    f"`python -m hierlearn compute {name} --profile {self.profile}`"
                )
            self._records[name] = experiment.runs(self.profile, found)
        return self._records[name]

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
    """A statistic under a rule: its interval, or the problem that left it without one.

    A control that cannot fail has both.
    """

    rule: Rule
    kind: IntervalKind
    values: tuple[float, ...]
    found: Interval | None = None
    problem: str | None = None
    runs: frozenset[Place] = frozenset()

    @property
    def holds(self) -> bool:
        found = self.found
        return found is not None and bool(self.rule.satisfied(found.low, found.high))

    @property
    def fails(self) -> bool:
        return self.found is not None and self.rule.violated(self.found.low, self.found.high)

    def fields(self) -> dict[str, Any]:
        """What of it a row shows."""
        shown = {"interval_kind": self.kind, "n_seeds": len(self.values)}
        if self.found is None:
            return shown
        estimate = self.found.estimate
        side = estimate.side if isinstance(estimate, Bound) else None
        return shown | {
            "estimate": estimate, "side": side, "interval": (self.found.low, self.found.high),
        }  # fmt: skip


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


def _not_constant(reading: _Reading) -> _Reading:
    """Return the reading of a control, with a problem where it is the same at every seed."""
    if reading.found is None or len(reading.values) < 2 or len(set(reading.values)) > 1:
        return reading
    problem = "it is the same at every seed, and not declared exact: it cannot fail"
    return replace(reading, problem=problem)


def _read(reference: Reference, evidence: Evidence, rule: Rule | None) -> _Reading | None:
    """Read a statistic; None where the profile has no rule or no groups for it."""
    if rule is None or not evidence.records(reference.experiment):
        return None
    values, runs = evidence.values(reference)
    reading = replace(_reading(values, rule, reference.interval, str(reference)), runs=runs)
    if isinstance(reference, Control) and not reference.exact:
        return _not_constant(reading)
    return reading


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
        ValueError: for a text that is no rule, an unknown kind, and what is not a number a seed.
    """
    for name, given in (("values", values), ("control", control)):
        if not isinstance(given, Mapping) or not all(isinstance(v, Real) for v in given.values()):
            raise ValueError(f"{name} must map each seed to its number; got {given!r:.200}")
    check_choice("interval", kind, INTERVAL_KINDS)
    reading = _reading(values, parse_rule(rule), kind, "the statistic")
    without = _not_constant(_reading(control, parse_rule(control_rule), kind, "the control"))
    return *_decide(reading, _outcome(without)), reading.found


def _outcome(reading: _Reading) -> Outcome:
    if reading.found is None:
        return "unclear"
    if reading.problem:
        return "not as required"
    if reading.rule.reports:
        return "reported"
    return "as required" if reading.holds else "not as required" if reading.fails else "unclear"


def _control_row(claim: Claim, profile: str, reading: _Reading | None) -> ControlRow:
    control = claim.control
    if control is None:
        return ControlRow(description=claim.no_control or "", outcome="none")
    rule = control.rule_at(profile)
    declared = {name: getattr(control, name) for name in ("description", "same_quantity", "exact")}
    declared |= {"statistic": str(control), "rule": rule and rule.text}
    if reading is None:
        return ControlRow(**declared, outcome="not run")
    holds = _rate(reading, reading)
    return ControlRow(
        **declared,
        **reading.fields(),
        failure_rate=None if holds is None else 1 - holds,
        outcome=_outcome(reading),
        reason=reading.problem,
    )


def _rate(judged: _Reading | None, control: _Reading | None) -> float | None:
    """How often the rule of `judged` would hold for seeds drawn like those of `control`."""
    if judged is None or control is None or judged.rule.reports:
        return None
    if any(isinstance(value, Bound) for value in control.values):
        return None
    n, kind = len(judged.values), judged.kind
    return rate(control.values, judged.rule, n=n, kind=kind, logs=control.kind != "t")


def _p(reading: _Reading) -> float | None:
    """Return the largest level 1 - p at which the interval still obeys the rule, as p.

    Of a range it is that of the median's interval, 2^(1-n); None where the rule does not hold.
    """
    if reading.rule.reports or not reading.holds:
        return None
    n = len(reading.values)
    if reading.kind == "range":
        return 2.0 ** (1 - n)
    log = reading.kind == "log-t"
    values = np.log(reading.values) if log else np.array(reading.values)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    ends = [end for end in (reading.rule.low, reading.rule.high) if math.isfinite(end)]
    apart = [abs(values.mean() - (math.log(e) if log else e)) for e in ends if e > 0 or not log]
    if not apart or not error:
        return 0.0
    return float(2 * stats.t.sf(min(apart) / error, n - 1))


def _decide(reading: _Reading, control: Outcome, unfinished: int = 0) -> tuple[Verdict, str | None]:
    if reading.found is None:
        return "inconclusive", reading.problem
    if reading.rule.reports:
        return "reported", None
    if unfinished:
        runs = "run was" if unfinished == 1 else "runs were"
        return "inconclusive", f"budget: {unfinished} {runs} still moving when stopped"
    if reading.fails:
        return "refuted", None
    if not reading.holds:
        return "inconclusive", "the interval reaches across a bound of the rule"
    if control in ("as required", "none"):
        return "supported", None
    why = {
        "not as required": "the control is not as required",
        "unclear": "whether the control is as required is unclear",
    }.get(control, "the control was not run")
    return "inconclusive", f"the rule holds, but {why}"


def _provenance(names: Iterable[str], evidence: Evidence) -> dict[str, Any]:
    stands = [record.provenance for name in names for record in evidence.records(name)]
    commits = {str(p.commit)[:9] + ("+" if p.dirty else "") for p in stands}
    return {
        "commit": ", ".join(sorted(commits)),
        "hardware": ", ".join(sorted({str(p.hardware) for p in stands})),
        "finished": max((str(p.finished) for p in stands), default=""),
    }


_DECLARED = (
    "id chapter headline paper cited locus theorems source statement predicted note needs budget "
    "revised"
).split()


class Judged(NamedTuple):
    """A claim's row, and the runs that its statistic and its control read."""

    row: Row
    runs: frozenset[Place]
    control_runs: frozenset[Place]


def judged(claim: Claim, evidence: Evidence) -> Judged:
    """Return the claim's row at the profile of `evidence`, and the runs that were read.

    A stale row shows its verdict but never counts as expected. Where records are missing the claim
    is not run, and says which; for want of data or a GPU, that is expected. A value that is not
    finite, or not positive under "log-t", makes it inconclusive. What depends on other claims is
    left out.
    """
    profile, rule = evidence.profile, claim.rule_at(evidence.profile)
    main, other = claim.statistic, claim.control
    reading = without = None
    verdict: Verdict = "not run"
    lacking = f"groups of {main.experiment}" if rule else "rule"
    reason: str | None = f"profile {profile} has no {lacking}"
    expected = claim.expected_at(profile)
    try:
        reading = _read(main, evidence, rule)
        without = _read(other, evidence, other.rule_at(profile)) if reading and other else None
    except MissingRecords as missing:
        reading, reason = None, str(missing)
        expected = "not run" if isinstance(missing, MissingResource) else expected
    control = _control_row(claim, profile, without)
    if reading is not None:
        read = reading.runs if claim.needs else frozenset()
        if other and other.needs and without:
            read |= without.runs
        verdict, reason = _decide(reading, control.outcome, evidence.unfinished(read))
    names = [main.experiment] if reading else []
    names += [other.experiment] if other and without else []
    stale = any(evidence.stale(name) for name in names)
    predicted = claim.predicted
    ends = reading.found if reading and verdict == "supported" else None
    row = Row.model_validate(
        {name: getattr(claim, name) for name in _DECLARED}
        | {"statistic": str(main), "rule": rule and rule.text, "interval_kind": main.interval}
        | (reading.fields() if reading else {})
        | {
            "verdict": verdict,
            "reason": reason,
            "excluded": not (
                ends is None or isinstance(predicted, str) or ends.low <= predicted <= ends.high
            ),
            "p": reading and _p(reading),
            "false_positive_rate": _rate(reading, without) if control.same_quantity else None,
            "control": control,
            "profile": profile,
            "expected": expected,
            "as_expected": verdict == expected and not stale,
            "stale": stale,
        }
        | _provenance(names, evidence)
    )
    return Judged(row, *(one.runs if one else frozenset() for one in (reading, without)))


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


def holm(ps: Mapping[str, float]) -> dict[str, bool]:
    """Return which of several tests stand together at the level 1 - `CONFIDENCE`.

    Of m, those with the k smallest p stand for which p_(i) <= .05 / (m - i + 1) up to i = k
    (Holm 1979).
    """
    stands: dict[str, bool] = {}
    holds = True
    for i, key in enumerate(sorted(ps, key=ps.__getitem__)):
        stands[key] = holds = holds and ps[key] <= (1 - CONFIDENCE) / (len(ps) - i)
    return stands


def with_holm(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `holm` set on the supported ones, over a chapter's decided claims."""
    stands: dict[str, bool] = {}
    for chapter in dict.fromkeys(row.chapter for row in rows):
        decided = [row for row in rows if row.chapter == chapter and row.verdict in DECIDED]
        stands |= holm({row.id: 1.0 if row.p is None else row.p for row in decided})
    return [
        row.model_copy(update={"holm": stands[row.id]}) if row.verdict == "supported" else row
        for row in rows
    ]


def with_families(rows: Sequence[Row], runs: Sequence[frozenset[Place]]) -> list[Row]:
    """Return the rows with the first claim of each one's family: those that share a run with it."""
    families, reader = DisjointSet(range(len(rows))), dict[Place, int]()
    for i, places in enumerate(runs):
        for place in places:
            families.merge(reader.setdefault(place, i), i)
    return [
        row.model_copy(update={"family": rows[min(families.subset(i))].id if runs[i] else None})
        for i, row in enumerate(rows)
    ]
