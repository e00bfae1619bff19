"""Intervals keep their coverage at the seed counts in use."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierlearn.intervals import (
    INTERVAL_KINDS,
    Bound,
    IntervalError,
    fit_slope,
    interval,
    t_interval,
)

N_EXPERIMENTS = 4000
settings.load_profile("hierlearn")  # a module before may have loaded its own
# Rounded, so that a variance cannot underflow.
numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))
values = st.lists(numbers, min_size=2, max_size=12)
positive = st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=12)


def samples(shape: str, n: int, seed: int = 0) -> np.ndarray:
    """`N_EXPERIMENTS` samples of n seeds each, with median 0 or, where log-normal, 1."""
    rng = np.random.default_rng([seed, n])
    size = (N_EXPERIMENTS, n)
    if shape == "normal":
        return rng.standard_normal(size)
    if shape == "t4":
        return rng.standard_t(4, size)
    return np.exp(float(shape.removeprefix("log-normal ")) * rng.standard_normal(size))


def coverage(data: np.ndarray, kind: str, truth: float) -> float:
    """The share of samples whose interval contains the truth: all at once, and some one by one."""
    where = np.log if kind == "log-t" else np.asarray
    _, low, high = t_interval(where(data))
    for i, sample in enumerate(data[:20]):
        found = interval(sample, kind)
        assert where([found.low, found.high]) == pytest.approx([low[i], high[i]])
    return float(np.mean((low <= where(truth)) & (where(truth) <= high)))


def bootstrap_coverage(data: np.ndarray, truth: float, n_resamples: int = 500) -> float:
    """The same for the 95 % percentile bootstrap of the mean."""
    rng, rows = np.random.default_rng(1), np.arange(len(data))[:, None]
    means = np.zeros((len(data), n_resamples))
    for _ in range(data.shape[1]):
        means += data[rows, rng.integers(0, data.shape[1], means.shape)] / data.shape[1]
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("shape", ["normal", "t4"])
def test_t_covers_symmetric_data_and_the_percentile_bootstrap_does_not(shape: str, n: int) -> None:
    data = samples(shape, n)
    assert coverage(data, "t", 0.0) >= 0.93
    assert bootstrap_coverage(data[:1000], 0.0) < 0.92


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("sd", [0.5, 1.0, 1.5])
def test_log_t_covers_log_normal_data_where_t_and_the_bootstrap_miss(sd: float, n: int) -> None:
    data = samples(f"log-normal {sd}", n)
    assert coverage(data, "log-t", 1.0) >= 0.93
    assert bootstrap_coverage(np.log(data[:1000]), 0.0) < 0.92
    mean = math.exp(sd**2 / 2)
    assert bootstrap_coverage(data[:1000], mean) < 0.90
    if sd >= 1.0:
        assert coverage(data, "t", mean) < 0.93


@pytest.mark.parametrize("n", [5, 8])
def test_log_t_covers_heavy_tails_of_the_logarithm(n: int) -> None:
    assert coverage(np.exp(samples("t4", n)), "log-t", 1.0) >= 0.93


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("shape", ["normal", "t4", "log-normal 1.5"])
def test_the_range_covers_the_median_as_often_as_it_promises(shape: str, n: int) -> None:
    data = np.concatenate([samples(shape, n, seed) for seed in range(5)])
    truth = 1.0 if shape.startswith("log") else 0.0
    covered = np.mean((data.min(axis=1) <= truth) & (truth <= data.max(axis=1)))
    assert covered == pytest.approx(1 - 2 ** (1 - n), abs=0.006)
    assert covered >= 0.93


def test_the_t_interval_is_the_textbook_one() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0], "t")
    assert found.estimate == 3.0
    assert found.high - 3.0 == pytest.approx(2.7764451 * math.sqrt(2.5 / 5))
    assert found.n == 5


def test_equal_values_have_an_interval_of_no_width() -> None:
    for kind in ("t", "log-t", "range"):
        found = interval([0.5] * 5, kind)
        assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_the_range_of_one_run_is_that_run() -> None:
    found = interval([7.0], "range")
    assert (found.estimate, found.low, found.high, found.n) == (7.0, 7.0, 7.0, 1)


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -2.0]])
def test_log_t_refuses_values_that_are_not_positive(bad: list[float]) -> None:
    with pytest.raises(IntervalError, match="needs positive values, got .*; use 't' or 'range'"):
        interval(bad, "log-t")


def test_intervals_refuse_what_they_cannot_use() -> None:
    with pytest.raises(IntervalError, match="finite"):
        interval([1.0, math.nan], "t")
    with pytest.raises(IntervalError, match="at least 2"):
        interval([1.0], "t")
    with pytest.raises(IntervalError, match="valid: t, log-t, range"):
        interval([1.0, 2.0], "bootstrap")
    with pytest.raises(IntervalError, match="give its .values()"):
        interval({8: 1.2, 9: 1.3}, "t")
    with pytest.raises(ValueError, match="neither a bool"):
        interval([True, False], "range")


def test_log_t_stays_finite_where_the_scatter_is_absurd() -> None:
    found = interval([1e-300, 1e300], "log-t")
    assert math.isfinite(found.high) and found.low >= 0


@given(positive, st.randoms(use_true_random=False), st.sampled_from(["t", "log-t", "range"]))
def test_the_order_of_the_seeds_does_not_matter(sample, random, kind) -> None:
    mixed = random.sample(sample, len(sample))
    one, other = interval(sample, kind), interval(mixed, kind)
    scale = max(sample)
    assert one.estimate == pytest.approx(other.estimate, rel=1e-9)
    assert one.low == pytest.approx(other.low, rel=1e-9, abs=1e-9 * scale)
    assert one.high == pytest.approx(other.high, rel=1e-9)


@given(values, st.floats(1e-3, 1e3), st.sampled_from(["t", "range"]))
def test_scaling_the_values_scales_the_interval(sample, factor, kind) -> None:
    one = interval(sample, kind)
    other = interval([factor * value for value in sample], kind)
    slack = 1e-9 * factor * (max(abs(value) for value in sample) + 1e-300)
    assert other.low == pytest.approx(factor * one.low, rel=1e-9, abs=slack)
    assert other.high == pytest.approx(factor * one.high, rel=1e-9, abs=slack)


@given(positive, st.floats(1e-3, 1e3))
def test_scaling_positive_values_scales_the_log_interval(sample, factor) -> None:
    one = interval(sample, "log-t")
    other = interval([factor * value for value in sample], "log-t")
    if one.high < 1e300:
        assert other.low == pytest.approx(factor * one.low, rel=1e-6)
        assert other.high == pytest.approx(factor * one.high, rel=1e-6)


@given(values)
def test_more_seeds_with_the_same_scatter_give_a_narrower_interval(sample) -> None:
    few, many = interval(sample, "t"), interval(sample * 3, "t")
    assert many.high - many.low <= (few.high - few.low) + 1e-12 * max(map(abs, sample))


@given(values, st.sampled_from(["t", "range"]))
def test_the_estimate_lies_in_its_interval(sample, kind) -> None:
    found = interval(sample, kind)
    assert found.low <= found.estimate <= found.high


@given(st.floats(-4, 4), st.floats(1e-3, 1e3))
def test_fit_slope_recovers_the_exponent_of_a_power_law(exponent, factor) -> None:
    x = [0.05, 0.1, 0.2, 0.4]
    assert fit_slope(x, [factor * value**exponent for value in x]) == pytest.approx(
        exponent, abs=1e-9
    )


def test_fit_slope_refuses_what_has_no_slope() -> None:
    with pytest.raises(IntervalError, match="positive finite values, got y"):
        fit_slope([1, 2], [1, 0])
    with pytest.raises(IntervalError, match="two distinct x"):
        fit_slope([2, 2], [1, 3])
    with pytest.raises(IntervalError, match="one length"):
        fit_slope([1, 2], [1, 2, 3])


@pytest.mark.parametrize("kind", INTERVAL_KINDS)
def test_values_known_from_one_side_leave_that_side_open(kind):
    found = interval([1.0, 2.0, Bound(3.0, "≥")], kind)
    assert (found.estimate, found.low, found.high, found.kind) == (2, 1, math.inf, "range")
    assert not isinstance(found.estimate, Bound)
    found = interval([Bound(1.0, "≤"), Bound(2.0, "≤"), 3.0], kind)
    assert (found.low, found.high) == (-math.inf, 3)
    assert isinstance(found.estimate, Bound) and found.estimate.side == "≤"
    found = interval([1.0, 2.0, Bound(3.0, "≥"), Bound(0.5, "≤")], kind)
    assert (found.low, found.high) == (-math.inf, math.inf)


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=8), st.data())
def test_a_bound_is_never_narrower_than_what_it_may_stand_for(values, data):
    cut = data.draw(st.floats(0.1, 10))
    censored = [Bound(cut, "≥") if value > cut else value for value in values]
    if any(isinstance(value, Bound) for value in censored):
        found = interval(censored, "t")
        assert found.low <= np.median(values) <= found.high
        exact = not isinstance(found.estimate, Bound)
        assert found.estimate <= np.median(values) and (
            not exact or found.estimate == pytest.approx(np.median(values))
        )
