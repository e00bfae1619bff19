"""Killing the kernel of a chapter that executes from complete records."""

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from hierlearn.book import notebooks
from hierlearn.book.project import Project
from hierlearn.cli import commands

from .processes import Driver

CHAPTER = "06_simpler_algorithms"
FIRST_SECONDS = 6.0
"""About as long as its kernel lives; measured anew by each start that is not disturbed."""


def kill_kernels(root: Path, draw: random.Random, n_kills: int) -> str:
    """Execute a chapter, kill its kernel at a random instant; a second start must work.

    What a killed kernel leaves: exit code 1, a message, the notebook as far as it came, which is
    not published, and the records as they were.
    """
    project, log = _copy(root / "project"), root / "said.txt"
    records = _files(project.frozen_records)
    seconds, n_cells, n_killed = FIRST_SECONDS, set(), 0
    while n_killed < n_kills:
        driver = Driver(_running(project, "run", CHAPTER, "--frozen"), log)
        kernel = _kernel(driver)
        unpublished = notebooks.not_ready(project, CHAPTER)
        if driver.wait(draw.uniform(0.0, seconds)) is None and kernel.is_running():
            kernel.send_signal(signal.SIGKILL)
            if driver.wait() != 0:  # else it had just come to its end
                n_killed += 1
                n_cells.add(_check_killed(project, driver, log))
        assert unpublished, "a chapter that is executing could be published"
        assert _files(project.frozen_records) == records, "the records have changed"
        start = time.perf_counter()
        driver = Driver(_running(project, "run", CHAPTER, "--frozen"), log)
        driver.expect(0)
        seconds = time.perf_counter() - start
        assert notebooks.not_ready(project, CHAPTER) is None
    return f"{n_killed} kernels killed, after {sorted(n_cells)} cells; each second start worked"


def _check_killed(project: Project, driver: Driver, log: Path) -> int:
    """Check what is said and left of a killed execution; return how many cells were executed."""
    driver.expect(1, "Kernel died", f"1 of 1 notebooks failed: {CHAPTER}")
    assert "Traceback" not in log.read_text(), log.read_text()
    assert notebooks.runs(project)[CHAPTER]["status"] == "failed"
    partial = project.executed(CHAPTER)
    assert partial.exists(), "no partial notebook"
    building = Driver(_running(project, "build"), log)
    building.expect(1, f"{CHAPTER}: failed")
    assert not project.html.exists()
    cells = notebooks.nbformat.read(partial, as_version=4).cells
    return sum(bool(cell.get("execution_count")) for cell in cells)


def _copy(root: Path) -> Project:
    """Return a copy of this book in a folder of its own."""
    here = Path(__file__).parents[2]
    shutil.copytree(here / "book", root / "book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(here / name, root / name)
    return Project(root)


def _running(project: Project, *arguments: str):
    def run() -> None:
        os.chdir(project.root)
        commands.cli(arguments, prog_name="hierlearn")

    return run


def _kernel(driver: Driver) -> psutil.Process:
    """Wait for the driver's kernel and return it: of its processes the one that leads a session."""
    while driver.wait(0.01) is None:
        for child in driver.children(recursive=True):
            with suppress(OSError):
                if os.getsid(child.pid) == child.pid:
                    return child
    raise AssertionError(f"no kernel was started:\n{driver.log.read_text()}")


def _files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
