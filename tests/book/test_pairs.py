import os
import shutil
from pathlib import Path

import jupytext
import jupytext.cli
import nbformat
import pytest

from hierlearn.book.notebooks import sources

BOOK = Path(__file__).parents[2] / "book"
NAMES = sorted({path.stem for path in BOOK.glob("*.ipynb")} | {p.stem for p in BOOK.glob("*.py")})


@pytest.mark.parametrize("name", NAMES)
def test_both_halves_of_a_pair_hold_the_same_cells(name):
    notebook, script = BOOK / f"{name}.ipynb", BOOK / f"{name}.py"
    assert notebook.exists() and script.exists(), f"{name}: one half of the pair is missing"
    left = sources(nbformat.read(notebook, as_version=4))
    right = sources(jupytext.read(script, fmt="py:percent"))
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        assert one == other, f"{name}, cell {index} differs: jupytext --sync book/{name}.py"
    assert len(left) == len(right), f"{name}: the halves have {len(left)} and {len(right)} cells"


@pytest.mark.parametrize("name", NAMES)
def test_syncing_an_untouched_pair_changes_neither_half(name, tmp_path):
    shutil.copy(BOOK.parent / "jupytext.toml", tmp_path)
    halves = [BOOK / f"{name}.ipynb", BOOK / f"{name}.py"]
    for newer in halves:  # the one that `jupytext --sync` takes from
        for half in halves:
            os.utime(shutil.copy(half, tmp_path), (half is newer, half is newer))
        jupytext.cli.jupytext(["--sync", "--quiet", str(tmp_path / newer.name)])
        for half in halves:
            assert (tmp_path / half.name).read_bytes() == half.read_bytes(), half.name


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_carries_no_outputs(name):
    notebook = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"{name}: {cell.source}"
