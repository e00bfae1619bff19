"""Sweeps on a disk that is full, and in a folder that cannot be written."""

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .bench import REFUSED, Bench, Skipped

PAGE = 4096
SIZE = 4 * 2**20


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Give a disk of SIZE bytes, mounted at `folder`; Skipped where that is not allowed."""
    if os.geteuid() != 0:
        raise Skipped("only root may mount a small disk")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Skipped(f"a small disk cannot be mounted here: {error}") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_disks(bench: Bench, draw: random.Random, n_disks: int) -> str:
    """Let sweeps run into a full disk after any number of groups, then make room."""
    files = list(bench.reference.folder.rglob("*.jsonl"))
    needed = sum(-(-path.stat().st_size // PAGE) for path in files)
    n_kept = 0
    for number in range(n_disks):
        with small_disk(bench.root / "disk") as disk:
            # The first disk has no room for the first record, the last lacks one page.
            n_free = round((needed - 1) * number / max(n_disks - 1, 1)) if number else 0
            filler = disk / "filler"
            filler.write_bytes(bytes(SIZE - n_free * PAGE))
            folder = disk / "records"
            bench.sweep(folder).expect(REFUSED, "No space left on device", "make room")
            n_kept += bench.check_unfinished(folder)
            assert not list(folder.rglob(".*.tmp")), "a temporary file takes room"
            filler.unlink()
            bench.sweep(folder).expect(0)
            bench.check_finished(folder)
    return f"{n_disks} disks filled up, with {n_kept} groups kept; all finished after making room"


def forbid_writing(bench: Bench, draw: random.Random) -> str:
    """Start sweeps in a read-only folder: of nothing, of some groups, and of all."""
    n_groups, n_starts = len(bench.states(bench.reference)), 0
    for n_present in (0, draw.randrange(1, n_groups), n_groups):
        with _lockable(bench.root) as (folder, set_writable):
            folder.mkdir()
            for state in draw.sample(bench.states(bench.reference), n_present):
                name = f"{state.group.experiment}/{state.group.key}.jsonl"
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes((bench.reference.folder / name).read_bytes())
            set_writable(False)
            if n_present == n_groups:
                bench.sweep(folder).expect(0)
            else:
                bench.sweep(folder).expect(REFUSED, "cannot write in", "make this one writable")
            assert bench.check_unfinished(folder) == n_present
            set_writable(True)
            bench.sweep(folder).expect(0)
            bench.check_finished(folder)
            n_starts += 1
    return f"{n_starts} sweeps refused or, with nothing to do, let be; finished when writable"


@contextmanager
def _lockable(root: Path) -> Iterator[tuple]:
    """Give a folder and what makes it read-only or writable: permission bits do not stop root."""
    if os.geteuid() == 0:
        with small_disk(root / "disk") as disk:

            def remount(writable: bool) -> None:
                options = f"remount,{'rw' if writable else 'ro'}"
                subprocess.run(["mount", "-o", options, str(disk)], check=True)

            yield disk / "records", remount
    else:
        folder = root / "locked"

        def change_mode(writable: bool) -> None:
            for path in (folder, *folder.iterdir()):
                path.chmod(0o755 if writable or path.is_file() else 0o555)

        yield folder, change_mode
        subprocess.run(["rm", "-r", str(folder)], check=True)
