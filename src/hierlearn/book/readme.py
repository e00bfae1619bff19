"""What README.md shows of the frozen records: the table of headline verdicts, and one figure."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from hierlearn.book import cards
from hierlearn.book.notebooks import write_text
from hierlearn.book.project import Project
from hierlearn.book.published import chapter_profiles, load_claims
from hierlearn.claims import verdicts
from hierlearn.drawing import figures
from hierlearn.errors import RunError
from hierlearn.experiment import Runs
from hierlearn.quadratic.original.figures import depth
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

MARKERS = ("<!-- verdicts -->", "<!-- /verdicts -->")


def update(project: Project) -> None:
    """Write verdicts and a figure from the frozen records into README.md.

    Each claim is shown at the profile that its chapter shows.
    """
    store, every = RecordStore(project.frozen_records), load_claims(project)
    profiles = chapter_profiles(store, every)
    rows = verdicts.evaluate_all(every, store, profiles, EXPERIMENTS)
    page = project.root / "README.md"
    write_text(page, with_table(page.read_text(encoding="utf-8"), rows))
    if one := EXPERIMENTS.get("exact_depth"):
        profile = profiles[one.chapter]
        if runs := one.runs(profile, store.read(one, profile)):
            draw(runs, project.book / "_static/readme-figure.svg")


def with_table(text: str, rows: Sequence[verdicts.Row]) -> str:
    """Return README's `text` with the verdict table between its markers replaced."""
    start, end = (text.find(marker) for marker in MARKERS)
    if start < 0 or end < start:
        raise RunError(f"README.md has no lines {MARKERS[0]} and {MARKERS[1]} to write between")
    head, tail = text[: start + len(MARKERS[0])], text[end:]
    return f"{head}\n{cards.readme_table(rows)}\n{tail}"


def draw(runs: Runs, path: Path) -> None:
    """Draw how each level that opens corrects level 2, from `exact_depth`."""
    with figures.style():
        drawing = depth(runs)
        figures.save(drawing.fig, path, name="readme", alt=drawing.alt)
        plt.close(drawing.fig)
