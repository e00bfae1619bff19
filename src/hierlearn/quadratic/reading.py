"""Statistics of quadratic runs: functions that read one value a seed off the records."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from hierlearn.experiment import Measured, Statistic
from hierlearn.intervals import fit_slope
from hierlearn.quadratic.runs import QuadraticConfig

Value = Callable[[QuadraticConfig, dict[str, Any]], float]
Choice = Callable[[QuadraticConfig], bool]


def rows(
    records: Sequence[Measured], choice: Choice = lambda c: True
) -> dict[int, list[tuple[QuadraticConfig, dict[str, Any]]]]:
    """Collect, per seed, the runs that `choice` accepts with their measurements."""
    chosen: dict[int, list[tuple[QuadraticConfig, dict[str, Any]]]] = {}
    for record in records:
        config = QuadraticConfig(**record.config)
        if choice(config):
            chosen.setdefault(record.seed, []).append((config, record.measurement))
    return chosen


def only(values: list[float]) -> float:
    """Return the one value there is; an error where a choice matches several runs of a seed."""
    if len(values) != 1:
        raise ValueError(
            f"expected one run a seed, got {len(values)}; choose fewer or say how they combine"
        )
    return values[0]


def each(value: Value, choice: Choice, combine: Callable[[list[float]], float] = only) -> Statistic:
    """Make the statistic that combines `value` over the chosen runs of each seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        return {seed: combine([value(c, m) for c, m in runs]) for seed, runs in chosen.items()}

    return statistic


def slope(x: Callable[[QuadraticConfig], float], value: Value, choice: Choice) -> Statistic:
    """Make the statistic that fits, for each seed, the exponent of `value` in `x`."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        chosen = rows(records, choice)
        return {
            seed: fit_slope([x(c) for c, _ in runs], [value(c, m) for c, m in runs])
            for seed, runs in chosen.items()
        }

    return statistic


def final(name: str) -> Value:
    """Read an error at the end of training."""
    return lambda c, m: _number(m["final"][name])


def before(stage: int, name: str) -> Value:
    """Read an error just before stage number `stage` (level 3 opens in stage 3)."""
    return lambda c, m: _number(m["before"][str(c.protocol.stage_starts()[stage - 2])][name])


def _number(value: float | None) -> float:
    """A diverged run's error is recorded as None and read as not a number."""
    return math.nan if value is None else value


def is_staged(config: QuadraticConfig) -> bool:
    """Say whether a run is plain staged training on the full target with every level present."""
    return (
        config.target == "full" and config.look_back is None and None not in config.opens
        and config.opens != (0,) * len(config.opens)
        and config.feature_flow == config.output_flow == 1
    )  # fmt: skip


def is_greedy(config: QuadraticConfig) -> bool:
    """Say whether a run trains only its newest level, on the full target, and is never thawed."""
    return (
        config.target == "full" and config.look_back == 1 and config.thaw is None
        and not config.oracle
    )  # fmt: skip


def level_3_shut(config: QuadraticConfig) -> bool:
    """Say whether level 3 exists in the target but never opens in the network."""
    return config.target == "full" and config.opens[1] is None and config.gaps[1] > 0
