import json
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

from hierlearn.experiments import EXPERIMENTS

BOOK = Path(__file__).parents[1] / "book"
CHAPTERS = sorted(path.stem for path in BOOK.glob("[0-9]*.py"))
KEYS = {
    "id", "chapter", "statement", "statistic", "estimate", "interval", "rule", "verdict",
    "control", "n_seeds", "profile", "expected",
}  # fmt: skip


def markdown(stem):
    cells = jupytext.read(BOOK / f"{stem}.py").cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def solutions():
    for stem in CHAPTERS:
        blocks = re.findall(r"```\{solution\} (\S+)\n(.*?)\n```", markdown(stem), re.DOTALL)
        for label, body in blocks:
            yield pytest.param(
                "\n".join(re.findall(r"~~~python\n(.*?)~~~", body, re.DOTALL)), id=label
            )


def test_at_smoke_every_claim_comes_out_as_declared_and_every_headline_claim_is_decided(smoke_book):
    done = smoke_book.hierlearn("claims", "--profile", "smoke", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert all(set(row) >= KEYS for row in rows)
    headline = [row for row in rows if row["headline"]]
    assert headline and all(row["verdict"] != "not run" for row in headline)
    for row in rows:
        assert row["verdict"] == row["expected"], row["id"]
        assert row["verdict"] == "not run" or row["interval"][0] <= row["estimate"]


def test_a_second_run_computes_nothing(smoke_book):
    before = {p: p.stat().st_mtime_ns for p in smoke_book.root.glob("_build/records/*/*.jsonl")}
    done = smoke_book.hierlearn("run", "--profile", "smoke")
    assert done.returncode == 0
    assert re.search(r"smoke: 0 groups computed", done.stderr + done.stdout)
    assert before == {p: p.stat().st_mtime_ns for p in before} != {}


@pytest.mark.parametrize("stem", CHAPTERS)
def test_every_figure_says_in_words_what_it_shows(smoke_book, stem):
    cells = smoke_book.notebooks()[stem]["cells"]
    html = [
        "".join(output["data"]["text/html"])
        for cell in cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    figures = [text for text in html if "<figure" in text]
    assert figures
    for text in figures:
        label = re.search(r'<svg[^>]*aria-label="([^"]+)"', text)
        assert label and re.search(r"\d", label[1]) and len(label[1]) > 40
    assert not any(
        output.get("output_type") == "error" for c in cells for output in c.get("outputs", [])
    )


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_says_what_it_does_not_show_and_shows_its_verdicts(stem):
    text = markdown(stem)
    assert "## What this does not show" in text
    assert "## Exercises" in text and text.count("```{exercise}") >= 3
    assert "chapter.verdicts()" in (BOOK / f"{stem}.py").read_text()


@pytest.mark.parametrize("code", list(solutions()))
def test_the_solution_of_an_exercise_runs_and_its_assertion_holds(code):
    assert "assert" in code
    exec(compile(code, "solution", "exec"), {})


def test_papermill_alone_does_the_whole_job_of_a_chapter(smoke_book, tmp_path):
    stem = CHAPTERS[0]
    command = [
        "-m", "papermill", f"book/{stem}.ipynb", str(tmp_path / "out.ipynb"),
        "-p", "profile", "smoke", "-p", "records", str(tmp_path / "records"),
    ]  # fmt: skip
    done = subprocess.run([sys.executable, *command], cwd=smoke_book.root, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    computed = {p.name: p for p in (tmp_path / "records").glob("*/*.jsonl")}
    groups = [g for e in EXPERIMENTS.values() if e.chapter == stem for g in e.groups("smoke")]
    assert {f"{group.key}.jsonl" for group in groups} <= computed.keys()
    for name, path in computed.items():
        (before,) = smoke_book.root.glob(f"_build/records/*/{name}")  # by another command
        ours, theirs = (
            [json.loads(line)["measurement"] for line in p.read_text().splitlines()]
            for p in (before, path)
        )
        assert ours == theirs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--profile", "huge"), "smoke"),
        (("run", "--device", "tpu"), "cuda"),
        (("run", "nonexistent"), "01_backward_feature_correction"),
    ],
)
def test_bad_input_lists_what_is_valid_and_writes_nothing(smoke_book, arguments, words):
    before = sorted(smoke_book.root.rglob("*"))
    done = smoke_book.hierlearn(*arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert sorted(smoke_book.root.rglob("*")) == before
