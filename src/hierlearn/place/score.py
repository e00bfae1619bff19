"""Where a learner stands on a task: the rules, fixed here and nowhere else.

A walk counts by the rung it passed (`walk.rank`). Two learners are compared on their common seeds,
on which they saw the same target and the same training data.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any, NamedTuple

from scipy import stats

from hierlearn.claims.verdicts import holm
from hierlearn.intervals import Bound
from hierlearn.place.tasks import Task
from hierlearn.place.walk import passed, rank

Walks = Mapping[int, dict[str, Any]]  #: the measurements of a learner on a task, by seed
Table = Mapping[str, Walks]  #: of one learner by task, or on one task by learner

CLASSES = {
    "end-to-end": ("joint", "perceptron"),
    "layerwise": ("greedy",),
    "a kernel": ("kernel ridge",),
}
"""The reference learners that stand for a class; of several on a task the one that needs least."""
NEAR = 0.5  #: rungs, on the mean over seeds, within which a learner is like a class
ROUNDING = math.sqrt(1 / 6)
"""What rounding two sizes up to rungs gives their difference, as a standard deviation, in rungs."""


class Paired(NamedTuple):
    """How many rungs more another learner needs, on the mean over common seeds, and p of no less.

    The p of Student's t test; the standard deviation over seeds counts as `ROUNDING` at least.
    """

    rungs: float
    p: float


def paired(mine: Walks, other: Walks) -> Paired:
    """Compare two learners on one task; without two common seeds nothing is known, p = 1."""
    both = [rank(other[s]) - rank(mine[s]) for s in mine if s in other]
    if len(both) < 2:
        return Paired(math.nan, 1.0)
    error = max(stdev(both), ROUNDING) / math.sqrt(len(both))
    return Paired(mean(both), float(2 * stats.t.sf(abs(mean(both)) / error, len(both) - 1)))


def against(mine: Table, other: Table) -> dict[str, int]:
    """Return by task whether another learner needs more (1) or less (-1), or neither (0).

    Holm's correction is over the tasks that both were tried on.
    """
    found = {task: paired(walks, other[task]) for task, walks in mine.items() if task in other}
    stands = holm({task: one.p for task, one in found.items()})
    return {task: int(math.copysign(stands[task], one.rungs)) for task, one in found.items()}


def sided(size: float, text: str) -> str:
    """Return the text for a size, with > or ≤ before it where that is a bound."""
    return {"≥": ">", "≤": "≤", "": ""}[getattr(size, "side", "")] + text


def needed(walks: Iterable[dict[str, Any]]) -> list[float]:
    """Return least, median and most of the sizes that walks passed; bounds at the ladder's ends.

    Of an even number of seeds the larger of the middle ones.
    """
    every = list(walks)
    ranks = sorted(rank(one) for one in every)
    first, rungs = every[0]["sizes"][0], every[0]["rungs"]

    def size(place: int) -> float:
        if place >= rungs:
            return Bound(first * 2 ** (rungs - 1), "≥")
        return float(first * 2**place) if place else Bound(first, "≤")

    return [size(ranks[place]) for place in (0, len(ranks) // 2, -1)]


def written(walks: Iterable[dict[str, Any]]) -> str:
    """Write the median of what is needed, with its range where it has one."""
    low, middle, high = (sided(one, f"{one:.0f}") for one in needed(walks))
    return middle if low == high else f"{middle} [{low}, {high}]"


def word(task: Task, mine: Walks, others: Table) -> str:
    """Return in words how a learner did on a task, beside the reference learners there.

    - "failed": it raised, ran too long, or refused, on any seed.
    - "below the yardstick": at its best size the error is, on the median seed, not below the least
      of the task's yardsticks.
    - "does not pass": on most seeds, so that nobody is like it.
    - "like end-to-end", "like layerwise", "like a kernel": the class whose best learner is nearest,
      if it is within `NEAR` rungs; several where they are equally near.
    - "ahead of", "behind" the nearest class, or "between" two.
    """
    if any(one["failure"] for one in mine.values()):
        return "failed"
    best = [min(one["errors"]) * task.share / one["threshold"] for one in mine.values()]
    if median(best) >= 1:
        return "below the yardstick"
    if 2 * sum(map(passed, mine.values())) < len(mine):
        return "does not pass"
    apart = {}
    for name, learners in CLASSES.items():
        own = [paired(mine, others[one]).rungs for one in learners if one in others]
        if own := [one for one in own if not math.isnan(one)]:
            apart[name] = min(own)
    if not apart:
        return "passes"
    least = min(map(abs, apart.values()))
    if least <= NEAR:
        return "like " + " or ".join(k for k, v in apart.items() if abs(v) <= least + 1e-9)
    behind = max((k for k, v in apart.items() if v < 0), key=apart.__getitem__, default="")
    ahead = min((k for k, v in apart.items() if v > 0), key=apart.__getitem__, default="")
    if ahead and behind:
        return f"between {behind} and {ahead}"
    return f"ahead of {ahead}" if ahead else f"behind {behind}"


def order(tables: Mapping[str, Table]) -> list[str]:
    """Return the names of tables, who needs least first, who failed last: by mean rungs."""

    def rungs(name: str) -> float:
        return mean(rank(one) for walks in tables[name].values() for one in walks.values())

    return sorted((name for name, table in tables.items() if table), key=rungs)


def by_task(records: Sequence[Any], learner: str | None = None) -> dict[str, dict[int, Any]]:
    """Return the measurements of records by task and seed; only those of a `learner` if named."""
    found: dict[str, dict[int, Any]] = {}
    for one in records:
        if learner is None or one.config["learner"] == learner:
            found.setdefault(one.config["task"], {})[one.seed] = one.measurement
    return found
