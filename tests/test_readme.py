from pathlib import Path

import pytest

from hierlearn import build, claims, pages, readme
from hierlearn.experiments import EXPERIMENTS
from hierlearn.project import RunError, find_project
from hierlearn.records import RecordStore

ROOT = Path(__file__).parents[1]


def test_the_readme_table_replaces_what_is_between_its_markers_and_nothing_else():
    text = "a\n<!-- verdicts -->\nold\n<!-- /verdicts -->\nb\n"
    once = readme.with_table(text, [])
    assert once.startswith("a\n<!-- verdicts -->\n| Claim") and once.endswith("/verdicts -->\nb\n")
    assert "old" not in once
    assert readme.with_table(once, []) == once


@pytest.mark.parametrize("text", ["", "<!-- verdicts -->", "<!-- /verdicts --><!-- verdicts -->"])
def test_a_readme_without_markers_is_an_error(text):
    with pytest.raises(RunError, match="no lines"):
        readme.with_table(text, [])


def test_the_readme_shows_what_the_frozen_records_say():
    project = find_project(ROOT)
    store = RecordStore(project.frozen_records)
    profile = build.published_profile(project, EXPERIMENTS)
    rows = claims.evaluate_all(pages.load_claims(project), store, profile, EXPERIMENTS)
    text = (ROOT / "README.md").read_text()
    assert readme.with_table(text, rows) == text
    assert all(row.as_expected for row in rows)
