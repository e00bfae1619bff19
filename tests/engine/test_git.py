"""Whoever starts us, a hook of git for example: git works on the folder it is given, on no other.

The decoy is a repository of a user, and the environment that a hook of it would hand down.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hierlearn.book import build
from hierlearn.book.project import Project
from hierlearn.engine.git import environment, git
from hierlearn.sweeps import sweep

ROOT = Path(__file__).parents[2]
WHO = ["-c", "user.name=n", "-c", "user.email=e@example.org"]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def decoy(tmp_path):
    """A repository with one commit, of a file that is staged anew."""
    root = tmp_path / "decoy"
    root.mkdir()
    git(root, "init", "-q")
    (root / "mine.txt").write_text("first")
    git(root, "add", ".")
    git(root, *WHO, "commit", "-qm", "first")
    (root / "mine.txt").write_text("second")
    git(root, "add", ".")
    return root


@pytest.fixture
def hook(decoy, monkeypatch):
    """The environment of a hook in that repository."""
    for name, value in {
        "GIT_DIR": decoy / ".git",
        "GIT_INDEX_FILE": decoy / ".git" / "index",
        "GIT_WORK_TREE": decoy,
        "GIT_PREFIX": "",
    }.items():
        monkeypatch.setenv(name, str(value))
    return decoy


def test_the_provenance_is_that_of_the_package_also_inside_a_hook(decoy, request):
    outside = sweep.git_state()
    request.getfixturevalue("hook")
    before = bytes_of(decoy)
    assert sweep.git_state() == outside
    assert outside[0] != git(decoy, "rev-parse", "HEAD")
    assert bytes_of(decoy) == before


def test_the_site_carries_the_time_of_its_own_repository_also_inside_a_hook(
    hook, tmp_path, monkeypatch
):
    root = tmp_path / "book"
    root.mkdir()
    git(root, "init", "-q")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert build._epoch(Project(root)) == "0"  # no commit yet, though the hook's repository has one


def test_a_book_unpacked_in_a_repository_of_the_reader_does_not_carry_its_time(decoy, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (decoy / "_toc.yml").touch()
    assert build._epoch(Project(decoy)) == "0"  # no page either
    git(decoy, "add", ".")
    git(decoy, *WHO, "commit", "-qm", "second")
    assert build._epoch(Project(decoy)) == git(decoy, "log", "-1", "--format=%ct")


def test_a_checkout_whose_commit_git_will_not_tell_says_so(monkeypatch, capsys):
    def refuse(*arguments):
        raise subprocess.CalledProcessError(128, "git", stderr="fatal: detected dubious ownership")

    monkeypatch.setattr(sweep, "git", refuse)
    assert sweep.git_state() == ("unknown", None)
    known = (ROOT / ".git").exists()
    assert ("unknown; git says: fatal: detected dubious" in capsys.readouterr().err) == known


def test_git_starts_without_what_points_at_a_repository_and_keeps_the_rest(hook):
    assert not [name for name in environment() if name.startswith("GIT_")]
    assert environment()["PATH"] == os.environ["PATH"]


@pytest.mark.slow
def test_tests_that_run_as_a_hook_leave_the_repository_of_the_hook_alone(hook):
    before = bytes_of(hook)
    one = "test_without_the_package_the_cell_clones_and_installs_it_for_the_smoke_profile"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/book/test_launch.py::{one}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    assert bytes_of(hook) == before
    assert git(hook, "status", "--porcelain") == "M  mine.txt"


def started(tree: ast.AST) -> list[ast.AST]:
    """The lists and calls of a module that begin with "git": commands."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.List, ast.Tuple, ast.Call))
        and not ast.unparse(node).endswith(".count('git')")
        and (first := node.args[:1] if isinstance(node, ast.Call) else node.elts[:1])
        and isinstance(first[0], ast.Constant)
        and isinstance(first[0].value, str)
        and first[0].value.split(" ")[0] == "git"
    ]


def test_git_is_started_in_one_place_and_by_the_cell_that_has_no_package_yet():
    folders = ("src", "tests", "book", "benchmarks")
    found = {
        path.relative_to(ROOT): [ast.unparse(node) for node in nodes]
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if (nodes := started(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert len(found.pop(Path("src/hierlearn/engine/git.py"))) == 1
    clone = "['git', 'clone', '--depth=1', repository, 'hierlearn-book']"
    for path, commands in found.items():
        assert path.parts[0] == "book" and commands == [clone], path
        assert "subprocess.run(clone, env=own, check=True)" in (ROOT / path).read_text()


@pytest.mark.parametrize(
    "code", ['run(["git", "log"])', 'run("git log", shell=True)', 'x = ("git", *rest)']
)
def test_a_second_place_would_be_found(code):
    assert started(ast.parse(code))
