"""Intervals over seeds, and the slope of a power law.

With 5 or 8 seeds a percentile bootstrap covers a normal mean in about 84 % or 88 % of experiments
instead of 95 %; tests simulate this, and that the intervals below keep their promise on normal,
log-normal and heavy-tailed data and on distributions fitted to the committed records.
"""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from hierlearn.engine.doors import checked

Array = NDArray[np.float64]

IntervalKind = Literal["t", "log-t", "range"]
INTERVAL_KINDS: tuple[str, ...] = get_args(IntervalKind)
CONFIDENCE = 0.95
_LARGEST_LOG = math.log(sys.float_info.max)


class IntervalError(ValueError):
    """Values that an interval cannot be computed from."""


class Bound(float):
    """A number known only from one side: `side` is "≥" or "≤"; in arithmetic it is its value."""

    side: str

    def __new__(cls, value: float, side: str) -> "Bound":
        """Make the bound; ValueError for another side."""
        if side not in ("≥", "≤"):
            raise ValueError(f"a bound has the side '≥' or '≤'; got {side!r}")
        made = super().__new__(cls, value)
        made.side = side
        return made


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval [low, high] over `n` seeds.

    Where some seeds are a `Bound`, it is their range, open (infinite) on the side they leave open;
    then the estimate may be a `Bound` itself.
    """

    estimate: float
    low: float
    high: float
    n: int
    kind: IntervalKind = "t"


@checked
def interval(values: Iterable[float], kind: str) -> Interval:
    """Return the interval of `values`, one number a seed, in any order.

    - "t": estimate = mean, 95 % Student t interval of the mean. For statistics whose seeds scatter
      symmetrically (slopes, ratios near 1). On skewed ones it undercovers: 67 % of the time at
      n = 5 for the mean of a log-normal whose logarithm has standard deviation 1.5.
    - "log-t": estimate = geometric mean, the t interval of the mean log, exponentiated. For
      positive statistics that scatter over factors (errors, ratios of errors).
    - "range": estimate = median, [min, max]. For exact statistics and for rules on a worst case,
      which state n. It also covers the median of any continuous distribution with probability
      1 - 2^(1-n): 93.75 % at n = 5, 99.2 % at n = 8.

    Whatever the kind, values with a `Bound` among them have the range, with an open end.

    Raises IntervalError for an unknown kind, no values ("t" and "log-t": fewer than two), values
    that are not finite, and values <= 0 where a logarithm is to be taken.
    """
    if isinstance(values, Mapping):
        raise IntervalError("interval takes one number a seed, not a mapping; give its .values()")
    values = list(values)
    if not all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        raise IntervalError(f"interval takes one real number a seed, got {values!r:.120}")
    sample = np.asarray(values, dtype=float)
    if kind not in INTERVAL_KINDS:
        raise IntervalError(f"unknown interval {kind!r}; valid: {', '.join(INTERVAL_KINDS)}")
    least = 1 if kind == "range" else 2
    if len(sample) < least:
        raise IntervalError(f"interval {kind!r} needs at least {least} value(s), got {len(sample)}")
    if not np.isfinite(sample).all():
        raise IntervalError(f"interval {kind!r} needs finite values, got {sample.tolist()}")
    if kind == "log-t" and (sample <= 0).any():
        raise IntervalError(
            f"interval 'log-t' takes logarithms and needs positive values, got {sample.tolist()}; "
            "use 't' or 'range', or give the statistic a documented positive floor"
        )
    bounds = [value for value in values if isinstance(value, Bound)]
    if bounds or kind == "range":
        return _range(sample, bounds)
    logs = kind == "log-t"
    ends = [float(x[0]) for x in t_interval((np.log(sample) if logs else sample)[None])]
    estimate, low, high = (math.exp(min(x, _LARGEST_LOG)) if logs else x for x in ends)
    if not all(map(math.isfinite, (estimate, low, high))):
        raise IntervalError(f"interval {kind!r} of {sample.tolist()} overflows")
    return Interval(estimate, low, high, len(sample), "log-t" if logs else "t")


def _range(sample: Array, bounds: list[Bound]) -> Interval:
    """Return the range of values some of which are bounds; the median is one where they reach it.

    With bounds on both sides nothing but the median's value is left, and the line is open.
    """
    sides = {bound.side for bound in bounds}
    low = -math.inf if "≤" in sides else float(sample.min())
    high = math.inf if "≥" in sides else float(sample.max())
    middle, n, ordered = float(np.median(sample)), len(sample), np.sort(sample)
    if any(bound <= ordered[n // 2] for bound in bounds if bound.side == "≥"):
        middle = Bound(middle, "≥")
    elif any(bound >= ordered[(n - 1) // 2] for bound in bounds if bound.side == "≤"):
        middle = Bound(middle, "≤")
    return Interval(middle, low, high, n, "range")


@checked
def t_interval(samples: Array) -> tuple[Array, Array, Array]:
    """Return mean and ends of the "t" interval of each row of `samples [experiment, seed]`."""
    if samples.ndim != 2 or samples.shape[1] < 2:
        raise IntervalError(
            f"samples must be [experiment, seed] with at least two seeds; got shape {samples.shape}"
        )
    n = samples.shape[1]
    mean = samples.mean(1)
    # Written out, because scipy's ready-made intervals return nan where all values are equal.
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    half = quantile * samples.std(1, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


@checked
def fit_slope(x: ArrayLike, y: ArrayLike) -> float:
    """Return the least-squares slope of log y on log x, the exponent p of y = c x^p, for one seed.

    Raises IntervalError where lengths differ, x has fewer than two distinct values, or a value is
    not positive and finite.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if xs.shape != ys.shape or xs.ndim != 1:
        shapes = f"{xs.shape} and {ys.shape}"
        raise IntervalError(f"fit_slope needs two sequences of one length, got shapes {shapes}")
    for name, values in (("x", xs), ("y", ys)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            got = values.tolist()
            raise IntervalError(f"fit_slope needs positive finite values, got {name} = {got}")
    if len(set(xs.tolist())) < 2:
        raise IntervalError(f"fit_slope needs at least two distinct x, got {xs.tolist()}")
    return float(stats.linregress(np.log(xs), np.log(ys)).slope)
