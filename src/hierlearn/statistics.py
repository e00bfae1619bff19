"""The algebra of statistics: from the runs of an experiment to one number a seed.

A value reads a number off one run, `value(config, measurement)`; an arm, or a tuple of arms, says
which runs; the functions here combine the two into a `Statistic`.

    "correction": ratio(each(before(3, "gram2"), "reference"), each(final("gram2"), "reference"))
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hierlearn.experiment import Result, Runs, Statistic
from hierlearn.intervals import Bound, fit_slope

Value = Callable[[Any, dict[str, Any]], float]  #: a number of one run
Arm = str | tuple[str, ...]  #: the name of an arm, or the names of several


def number(*path: str | int) -> Value:
    """Read what stands under these keys of a measurement; None, of a diverged run, becomes nan."""

    def value(config: Any, measurement: dict[str, Any]) -> float:
        found: Any = measurement
        for key in path:
            found = found[key]
        return math.nan if found is None else float(found)

    return value


def at_least(value: float) -> float:
    """Mark a number as a lower bound: a threshold not reached, a quotient over a floor."""
    return Bound(value, "≥")


def at_most(value: float) -> float:
    """Mark a number as an upper bound: a threshold passed before the first size, a floor."""
    return Bound(value, "≤")


def _as_bound(value: float, sides: Iterable[str | None]) -> float:
    """Mark `value` by the sides of what it was made of; nan where they disagree."""
    known = {side for side in sides if side}
    if len(known) > 1:
        return math.nan
    return Bound(value, known.pop()) if known else value


def _side(value: float) -> str | None:
    return value.side if isinstance(value, Bound) else None


def only(values: Sequence[float]) -> float:
    """Return the one value there is; ValueError where an arm has several runs a seed."""
    if len(values) != 1:
        raise ValueError(f"expected one run a seed, got {len(values)}: say how they combine")
    return values[0]


def mean(values: Sequence[float]) -> float:
    """Average over the runs of a seed."""
    return sum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """Average the logarithms over the runs of a seed."""
    return math.exp(mean([math.log(value) for value in values]))


def runs_of(runs: Runs, arm: Arm) -> dict[int, list[Result]]:
    """Return the runs of an arm, or of several, by seed."""
    return runs.of(*((arm,) if isinstance(arm, str) else arm))


def each(value: Value, arm: Arm, combine: Callable[[list[float]], float] = only) -> Statistic:
    """Make the statistic that combines `value` over the runs of an arm, seed by seed.

    What a bound goes into is a bound (`combine` must grow with each of its values).
    """

    def combined(own: list[float]) -> float:
        # Python's own extremes of a list with a nan depend on its order.
        if combine in (min, max) and any(map(math.isnan, own)):
            return math.nan
        return _as_bound(combine(own), map(_side, own))

    def statistic(runs: Runs) -> dict[int, float]:
        return {
            seed: combined([value(config, measurement) for config, measurement in own])
            for seed, own in runs_of(runs, arm).items()
        }

    return statistic


def quotient(above: Value, below: Value) -> Value:
    """Make the value that divides two values of one run."""
    return lambda config, measurement: above(config, measurement) / below(config, measurement)


def ratio(above: Statistic, below: Statistic) -> Statistic:
    """Make the statistic that divides two others, both positive, seed by seed."""
    return _both(operator.truediv, above, below)


def difference(left: Statistic, right: Statistic) -> Statistic:
    """Make the statistic that subtracts two others, seed by seed."""
    return _both(operator.sub, left, right)


def _both(
    operate: Callable[[float, float], float], rising: Statistic, falling: Statistic
) -> Statistic:
    """Combine two statistics by what grows with the first and falls with the second."""
    turned = {"≥": "≤", "≤": "≥"}

    def statistic(runs: Runs) -> dict[int, float]:
        one, other = rising(runs), falling(runs)
        return {
            seed: _as_bound(
                operate(one[seed], other[seed]),
                (_side(one[seed]), turned.get(_side(other[seed]) or "")),
            )
            for seed in one
            if seed in other
        }

    return statistic


def slope(x: Callable[[Any], float], value: Value, arm: Arm) -> Statistic:
    """Make the statistic that fits, seed by seed, the exponent of `value` in `x(config)`."""
    return lambda runs: {
        seed: exponent([(x(config), value(config, m)) for config, m in own])
        for seed, own in runs_of(runs, arm).items()
    }


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Return the exponent of a power law through points (x, y); nan if a y is nan or a bound."""
    if any(math.isnan(y) or isinstance(y, Bound) for _, y in points):
        return math.nan
    return fit_slope([x for x, _ in points], [y for _, y in points])


def needed(
    runs: Runs,
    arm: Arm,
    *,
    size: Callable[[Any], float],
    by: Callable[[Any], Any],
    value: Value,
    level: float,
    floor: float = 0.0,
) -> dict[int, dict[Any, float]]:
    """Return, per seed and `by(config)`, the `size(config)` at which `value` falls to `level`.

    Interpolated log-log between the sizes tried, with values raised to `floor`; a bound where they
    do not cross the level.
    """
    found: dict[int, dict[Any, float]] = {}
    for seed, own in runs_of(runs, arm).items():
        grids: dict[Any, list[tuple[float, float]]] = {}
        for config, measurement in own:
            point = size(config), max(value(config, measurement), floor)
            grids.setdefault(by(config), []).append(point)
        found[seed] = {key: crossing(grid, level) for key, grid in grids.items()}
    return found


def crossing(points: Sequence[tuple[float, float]], level: float) -> float:
    """Return the first size at which the error is at most `level`, interpolated log-log.

    A bound, the largest or the smallest size, when the error is never below `level`, or already at
    the smallest size; nan where an error is not a number.
    """
    points = sorted(points)
    if any(math.isnan(error) for _, error in points):
        return math.nan
    if points[0][1] <= level:
        return at_most(float(points[0][0]))
    for (n0, e0), (n1, e1) in zip(points, points[1:], strict=False):
        if e0 > level >= e1:
            e1 = max(e1, 1e-15)
            share = math.log(e0 / level) / math.log(e0 / e1)
            return float(n0 * (n1 / n0) ** share)
    return at_least(float(points[-1][0]))
