import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest
import toy_book
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hierlearn.book.project import find_project
from hierlearn.engine.git import git
from hierlearn.errors import UsageError, check_choice
from hierlearn.experiment import PROFILES

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, version in pins}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for group in (PROJECT["dependencies"], *extras) for text in group]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_pins_every_declared_dependency_to_a_version_it_allows(requirement):
    pins = locked()
    if requirement.marker and not requirement.marker.evaluate():
        pytest.skip(f"not for this interpreter: {requirement}")
    assert normal(requirement.name) in pins, "write it into requirements.lock"
    assert requirement.specifier.contains(pins[normal(requirement.name)])


def test_the_lock_names_no_index_no_path_and_no_variant_of_torch():
    text = (ROOT / "requirements.lock").read_text()
    pins = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in pins)
    assert len(locked()) == len(pins)
    assert "hierlearn" not in locked() and "pip" not in locked()


def test_the_lock_installs_on_the_oldest_python_that_is_promised():
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    installed = {(normal(d.name), d.version): d for d in importlib.metadata.distributions()}
    here = [installed[pin] for pin in locked().items() if pin in installed]
    needs = {d.name: d.metadata.get("Requires-Python", "") for d in here}
    assert {k: v for k, v in needs.items() if not SpecifierSet(v).contains(oldest)} == {}


def test_environment_yml_is_the_same_python_and_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    version = python.removeprefix("python=")
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.lock", "-e ."]}
    assert tuple(map(int, version.split("."))) >= (3, 11)
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_make_target_that_is_promised_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in "book test site run paper claims status freeze links lint clean help".split():
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_project_is_found_from_any_folder_inside(tmp_path):
    root = toy_book.make_project(tmp_path / "project")
    assert find_project(root / "book").root == root
    assert find_project(root).root == root


def test_the_code_of_another_checkout_does_not_judge_the_records_of_this_one(tmp_path):
    root = toy_book.make_project(tmp_path / "project")
    (root / "src" / "hierlearn").mkdir(parents=True)
    for need_book in (True, False):
        with pytest.raises(UsageError, match=f"code that runs is {ROOT}.*valid: .*PYTHONPATH=src"):
            find_project(root / "book", need_book=need_book)
    assert find_project(ROOT).root == ROOT


@pytest.mark.parametrize("records", [5, None, True, "", "a\0b", ["_build"]])
def test_records_that_are_no_folder_are_refused_whatever_papermill_made_of_them(tmp_path, records):
    with pytest.raises(UsageError, match=f"records is {re.escape(repr(records))}; valid: a folder"):
        find_project(toy_book.make_project(tmp_path / "project")).records_folder(records)


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_installs_anew_for_other_requirements_or_in_a_copied_folder_and_else_never(tmp_path):
    """A Python that only notes what it is asked stands for the real one."""
    here, fake = (
        tmp_path / "a 'b\" $c `d`",
        "#!/bin/sh\necho $2 >>log\nmkdir -p .venv/bin\ncp -n $0 .venv/bin/python\nexit 0\n",
    )
    here.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, here)
    (here / "python").write_text(fake)
    (here / "python").chmod(0o755)

    def installs(folder: Path) -> int:
        (folder / "log").unlink(missing_ok=True)
        command = ["make", "PYTHON=./python", ".venv/.installed"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "log").read_text().count("pip") if (folder / "log").exists() else 0

    assert [installs(here), installs(here)] == [2, 0]
    os.utime(here / "requirements.lock", (2**31 - 1, 2**31 - 1))
    assert installs(here) == 0
    with (here / "pyproject.toml").open("a") as file:
        file.write("#\n")
    assert [installs(here), installs(here)] == [2, 0]
    (here / ".venv" / ".installed").unlink()
    (here / "log").unlink(missing_ok=True)
    for left in (".venv.lock", ".venv.lock.stale"):  # by makes that were killed
        (here / left).symlink_to("4194305")
    both = [
        subprocess.Popen(["make", "PYTHON=./python", ".venv/.installed"], cwd=here, stdout=-1)
        for _ in range(2)
    ]
    assert [one.communicate() and one.returncode for one in both] == [0, 0]
    assert (here / "log").read_text().count("pip") == 2
    assert installs(here) == 0 and not list(here.glob(".venv.lock*"))
    copy = shutil.copytree(here, tmp_path / "copy")
    (copy / ".venv" / "old").touch()
    assert [installs(copy), installs(copy)] == [2, 0] and not (copy / ".venv" / "old").exists()


@pytest.mark.parametrize("name", ["01_toy_chapter", "1", "01", "toy", "01_toy"])
def test_a_chapter_is_found_by_stem_number_or_unique_part(tmp_path, name):
    project = find_project(toy_book.make_project(tmp_path / "project"))
    assert project.find_notebook(name) == "01_toy_chapter"


@pytest.mark.parametrize("profile", ["huge", "", "SMOKE", 3, None])
def test_an_unknown_profile_is_refused_with_the_valid_ones(profile):
    with pytest.raises(UsageError, match="valid: smoke, laptop, paper"):
        check_choice("profile", profile, PROFILES)


# --- products of documented commands, names of packages, ends of lines --------------------------

TEXTS = ["README.md", "CONTRIBUTING.md", "AGENTS.md", "book/running.md", "book/library.md"]


def test_what_a_documented_command_writes_git_ignores():
    products = []
    for name in TEXTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        products += re.findall(r"--wheel-dir (\S+)|^python\S* .* > (\S+)", text, re.MULTILINE)
        products += [("book/" + out, "") for out in re.findall(r"papermill \S+ipynb (\S+)", text)]
    assert len(products) > 2
    for one in map("".join, products):
        git(ROOT, "check-ignore", str((ROOT / one).resolve()))  # fails: untracked


def test_a_second_wheel_holds_no_module_that_was_deleted_and_the_tree_stays_as_it_was(
    tmp_path, monkeypatch
):
    backend = pytest.importorskip("flit_core.buildapi")
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, tmp_path)
    package = tmp_path / "src" / "hierlearn"
    shutil.copytree(ROOT / "src/hierlearn/images", package / "images")  # with its licence
    (package / "__init__.py").write_text('"""Doc."""\n__version__ = "1"\n')
    (package / "gone.py").touch()
    before = set(tmp_path.iterdir()) | {tmp_path / "_build"}
    monkeypatch.chdir(tmp_path)
    for has in (True, False):
        wheel = tmp_path / "_build" / str(has)
        wheel.mkdir(parents=True)
        names = zipfile.ZipFile(wheel / backend.build_wheel(str(wheel))).namelist()
        assert ("hierlearn/gone.py" in names) == has and "hierlearn/__init__.py" in names
        (package / "gone.py").unlink(missing_ok=True)
    assert set(tmp_path.iterdir()) == before


def test_nobody_is_told_to_install_the_package_from_an_index():
    sources = [ROOT / name for name in TEXTS] + sorted((ROOT / "src").rglob("*.py"))
    for path in sources:
        for line in re.findall(r"pip install.*", path.read_text(encoding="utf-8")):
            assert not re.search(r"\bhierlearn\b", line) or "--no-index" in line, (path, line)


def test_a_clone_has_lines_that_a_shell_can_read_whatever_git_would_convert(tmp_path):
    origin = tmp_path / "origin"
    origin.mkdir()
    shutil.copy(ROOT / ".gitattributes", origin)
    shutil.copy(ROOT / ".ci" / "run", origin)
    git(origin, "init", "-q")
    git(origin, "add", ".")
    git(origin, "-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(origin), "clone")
    assert b"\r" not in (tmp_path / "clone" / "run").read_bytes()
