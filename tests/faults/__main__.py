"""Run the fault campaign: `python -m faults`; `make faults` does. Exits with 1 on a finding."""

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import click
import torch

from . import chapters, disks, freezes, killing, mutations
from .bench import Skipped, make_bench


def count(name: str, default: int, what: str) -> Callable:
    return click.option(
        f"--{name}", default=default, show_default=True, type=click.IntRange(min=1), help=what
    )


PARTS = ("sweeps", "writes", "full-disk", "read-only", "mutations", "freezes", "chapters")


@click.command
@click.argument("chosen", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option("--seed", type=int, help="Of all random choices; default: a new one, printed.")
@count("kills", 200, "Sweeps, drivers and workers killed.")
@count("disks", 10, "Disks filled.")
@count("mutations", 10_000, "Record files damaged.")
@count("freezes", 50, "Freezes killed at a random instant.")
@count("stride", 1, "Writes and freezes are killed before every so many lines.")
@count("kernels", 6, "Kernels killed.")
def campaign(chosen: tuple[str, ...], seed: int | None, **counts: int) -> None:
    """Do to sweeps, records and chapters what can happen to them, and check what is left.

    PART is one of sweeps, writes, full-disk, read-only, mutations, freezes, chapters; default: all.
    """
    torch.set_num_threads(1)  # no thread pool before a fork
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="faults"))
    bench = make_bench(root)
    print(f"{len(bench.expected)} groups, undisturbed {bench.seconds:.2f} s")
    n_kills, n_freezes, stride = counts["kills"], counts["freezes"], counts["stride"]
    parts: dict[str, Callable[[random.Random], str]] = {
        "sweeps": lambda draw: killing.kill_sweeps(bench, draw, n_kills),
        "writes": lambda draw: killing.kill_writes(bench, draw, stride),
        "full-disk": lambda draw: disks.fill_disks(bench, draw, counts["disks"]),
        "read-only": lambda draw: disks.forbid_writing(bench, draw),
        "mutations": lambda draw: mutations.mutate_files(bench, draw, counts["mutations"]),
        "freezes": lambda draw: freezes.kill_freezes(bench, draw, n_freezes, stride),
        "chapters": lambda draw: chapters.kill_kernels(root, draw, counts["kernels"]),
    }
    failed = [n for n in PARTS if n in (chosen or PARTS) and not _passes(n, parts[n], seed)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; what is left lies in {root}")
    shutil.rmtree(root)


def _passes(name: str, part: Callable[[random.Random], str], seed: int) -> bool:
    start, passed = time.perf_counter(), True
    try:
        told = part(random.Random(f"{name} {seed}"))
    except Skipped as reason:
        told = f"skipped: {reason}"
    except Exception as error:  # a finding of one part does not hide those of the others
        traceback.print_exc()
        told, passed = f"FAILED: {str(error).partition(chr(10))[0]}", False
    print(f"{name}: {told} ({time.perf_counter() - start:.1f} s)", flush=True)
    return passed


if __name__ == "__main__":
    campaign()
