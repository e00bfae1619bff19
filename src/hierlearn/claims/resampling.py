"""How often a rule holds for seeds drawn like those of a control.

A control has 5 or 8 seeds. Drawing from them with replacement alone would repeat values and end at
the extreme ones, so that intervals come out too narrow: every draw is blurred as in a Gaussian
kernel density, with Scott's width n^(-1/5) times the standard deviation of the seeds. That draws
from a law 15 % (n = 5) or 14 % (n = 8) wider than the seeds. What no resampling knows is how far
these seeds lie from those that were not run.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hierlearn.claims.declarations import Rule
from hierlearn.intervals import Array, IntervalKind, t_interval

N_RESAMPLES = 2000
SEED = 0


def rate(
    values: Iterable[float], rule: Rule, *, n: int, kind: IntervalKind, logs: bool
) -> float | None:
    """Return the share of `N_RESAMPLES` experiments of n seeds whose whole interval obeys `rule`.

    Args:
        values: the seeds that are resampled, at least two.
        rule: it decides; it must not be "report".
        n: seeds of each experiment, at least two unless `kind` is "range".
        kind: the interval that each experiment takes.
        logs: blur on the logarithm, for values that scatter over factors; only where all are
            positive.

    Returns:
        A share in [0, 1], the same at each call; None where it cannot be computed: fewer than two
        values or seeds, or a value that is not finite.
    """
    sample = np.asarray(list(values), dtype=float)
    if len(sample) < 2 or n < (1 if kind == "range" else 2) or not np.isfinite(sample).all():
        return None
    logs = logs and bool((sample > 0).all())
    sample = np.log(sample) if logs else sample
    places, noise = _randomness(len(sample), n)
    drawn = sample[places] + np.std(sample, ddof=1) * len(sample) ** -0.2 * noise
    with np.errstate(over="ignore"):
        low, high = ends(np.exp(drawn) if logs else drawn, kind)
    return float(rule.satisfied(low, high).mean())


@cache
def _randomness(n_values: int, n: int) -> tuple[NDArray[np.int64], Array]:
    rng = np.random.default_rng(SEED)
    size = (N_RESAMPLES, n)
    return rng.integers(n_values, size=size), rng.standard_normal(size)


def ends(samples: Array, kind: IntervalKind) -> tuple[Array, Array]:
    """Return the ends of the interval of each row of `samples [experiment, seed]`.

    The same intervals as `intervals.interval`, for thousands of experiments at once; the
    whole line where a row has none (a "log-t" interval of a value that is not positive).
    """
    if kind == "range":
        return samples.min(1), samples.max(1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = np.log(samples) if kind == "log-t" else samples
        _, low, high = t_interval(values)
        if kind == "log-t":
            low, high = np.exp(low), np.exp(high)
    exists = np.isfinite(values).all(1)
    return np.where(exists, low, -np.inf), np.where(exists, high, np.inf)
