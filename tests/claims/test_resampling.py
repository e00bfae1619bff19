"""False-positive rates are those of the law that a control's seeds come from, or above."""

import math

import numpy as np
import pytest
from scipy import stats

from hierlearn.claims.declarations import parse_rule
from hierlearn.claims.resampling import N_RESAMPLES, ends, rate

ABOVE = parse_rule("interval above 0")


def simulated(draw, *, n: int, n_control: int) -> tuple[float, float]:
    """The true false-positive rate of a law, and the mean rate that its controls report."""
    rng = np.random.default_rng(7)
    low, high = ends(draw(rng, (40_000, n)), "t")
    controls = draw(rng, (400, n_control))
    found = [rate(one, ABOVE, n=n, kind="t", logs=False) for one in controls]
    return float(ABOVE.satisfied(low, high).mean()), float(np.mean(found))


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("df", [3, 1000])
@pytest.mark.parametrize("center", [-1.5, -1.0, -0.6])
def test_the_rate_is_on_average_not_below_that_of_the_law_the_seeds_come_from(n, df, center):
    def draw(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        return center + stats.t(df).rvs(size, random_state=rng)

    true, reported = simulated(draw, n=n, n_control=n)
    error = math.sqrt(max(true, 1e-4) / 40_000)
    assert reported >= true - 3 * error


def test_a_rate_is_the_same_at_each_call_and_for_any_order_of_other_calls():
    seeds = [0.4, 0.1, 0.3, -0.2, 0.5]
    first = rate(seeds, ABOVE, n=5, kind="t", logs=False)
    rate(seeds, ABOVE, n=8, kind="range", logs=False)
    assert rate(seeds, ABOVE, n=5, kind="t", logs=False) == first
    assert 0 < first < 1 and first * N_RESAMPLES == pytest.approx(round(first * N_RESAMPLES))


@pytest.mark.parametrize("kind", ["t", "log-t", "range"])
def test_seeds_that_agree_decide_every_resampling_alike(kind):
    assert rate([2.0] * 5, ABOVE, n=8, kind=kind, logs=True) == 1
    assert rate([2.0] * 5, parse_rule("interval below 1"), n=8, kind=kind, logs=True) == 0


def test_values_that_cannot_be_resampled_have_no_rate():
    assert rate([1.0], ABOVE, n=5, kind="t", logs=False) is None
    assert rate([1.0, math.nan], ABOVE, n=5, kind="t", logs=False) is None
    assert rate([1.0, 2.0], ABOVE, n=1, kind="t", logs=False) is None
    assert rate([1.0, 2.0], ABOVE, n=1, kind="range", logs=False) is not None


def test_an_interval_that_does_not_exist_satisfies_no_rule():
    seeds = [-1.0, -2.0, -1.5]
    for text in ("interval above -9", "interval below 9", "interval within [-9, 9]"):
        assert rate(seeds, parse_rule(text), n=5, kind="log-t", logs=False) == 0


def test_positive_seeds_blurred_on_the_logarithm_stay_positive():
    seeds = [1e-9, 1.0, 1e9]
    assert rate(seeds, ABOVE, n=5, kind="range", logs=True) == 1
    assert rate(seeds, ABOVE, n=5, kind="range", logs=False) < 1
