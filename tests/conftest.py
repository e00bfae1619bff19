import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import CHROMIUM, FLAGS
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# As in the workers: one thread a process. Two threads on tiny matrices wait more than they compute.
torch.set_num_threads(1)
# Machines differ in pace and CI must not differ in what it tries.
settings.register_profile("hierlearn", deadline=None, derandomize=True, database=None)
settings.load_profile("hierlearn")


@pytest.fixture(scope="session", autouse=True)
def no_repository_but_the_tests_own() -> Iterator[None]:
    """Drop what a hook of git hands down: it would lead every git of a test to the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patch.delenv(name)
        yield


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what reads the executed book, in one process, and what looks at its site, in another."""
    if "smoke_book" in (names := getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group("site" if "browser" in names else "book"))
        item.add_marker(pytest.mark.book)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put off what looks at the site until the other process has built it, but not to the end."""
    later = ROOT / "tests/quadratic"

    def place(item: pytest.Item) -> int:
        names = {*getattr(item, "fixturenames", ())}
        return 1 if {"browser", "smoke_book"} <= names else 2 * (item.path >= later)

    items.sort(key=place)


class Book:
    """A copy of the book in a folder of its own, executed with the command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.html = root / "_build/html"

    def write(self) -> None:
        """Copy the sources."""
        for name in ("book", "_config.yml", "_toc.yml"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.root / name)

    def hierlearn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m hierlearn` in the copy."""
        environment = {k: v for k, v in os.environ.items() if k != "GITHUB_REPOSITORY"}
        environment |= {"PYTHONPATH": str(ROOT / "src"), "SOURCE_DATE_EPOCH": "1700000000"}
        return subprocess.run(
            [sys.executable, "-m", "hierlearn", *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def notebooks(self) -> dict[str, dict]:
        """The executed notebooks by name."""
        found = sorted((self.root / "_build/stage/book").glob("*.ipynb"))
        return {path.stem: json.loads(path.read_text()) for path in found}


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Book:
    """The whole book, executed once at the smoke profile and built strictly; all tests share it.

    A second process has a copy, since tests of the first build it again. Where the environment
    names a folder as SMOKE_BOOK, its records and site stay there.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    book, copy = Book(tmp_path_factory.mktemp("book")), shared / "copy-of-book"
    with FileLock(shared / "book.lock"):
        if copy.exists():
            return Book(copy)
        book.write()
        for arguments in (("run", "--profile", "smoke"), ("build",)):
            done = book.hierlearn(*arguments)
            assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        shutil.copytree(book.root, copy, symlinks=True)
    if folder := os.environ.get("SMOKE_BOOK"):
        shutil.copytree(book.root / "_build/records", Path(folder, "ci-records"))
        shutil.copytree(book.html, Path(folder, "smoke-html"))
    return book


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; for a module, since others may have no event loop around them."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium installed (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()
