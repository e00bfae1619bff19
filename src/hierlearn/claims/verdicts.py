"""Verdicts: what the records of a profile say about the claims of `book/claims/`.

A claim is supported iff its whole interval satisfies its rule and the whole interval of its
control satisfies the control's rule; refuted iff its whole interval violates its rule; not run
where the profile has no rule or no groups for it; inconclusive otherwise, with the reason.
Beside the verdict stands how often the rule would hold for seeds drawn like those of the control;
it decides nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from hierlearn.claims.declarations import (
    Claim,
    ClaimError,
    Reference,
    Rule,
    load_claims,
    parse_rule,
)
from hierlearn.claims.resampling import rate
from hierlearn.claims.rows import ControlRow, Outcome, Row, Verdict
from hierlearn.experiment import PROFILES, Experiment, Runs
from hierlearn.intervals import Interval, IntervalError, IntervalKind, interval
from hierlearn.records import groups_of

__all__ = [
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

    def values(self, reference: Reference) -> dict[int, float]:
        """The statistic, one value a seed, in the order of the seeds; None becomes nan."""
        statistic = self.experiments[reference.experiment].statistics[reference.name]
        found = statistic(self.records(reference.experiment))
        return {s: math.nan if found[s] is None else float(found[s]) for s in sorted(found)}


@dataclass(frozen=True)
class _Reading:
    """A statistic under a rule: its interval, or the problem that left it without one."""

    rule: Rule
    kind: IntervalKind
    values: tuple[float, ...]
    found: Interval | None = None
    problem: str | None = None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def estimate(self) -> float | None:
        return self.found.estimate if self.found else None

    @property
    def ends(self) -> tuple[float, float] | None:
        return (self.found.low, self.found.high) if self.found else None


def _read(reference: Reference, rule: Rule, evidence: Evidence) -> _Reading:
    return _reading(evidence.values(reference), rule, reference.interval, str(reference))


def _reading(values: Mapping[int, float], rule: Rule, kind: IntervalKind, name: str) -> _Reading:
    reading = _Reading(rule, "range" if rule.reports else kind, (*values.values(),))
    bad = [str(seed) for seed, value in values.items() if not math.isfinite(value)]
    if bad:
        problem = f"{name} is not a finite number for seed(s) {', '.join(bad)}"
        return replace(reading, problem=problem)
    try:
        return replace(reading, found=interval(reading.values, reading.kind))
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
        outcome="not run",
    )
    if reading is None:
        return row
    holds = _rate(reading, reading)
    found = {
        "estimate": reading.estimate,
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
    return rate(control.values, judged.rule, n=judged.n, kind=judged.kind, logs=control.kind != "t")


def _decide(reading: _Reading, control: ControlRow) -> tuple[Verdict, str | None]:
    if reading.ends is None:
        return "inconclusive", reading.problem
    if reading.rule.reports:
        return "reported", None
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


_DECLARED = "id chapter headline paper cited locus theorems source statement predicted note".split()


def evaluate(claim: Claim, evidence: Evidence) -> Row:
    """Return the claim's row: its interval, control and verdict at the profile of `evidence`.

    A stale row shows its verdict but never counts as expected. Where records are missing the claim
    is not run, and says which; a value that is not finite, or not positive under "log-t", makes it
    inconclusive.
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
        verdict, reason = _decide(reading, control)
    names = [main] if reading else []
    if claim.control and control.outcome != "not run" and claim.control.experiment != main:
        names.append(claim.control.experiment)
    stale = any(evidence.stale(name) for name in names)
    found = {
        "statistic": str(claim.statistic),
        "estimate": reading and reading.estimate,
        "interval": reading and reading.ends,
        "interval_kind": reading.kind if reading else claim.statistic.interval,
        "rule": rule and rule.text,
        "verdict": verdict,
        "reason": reason,
        "false_positive_rate": _rate(reading, without) if control.same_quantity else None,
        "control": control,
        "n_seeds": reading.n if reading else 0,
        "profile": profile,
        "expected": claim.expected_at(profile),
        "as_expected": verdict == claim.expected_at(profile) and not stale,
        "stale": stale,
    }
    declared = {name: getattr(claim, name) for name in _DECLARED}
    return Row.model_validate(declared | found | _provenance(names, evidence))


def evaluate_all(
    claims: Iterable[Claim],
    store: Store,
    profiles: str | Mapping[str, str],
    experiments: Mapping[str, Experiment],
) -> list[Row]:
    """Return the rows of all claims, in their order.

    `profiles` is one profile, or that of each chapter.
    """
    if isinstance(profiles, str):
        evidence = Evidence(store, profiles, experiments)
        return [evaluate(claim, evidence) for claim in claims]
    of = {name: Evidence(store, name, experiments) for name in set(profiles.values())}
    return [evaluate(claim, of[profiles[claim.chapter]]) for claim in claims]
