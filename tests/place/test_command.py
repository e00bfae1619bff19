"""`place` as its users call it."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from hierlearn.book.project import Project
from hierlearn.cli import commands, placing
from hierlearn.place import plugin
from hierlearn.place import tasks as table
from hierlearn.records import RecordStore
from hierlearn.records.files import read_lines
from hierlearn.sweeps.executors import LocalPool, measure_unit

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
MINE = """
import numpy as np
class Classifier:
    def fit(self, X, y):
        self.means = np.stack([X[y == k].mean(0) for k in range(y.max() + 1)])
    def predict(self, X):
        return ((X[:, None] - self.means) ** 2).sum(2).argmin(1)
"""


class Here:
    """Measures in this process: the file's own process stays apart."""

    def results(self, units):
        for unit in units:
            yield unit, measure_unit(unit.experiment.measure, unit.group, "cpu")


@pytest.fixture(autouse=True)
def short(tmp_path, monkeypatch):
    """An empty folder without a book, ladders of one rung, one seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(placing, "find_project", lambda **_: Project(tmp_path))
    monkeypatch.setitem(table.RUNGS, "smoke", 1)
    monkeypatch.setitem(plugin.SEEDS, "smoke", range(1))
    monkeypatch.setattr(LocalPool, "on", lambda *_: Here())
    (tmp_path / "mine.py").write_text(MINE)


def call(*arguments, options=("--profile", "smoke", "--workers", "1")):
    return CliRunner().invoke(commands.cli, ["place", *map(str, arguments), *options])


def files(folder: Path) -> dict[str, list]:
    found = sorted(folder.glob("_build/records/place_mine/*.jsonl"))
    return {one.name: [record for _, record in read_lines(one)[0]] for one in found}


@pytest.mark.parametrize(
    ("name", "task"),
    [("sklearn_forest", "ball"), ("torch_network", "ball"), ("muon", "quadratic-2")],
)
def test_a_worked_plug_in_is_placed(name, task):
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "sklearn_forest",
        "torch_network",
        "muon",
    }
    done = call(EXAMPLES / f"{name}.py", "--tasks", task)
    assert done.exit_code == 0, done.stderr
    head, row = done.stdout.splitlines()
    assert head.startswith("task") and row.startswith(task)
    assert "failed" not in row and re.search(r" [≤>]?\d+ ", row)


def test_what_is_placed_is_kept_resumed_and_replayed(tmp_path):
    first = call("mine.py", "--tasks", "ball,images")
    assert first.exit_code == 0, first.stderr
    kept = files(tmp_path)
    (one, *_), (other, *_) = kept.values()
    assert one.config["source"] == MINE and one.config["salt"] == other.config["salt"] != ""
    gone = next(iter(kept))
    (tmp_path / "_build/records/place_mine" / gone).unlink()
    again = call("mine.py", "--tasks", "ball,images")
    assert "1 groups computed, 1 already there" in again.stderr
    assert again.stdout == first.stdout
    now = files(tmp_path)
    assert {k: [r.measurement for r in v] for k, v in now.items()} == {
        k: [r.measurement for r in v] for k, v in kept.items()
    }
    replayed = call("mine.py", "--replay", "2")
    assert replayed.exit_code == 0, replayed.stderr
    assert "2 the same, bit for bit" in replayed.stdout


def test_a_scheduler_of_dask_measures_what_is_measured_here(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    from hierlearn.sweeps.cluster import local_cluster

    first, kept = call("mine.py", "--tasks", "ball,images"), files(tmp_path)
    (tmp_path / "_build/records/place_mine" / next(iter(kept))).unlink()
    with local_cluster(1, "cpu") as cluster:
        there = ("--profile", "smoke", "--scheduler", cluster.address)
        again = call("mine.py", "--tasks", "ball,images", options=there)
    assert "1 groups computed, 1 already there" in again.stderr
    assert again.stdout == first.stdout
    assert [[r.measurement for r in one] for one in files(tmp_path).values()] == [
        [r.measurement for r in one] for one in kept.values()
    ]


def test_a_record_that_was_improved_by_hand_does_not_replay(tmp_path):
    from hierlearn.experiment import Group, Run

    call("mine.py", "--tasks", "ball")
    (record,) = next(iter(files(tmp_path).values()))
    better = {**record.measurement, "errors": [0.0]}
    group = Group((Run(record.experiment, record.config, record.seed),))
    RecordStore(tmp_path / "_build/records").write(group, [better], record.provenance)
    done = call("mine.py", "--replay", "1")
    assert done.exit_code == 1 and "not the same" in done.stderr


def test_another_source_is_another_learner(tmp_path):
    call("mine.py", "--tasks", "ball")
    (tmp_path / "mine.py").write_text(MINE + "# changed")
    assert "1 groups computed" in call("mine.py", "--tasks", "ball").stderr
    assert len(files(tmp_path)) == 2


def test_other_seeds_have_other_targets_and_a_folder_of_their_own(tmp_path):
    done = call("mine.py", "--tasks", "parity-4,ball", "--seeds", "9801")
    assert done.exit_code == 0, done.stderr
    assert not files(tmp_path) and (tmp_path / "_build/pilots/place_mine").is_dir()
    assert re.search("parity-4 .*: .* has no Regressor: it is not for regression", done.stdout)
    assert "failed" in done.stdout


def test_a_failure_in_the_middle_is_told_and_loses_nothing(tmp_path):
    (tmp_path / "mine.py").write_text(
        MINE.replace("self.means =", "assert X.shape[1] < 100, 'too wide for me'; self.means =")
    )
    done = call("mine.py", "--tasks", "ball,images")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"^images +— .* failed$", done.stdout, re.MULTILINE)
    said = "images (seeds 0): the learner's file, line 5: AssertionError: too wide for me"
    assert said in done.stdout
    assert len(files(tmp_path)) == 2


def test_a_learner_stands_beside_those_of_the_map(tmp_path, monkeypatch):
    call("mine.py", "--tasks", "ball")
    (record,) = next(iter(files(tmp_path).values()))
    walk = record.measurement
    other = {"forest": {"ball": {0: walk}}, "joint": {"images": {0: walk}}}
    monkeypatch.setattr(placing, "references", lambda *_: other)
    done = call("mine.py", "--tasks", "ball")
    lines = [line.split() for line in done.stdout.splitlines() if line]
    assert lines[2] == ["learner", "ball", "beside", "mine"]
    assert lines[3][0] == "mine" and lines[4][0] == "forest" and lines[3][1] == lines[4][1]
    assert done.stdout.rstrip().endswith("needs more on 0, less on 0 of 1")


def test_learners_that_others_placed_are_rows_if_their_records_are_of_their_text(tmp_path):
    call("mine.py", "--tasks", "ball")
    folder = tmp_path / "book/placed"
    shutil.copytree(tmp_path / "_build/records", folder / "records")
    (folder / "mine.py").write_text(MINE)
    (tmp_path / "yours.py").write_text(MINE)
    done = call("yours.py", "--tasks", "ball")
    assert [line.split()[0] for line in done.stdout.splitlines()[-2:]] == ["yours", "mine"]
    (folder / "mine.py").rename(folder / "my one.py")
    (folder / "records/place_mine").rename(folder / "records" / plugin.name_of(Path("my one.py")))
    assert "my one" in call("yours.py", "--tasks", "ball").stdout
    (folder / "my one.py").rename(folder / "mine.py")
    (folder / "records/place_my_one").rename(folder / "records/place_mine")
    replayed = call("book/placed/mine.py", "--records", "book/placed/records", "--replay", "1")
    assert replayed.exit_code == 0, replayed.stderr
    (folder / "mine.py").write_text(MINE + "# changed since")
    assert "mine" not in call("yours.py", "--tasks", "ball").stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("none.py",), "none.py cannot be read: No such file"),
        (("mine.py", "--tasks", "balls"), "unknown task 'balls'; valid: "),
        (("mine.py", "--tasks", "parity-4"), "mine.py has no Regressor"),
        (("mine.py", "--limit", "0"), "--limit"),
        (("mine.py", "--limit", "inf"), "--limit': inf is not in the range"),
        (("mine.py", "--limit", "nan"), "nan is no number of seconds; valid: e.g. 300"),
        (("mine.py", "--memory", "inf"), "--memory': inf is not in the range"),
        (("mine.py", "--memory", "nan"), "nan is no number of GiB; valid: e.g. 4"),
        (("mine.py", "--replay", "1"), "holds no groups of profile smoke to replay"),
    ],
)
def test_bad_arguments_end_in_a_sentence(arguments, problem):
    done = call(*arguments)
    assert done.exit_code in (1, 2) and problem in done.stderr and "Traceback" not in done.stderr
