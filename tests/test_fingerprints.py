import ast
import importlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy import WALK

from hierlearn.records import code_fingerprint, fingerprint, fingerprints

SOURCES = {
    "__init__.py": "VERSION = 1\n",
    "unused.py": "y = 1\n",
    "core/__init__.py": "",
    "core/deep.py": "def f(x):\n    return x + 1.5\n",
    "core/near.py": "from .deep import f\nfrom ..late import g\n",
    "late.py": "def g():\n    from fakebook.core import lazy\n    return lazy\n",
    "core/lazy.py": "z = {'a': None}\n",
    "one.py": '"""Doc."""\nimport fakebook.core.near\n\ndef measure(group, device):\n    "D."\n',
}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A small package; call it with changed files to get the fingerprint of its module `one`."""
    monkeypatch.syspath_prepend(tmp_path)

    def change(**changes):
        for name, text in {**SOURCES, **changes}.items():
            path = tmp_path / "fakebook" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return code_fingerprint("fakebook.one")

    yield change
    forget()


def forget():
    importlib.invalidate_caches()
    fingerprints.code_fingerprint.cache_clear()
    fingerprints._scan.cache_clear()
    fingerprints._source.cache_clear()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("one.py", "import fakebook.core.near\ndef measure(group,device): # why\n  'Other.'\n"),
        ("core/deep.py", '"""New."""\n\ndef f(x):\n\n    "doc"\n    return (x + 1.50)\n'),
        ("unused.py", "y = 2\n"),
        ("__init__.py", "VERSION = 2\n"),
    ],
)
def test_comments_docstrings_layout_and_unreached_modules_do_not_count(book, name, text):
    assert book(**{name: text}) == book()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("core/deep.py", "def f(x):\n    return x + 1.25\n"),
        ("core/lazy.py", "z = {'a': 0}\n"),
        ("late.py", "def g():\n    from fakebook.core import lazy\n    return 0\n"),
        ("one.py", "import fakebook.core.near\ndef measure(device, group):\n    pass\n"),
    ],
)
def test_a_change_of_code_that_is_reached_counts(book, name, text):
    assert book(**{name: text}) != book()


def test_the_modules_reached_are_those_imported_however_deep(book):
    book()
    reached, waiting = set(), ["fakebook.one"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += fingerprints._scan(name)[1] - reached
    assert reached == {f"fakebook.{m}" for m in ("one", "core.near", "core.deep", "late")} | {
        "fakebook.core.lazy"
    }


def test_an_experiment_outside_the_package_reaches_into_it():
    assert "hierlearn.experiments.base" in fingerprints._scan("toy")[1]
    assert fingerprint(WALK) == code_fingerprint("toy")


@pytest.mark.parametrize("module", ["__main__", "no_such_module", "hierlearn.no_such_module"])
def test_a_measure_without_a_source_file_is_an_error(module):
    with pytest.raises(ValueError, match="importable module"):
        code_fingerprint(module)


def test_a_fingerprint_takes_less_than_a_blink():
    forget()
    start = time.perf_counter()
    code_fingerprint("hierlearn.records.store")
    assert time.perf_counter() - start < 0.25


def test_another_process_finds_the_same_fingerprint():
    code = (
        "from hierlearn.records import code_fingerprint as f; print(f('hierlearn.records.store'))"
    )
    source = str(Path(fingerprints.__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": source, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == code_fingerprint("hierlearn.records.store")


def test_the_empty_fields_that_newer_pythons_add_to_the_tree_change_nothing():
    tree = ast.parse("def f(x):\n    return x\nclass C:\n    pass\n")
    before = fingerprints._text(tree)
    for node in tree.body:
        # Python 3.12 gave definitions the field `type_params`, an empty list where unused.
        newer = type(
            type(node).__name__, (type(node),), {"_fields": (*node._fields, "type_params")}
        )
        node.__class__, node.type_params = newer, []
    assert fingerprints._text(tree) == before
    tree.body[0].type_params = [ast.Name("T", ast.Load())]
    assert fingerprints._text(tree) != before
