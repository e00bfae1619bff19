"""All experiments of the book: every run has a name, and nothing is written that nobody reads."""

import re
from pathlib import Path

import pytest
import yaml

from hierlearn.experiment import PROFILES, digest, every
from hierlearn.registry import EXPERIMENTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_belongs_to_a_named_arm_and_every_arm_is_run(name, profile):
    one = EXPERIMENTS[name]
    run = {digest(r.config) for group in one.groups(profile) for r in group.runs}
    assert run == {digest(config.as_dict()) for config in every(one.arms(profile))}


def test_every_experiment_is_in_a_chapter_of_the_book_and_groups_are_weighed_in_seconds():
    chapters = {path.stem for path in (ROOT / "book").glob("[0-9]*.py")}
    assert {one.chapter for one in EXPERIMENTS.values()} == chapters
    for one in EXPERIMENTS.values():
        assert all(group.weight >= 0 for group in one.groups("laptop"))


def test_every_statistic_is_read_by_a_claim_a_figure_or_a_chapter():
    claims = [
        entry
        for path in (ROOT / "book/claims").glob("*.yml")
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
    ]
    read = {
        (one["experiment"], one["name"])
        for entry in claims
        for one in (entry["statistic"], entry.get("control"))
        if one
    }
    files = [*ROOT.glob("src/hierlearn/**/figures.py"), *ROOT.glob("book/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r'_STATISTICS\["(\w+)"\]', text))
    unread = [
        f"{name}.{statistic}"
        for name, one in EXPERIMENTS.items()
        for statistic in one.statistics
        if (name, statistic) not in read and statistic not in named
    ]
    assert not unread


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_declares_its_budget_or_why_it_has_none(name):
    one = EXPERIMENTS[name]
    if isinstance(one.budget, str):
        assert len(one.budget.split()) > 2, "a reason, not a word"
        return
    configs = [c for profile in PROFILES for c in every(one.arms(profile))]
    assert one.budget and all(hasattr(config, field) for config in configs for field in one.budget)
    values = [getattr(config, field) for config in configs for field in one.budget]
    flat = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
    assert any(v for v in flat)


def test_a_chapter_decides_few_claims_and_the_front_table_fewer():
    files = sorted((ROOT / "book/claims").glob("*.yml"))
    headlines = 0
    for path in files:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        decided = [one for one in entries if set(one["rules"].values()) != {"report"}]
        assert len(decided) <= (14 if path.stem in ("01", "04") else 10), path.name
        headlines += sum(one.get("headline", False) for one in entries)
    assert headlines <= 10
