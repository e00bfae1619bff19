"""What statistics of records are put together from, whatever the experiment."""

import math
from collections.abc import Sequence

from hierlearn.experiments.base import Measured, Statistic


def ratio(above: Statistic, below: Statistic) -> Statistic:
    """Make the statistic that divides two others seed by seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        top, bottom = above(records), below(records)
        return {seed: top[seed] / bottom[seed] for seed in top if seed in bottom}

    return statistic


def difference(left: Statistic, right: Statistic) -> Statistic:
    """Make the statistic that subtracts two others seed by seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        one, other = left(records), right(records)
        return {seed: one[seed] - other[seed] for seed in one if seed in other}

    return statistic


def mean(values: list[float]) -> float:
    """Average over the runs of a seed."""
    return sum(values) / len(values)


def crossing(sizes: Sequence[float], errors: Sequence[float], level: float) -> float:
    """Return the first size at which the error is at most `level`, interpolated log-log.

    Not a number when the error is never, or already at the smallest size, below `level`.
    """
    points = sorted(zip(sizes, errors, strict=True))
    for (n0, e0), (n1, e1) in zip(points, points[1:], strict=False):
        if e0 > level >= e1:
            e1 = max(e1, 1e-15)
            share = math.log(e0 / level) / math.log(e0 / e1)
            return float(n0 * (n1 / n0) ** share)
    return math.nan
