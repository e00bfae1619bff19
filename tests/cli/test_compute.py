"""Computing records takes neither the book nor what executes and builds it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toy_book
from click.testing import CliRunner

from hierlearn.book.published import find_experiments
from hierlearn.cli import commands
from hierlearn.errors import UsageError
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OF_THE_BOOK = (
    "IPython ipykernel jupyter_book jupyter_client jupytext matplotlib myst_nb nbclient nbformat "
    "papermill playwright sphinx"
).split()
# Python imports `sitecustomize` at every start, so the worker processes are blocked too.
BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_THE_BOOK!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.fixture
def bare(tmp_path):
    """Run the command line in a folder without a book, where the book's packages are missing."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCK)
    (tmp_path / "here").mkdir()
    # A copy of the package alone: in a checkout, the book around it would be found.
    shutil.copytree(ROOT / "src" / "hierlearn", tmp_path / "site" / "hierlearn")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hierlearn", *arguments],
            cwd=tmp_path / "here",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


def test_records_are_computed_where_the_packages_of_the_book_are_missing(bare, tmp_path):
    done = bare("compute", "network_samples", "--profile", "smoke", "--workers", "1")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "here" / "_build" / "records"
    assert done.stdout.strip() == "_build/records"
    states = RecordStore(folder).states(EXPERIMENTS["network_samples"], "smoke")
    assert [state.status for state in states] == ["present"]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["network_samples"]


def test_a_command_that_needs_a_missing_package_says_which_and_how_to_get_it(bare, tmp_path):
    toy_book.make_project(tmp_path / "here" / "toy").rename(tmp_path / "here" / "project")
    for name in ("book", "_toc.yml", "README.md"):
        (tmp_path / "here" / "project" / name).rename(tmp_path / "here" / name)
    (tmp_path / "here" / "book" / "claims" / "01.yml").write_text("[]\n")
    done = bare("run", "--profile", "smoke")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "install -e '.[book]'" in done.stderr and "`compute` does without" in done.stderr


@pytest.mark.parametrize(("package", "extra"), [("playwright.sync_api", "test"), ("bs4", "book")])
def test_a_missing_package_comes_with_the_extra_that_is_said(monkeypatch, package, extra):
    def without():
        raise ModuleNotFoundError(f"no {package}", name=package)

    monkeypatch.setattr(commands, "find_project", without)
    done = CliRunner().invoke(commands.cli, ["pdf"])
    assert done.exit_code == 1 and f"install -e '.[{extra}]'" in done.stderr


def test_experiments_are_named_by_their_own_name_or_by_their_chapter():
    chapter = [key for key, one in EXPERIMENTS.items() if one.chapter == "03_layerwise_failure"]
    assert list(find_experiments([])) == list(EXPERIMENTS)
    assert list(find_experiments(["width"])) == ["width"]
    for name in ("3", "03", "layerwise_failure", "03_layerwise_failure"):
        assert list(find_experiments([name])) == chapter
    assert list(find_experiments(["rhm_deep", "3"])) == [*chapter, "rhm_deep"]


@pytest.mark.parametrize("name", ["", "99", "a", "../width", "gap_swep"])
def test_a_name_of_no_experiment_lists_the_valid_ones(name):
    with pytest.raises(UsageError, match="valid chapters: 01_.*valid experiments: back_and_forth"):
        find_experiments([name])
