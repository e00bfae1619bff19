r"""Reading the records of runs on ball indicators: one value a seed."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from hierlearn.ball.config import BallConfig
from hierlearn.ball.measures import polynomial_floor
from hierlearn.experiment import Measured, Statistic
from hierlearn.intervals import fit_slope

Value = Callable[[BallConfig, dict[str, Any]], float]
Choice = Callable[[BallConfig], bool]
Found = tuple[BallConfig, dict[str, Any]]


def rows(records: Sequence[Measured], choice: Choice = lambda c: True) -> dict[int, list[Found]]:
    """Collect, per seed, the runs that `choice` accepts with their measurements."""
    chosen: dict[int, list[Found]] = {}
    for record in records:
        config = BallConfig(**record.config)
        if choice(config):
            chosen.setdefault(record.seed, []).append((config, record.measurement))
    return chosen


def where(**wanted: Any) -> Choice:
    """Make the choice of runs whose fields have these values; numbers match to 1e-3."""

    def choice(config: BallConfig) -> bool:
        for name, value in wanted.items():
            got = getattr(config, name)
            same = abs(got - value) < 1e-3 if isinstance(value, float) else got == value
            if not same:
                return False
        return True

    return choice


def number(name: str) -> Value:
    """Read a measurement; None, of a run that diverged, becomes not a number."""
    return lambda c, m: math.nan if m[name] is None else m[name]


def fraction(degree: int) -> Value:
    """Read the learned fraction of the harmonic of degree 1, 3, 5 or 7."""
    return lambda c, m: m["fractions"][(1, 3, 5, 7).index(degree)]


def floor_1(config: BallConfig) -> float:
    r"""Return the degree-1 level $A_1^2$ of a run's target."""
    return polynomial_floor(config.dim, config.radius, 1)


def each(value: Value, choice: Choice, combine: Callable[[list[float]], float] = max) -> Statistic:
    """Make the statistic that combines `value` over the chosen runs of each seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        return {seed: combine([value(c, m) for c, m in found]) for seed, found in chosen.items()}

    return statistic


def at_widest(value: Value, choice: Choice, rank: int = -1) -> Statistic:
    """Make the statistic that reads `value` of the widest (rank -1) or narrowest (0) chosen run."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        return {
            seed: value(*sorted(found, key=lambda one: one[0].width)[rank])
            for seed, found in chosen.items()
        }

    return statistic


def slope(field: str, value: Value, choice: Choice) -> Statistic:
    """Make the statistic that fits, for each seed, the exponent of `value` in a field.

    Only seeds that have every value of the field count.
    """

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        sizes = {getattr(c, field) for found in chosen.values() for c, _ in found}
        fits = {}
        for seed, found in chosen.items():
            points = {getattr(c, field): value(c, m) for c, m in found}
            if set(points) == sizes and len(sizes) > 1:
                fits[seed] = fit_slope(list(points), list(points.values()))
        return fits

    return statistic


def both(first: Choice, second: Choice) -> Choice:
    """Make the choice of runs that two choices accept."""
    return lambda c: first(c) and second(c)
