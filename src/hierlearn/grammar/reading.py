"""Chapter 4: functions that read one value a seed off records on Random Hierarchy Models."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from hierlearn.experiment import Measured, Statistic
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.intervals import fit_slope
from hierlearn.statistics import crossing, mean

Value = Callable[[HierarchyConfig, dict[str, Any]], float]
Choice = Callable[[HierarchyConfig], bool]
LEVEL, FLOOR = 0.1, 1e-4


def rows(
    records: Sequence[Measured], choice: Choice = lambda c: True
) -> dict[int, list[tuple[HierarchyConfig, dict[str, Any]]]]:
    """Collect, per seed, the runs that `choice` accepts with their measurements."""
    chosen: dict[int, list[tuple[HierarchyConfig, dict[str, Any]]]] = {}
    for record in records:
        config = HierarchyConfig(**record.config)
        if choice(config):
            chosen.setdefault(record.seed, []).append((config, record.measurement))
    return chosen


def each(value: Value, choice: Choice, combine: Callable[[list[float]], float] = max) -> Statistic:
    """Make the statistic that combines `value` over the chosen runs of each seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        return {seed: combine([value(c, m) for c, m in runs]) for seed, runs in chosen.items()}

    return statistic


def error(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    """Read the last test error over chance."""
    return float(measurement["error"])


def sensitivity_of(layer: int, level: int, *where: str) -> Value:
    """Read S of `layer` to synonyms of `level`, both from 1; `where` is a path of keys."""

    def value(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
        found: Any = measurement
        for key in where or ("sensitivity",):
            found = found[key]
        entry = found[layer - 1][level - 1]
        return math.nan if entry is None else float(entry)

    return value


def needed(
    records: Sequence[Measured], choice: Choice = lambda c: True
) -> dict[int, dict[tuple[int, ...], float]]:
    r"""Return, per seed and $(v,n_c,m,L)$, P*: where the error first falls to a tenth of chance.

    Interpolated log-log, errors raised to $10^{-4}$; not a number where it does not cross.
    """
    grids: dict[int, dict[tuple[int, ...], list[tuple[float, float]]]] = {}
    for seed, runs in rows(records, choice).items():
        for config, measurement in runs:
            points = grids.setdefault(seed, {}).setdefault(config.parameters, [])
            points.append((config.n_samples, max(error(config, measurement), FLOOR)))
    return {
        seed: {
            key: crossing([n for n, _ in points], [e for _, e in points], LEVEL)
            for key, points in by_key.items()
        }
        for seed, by_key in grids.items()
    }


def at_least(choice: Choice, unit: Callable[[HierarchyConfig], float]) -> Statistic:
    """Make the statistic P* over a unit; the largest size tried where the error does not cross.

    A seed with one size only says nothing about P* and is left out.
    """

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        largest = {
            seed: max((config.n_samples, unit(config)) for config, _ in runs)
            for seed, runs in rows(records, choice).items()
            if len(runs) > 1
        }
        sizes = {seed: list(one.values()) for seed, one in needed(records, choice).items()}
        return {
            seed: (n if math.isnan(sizes[seed][0]) else sizes[seed][0]) / one
            for seed, (n, one) in largest.items()
        }

    return statistic


def sample_size(choice: Choice, unit: Callable[[HierarchyConfig], float]) -> Statistic:
    """Make the statistic P* over a unit, geometric mean over the chosen configurations."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        units: dict[tuple[int, ...], float] = {
            config.parameters: unit(config)
            for runs in rows(records, choice).values()
            for config, _ in runs
        }
        return {
            seed: math.exp(mean([math.log(size / units[key]) for key, size in found.items()]))
            for seed, found in needed(records, choice).items()
        }

    return statistic


def size_slope(choice: Choice) -> Statistic:
    r"""Make the statistic that fits the exponent of P* in $n_cm^L$ over configurations."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        slopes = {}
        for seed, found in needed(records, choice).items():
            scales = [n_classes * m**depth for _, n_classes, m, depth in found]
            bad = any(math.isnan(size) for size in found.values())
            slopes[seed] = math.nan if bad else fit_slope(scales, list(found.values()))
        return slopes

    return statistic
