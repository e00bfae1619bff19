"""What the paper profile would take on more machines, from what was measured on this one.

A sweep of n units on w workers ends no sooner than its work divided by w, than its largest unit,
than n units can be handed out, and than n groups can be written. The largest of the four is the
estimate: it leaves out waiting queues and stragglers, which a sweep that starts with its heaviest
units has few of.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

from hierlearn import costs
from hierlearn.experiments.base import PROFILES, Experiment
from hierlearn.formatting import format_number
from hierlearn.records import Provenance, RecordStore, computed, groups_of

FACTORS = (1, 10, 1000)
WORKERS = (1, 8, 1000)


@dataclass(frozen=True)
class Load:
    """Units to measure: how many, their seconds of work together, and of the largest one."""

    n_units: int
    seconds: float
    largest: float

    def times(self, factor: int) -> "Load":
        """The same grid with `factor` times as many points of the same sizes."""
        return Load(self.n_units * factor, self.seconds * factor, self.largest)

    def duration(
        self, n_workers: int, *, handed_per_s: float, written_per_s: float
    ) -> tuple[float, str]:
        """Return the seconds that `n_workers` need at least, and what sets them."""
        bounds = {
            "work": self.seconds / n_workers,
            "largest unit": self.largest,
            "handing out": self.n_units / handed_per_s,
            "writing": self.n_units / written_per_s,
        }
        limit = max(bounds, key=lambda name: bounds[name])
        return bounds[limit], limit


def scale_text(frozen: RecordStore, experiments: Mapping[str, Experiment], dispatch: Path) -> str:
    """Return the section on scale as Markdown: measured sizes, measured rates, estimated times.

    `dispatch` is what `benchmarks/dispatch.py` wrote.
    """
    every = experiments.values()
    found = {p: [one for _, one in computed([frozen], every, p)] for p in PROFILES}
    measured = {p: each for p, each in found.items() if each}
    if not measured or not dispatch.is_file():
        return "Nothing has been measured yet."
    rates = json.loads(dispatch.read_text(encoding="utf-8"))
    load, about = _paper(frozen, experiments, measured)
    rows = [_sizes(p, each, frozen) for p, each in measured.items()]
    head = [
        "| profile | machine | units | seconds a unit | largest, s | kB a unit |",
        "|---|---|--:|--:|--:|--:|",
    ]
    return "\n\n".join(
        [
            "\n".join([*head, *rows]),
            f"Empty units, {rates['n_units']} of them, on {rates['machine']} ({rates['date']}): "
            f"the pool of processes hands out {rates['pool_per_s']:.0f} a second, a dask "
            f"scheduler {rates['dask_per_s']:.0f}; the driver writes "
            f"{rates['written_per_s']:.0f} groups of the mean size a second, each flushed to disk.",
            about,
            _table(load, rates),
        ]
    )


def _sizes(profile: str, each: Sequence[Provenance], store: RecordStore) -> str:
    n_bytes = sum(entry.bytes for entry in store.manifest[profile].values())
    machines = "; ".join(sorted({one.hardware for one in each}))
    wall = [one.wall_s for one in each]
    return (
        f"| `{profile}` | {machines} | {len(each)} | {fsum(wall) / len(each):.2f} | "
        f"{max(wall):.1f} | {n_bytes / len(each) / 1000:.1f} |"
    )


def _paper(
    frozen: RecordStore,
    experiments: Mapping[str, Experiment],
    measured: Mapping[str, Sequence[Provenance]],
) -> tuple[Load, str]:
    """Return the load of the paper profile, measured or scaled, and a sentence that says which."""
    n_units = sum(len(groups_of(one, "paper")) for one in experiments.values())
    each = measured.get("paper", ())
    if len(each) == n_units:
        wall = [one.wall_s for one in each]
        machines = " and ".join(sorted({one.hardware for one in each}))
        about = (
            f"The paper profile took {_time(fsum(wall))} on {machines}, one worker at a time; on "
            "more workers:"
        )
        return Load(n_units, fsum(wall), max(wall)), about
    nothing = RecordStore(frozen.folder / "none", frozen=True)
    found = {one.name: costs.cost([one], "paper", nothing, frozen) for one in experiments.values()}
    seconds = {name: cost.known + cost.scaled for name, cost in found.items()}
    weights = {n: [group.weight for group in groups_of(experiments[n], "paper")] for n in found}
    work = fsum(seconds.values())
    largest = max(seconds[n] * max(w) / fsum(w) for n, w in weights.items() if fsum(w))
    unknown = sum(cost.n_unknown for cost in found.values())
    gap = f", not counting {unknown} units without one" if unknown else ""
    about = (
        f"The paper profile has {n_units} units and has not been measured as a whole. Scaled by "
        f"weight from smaller profiles, an estimate{gap}, it takes {_time(work)} of work "
        "on one core of the machines above. A worker in the table is such a core; times on GPUs "
        "will stand here when there are records from one:"
    )
    return Load(n_units, work, largest), about


def _table(load: Load, rates: Mapping[str, Any]) -> str:
    lines = ["| grid | units | " + " | ".join(_workers(n) for n in WORKERS) + " |"]
    lines.append("|---|--:|" + "--:|" * len(WORKERS))
    speed = {"handed_per_s": rates["dask_per_s"], "written_per_s": rates["written_per_s"]}
    for factor in FACTORS:
        grown = load.times(factor)
        found = [grown.duration(n, **speed) for n in WORKERS]
        cells = [f"{_time(seconds)} ({limit})" for seconds, limit in found]
        lines.append(f"| {factor}× | {grown.n_units} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _workers(n: int) -> str:
    return f"{n} worker" if n == 1 else f"{n} workers"


def _time(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{format_number(seconds / size)} {unit}"
    return f"{format_number(seconds)} s"
