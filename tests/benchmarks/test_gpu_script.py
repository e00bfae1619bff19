"""The script for a GPU machine waits for what it starts, archives it, and ends it when stopped.

What it starts is the interpreter that PYTHON names: here one that takes its time.
"""

import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu.sh"
SLOW = """#!/bin/sh
case "$*" in *--records*) ;; *) exit 0 ;; esac
while [ "$1" != --budget ]; do shift; done
sleep {seconds}
mkdir -p "$4/done" && echo "$2" >"$4/done/$(basename "$4").jsonl"
"""


@pytest.fixture
def script(tmp_path):
    """Start a copy of the script, with an interpreter that takes so many seconds."""
    (tmp_path / "benchmarks").mkdir()
    copy = tmp_path / "benchmarks/gpu.sh"
    copy.write_bytes(SCRIPT.read_bytes())

    def start(seconds, budget="60", folder="out", benchmark="0"):
        python = tmp_path / "python"
        python.write_text(SLOW.format(seconds=seconds))
        python.chmod(0o755)
        environment = {**os.environ, "PYTHON": str(python), "BENCHMARK": benchmark}
        arguments = ["sh", str(copy), budget, str(tmp_path / folder)]
        return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def archived(folder):
    with tarfile.open(folder / "out/records.tar.gz") as archive:
        return sorted(Path(name).stem for name in archive.getnames() if name.endswith(".jsonl"))


def test_every_share_is_waited_for_and_archived(script, tmp_path):
    assert script(seconds=2).wait(timeout=60) == 0
    assert archived(tmp_path) == ["balls", "full", "kernels", "levels", "rest", "sgd", "strings"]


def test_what_needs_a_gpu_has_it_first_and_the_others_have_the_seconds_that_are_left(
    script, tmp_path
):
    process = script(seconds=3)
    while not (tmp_path / "out/full.txt").exists():
        time.sleep(0.05)
    time.sleep(1)
    assert {one.stem for one in tmp_path.glob("out/*.txt")} == {"full", "log", "rest"}
    assert process.wait(timeout=60) == 0
    given = {one.stem: int(one.read_text()) for one in tmp_path.glob("_build/gpu-records/*/done/*")}
    assert (given["full"], given["rest"]) == (60, 60) and 50 < given["balls"] <= 57


def test_when_it_is_stopped_nothing_goes_on_and_there_is_an_archive(script, tmp_path):
    process = script(seconds=3)
    while not (tmp_path / "out/rest.txt").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert archived(tmp_path) == []
    time.sleep(4)
    assert not list((tmp_path / "_build/gpu-records").glob("*/done")), "one of them went on"


def test_seconds_that_are_no_number_are_refused(script):
    process = script(seconds=0, budget="x")
    assert process.wait(timeout=30) == 2
    assert "SECONDS is 'x'; valid: a whole number" in process.stderr.read()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"folder": "python"}, "FOLDER is"), ({"budget": "1m"}, "SECONDS is '1m'"),
     ({"benchmark": "soon"}, "BENCHMARK is 'soon'")],
)  # fmt: skip
def test_what_it_cannot_work_with_is_refused_before_anything_is_written(
    script, tmp_path, wrong, said
):
    """Where the folder cannot be entered its name is empty, and files would land in the root."""
    process = script(seconds=0, **wrong)
    assert process.wait(timeout=60) == 2
    assert said in process.stderr.read().splitlines()[-1]
    assert {one.name for one in tmp_path.iterdir()} == {"benchmarks", "python"}
