import json
import sys

import nbformat
import pytest
import toy_book

from hierlearn.book import notebooks
from hierlearn.book.kernels import IMPORTED
from hierlearn.book.project import find_project

SEEN = f"""import json, os, sys
print(json.dumps([os.getppid(), os.getpid() == os.getsid(0), os.getcwd(), os.environ["ONLY"],
    [name in sys.modules for name in {IMPORTED}], torch_was_there]))"""


@pytest.mark.book
@pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
def test_kernels_are_forked_from_one_process_that_has_imported_what_chapters_import(
    tmp_path, monkeypatch
):
    """A session of its own, the driver's folder and the variables of its own time, each."""
    project = find_project(toy_book.make_project(tmp_path / "project"))
    cells = ("import sys; torch_was_there = 'torch' in sys.modules", SEEN)
    toy_book.write_notebook(project.root, toy_book.CHAPTER, *cells)
    seen = []
    for only in ("first", "second"):
        monkeypatch.setenv("ONLY", only)
        parameters = {toy_book.CHAPTER: {"profile": "smoke"}}
        ((_, outcome),) = notebooks.execute(project, parameters, at_once=1)
        assert isinstance(outcome, float), outcome
        executed = nbformat.read(project.executed(toy_book.CHAPTER), as_version=4)
        (shown,) = [o.text for c in executed.cells for o in c.get("outputs", ())]
        seen.append(json.loads(shown))
    (server, *first), (same, *second) = seen
    everything = [True] * len(IMPORTED)
    assert first == [True, str(project.book), "first", everything, True]
    assert second == [True, str(project.book), "second", everything, True]
    assert server == same
