from pathlib import Path

import pytest

from hierlearn.book import build
from hierlearn.book.project import find_project
from hierlearn.book.published import chapter_profiles, load_claims
from hierlearn.claims import verdicts
from hierlearn.errors import RunError
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_readme_table_replaces_what_is_between_its_markers_and_nothing_else():
    text = "a\n<!-- verdicts -->\nold\n<!-- /verdicts -->\nb\n"
    once = build.with_table(text, [])
    assert once.startswith("a\n<!-- verdicts -->\n| Claim") and once.endswith("/verdicts -->\nb\n")
    assert "old" not in once
    assert build.with_table(once, []) == once


@pytest.mark.parametrize("text", ["", "<!-- verdicts -->", "<!-- /verdicts --><!-- verdicts -->"])
def test_a_readme_without_markers_is_an_error(text):
    with pytest.raises(RunError, match="no lines"):
        build.with_table(text, [])


def test_the_readme_shows_what_the_frozen_records_say(tmp_path):
    project = find_project(ROOT)
    store, every = RecordStore(project.frozen_records), load_claims(project)
    profiles = chapter_profiles(store, every)
    rows = verdicts.evaluate_all(every, store, profiles, EXPERIMENTS)
    text = (ROOT / "README.md").read_text()
    assert build.with_table(text, rows) == text
    assert all(row.as_expected for row in rows)
    one = EXPERIMENTS["exact_depth"]
    build.draw_readme(
        one.runs(profiles[one.chapter], store.read(one, profiles[one.chapter])),
        tmp_path / "figure.svg",
    )
    committed = ROOT / "book/_static/readme-figure.svg"
    assert (tmp_path / "figure.svg").read_bytes() == committed.read_bytes()
