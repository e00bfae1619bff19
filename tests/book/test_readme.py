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


def test_findings_and_table_replace_what_is_between_their_marks_and_nothing_else():
    marks = "<!-- findings -->\n<!-- /findings -->\n<!-- verdicts -->\nold\n<!-- /verdicts -->"
    text = f"a\n{marks}\nb\n"
    first = "x\n<!-- findings -->\nSee [here](01_x.ipynb).\n<!-- /findings -->\ny\n"
    once = build.with_verdicts(text, first, [])
    assert once.startswith("a\n<!-- findings -->\nSee [here](book/01_x.ipynb).\n<!-- /")
    assert once.endswith("/verdicts -->\nb\n") and "\n<!-- verdicts -->\n| Claim" in once
    assert "old" not in once
    assert build.with_verdicts(once, first, []) == once
    assert build.with_verdicts(once, "", []) == once


@pytest.mark.parametrize("text", ["", "<!-- verdicts -->", "<!-- /verdicts --><!-- verdicts -->"])
def test_a_readme_without_markers_is_an_error(text):
    with pytest.raises(RunError, match="no <!-- verdicts"):
        build.with_verdicts(text, "", [])


def test_the_readme_shows_what_the_frozen_records_say(tmp_path):
    project = find_project(ROOT)
    store, every = RecordStore(project.frozen_records), load_claims(project)
    profiles = chapter_profiles(store, every)
    rows = verdicts.evaluate_all(every, store, profiles, EXPERIMENTS)
    text = (ROOT / "README.md").read_text()
    first = (ROOT / "book/intro.md").read_text()
    assert build.with_verdicts(text, first, rows) == text
    assert text.count("<!-- findings -->\n- **") == 1 and "{" not in text.split("findings -->")[1]
    assert all(row.as_expected for row in rows)
    one = EXPERIMENTS["map"]
    build.draw_readme(
        one.runs(profiles[one.chapter], store.read(one, profiles[one.chapter])),
        tmp_path / "figure.svg",
    )
    committed = ROOT / "book/_static/readme-figure.svg"
    assert (tmp_path / "figure.svg").read_bytes() == committed.read_bytes()
