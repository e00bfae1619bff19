"""Where things lie in a checkout of the book, and what a user's names for them mean."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hierlearn.errors import UsageError

if TYPE_CHECKING:  # it brings torch, which a process that executes notebooks does without
    from hierlearn.experiment import Experiment


def check_choice(what: str, value: object, valid: tuple[str, ...]) -> str:
    """Return `value` when it is one of `valid`, else raise `UsageError` listing them."""
    if isinstance(value, str) and value in valid:
        return value
    raise UsageError(f"unknown {what} {value!r}; valid: {', '.join(valid)}")


@dataclass(frozen=True)
class Project:
    """A checkout: the folder that holds `_toc.yml` and `book/`."""

    root: Path

    @property
    def book(self) -> Path:
        """The sources of the pages."""
        return self.root / "book"

    @property
    def claims(self) -> Path:
        """The claims, as data: one file a chapter."""
        return self.book / "claims"

    @property
    def frozen_records(self) -> Path:
        """The committed records."""
        return self.book / "records"

    @property
    def working_records(self) -> Path:
        """The records that this machine computes."""
        return self.root / "_build" / "records"

    @property
    def pilot_records(self) -> Path:
        """The records of pilot runs, at seeds that the book does not use."""
        return self.root / "_build" / "pilots"

    @property
    def pushed(self) -> Path:
        """What pushing the claims gave, as committed: a JSON list of `Pushed`."""
        return self.book / "pushed.json"

    @property
    def stage(self) -> Path:
        """What the site is built from: configuration, text and executed notebooks."""
        return self.root / "_build" / "stage"

    @property
    def html(self) -> Path:
        """The site."""
        return self.root / "_build" / "html"

    @property
    def zip_file(self) -> Path:
        """The site in one file, to be read from a disk."""
        return self.root / "_build" / "hierlearn-book.zip"

    @property
    def run_file(self) -> Path:
        """What the last execution of each notebook was: settings, outcome, seconds."""
        return self.root / "_build" / "run.json"

    def notebook(self, name: str) -> Path:
        """The source of the notebook `name`."""
        return self.book / f"{name}.ipynb"

    def executed(self, name: str) -> Path:
        """The executed copy of the notebook `name`."""
        return self.stage / "book" / f"{name}.ipynb"

    def notebooks(self) -> list[str]:
        """The stems of the book's notebooks, in the order of the table of contents."""
        contents = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        stems = [Path(page).with_suffix("").as_posix() for page in _files(contents)]
        inside = [stem.removeprefix("book/") for stem in stems if stem.startswith("book/")]
        return [stem for stem in inside if self.notebook(stem).exists()]

    def find_notebook(self, name: str) -> str:
        """Return the notebook meant by a stem, a number ("1", "01") or a unique part of a stem."""
        stems = self.notebooks()
        found = _fitting(name, stems)
        if len(found) == 1:
            return found[0]
        problem = f"fits {', '.join(found)}" if found else "is no chapter"
        raise UsageError(f"{name!r} {problem}; valid chapters: {', '.join(stems)}")

    def records_folder(self, records: str | os.PathLike[str]) -> Path:
        """Return the folder meant by `records`; relative paths start at the project's root."""
        text = os.fspath(records)
        if not text.strip() or "\0" in text:
            raise UsageError(f"records is {text!r}; valid: a folder, e.g. _build/records")
        path = (self.root / Path(text).expanduser()).resolve()
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

    Where there is none, records can still be computed and kept: `start` itself is returned unless
    `need_book`, which makes it a UsageError.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "_toc.yml").is_file() and (folder / "book" / "claims").is_dir():
            return Project(folder)
    if not need_book:
        return Project(here)
    raise UsageError(
        f"no book around {here}: expected a folder with _toc.yml and book/claims; "
        "change into a clone of the repository"
    )


def experiments_of(name: str, experiments: "dict[str, Experiment]") -> "dict[str, Experiment]":
    """Return the experiments that belong to the notebook `name`, in their order."""
    return {key: one for key, one in experiments.items() if one.chapter == name}


def find_experiments(
    names: Iterable[str], experiments: "Mapping[str, Experiment]"
) -> "dict[str, Experiment]":
    """Return the experiments that `names` mean, in their order; all of them when it is empty.

    A name is an experiment's, or a chapter's stem, number or unique part of its stem.
    """
    chapters = list(dict.fromkeys(one.chapter for one in experiments.values()))
    wanted: set[str] = set()
    for name in names:
        fitting = [] if name in experiments else _fitting(name, chapters)
        if name not in experiments and len(fitting) != 1:
            problem = f"fits {', '.join(fitting)}" if fitting else "is no chapter or experiment"
            raise UsageError(
                f"{name!r} {problem}; valid chapters: {', '.join(chapters)}; "
                f"valid experiments: {', '.join(experiments)}"
            )
        wanted |= {key for key, one in experiments.items() if key == name or one.chapter in fitting}
    return {key: one for key, one in experiments.items() if key in wanted or not wanted}


def execution_order(project: Project, experiments: "dict[str, Experiment]") -> list[str]:
    """Return the notebooks: those that only read records, then chapters in the book's order.

    What all of them read is computed before; executed last, the ledger would keep one core waiting.
    """
    stems = project.notebooks()
    return sorted(stems, key=lambda stem: bool(experiments_of(stem, experiments)))


def check_profile(profile: object) -> str:
    """Return `profile` when there is one of that name, else raise `UsageError`."""
    from hierlearn.experiment import PROFILES

    return check_choice("profile", profile, PROFILES)


def _files(node: object) -> list[str]:
    """Return every page that a table of contents names, depth first."""
    if isinstance(node, list):
        return [page for item in node for page in _files(item)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("root", "file") if key in node]
    return own + [page for value in node.values() for page in _files(value)]


def _fitting(name: str, stems: Sequence[str]) -> list[str]:
    """Return the stems that `name` may mean: itself, of its number, or that it is a part of."""
    if name in stems:
        return [name]
    if name.isdecimal():
        return [stem for stem in stems if _number(stem) == int(name)]
    return [stem for stem in stems if name and name in stem]


def _number(stem: str) -> int | None:
    match = re.match(r"\d+", stem)
    return int(match.group()) if match else None
