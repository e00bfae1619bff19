"""Where things lie in a checkout of the book, and what a user's names for them mean."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hierlearn.errors import UsageError

if TYPE_CHECKING:
    from hierlearn.records import RecordStore


class Project:
    """A checkout: the folder that holds `_toc.yml` and `book/`."""

    def __init__(self, root: Path) -> None:
        built = root / "_build"
        self.root = root
        self.book = root / "book"  # the sources of the pages
        self.claims = self.book / "claims"  # the claims, as data: one file a chapter
        self.frozen_records = self.book / "records"  # the committed ones
        self.pushed = self.book / "pushed.json"  # what pushing gave, as committed: `Pushed`s
        self.published = self.book / "published.json"  # what the last version said: `changes.Told`s
        self.working_records = built / "records"  # those that this machine computes
        self.pilot_records = built / "pilots"  # at seeds that the book does not use
        self.stage = built / "stage"  # what the site is built from, executed notebooks among it
        self.html = built / "html"  # the site
        self.zip_file = built / "hierlearn-book.zip"  # the site in one file, to read from a disk
        self.run_file = built / "run.json"  # each notebook's last execution: settings, outcome

    def store(self, folder: Path) -> "RecordStore":
        """The records in a folder, and the committed ones of what lacks its data here."""
        from hierlearn.records import RecordStore  # which takes what finds a project seconds

        return RecordStore(folder, published=self.frozen_records)

    def notebook(self, name: str) -> Path:
        """The source of the notebook `name`."""
        return self.book / f"{name}.ipynb"

    def title(self, name: str) -> str:
        """The title of a notebook, with the number that its name begins with."""
        text = self.notebook(name).read_text(encoding="utf-8")
        found = re.search(r'"# (.+?)(?:\\n)?"', text)
        number = re.match(r"0*(\d+)_", name)
        said = json.loads(f'"{found[1]}"') if found else name
        return f"{number[1]}. {said}" if number else said

    def executed(self, name: str) -> Path:
        """The executed copy of the notebook `name`."""
        return self.stage / "book" / f"{name}.ipynb"

    def notebooks(self) -> list[str]:
        """The stems of the book's notebooks, in the order of the table of contents."""
        try:
            contents = yaml.safe_load((self.root / "_toc.yml").read_bytes())
        except yaml.YAMLError as error:
            told = " ".join(str(error).split())
            raise UsageError(f"_toc.yml is no YAML: {told:.200}; restore it") from error
        if not (pages := pages_of(contents)):
            raise UsageError("_toc.yml names no page; restore it")
        stems = [Path(page).with_suffix("").as_posix() for page in pages]
        inside = [stem.removeprefix("book/") for stem in stems if stem.startswith("book/")]
        return [stem for stem in inside if self.notebook(stem).exists()]

    def find_notebook(self, name: str) -> str:
        """Return the notebook meant by a stem, a number ("1", "01") or a unique part of a stem."""
        stems = self.notebooks()
        found = fitting(name, stems)
        if len(found) == 1:
            return found[0]
        problem = f"fits {', '.join(found)}" if found else "is no chapter"
        raise UsageError(f"{name!r} {problem}; valid chapters: {', '.join(stems)}")

    def records_folder(self, records: object) -> Path:
        """Return the folder meant by `records`; relative paths start at the project's root."""
        text = os.fspath(records) if isinstance(records, str | os.PathLike) else ""
        if not text.strip() or "\0" in text:
            raise UsageError(f"records is {records!r}; valid: a folder, e.g. _build/records")
        try:
            path = (self.root / Path(text).expanduser()).resolve()
        except RuntimeError as error:  # no such user, or a circle of links
            raise UsageError(f"records is {text!r}: {error}; valid: a folder") from error
        blocked = next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None)
        if blocked is not None:
            raise UsageError(f"records is {text!r}, but {blocked} is a file; valid: a folder")
        return path

    def relative(self, path: Path) -> str:
        """Return `path` as seen from the root when it lies inside, else in full."""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() if inside else str(path)


def find_project(start: Path | None = None, *, need_book: bool = True) -> Project:
    """Return the project around `start` (default: the current folder), else the package's own.

    Where there is none it is `start` itself or, if `need_book`, a UsageError. So is a project with
    a package of its own that is not the one that runs, and would judge its records and claims.
    """
    here = (start or Path.cwd()).resolve()
    package = Path(__file__).resolve().parents[1]
    for folder in (here, *here.parents, *package.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book" / "claims").is_dir():
            own = (folder / "src" / "hierlearn").resolve()
            if own.is_dir() and own != package:
                raise UsageError(
                    f"the code that runs is {package}, but the book is {folder}, with code of its "
                    f"own; valid: a Python that runs {own}: that of `make` (.venv/bin/python) or "
                    "any with PYTHONPATH=src (in a copied folder: `make` or pip install -e . anew)"
                )
            return Project(folder)
    if not need_book:
        return Project(here)
    raise UsageError(
        f"no book around {here}: expected a folder with _toc.yml and book/claims; "
        "change into a clone of the repository"
    )


def pages_of(node: object) -> list[str]:
    """Return every page that a table of contents, or a part of one, names, depth first."""
    if isinstance(node, list):
        return [page for item in node for page in pages_of(item)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("root", "file") if isinstance(node.get(key), str)]
    return own + [page for value in node.values() for page in pages_of(value)]


def fitting(name: str, stems: Sequence[str]) -> list[str]:
    """Return the stems that `name` may mean: itself, of its number, or that it is a part of."""
    if name in stems:
        return [name]
    if name.isdecimal() and len(name) < 10:
        return [stem for stem in stems if re.match(rf"0*{int(name)}(?!\d)", stem)]
    return [stem for stem in stems if name and name in stem]
