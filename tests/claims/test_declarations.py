"""Rules mean what they say, and a badly declared claim is named with its field."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_claims import ENTRY, EXPERIMENTS, entry, load

from hierlearn.claims.declarations import ClaimError, load_claims, parse_rule


@pytest.mark.parametrize(
    ("rule", "low", "high", "satisfied", "violated"),
    [
        ("interval within [1, 2]", 1, 2, True, False),
        ("interval within [1, 2]", 0.9, 1.5, False, False),
        ("interval within [1, 2]", 0.5, 2.5, False, False),
        ("interval within [1, 2]", 2, 3, False, False),
        ("interval within [1, 2]", 2.1, 3, False, True),
        ("interval within [1, 1]", 1, 1, True, False),
        ("interval above 1", 1.1, 9, True, False),
        ("interval above 1", 1, 9, False, False),
        ("interval above 1", 0, 1, False, True),
        ("interval above 1", 1, 1, False, True),
        ("interval below 1e-3", 0, 9e-4, True, False),
        ("interval below 1e-3", 0, 1e-3, False, False),
        ("interval below 1e-3", 1e-3, 1, False, True),
    ],
)
def test_a_rule_decides_at_its_bounds(rule, low, high, satisfied, violated) -> None:
    parsed = parse_rule(rule)
    assert parsed.satisfied(float(low), float(high)) == satisfied
    assert parsed.violated(float(low), float(high)) is violated


@settings(max_examples=200)
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_a_rule_is_read_back_as_it_is_written_and_never_both_holds_and_fails(
    bound, other, low, width
) -> None:
    a, b = sorted((bound, other))
    within = parse_rule(f"interval within [{a!r}, {b!r}]")
    assert (within.low, within.high) == (a, b)
    above, below = parse_rule(f"interval above {a!r}"), parse_rule(f"interval below {a!r}")
    assert (above.low, below.high) == (a, a)
    for rule in (within, above, below):
        assert parse_rule(rule.text) == rule
        assert not (rule.satisfied(low, low + width) and rule.violated(low, low + width))


@given(st.text(max_size=40))
def test_text_that_is_no_rule_gets_an_error_that_lists_the_rules(text) -> None:
    with pytest.raises(ValueError, match="is not a rule; valid: 'interval within"):
        parse_rule("interval about " + text)


@pytest.mark.parametrize(
    "text", ["interval within [2, 1]", "interval above 1e999", "interval above nan", "", None, 3]
)
def test_rules_that_could_not_decide_anything_are_refused(text) -> None:
    with pytest.raises(ValueError, match="is empty|not finite|is not a rule"):
        parse_rule(text)


def test_the_expected_verdict_may_differ_between_profiles(tmp_path) -> None:
    (claim,) = load(tmp_path, entry(expected={"smoke": "inconclusive", "laptop": "supported"}))
    assert [claim.expected_at(p) for p in ("smoke", "laptop", "paper")] == [
        "inconclusive",
        "supported",
        "not run",
    ]


def test_a_control_may_have_its_own_rule_at_each_profile(tmp_path) -> None:
    control = {name: value for name, value in ENTRY["control"].items() if name != "rule"}
    rules = {"smoke": "interval below 0.5", "laptop": "interval below 0.1"}
    (claim,) = load(tmp_path, entry(control=control | {"rules": rules}))
    assert claim.control.rule_at("smoke").high == 0.5
    assert claim.control.rule_at("laptop").high == 0.1
    assert claim.control.rule_at("paper") is None


STATISTIC, CONTROL = ENTRY["statistic"], ENTRY["control"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "B1"}, r"\(B1\): id: .*pattern"),
        ({"paper": "nobody"}, "paper: 'nobody' is not in references.bib; valid: toy2020"),
        ({"source": "guess"}, "source: .*'proved', 'stated', .*got 'guess'"),
        ({"locus": ...}, "locus: missing field; valid: id, "),
        ({"statment": "?"}, "statment: unknown field; valid: id, "),
        ({"rules": {"smoke": "above 1"}}, "rules.smoke: 'above 1' is not a rule; valid: 'interval"),
        ({"rules": {"laptop": "interval above 1"}}, "a headline claim needs a rule for profile sm"),
        ({"rules": {"lap": "interval above 1"}}, "rules.lap: unknown profile 'lap'; valid: smoke"),
        ({"rules": {}}, "rules: .*at least 1"),
        ({"statistic": STATISTIC | {"name": "y"}}, "statistic.name: .*no statistic 'y'; valid: x"),
        ({"statistic": STATISTIC | {"experiment": "z"}}, "statistic.experiment: .*valid: effect, "),
        ({"statistic": STATISTIC | {"interval": "bca"}}, "statistic.interval: .*'log-t'.*'bca'"),
        ({"statistic": STATISTIC | {"q": 1}}, "statistic.q: unknown field; valid: experiment, nam"),
        ({"control": CONTROL | {"name": "y"}}, "control.name: .*no statistic 'y'; valid: x"),
        (
            {"control": {n: v for n, v in CONTROL.items() if n != "same_quantity"}},
            "control.same_quantity: missing field; valid: experiment, name",
        ),
        ({"control": CONTROL | {"same_quantity": "yes"}}, "same_quantity: .*boolean.*got 'yes'"),
        ({"control": CONTROL | {"rule": "small"}}, "control.rule: 'small' is not a rule"),
        ({"control": CONTROL | {"rule": "report"}}, "control: 'report' cannot decide"),
        ({"control": ...}, "give either `control` or `no_control"),
        ({"no_control": "none"}, "give either `control` or `no_control"),
        ({"expected": "true"}, "expected: 'true' is not a verdict; valid: supported"),
        ({"expected": "reported"}, "expected: 'reported' belongs to the rule 'report'"),
        ({"expected": {"smoke": "supported"}}, "expected: needs one verdict for each of smoke, la"),
        ({"chapter": "99_none"}, "chapter: '99_none' is not that of 01.yml"),
    ],
)
def test_a_schema_error_names_the_entry_and_the_field(tmp_path, changes, message) -> None:
    changed = entry(**changes)
    with pytest.raises(ClaimError, match=message) as caught:
        load(tmp_path, entry(id="bfc.B0"), changed)
    assert f"claims/01.yml, entry 2 ({changed['id']})" in str(caught.value)
    assert "entry 1" not in str(caught.value)


def test_every_problem_is_listed_at_once(tmp_path) -> None:
    with pytest.raises(ClaimError) as caught:
        load(tmp_path, entry(source="guess", locus=...), "text", entry(), entry())
    text = str(caught.value)
    assert all(part in text for part in ("source", "locus", "entry 2 (not a mapping)"))
    assert "id bfc.B1 is given 2 times" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [("- id: a\n  id: b\n", "the key 'id' is given twice"), ("- 2026-13-45\n", "month must be in")],
)
def test_a_key_given_twice_and_a_day_that_is_none_are_told_with_the_file(tmp_path, text, message):
    (tmp_path / "01.yml").write_text(text)
    with pytest.raises(ClaimError, match=f"01.yml cannot be read as YAML: (?s:.*){message}"):
        load_claims(tmp_path, EXPERIMENTS)


@pytest.mark.parametrize("text", ["a: [", "a: 1", "", "!!python/object:os.system {}"])
def test_a_file_that_is_no_list_of_claims_is_refused(tmp_path, text) -> None:
    path = tmp_path / "01.yml"
    path.write_text(text)
    with pytest.raises(ClaimError, match="01.yml"):
        load_claims(tmp_path, EXPERIMENTS)
    with pytest.raises(ClaimError, match="none cannot be read: valid is a folder"):
        load_claims(tmp_path / "none", EXPERIMENTS)


def test_claims_stand_in_the_file_of_their_chapter_under_its_prefix(tmp_path) -> None:
    several = entry(id="new.B1"), entry(id="new.B2")
    assert [claim.id for claim in load(tmp_path, *several)] == ["new.B1", "new.B2"]
    with pytest.raises(ClaimError, match=r"entry 3 \(nwe.B3\): id: .* valid: new\.\{name\}"):
        load(tmp_path, *several, entry(id="nwe.B3"))
    (tmp_path / "claims" / "01.yml").rename(tmp_path / "claims" / "02.yml")
    with pytest.raises(ClaimError, match="chapter: '01_toy' is not that of 02.yml"):
        load_claims(tmp_path / "claims", EXPERIMENTS)
    (tmp_path / "claims" / "02.yml").rename(tmp_path / "claims" / "two.yml")
    with pytest.raises(ClaimError, match="two.yml: valid names"):
        load_claims(tmp_path / "claims", EXPERIMENTS)


def test_a_claim_bears_on_theorems_of_its_own_chapter_only(tmp_path) -> None:
    (tmp_path / "01_toy.py").write_text(
        "# ```{prf:theorem} Toy, Theorem 1\n# :label: thm-toy\n# 1 = 1.\n# ```\n"
        "# ```{figure} a.svg\n# :label: fig-toy\n# ```\n"
    )
    (claim,) = load(tmp_path, entry(theorems=["thm-toy"]))
    assert claim.theorems == ("thm-toy",)
    for label in ("thm-other", "fig-toy"):
        with pytest.raises(ClaimError, match=f"theorems: '{label}' is no theorem of 01_toy.py"):
            load(tmp_path, entry(theorems=[label]))
    (tmp_path / "01_toy.py").unlink()
    with pytest.raises(ClaimError, match="valid: none"):
        load(tmp_path, entry(theorems=["thm-toy"]))


def test_a_bibliography_that_cannot_be_read_is_named(tmp_path) -> None:
    load(tmp_path, entry())
    (tmp_path / "references.bib").write_text("@article{toy2020, title = {")
    with pytest.raises(ClaimError, match="references.bib cannot be read as BibTeX"):
        load_claims(tmp_path / "claims", EXPERIMENTS)
