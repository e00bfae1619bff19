"""What is shown of a claim at one profile: its row of the ledger, and that of its control."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hierlearn.claims.declarations import Revision, Source
from hierlearn.intervals import IntervalKind

Verdict = Literal["supported", "refuted", "inconclusive", "reported", "not run"]
Outcome = Literal["as required", "not as required", "unclear", "reported", "not run", "none"]


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
    `excluded` says that the rule holds on an interval that the number predicted is not in. `family`
    is the first of the claims that read the same runs; `p` the largest level at which an interval
    that is wider still obeys the rule, and `holm` whether the claim also stands when Holm's
    correction is taken over the decided claims of its chapter. `reason` says why a claim is
    inconclusive or not run; `commit`, `hardware` and `finished` summarise the provenance of the
    records of claim and control. `false_positive_rate` is the share of experiments, resampled from
    the control's seeds, in which the claim's rule holds; it is missing where the control does not
    measure the claim's quantity, and where nothing is decided.
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
    estimate: float | None
    side: str | None
    interval: tuple[float, float] | None
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
    n_seeds: int
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
