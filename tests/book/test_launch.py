import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from hierlearn.engine.git import git

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


SETUP = code_cells(NOTEBOOKS[0])[0].source


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What the cell runs, in an empty folder: git for real, pip not."""
    found = []
    real = subprocess.run

    def run(command, **options):
        found.append(command)
        return None if "pip" in command else real(command, capture_output=True, **options)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    for name in ("HIERLEARN_REPOSITORY_URL", "HIERLEARN_PROFILE"):
        monkeypatch.setenv(name, "before")  # restored at the end, also where the cell sets it
        monkeypatch.delenv(name)
    return found


@pytest.fixture
def repository(tmp_path):
    """A repository with something to clone."""
    root = tmp_path / "origin"
    (root / "src").mkdir(parents=True)
    (root / "src" / "cloned.py").write_text("")
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        git(root, *command)
    return root


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_starts_with_the_same_hidden_set_up_cell(path):
    first, parameters = code_cells(path)[:2]
    assert first.source == SETUP
    assert first.metadata == {
        "cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["remove-cell"],
    }  # fmt: skip
    assert parameters.metadata.tags == ["parameters", "remove-input"]


def test_where_the_package_is_installed_the_cell_does_nothing(calls):
    before = dict(os.environ), list(sys.path)
    exec(SETUP, {})
    assert calls == [] and (dict(os.environ), sys.path) == before


def test_without_the_package_and_an_address_the_cell_says_what_to_do(calls, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="set `repository` above to its address"):
        exec(SETUP, {})
    assert calls == []


def test_without_the_package_the_cell_clones_and_installs_it_for_the_smoke_profile(
    repository, calls, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("HIERLEARN_REPOSITORY_URL", repository.as_uri())
    exec(SETUP, {})
    assert (Path(sys.path[0]) / "cloned.py").exists()
    assert calls[-1][1:] == ["-m", "pip", "install", "-qe", "./hierlearn-book"]
    assert os.environ["HIERLEARN_PROFILE"] == "smoke"
    exec(SETUP, {})  # after a kernel has been restarted
    assert [command[0] for command in calls].count("git") == 1


def test_downloads_from_the_site_know_the_address_and_nothing_else_changes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    hierlearn_site = importlib.import_module("hierlearn_site")
    theme = {"repository_url": "https://example.org/a/b", "use_repository_button": True}
    app = SimpleNamespace(config=SimpleNamespace(html_theme_options=theme), outdir=tmp_path)
    strangers = {"repository_url": "https://example.org/theirs", "use_repository_button": False}
    bare = SimpleNamespace(config=SimpleNamespace(html_theme_options=strangers), outdir=tmp_path)
    target = tmp_path / "_sources" / "book"
    target.mkdir(parents=True)
    for source in (NOTEBOOKS[0], NOTEBOOKS[0].with_suffix(".py")):
        text = source.read_text(encoding="utf-8")
        (target / source.name).write_text(text, encoding="utf-8")
        hierlearn_site.tell_address(bare, None)
        assert (target / source.name).read_text(encoding="utf-8") == text
        hierlearn_site.tell_address(app, None)
        found = (target / source.name).read_text(encoding="utf-8")
        assert found != text and found.replace("https://example.org/a/b", "") == text
    told = code_cells(target / NOTEBOOKS[0].name)[0].source
    assert '"HIERLEARN_REPOSITORY_URL", "https://example.org/a/b")' in told


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_profile_is_laptop_unless_the_environment_names_another(path, monkeypatch):
    namespace = {}
    monkeypatch.delenv("HIERLEARN_PROFILE", raising=False)
    exec(code_cells(path)[1].source, namespace)
    assert namespace["profile"] == "laptop" and namespace["device"] == "auto"
    assert namespace["records"] == "_build/records"
    monkeypatch.setenv("HIERLEARN_PROFILE", "smoke")
    exec(code_cells(path)[1].source, namespace)
    assert namespace["profile"] == "smoke"


def test_binder_has_the_environment_of_conda_users_with_the_small_torch_and_the_smoke_profile():
    ours, binder = (
        yaml.safe_load((ROOT / folder / "environment.yml").read_text())
        for folder in (".", "binder")
    )
    index, *packages = binder["dependencies"].pop()["pip"]
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"
    # The paths are relative to the file.
    assert ours["dependencies"].pop()["pip"] == [
        p.replace("..", ".").replace("./", "") for p in packages
    ]
    assert ours == binder
    start = ROOT / "binder" / "start"
    command = [
        str(start),
        sys.executable,
        "-c",
        "import os; print(os.environ['HIERLEARN_PROFILE'])",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "smoke\n"
