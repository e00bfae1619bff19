"""How cost grows with seeds, dimension, levels and workers: the figure of the page on running.

    python benchmarks/growth.py [--small] [--into book/growth.fragment]

Three panels are of a training step of quadratic networks, in CPU milliseconds of one thread, the
settings timed in turn, medians and the range of the middle half. The fourth is a sweep of the book,
in wall seconds, by worker processes and by a dask cluster on loopback: its groups over and over
under other seeds, so that there are enough of them.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from quadratic_engine import engine_seconds

from hierlearn.drawing.figures import COLORS, style, to_html
from hierlearn.engine import devices
from hierlearn.experiment import pilot
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps.cluster import local_cluster
from hierlearn.sweeps.executors import LocalPool
from hierlearn.sweeps.sweep import compute

Quartiles = tuple[float, float, float]
SWEPT = "decide_shapes"
AXES: dict[str, Sequence[int]] = {
    "seeds": (1, 2, 4, 8, 16, 32, 64), "dimension": (10, 20, 40, 80, 160), "levels": (2, 3, 4, 5)
}  # fmt: skip
WIDTHS = (4, 3, 2, 2)


def milliseconds(axis: str, value: int) -> float:
    """Return what a step takes with eight seeds, dimension 20 and four levels, but for one."""
    given = {"seeds": 8, "dimension": 20, "levels": 4, axis: value}
    widths = WIDTHS[: given["levels"] - 1]
    return 1e3 * engine_seconds(given["seeds"], 1, 25, dim=given["dimension"], widths=widths)


def steps(small: bool) -> dict[str, dict[int, Quartiles]]:
    """Time the steps of every setting in turn; CPU milliseconds a step."""
    settings = [(axis, value) for axis, some in AXES.items() for value in some[: 2 if small else 9]]
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in settings}
    for _ in range(3 if small else 25):
        for key in settings:
            taken[key].append(milliseconds(*key))
    found: dict[str, dict[int, Quartiles]] = {axis: {} for axis in AXES}
    for (axis, value), times in taken.items():
        low, middle, high = statistics.quantiles(times, n=4)
        found[axis][value] = low, middle, high
    return found


def sweeps(small: bool) -> dict[str, float]:
    """Time the same sweep under each executor, from starting it to the last record."""
    seeds = range(9000, 9002 if small else 9060)
    one = pilot(EXPERIMENTS[SWEPT], seeds)
    groups = [
        replace(group, runs=tuple(run for run in group.runs if run.seed == seed))
        for group in one.groups("smoke")
        for seed in seeds
    ]
    many = replace(one, groups=lambda profile: groups)
    found = {}
    for name in ("1 process", "2 processes", "dask, 1 worker", "dask, 2 workers"):
        n_workers = 2 if "2" in name else 1
        with tempfile.TemporaryDirectory() as folder:
            store, start = RecordStore(Path(folder)), time.perf_counter()
            if "dask" in name:
                with local_cluster(n_workers, "cpu") as cluster:
                    compute([many], "smoke", store, executor=cluster, progress=False)
            else:
                pool = LocalPool.on("cpu", n_workers)
                compute([many], "smoke", store, executor=pool, progress=False)
            found[name] = time.perf_counter() - start
    return found


def draw(taken: Mapping[str, Mapping[int, Quartiles]], swept: Mapping[str, float], to: Path) -> str:
    """Draw the four panels into the file `to`, and return what they say."""
    with style():
        fig, grid = plt.subplots(2, 2, figsize=(6.4, 4.8))
        axes = grid.flatten()
        for ax, (axis, found), color in zip(axes, taken.items(), COLORS, strict=False):
            x, (low, middle, high) = list(found), zip(*found.values(), strict=True)
            ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
            ax.plot(x, middle, color=color, marker="o", markersize=3)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.set_xticks(x, [str(one) for one in x], minor=False)
            ax.set(xlabel=axis, ylim=(0.05, 10))
            ax.set_ylabel("CPU ms a step")
        axes[3].barh(list(swept), list(swept.values()), color=COLORS[3])
        axes[3].set_xlabel("seconds of a sweep")
        axes[3].invert_yaxis()
        said = "; ".join(
            f"{axis}: " + ", ".join(f"{v}: {one[1]:.2f}" for v, one in found.items())
            for axis, found in taken.items()
        )
        alt = (
            "CPU milliseconds of a training step of quadratic networks, by "
            f"{said}; seconds of a sweep: "
            + ", ".join(f"{name}: {seconds:.1f}" for name, seconds in swept.items())
        )
        caption = (
            "A training step of quadratic networks, with eight seeds, dimension 20 and four levels "
            "but for what the axis says: medians and the middle half of 25 timings. Last: a sweep "
            "of small groups."
        )
        given = {"name": "growth", "alt": f"{alt}.", "caption": caption, "narrow": True}
        to.write_text(to_html(fig, command="python benchmarks/growth.py", **given) + "\n")
    return alt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="minimal sizes, to try the script")
    parser.add_argument("--into", type=Path, default=Path("_build/growth.fragment"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(options.into.parent, exist_ok=True)
    print(devices.machine(), "torch", torch.__version__)
    print(draw(steps(options.small), sweeps(options.small), options.into))


if __name__ == "__main__":
    main()
