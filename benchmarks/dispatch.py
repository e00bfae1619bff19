"""How many units a second an executor hands out, and how many groups a second the driver writes.

    python benchmarks/dispatch.py [--units N] [--out book/dispatch.json]

The units are empty, so that nothing is left but handing out, collecting and, separately, writing.
`book/running.md` turns the numbers into the sizes at which they become the limit.
"""

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hierlearn.devices import available_cores, machine
from hierlearn.executors import Executor, LocalPool
from hierlearn.experiments.base import Experiment, Group, Run
from hierlearn.records import Provenance, RecordStore
from hierlearn.workers import Unit

ROOT = Path(__file__).parents[1]


def measure(group, device):
    return [{} for _ in group.runs]


def groups(n):
    return [Group((Run("empty", {"number": i}, 0),)) for i in range(n)]


def handed_out(executor: Executor, n: int) -> float:
    """Return units a second, from the first result on: starting workers does not count."""
    here = sys.modules["dispatch"]  # workers find it by this name, not as __main__
    units = [Unit(Experiment("empty", "", None, here.measure), group) for group in groups(n)]
    times = [time.perf_counter() for found in executor.results(units) if found]
    assert len(times) == n
    return (n - 1) / (times[-1] - times[0])


def mean_bytes() -> float:
    """Return the size of a group, on average over the committed records."""
    profiles = RecordStore(ROOT / "book/records").manifest.values()
    files = [entry for profile in profiles for entry in profile.values()]
    return sum(one.bytes for one in files) / sum(one.n_groups for one in files)


def written(n: int) -> float:
    """Return groups of the mean size that the driver writes a second, each flushed to the disk."""
    circumstances = Provenance(
        commit="0" * 40, dirty=False, fingerprints=["0" * 16], packages={}, device="cpu",
        machine=machine(), dtype="", threads=1, n_runs=1, wall_s=0.0, cpu_s=0.0, peak_mb=0.0,
        finished="",
    )  # fmt: skip
    measured = [{"curve": np.random.default_rng(0).random(int(mean_bytes() / 20)).tolist()}]
    with TemporaryDirectory(dir=".") as folder:
        store = RecordStore(folder)
        start = time.perf_counter()
        for group in groups(n):
            store.write(group, measured, circumstances)
        return n / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file, too")
    arguments = parser.parse_args()
    from hierlearn.cluster import local_cluster

    n, cores = arguments.units, available_cores()
    with local_cluster(cores, "cpu") as cluster:
        found = {
            "machine": machine(),
            "date": datetime.now(UTC).date().isoformat(),
            "n_units": n,
            "pool_per_s": handed_out(LocalPool(cores), n),
            "dask_per_s": handed_out(cluster, n),
            "written_per_s": written(min(n, 2000)),
        }
    found = {key: round(v, 1) if isinstance(v, float) else v for key, v in found.items()}
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + os.linesep)


if __name__ == "__main__":
    import dispatch

    dispatch.main()
