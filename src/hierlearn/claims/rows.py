"""What is shown of a claim at one profile: its row of the ledger, and that of its control."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hierlearn.claims.declarations import Source
from hierlearn.intervals import IntervalKind

Verdict = Literal["supported", "refuted", "inconclusive", "reported", "not run"]
Outcome = Literal["as required", "not as required", "unclear", "reported", "not run", "none"]


class ControlRow(BaseModel):
    """What the control showed; outcome "none" where the claim has none, with the reason.

    `failure_rate` is the share of experiments, resampled from the control's own seeds, in which
    its rule does not hold.
    """

    model_config = ConfigDict(frozen=True)

    statistic: str | None = None
    description: str
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    interval_kind: IntervalKind | None = None
    n_seeds: int = 0
    rule: str | None = None
    same_quantity: bool | None = None
    failure_rate: float | None = None
    outcome: Outcome
    reason: str | None = None


class Row(BaseModel):
    """One claim with its verdict at one profile; `model_dump(mode="json")` is its JSON form.

    `reason` says why a claim is inconclusive or not run; `commit`, `hardware` and `finished`
    summarise the provenance of the records of claim and control. `false_positive_rate` is the
    share of experiments, resampled from the control's seeds, in which the claim's rule holds; it is
    missing where the control does not measure the claim's quantity, and where nothing is decided.
    """

    model_config = ConfigDict(frozen=True)

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
    interval: tuple[float, float] | None
    interval_kind: IntervalKind
    rule: str | None
    verdict: Verdict
    reason: str | None
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
