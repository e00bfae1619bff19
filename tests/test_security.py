"""Nothing that is read can run, and no name leads out of its folder."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import toy
import toy_book

from hierlearn.book.project import Project
from hierlearn.errors import UsageError
from hierlearn.experiment import Group, Run
from hierlearn.records import RecordError, RecordStore, finish, freeze

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load",
         "torch.save", "subprocess.getoutput", "subprocess.getstatusoutput", "numpy.load",
         "np.load", "pandas.read_pickle"}  # fmt: skip
YAML = {"yaml.safe_load", "yaml.CSafeLoader", "yaml.safe_dump", "yaml.MarkedYAMLError"}


def forbidden(source: str) -> list[str]:
    """What in a module could run data as code, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        bad = [name for name in names if name.split(".")[0] in MODULES or name in CALLS]
        bad += [name for name in names if name.startswith("yaml.") and name not in YAML]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS or (name.startswith("yaml.") and name not in YAML):
                bad.append(name)
            for word in node.keywords:
                harmless = isinstance(word.value, ast.Constant) and not word.value.value
                if word.arg in ("shell", "allow_pickle") and not harmless:
                    bad.append(f"{word.arg}=")
        found += [f"{getattr(node, 'lineno', 0)}: {name}" for name in bad]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_module_unpickles_evaluates_or_calls_a_shell(path):
    # The process that runs the file that a user names to `place`; the functions of a notebook,
    # which `figure` draws; and nothing else.
    allowed = {
        ("place", "child.py"): ["compile", "exec"],
        ("book", "drawn.py"): ["compile", "compile", "eval", "exec"],
    }.get(path.parts[-2:], [])
    found = forbidden(path.read_text(encoding="utf-8"))
    assert sorted(one.partition(": ")[2] for one in found) == allowed


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from marshal import loads", "from os import system", "eval('1')",
     "import os\nos.system('ls')", "subprocess.run('ls', shell=True)", "yaml.load(text)",
     "from yaml import load", "torch.load(path)", "numpy.load(path, allow_pickle=True)"],
)  # fmt: skip
def test_the_search_finds_what_it_forbids(source):
    assert forbidden(source)


OUTSIDE = ["../x", "..", "/etc/passwd", "a/b", "book/../../x", "../book/01_toy_chapter", "a\0b", ""]


@pytest.mark.parametrize("name", [*OUTSIDE, "e", "7", "x"])  # fits several, or none
def test_a_chapter_name_never_leads_out_of_the_book(tmp_path, name):
    project = Project(toy_book.make_project(tmp_path / "project"))
    with pytest.raises(UsageError, match="valid chapters: 01_toy_chapter, ledger"):
        project.find_notebook(name)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("frozen", [False, True])
def test_an_experiment_name_never_leads_out_of_the_records(tmp_path, name, frozen):
    store = RecordStore(tmp_path / "records", frozen=frozen)
    group = Group((Run(name, {}, 0),))
    if name or not frozen:  # a frozen file without a name is .jsonl, hidden but inside
        with pytest.raises(RecordError, match="cannot be a name|leads out"):
            store.find(group, replace(toy.WALK, name=name), "smoke")
    if not frozen:
        with pytest.raises(RecordError, match="cannot be a name"):
            store.write(group, [{"x": 1.0}], toy.provenance("code"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("profile", OUTSIDE)
def test_a_profile_never_leads_out_of_the_records(tmp_path, profile):
    store = RecordStore(tmp_path, frozen=True)
    with pytest.raises(ValueError, match="unknown profile .*; valid: smoke, laptop, paper"):
        store.states(toy.WALK, profile)
    with pytest.raises(RecordError, match="cannot be a name"):
        store.find(toy.WALK.groups("smoke")[0], toy.WALK, profile)


def test_a_link_in_the_records_that_leads_out_is_neither_read_nor_written(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    filled = toy.fill(elsewhere, (toy.WALK,))
    records = tmp_path / "records"
    records.mkdir()
    (records / toy.WALK.name).symlink_to(elsewhere / toy.WALK.name)
    store, before = RecordStore(records), sorted(elsewhere.rglob("*"))
    group = toy.WALK.groups("smoke")[0]
    with pytest.raises(RecordError, match="leads out of"):
        store.find(group, toy.WALK, "smoke")
    with pytest.raises(RecordError, match="leads out of"):
        toy.fill(records, (toy.WALK,))
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "smoke").symlink_to(elsewhere)
    with pytest.raises(RecordError, match="leads out of"):
        freeze(filled, frozen, "smoke", (toy.WALK,))
    assert sorted(elsewhere.rglob("*")) == before


def test_what_is_put_aside_and_the_manifest_do_not_follow_a_link_out_of_the_records(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    store = toy.fill(tmp_path / "records", (toy.WALK,))
    (store.folder / "superseded").symlink_to(elsewhere)
    state = store.states(toy.WALK, "smoke")[0]
    other = [{"other": 1.0}] * len(state.records)
    with pytest.raises(RecordError, match="leads out of"):
        store.write(state.group, other, state.provenance)
    assert store.states(toy.WALK, "smoke")[0].status == "present"
    (elsewhere / "manifest.json").write_text("{}")
    (elsewhere / "toy_walk.jsonl.new").write_text("not ours")
    frozen = tmp_path / "frozen"
    frozen.mkdir()
    (frozen / "smoke").symlink_to(elsewhere)
    with pytest.raises(RecordError, match="leads out of"):
        finish(frozen)
    (frozen / "manifest.json").symlink_to(elsewhere / "manifest.json")
    with pytest.raises(RecordError, match="leads out of"):
        RecordStore(frozen).states(toy.WALK, "smoke")
    assert sorted(p.name for p in elsewhere.iterdir()) == ["manifest.json", "toy_walk.jsonl.new"]


def test_a_records_folder_may_itself_be_a_link(tmp_path):
    toy.fill(tmp_path / "there", (toy.WALK,))
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert RecordStore(tmp_path / "link").read(toy.WALK, "smoke")
