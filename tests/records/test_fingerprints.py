import ast
import functools
import importlib
import os
import py_compile
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import toy
from toy import WALK

import hierlearn
from hierlearn.experiment import PROFILES, Group
from hierlearn.records import fingerprint, fingerprints
from hierlearn.records.fingerprints import Definition, edited, is_door, reached
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps.executors import measure_unit

SOURCES = {
    "__init__.py": "VERSION = 1\n",
    "unused.py": "y = 1\n",
    "core/__init__.py": "",
    "core/deep.py": "def f(x):\n    return x + 1.5\n\ndef other(x):\n    return x\n",
    "core/near.py": "from .deep import f\nfrom ..late import g\n\nboth = [f, g]\n",
    "late.py": "def g():\n    from fakebook.core import lazy\n    return lazy.z\n",
    "core/lazy.py": "z = {'a': None}\nz['b'] = 1\nw = 2\n",
    "tables.py": "a = 1\nb = 2\n",
    "one.py": (
        '"""Doc."""\nimport fakebook.core.near\nfrom fakebook import tables\n\n'
        'def measure(group, device):\n    "D."\n'
        "    return [fakebook.core.near.both, getattr(tables, group), _helper]\n\n"
        "def _helper(a: int) -> int:\n    both = a\n    return [tables for tables in both]\n"
    ),
}
ONE = SOURCES["one.py"]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A small package; call it with changed files to get the fingerprint of its `one.measure`."""
    monkeypatch.syspath_prepend(tmp_path)

    def change(**changes):
        for name, text in {**SOURCES, **changes}.items():
            path = tmp_path / "fakebook" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return code_of(Definition("fakebook.one", "measure"))

    yield change
    forget()


code_of = fingerprints._code


def forget():
    importlib.invalidate_caches()
    for cached in ("fingerprint", "_code", "is_door", "_text", "_module", "_source"):
        getattr(fingerprints, cached).cache_clear()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one.py", ONE.replace('"D."', "'Other.'  # why")),
        ("one.py", ONE.replace("a: int) -> int", "a: str) -> list[str]")),
        ("one.py", ONE.replace("_helper", "_renamed")),
        ("one.py", "import os\n" + ONE + "\nif __name__ == '__main__':\n    print(1)\n"),
        ("one.py", ONE + "\ndef after(x):\n    return x\n"),
        ("core/deep.py", '"""New."""\n\ndef f(x):\n\n    "doc"\n    return (x + 1.50)\n'),
        ("core/deep.py", "def f(x):\n    return x + 1.5\n\ndef other(x):\n    return 2 * x\n"),
        ("core/lazy.py", "z = {'a': None}\nw = 7\nz['b'] = 1\n"),
        ("core/near.py", "from ..late import g\nfrom .deep import f as h\n\nboth = [h, g]\n"),
        ("unused.py", "y = 2\n"),
        ("__init__.py", "VERSION = 2\n"),
    ],
)
def test_names_of_definitions_comments_layout_and_what_is_not_reached_do_not_count(
    book, name, text
):
    assert book(**{name: text}) == book()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("core/deep.py", "def f(x):\n    return x + 1.25\n"),
        ("core/deep.py", "def f(x, y=2):\n    return x + 1.5\n"),
        ("core/lazy.py", "z = {'a': 0}\nz['b'] = 1\n"),
        ("core/lazy.py", "z = {'a': None}\nz['b'] = 2\n"),
        ("core/lazy.py", "z = {'a': None}\nz['b'] = 1\nz.clear()\n"),
        ("core/near.py", "from .deep import f\nfrom ..late import g\n\nboth = [g, f]\n"),
        ("core/near.py", "from .deep import other as f\nfrom ..late import g\nboth = [f, g]\n"),
        ("late.py", "def g():\n    from fakebook.core import lazy\n    return lazy.w\n"),
        ("tables.py", "a = 1\nb = 3\n"),
        ("tables.py", "a = 1\nc = 2\n"),
        ("one.py", ONE.replace("group, device", "device, group")),
        ("one.py", ONE.replace("both = a", "both = a, a")),
    ],
)
def test_a_change_of_what_is_reached_counts(book, name, text):
    assert book(**{name: text}) != book()


def importing(line, used):
    return f"{line}\n\ndef measure(group, device):\n    return {used}(group)\n"


@pytest.mark.parametrize(
    ("line", "used", "same"),
    [
        ("import math", "math.sin", True),
        ("from math import sin as act", "act", True),
        ("from math import cos as act", "act", False),
        ("import cmath as math", "math.sin", False),
    ],
)
def test_what_another_package_defines_counts_by_its_full_name(book, line, used, same):
    plain = book(**{"one.py": importing("from math import sin", "sin")})
    assert (book(**{"one.py": importing(line, used)}) == plain) is same


def test_the_definitions_reached_are_those_that_are_named(book):
    book()
    found = {
        f"{d.module}:{d.name}" for d, _ in fingerprints._walk(Definition("fakebook.one", "measure"))
    }
    names = ("one:measure", "core.near:both", "core.deep:f", "late:g", "core.lazy:z", "one:_helper")
    # `getattr` may take anything from the module that it is given, and so all of it counts.
    whole = ("tables:", "tables:a", "tables:b")
    assert found == {f"fakebook.{name}" for name in names + whole}


def test_an_experiment_outside_the_package_reaches_into_it():
    @functools.wraps(toy.measure_walk)
    def wrapped(group, device):
        return toy.fill(group)

    assert Definition("toy", "_walk") in reached(WALK.measure)
    assert fingerprint(WALK.measure) == fingerprint(toy.measure_walk) == fingerprint(wrapped)
    assert Definition("hierlearn.records.store", "RecordStore") in reached(toy.fill)


@pytest.mark.parametrize("module", ["__main__", "no_such_module", "hierlearn.no_such_module"])
def test_a_measure_without_a_source_file_is_an_error(module):
    def measure(group, device):
        return []

    measure.__module__ = module
    with pytest.raises(ValueError, match="importable module"):
        fingerprint(measure)


@pytest.mark.slow
def test_another_process_finds_the_same_fingerprint():
    code = "from hierlearn.records import fingerprint as f, RecordStore; print(f(RecordStore))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(hierlearn.__file__).parents[1]), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == fingerprint(hierlearn.records.RecordStore)


def test_the_empty_fields_that_newer_pythons_add_to_the_tree_change_nothing(book):
    book()
    module = fingerprints._module("fakebook.one", "fakebook")
    (node,) = module.statements["measure"]
    before = fingerprints._Statement(module, node, "measure").parts(node)
    # Python 3.12 gave definitions the field `type_params`, an empty list where unused.
    node.__class__ = type("FunctionDef", (ast.FunctionDef,), {"_fields": (*node._fields, "params")})
    node.params = []
    assert fingerprints._Statement(module, node, "measure").parts(node) == before
    node.params = [ast.Name("T", ast.Load())]
    assert fingerprints._Statement(module, node, "measure").parts(node) != before


class _Moved(ast.NodeTransformer):
    """Rewrites the imports of a module for a package whose modules all have other names."""

    def __init__(self, places):
        self.places = places

    def visit_ImportFrom(self, node):
        base = node.module or ""
        if node.level or base.partition(".")[0] != "hierlearn":
            return node
        moved = []
        for alias in node.names:
            full = f"{base}.{alias.name}"
            if full in self.places:
                parent, _, name = self.places[full].rpartition(".")
                names = [ast.alias(name, alias.asname or alias.name)]
            else:
                parent, names = self.places[base], [alias]
            moved.append(ast.ImportFrom(parent, names, 0))
        return moved


@pytest.mark.slow
def test_a_package_whose_files_are_moved_and_renamed_has_the_same_fingerprints(
    tmp_path, monkeypatch
):
    root = Path(hierlearn.__file__).parent
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = ("hierlearn", *path.relative_to(root).with_suffix("").parts)
        modules[".".join(p for p in parts if p != "__init__")] = path
    places = {name: f"elsewhere.rooms.m{i % 7}.n{i}" for i, name in enumerate(modules)}
    for name, path in modules.items():
        there = tmp_path.joinpath(*places[name].split(".")).with_suffix(".py")
        there.parent.mkdir(parents=True, exist_ok=True)
        tree = ast.fix_missing_locations(_Moved(places).visit(ast.parse(path.read_bytes())))
        there.write_text(ast.unparse(tree))
    (tmp_path / "elsewhere/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    for one in EXPERIMENTS.values():
        root = Definition(places[one.measure.__module__], one.measure.__qualname__)
        assert code_of(root) == fingerprint(one.measure), one.name
    forget()


def every_definition():
    """Give all definitions of the package."""
    root = Path(hierlearn.__file__).parents[1]
    for path in sorted(root.glob("hierlearn/**/*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for name in fingerprints._module(module, "hierlearn").statements:
            yield Definition(module, name)


def _lightest(experiment):
    """Return the lightest group of the smallest profile, cut to its first run and few steps."""
    groups = next(filter(None, map(experiment.groups, PROFILES)))
    first = min(groups, key=lambda group: group.weight).runs[0]
    config = dict(first.config)
    if first.config.get("n_steps", 0) >= 1000 and "opens" in config:
        config["n_steps"] //= 50
        config["opens"] = [step and step // 50 for step in config["opens"]]
        config |= {key: config[key] // 50 for key in ("thaw",) if key in config}
    if "data" in config:
        config |= {"data": "fashion_small", "n_steps": 6, "n_blocks": 1, "n_test": 100}
    return Group((replace(first, config=config),))


CHECKS = fingerprints._module("hierlearn.engine.doors", "hierlearn")
DOORS = [Definition("hierlearn.engine.doors", name) for name in CHECKS.statements]
DOORS += [one for one in every_definition() if is_door(one)]


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
@pytest.mark.slow
def test_all_that_runs_while_a_group_is_measured_is_a_door_or_lies_in_the_fingerprint(name):
    experiment = EXPERIMENTS[name]
    group = _lightest(experiment)
    package = str(Path(hierlearn.__file__).parent)
    ran = set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(package):
            ran.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        experiment.measure(group, torch.device("cpu"))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    covered = [*reached(experiment.measure), *DOORS]
    lines = {
        (str(fingerprints._source(d.module)), line)
        for d in covered
        for node in fingerprints._module(d.module, "hierlearn").statements.get(d.name, [])
        for line in range(_first_line(node), node.end_lineno + 1)
    }
    missed = {
        f"{code.co_filename}:{code.co_firstlineno} {code.co_qualname}"
        for code in ran
        if code.co_name != "<module>" and (code.co_filename, code.co_firstlineno) not in lines
    }
    assert ran and not missed


def _first_line(node):
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def test_bytecode_of_the_code_before_is_not_run(tmp_path, monkeypatch):
    """Of one size and second with its source it would be: the trap is shown first."""
    source = tmp_path / "same_second.py"
    monkeypatch.syspath_prepend(tmp_path)

    def run_after_an_edit(value):
        source.write_text("def measure(): return 1")
        os.utime(source, (10**9, 10**9))
        cached = Path(py_compile.compile(str(source)))
        source.write_text(f"def measure(): return {value}")
        os.utime(source, (10**9, 10**9))
        sys.modules.pop("same_second", None)
        return cached

    run_after_an_edit(2)
    module = importlib.import_module("same_second")
    assert module.measure() == 1
    cached = run_after_an_edit(3)
    assert cached.exists()
    fingerprint(module.measure)
    assert not cached.exists()
    assert importlib.import_module("same_second").measure() == 3


def test_a_worker_that_started_before_an_edit_says_so_instead_of_measuring(monkeypatch):
    assert edited(toy.MEAN.measure) == []
    edited.cache_clear()
    monkeypatch.setattr(fingerprints, "LOADED", 0)
    (group,) = toy.MEAN.groups("smoke")
    assert "changed after this worker started" in measure_unit(toy.MEAN.measure, group, "cpu").error
    edited.cache_clear()


def test_files_from_the_future_are_not_edits(monkeypatch):
    """A clock that was set back, or a file server whose clock is ahead."""
    home = Path(toy.__file__)
    now = home.stat().st_mtime_ns
    for loaded, seen, changed in ((now - 1, {}, [str(home)]), (now - 1, {home: now}, [])):
        monkeypatch.setattr(fingerprints, "LOADED", loaded)
        monkeypatch.setattr(fingerprints, "SEEN", fingerprints.SEEN | seen)
        edited.cache_clear()
        assert edited(toy.MEAN.measure) == changed
    monkeypatch.setattr(fingerprints, "SEEN", {})
    monkeypatch.setattr(fingerprints.time, "time_ns", lambda: now - 1)
    monkeypatch.setattr(fingerprints, "LOADED", now - 2)
    edited.cache_clear()
    assert str(home) not in edited(toy.MEAN.measure)
    edited.cache_clear()
