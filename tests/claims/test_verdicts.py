"""Verdicts follow from intervals, rules and controls, and from nothing else."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from signatures import doors_alone
from toy_claims import (
    ENTRY,
    EXPERIMENTS,
    ONES,
    ZEROS,
    ToyStore,
    entry,
    load,
    row_of,
    toy_experiment,
)

from hierlearn.claims.verdicts import (
    ClaimError,
    Row,
    evaluate_all,
    judge,
    with_families,
    with_holm,
)
from hierlearn.errors import UsageError
from hierlearn.intervals import Bound


def test_a_true_claim_with_a_vanishing_control_is_supported() -> None:
    row = row_of(ToyStore(effect=ONES, ablation=ZEROS))
    assert (row.verdict, row.control.outcome, row.as_expected) == ("supported", "as required", True)
    assert row.estimate == pytest.approx(1.0)
    assert 0.9 < row.interval[0] < row.estimate < row.interval[1] < 1.1
    assert (row.n_seeds, row.commit, row.hardware) == (5, "012345678", "Toy, 2 cores")


def test_a_planted_false_claim_comes_out_refuted() -> None:
    row = row_of(ToyStore(effect=[2 * x for x in ONES], ablation=ZEROS))
    assert (row.verdict, row.as_expected) == ("refuted", False)
    assert row_of(ToyStore(effect=ZEROS, ablation=ZEROS), expected="refuted").as_expected


def test_an_interval_across_a_bound_is_inconclusive() -> None:
    row = row_of(ToyStore(effect=[0.5, 1.5, 1.0, 0.7, 1.3], ablation=ZEROS))
    assert row.verdict == "inconclusive"
    assert "reaches across" in row.reason


@pytest.mark.parametrize(
    ("ablation", "outcome"),
    [(ONES, "not as required"), ([0.0, 0.0, 0.0, 0.3, 0.1], "unclear")],
)
def test_a_claim_whose_control_does_not_vanish_is_inconclusive(ablation, outcome) -> None:
    row = row_of(ToyStore(effect=ONES, ablation=ablation))
    assert (row.verdict, row.control.outcome) == ("inconclusive", outcome)
    assert "the rule holds, but" in row.reason and "control" in row.reason


def test_a_control_that_was_not_run_does_not_support_anything() -> None:
    experiments = EXPERIMENTS | {"ablation": toy_experiment("ablation", profiles=("smoke",))}
    row = row_of(ToyStore(effect=ONES), experiments=experiments)
    assert (row.verdict, row.control.outcome) == ("inconclusive", "not run")
    assert "the control was not run" in row.reason


def test_without_a_control_the_reason_stands_in_its_place() -> None:
    row = row_of(ToyStore(effect=ONES), control=..., no_control="exact by construction")
    assert (row.verdict, row.control.outcome) == ("supported", "none")
    assert row.control.description == "exact by construction"


def test_a_profile_without_a_rule_is_not_run_and_needs_no_records() -> None:
    row = row_of(ToyStore(), "paper")
    assert (row.verdict, row.expected, row.as_expected) == ("not run", "not run", True)
    assert (row.estimate, row.interval, row.rule, row.control.outcome) == (
        None,
        None,
        None,
        "not run",
    )


def test_a_rule_without_groups_is_not_run_and_not_as_declared() -> None:
    rules = {"smoke": "interval above 0", "paper": "interval above 0"}
    row = row_of(ToyStore(), "paper", rules=rules)
    assert (row.verdict, row.expected, row.as_expected) == ("not run", "supported", False)
    assert "no groups of effect" in row.reason


def test_missing_records_leave_a_claim_not_run_that_says_what_to_compute() -> None:
    lacking = row_of(ToyStore(effect=ONES[:3], ablation=ZEROS), "laptop")
    assert (lacking.verdict, lacking.estimate, lacking.as_expected) == ("not run", None, False)
    assert "2 of 5 records of experiment 'effect'" in lacking.reason
    assert "python -m hierlearn compute effect --profile laptop" in lacking.reason
    control = row_of(ToyStore(effect=ONES))
    assert (
        control.verdict == "not run" and "5 of 5 records of experiment 'ablation'" in control.reason
    )


@pytest.mark.parametrize("stale", ["effect", "ablation"])
def test_a_stale_record_shows_its_verdict_but_is_never_as_expected(stale) -> None:
    row = row_of(ToyStore(stale=stale, effect=ONES, ablation=ZEROS))
    assert (row.verdict, row.stale, row.as_expected) == ("supported", True, False)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None])
def test_a_value_that_is_not_finite_makes_the_verdict_inconclusive_and_names_the_seed(bad) -> None:
    row = row_of(ToyStore(effect=[1.0, 1.0, bad, 1.0, bad], ablation=ZEROS))
    assert (row.verdict, row.estimate, row.n_seeds) == ("inconclusive", None, 5)
    assert row.reason == "effect.x is not a finite number for seed(s) 2, 4"
    control = row_of(ToyStore(effect=ONES, ablation=[bad, *ZEROS[1:]]))
    assert (control.verdict, control.control.outcome) == ("inconclusive", "unclear")
    assert "seed(s) 0" in control.control.reason


def test_a_log_interval_of_a_zero_is_inconclusive_and_says_why() -> None:
    statistic = {"experiment": "effect", "name": "x", "interval": "log-t"}
    row = row_of(ToyStore(effect=[1, 2, 0, 1, 1], ablation=ZEROS), statistic=statistic)
    assert row.verdict == "inconclusive" and "needs positive values" in row.reason


def test_report_only_claims_give_the_measured_range() -> None:
    row = row_of(
        ToyStore(effect=[3, 1, 2, 5, 4], ablation=ZEROS),
        rules={"smoke": "report", "laptop": "report"},
        expected="reported",
    )
    assert (row.verdict, row.rule, row.interval_kind) == ("reported", "report", "range")
    assert (row.estimate, row.interval, row.as_expected) == (3.0, (1.0, 5.0), True)


def test_the_json_form_has_all_keys_and_plain_values() -> None:
    rows = [
        row_of(ToyStore(effect=ONES, ablation=ZEROS)),
        row_of(ToyStore(), "paper"),
        row_of(ToyStore(effect=ONES), control=..., no_control="none needed"),
    ]
    keys = """id chapter headline paper locus source statement statistic predicted estimate interval
        rule verdict control n_seeds profile expected as_expected stale note reason"""
    for row in rows:
        data = json.loads(json.dumps(row.model_dump(mode="json"), allow_nan=False))
        assert set(keys.split()) <= set(data)
        assert set("statistic description estimate interval rule outcome".split()) <= set(
            data["control"]
        )
        assert data["statistic"] == "effect.x"
        assert Row.model_validate(data) == row


def test_each_experiment_is_read_once_for_all_claims(tmp_path) -> None:
    store = ToyStore(effect=ONES, ablation=ZEROS)
    claims = load(tmp_path, *(entry(id=f"bfc.B{i}") for i in range(4)))
    rows = evaluate_all(claims, store, "laptop", EXPERIMENTS)
    assert [row.id for row in rows] == ["bfc.B0", "bfc.B1", "bfc.B2", "bfc.B3"]
    assert {row.chapter for row in rows} == {"01_toy"}
    assert store.n_reads == 2


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown profile 'huge'; valid: smoke, laptop, paper"):
        evaluate_all([], ToyStore(), "huge", EXPERIMENTS)


@given(st.lists(st.floats(-3, 3), min_size=5, max_size=5))
def test_a_verdict_never_claims_more_than_its_interval(values) -> None:
    row = row_of(ToyStore(effect=values, ablation=ZEROS))
    low, high = row.interval
    inside = 0.9 <= low and high <= 1.1
    outside = high < 0.9 or low > 1.1
    assert row.verdict == ("supported" if inside else "refuted" if outside else "inconclusive")


def test_a_statistic_of_ones_own_is_judged_as_a_claim_is() -> None:
    effect, ablation = dict(enumerate(ONES)), dict(enumerate(ZEROS))
    rules = {"rule": "interval within [0.9, 1.1]", "control_rule": "interval below 0.1"}
    for values, other in [(effect, ablation), (effect, effect), (ablation, ablation)]:
        verdict, reason, found = judge(values, **rules, control=other)
        row = row_of(ToyStore(effect=list(values.values()), ablation=list(other.values())))
        assert (verdict, reason) == (row.verdict, row.reason)
        assert found is not None and (found.low, found.high) == row.interval
    with pytest.raises(ValueError, match="is not a rule"):
        judge(effect, "large", control=ablation, control_rule="interval below 0.1")
    for wrong in (list(effect.values()), effect | {0: None}, effect | {0: "1"}):
        for name, pair in (("values", (wrong, ablation)), ("control", (effect, wrong))):
            told = f"{name} must map each seed to its number"
            with doors_alone(), pytest.raises(ValueError, match=told):
                judge(pair[0], **rules, control=pair[1])
    told = "unknown interval 'boot'; valid: t, log-t, range"
    with doors_alone(), pytest.raises(ValueError, match=told):
        judge(effect, **rules, control=ablation, kind="boot")
    still = judge(effect, control=dict.fromkeys(effect, 0.0), **rules)
    assert still[0] == "inconclusive"  # the same at every seed, it could not have failed
    far = judge(
        {0: 1e308, 1: 1e308, 2: -1e308}, control=ablation, **rules | {"rule": "interval above 1"}
    )
    assert far[0] == "inconclusive" and far[2] is None


class Said(ToyStore):
    """A store whose runs also say whether they converged."""

    def __init__(self, said, **values):
        super().__init__(**values)
        self.said = said

    def read(self, experiment, profile):
        found = super().read(experiment, profile)
        for record, one in zip(found, self.said.get(experiment.name, []), strict=False):
            record.measurement["converged"] = one
        return found


TRUE, MOVING = [True] * 5, [True, True, False, True, True]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ({"effect": TRUE, "ablation": TRUE}, "supported"),
        ({"effect": MOVING, "ablation": TRUE}, "inconclusive"),
        ({"effect": TRUE, "ablation": MOVING}, "supported"),
    ],
)
def test_a_run_that_was_still_moving_decides_nothing(said, verdict) -> None:
    row = row_of(Said(said, effect=ONES, ablation=ZEROS), needs="converged")
    assert row.verdict == verdict
    assert (row.reason or "").startswith("budget" if verdict == "inconclusive" else "")
    assert row_of(Said(said, effect=ONES, ablation=ZEROS)).verdict == "supported"


def test_a_control_may_need_converged_runs_as_well() -> None:
    control = ENTRY["control"] | {"needs": "converged"}
    for said, verdict in ((TRUE, "supported"), (MOVING, "inconclusive")):
        store = Said({"ablation": said}, effect=ONES, ablation=ZEROS)
        assert row_of(store, control=control).verdict == verdict


def test_convergence_is_asked_of_runs_that_say_it_or_have_no_budget() -> None:
    store = ToyStore(effect=ONES, ablation=ZEROS)
    with pytest.raises(ClaimError, match="have no `converged`"):
        row_of(store, needs="converged")
    exact = {name: replace(one, budget="solved exactly") for name, one in EXPERIMENTS.items()}
    assert row_of(store, experiments=exact, needs="converged").verdict == "supported"


def test_a_control_that_cannot_vary_is_none_unless_it_is_exact() -> None:
    store = ToyStore(effect=ONES, ablation=[0.0] * 5)
    row = row_of(store)
    assert (row.verdict, row.control.outcome) == ("inconclusive", "not as required")
    assert "cannot fail" in row.control.reason
    control = ENTRY["control"] | {"exact": "an identity of the algebra"}
    assert row_of(store, control=control).verdict == "supported"


def test_a_prediction_that_the_interval_excludes_is_shown() -> None:
    store = ToyStore(effect=[x + 0.05 for x in ONES], ablation=ZEROS)
    row = row_of(store)
    assert (row.verdict, row.excluded) == ("supported", True)
    assert (
        not row_of(store, predicted=1.05).excluded and not row_of(store, predicted="large").excluded
    )


def test_a_bound_supports_what_it_reaches_and_decides_nothing_beyond() -> None:
    values = [5.0, 6.0, Bound(4.0, "≥"), 7.0, 5.5]
    for rule, verdict in (("above 3", "supported"), ("above 4.5", "inconclusive")):
        row = row_of(
            ToyStore(effect=values, ablation=ZEROS), rules={"smoke": f"interval {rule}"},
            profile="smoke", expected="supported",
        )  # fmt: skip
        assert (row.verdict, row.interval, row.side) == (verdict, (4.0, math.inf), "≥")
    assert Row.model_validate_json(row.model_dump_json()) == row


@given(st.lists(st.floats(-1, 3), min_size=3, max_size=8), st.sampled_from(["t", "log-t"]))
def test_p_is_the_level_at_which_the_interval_touches_the_rule(values, kind) -> None:
    values = [abs(value) + 0.1 for value in values]
    statistic = ENTRY["statistic"] | {"interval": kind}
    rules = {"smoke": "interval within [0.05, 2.5]"}
    row = row_of(
        ToyStore(effect=values, ablation=ZEROS), profile="smoke", rules=rules, statistic=statistic
    )
    assert (row.p is not None) == (row.interval is not None and row.verdict == "supported")
    if row.p is None or row.p == 0:
        return
    logs = np.log(values) if kind == "log-t" else np.array(values)
    error = logs.std(ddof=1) / len(logs) ** 0.5
    half = stats.t.ppf(1 - row.p / 2, len(logs) - 1) * error
    ends = np.array([logs.mean() - half, logs.mean() + half])
    bounds = np.log([0.05, 2.5]) if kind == "log-t" else np.array([0.05, 2.5])
    assert np.abs(ends - bounds).min() == pytest.approx(0, abs=1e-6)


def test_holm_keeps_the_strongest_claims_of_a_chapter_only() -> None:
    row = row_of(ToyStore(effect=ONES, ablation=ZEROS))
    ps = [0.01, 0.04, 0.03, 0.005]
    rows = [row.model_copy(update={"id": f"bfc.B{i}", "p": p}) for i, p in enumerate(ps)]
    assert [one.holm for one in with_holm(rows)] == [True, False, False, True]


def test_claims_that_share_a_run_are_one_family() -> None:
    row = row_of(ToyStore(effect=ONES, ablation=ZEROS))
    rows = [row.model_copy(update={"id": f"bfc.B{i}"}) for i in range(5)]
    read = [{("a", 0)}, {("a", 1)}, {("b", 0)}, {("a", 0), ("a", 1)}, set()]
    found = with_families(rows, [frozenset(one) for one in read])
    assert [one.family for one in found] == ["bfc.B0", "bfc.B0", "bfc.B2", "bfc.B0", None]
