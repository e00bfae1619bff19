import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
from click.testing import CliRunner

from hierlearn.cli import commands as cli
from hierlearn.registry import EXPERIMENTS

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = sorted(path.stem for path in BOOK.glob("[0-9]*.py"))
KEYS = {
    "id", "chapter", "statement", "statistic", "estimate", "interval", "rule", "verdict",
    "control", "n_seeds", "profile", "expected",
}  # fmt: skip


def markdown(stem):
    cells = jupytext.read(BOOK / f"{stem}.py").cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def measurements(path):
    return [json.loads(line)["measurement"] for line in path.read_text().splitlines()]


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


def test_a_second_run_computes_nothing_and_gives_the_same_site_byte_for_byte(smoke_book):
    def site():
        files = [p for p in smoke_book.html.rglob("*") if p.is_file()]
        return {str(p.relative_to(smoke_book.html)): p.read_bytes() for p in files}

    records = smoke_book.root.glob("_build/records/*/*.jsonl")
    before, written = site(), {p: p.stat().st_mtime_ns for p in records}
    done = smoke_book.hierlearn("run", "--profile", "smoke")
    assert done.returncode == 0
    assert re.search(r"smoke: 0 groups computed", done.stderr + done.stdout)
    assert written == {p: p.stat().st_mtime_ns for p in written} != {}
    assert smoke_book.hierlearn("build").returncode == 0
    after = site()
    assert [name for name in before if before[name] != after.get(name)] == []
    assert before.keys() == after.keys()


def recomputed(book, stem):
    """What stands under each figure of an executed chapter: (command, what it costs)."""
    page = (book.html / "book" / f"{stem}.html").read_text()
    lines = re.findall(r'<p class="hl-recompute">(.*?)</p>', page)
    assert len(lines) == page.count('<figure class="hl-figure"') > 0
    for line in lines:
        command = re.search(r"<code>(.*?)</code>, (.*)", line)
        plain = command and html.unescape(re.sub("<.*?>", "", command[1]))
        yield (plain, command[2]) if command else ("", line)


@pytest.fixture(scope="session")
def commands(smoke_book):
    """Every command under a figure of the book, each once, with its cost."""
    return {c: cost for stem in CHAPTERS for c, cost in recomputed(smoke_book, stem) if c}


def test_under_each_figure_stands_the_command_for_what_it_draws_and_the_cost(smoke_book, commands):
    for command, cost in commands.items():
        assert re.fullmatch(r"python -m hierlearn compute( \w+)+ --profile smoke", command)
        assert re.match(r"\d+(\.\d)? CPU seconds on \w", cost)
    bare = [cost for stem in CHAPTERS for c, cost in recomputed(smoke_book, stem) if not c]
    assert bare and all(cost.startswith("No records: ") for cost in bare)


def test_the_commands_under_the_figures_work_as_pasted(smoke_book, commands, monkeypatch):
    monkeypatch.chdir(smoke_book.root)
    for command in commands:
        python, m, program, *arguments = shlex.split(command)
        assert (python, m, program) == ("python", "-m", "hierlearn")
        done = CliRunner().invoke(cli.cli, arguments)
        assert done.exit_code == 0 and "smoke: 0 groups computed" in done.stderr, done.output
    dearest_last = sorted(commands, key=lambda c: float(commands[c].split()[0]))
    cheap = dearest_last[0].split()[3:]
    done = smoke_book.hierlearn(*cheap, "--records", "_build/pasted")
    assert done.returncode == 0, done.stderr
    names = cheap[1 : cheap.index("--profile")]
    n_groups = sum(len(EXPERIMENTS[name].groups("smoke")) for name in names)
    assert f"smoke: {n_groups} groups computed" in done.stderr
    for path in (smoke_book.root / "_build/pasted").glob("*/*.jsonl"):
        (before,) = smoke_book.root.glob(f"_build/records/*/{path.name}")
        assert measurements(path) == measurements(before)


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_shows_its_figures_by_name_and_knows_no_profile(stem):
    code = [c.source for c in jupytext.read(BOOK / f"{stem}.py").cells if c.cell_type == "code"]
    shown = [source for source in code if re.fullmatch(r"chapter\.show\(figures\.\w+\)", source)]
    assert len(shown) >= 2
    assert not any(re.search(r"profile *(==|!=|in) |figures\.show\(", source) for source in code)


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_says_what_it_does_not_show_and_shows_its_verdicts(stem):
    text = markdown(stem)
    assert "## What this does not show" in text
    assert "## Exercises" in text and text.count("```{exercise}") >= 3
    assert "Rerun an experiment with a change" in text  # at smoke, in less than a minute
    assert "chapter.verdicts()" in (BOOK / f"{stem}.py").read_text()


@pytest.mark.parametrize("code", list(solutions()))
@pytest.mark.slow
def test_the_solution_of_an_exercise_runs_and_its_assertion_holds(code):
    assert "assert" in code
    exec(compile(code, "solution", "exec"), {})


def groups_of(stem):
    return [g for e in EXPERIMENTS.values() if e.chapter == stem for g in e.groups("smoke")]


def test_papermill_alone_does_the_whole_job_of_a_chapter(smoke_book, tmp_path):
    stem = min(CHAPTERS, key=lambda stem: sum(g.weight for g in groups_of(stem)))  # the cheapest
    command = [
        "-m", "papermill", f"book/{stem}.ipynb", str(tmp_path / "out.ipynb"),
        "-p", "profile", "smoke", "-p", "records", str(tmp_path / "records"),
    ]  # fmt: skip
    environment = {**os.environ, "HIERLEARN_PROFILE": "paper"}  # what papermill is given wins
    done = subprocess.run(
        [sys.executable, *command], cwd=smoke_book.root, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    computed = {p.name: p for p in (tmp_path / "records").glob("*/*.jsonl")}
    assert {f"{group.key}.jsonl" for group in groups_of(stem)} <= computed.keys()
    for name, path in computed.items():
        (before,) = smoke_book.root.glob(f"_build/records/*/{name}")  # by another command
        assert measurements(path) == measurements(before)
