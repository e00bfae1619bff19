"""The algebra of statistics: each function against numbers that are worked out by hand."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from hierlearn.experiment import Config, Runs
from hierlearn.intervals import Bound
from hierlearn.statistics import (
    at_least,
    at_most,
    crossing,
    difference,
    each,
    exponent,
    geometric_mean,
    mean,
    needed,
    number,
    ratio,
    slope,
)


@dataclass(frozen=True)
class Point(Config):
    size: int
    kind: str = "plain"


ARMS = {"plain": [Point(n) for n in (1, 2, 4)], "other": Point(2, "other")}


def runs(values):
    """Runs from {(seed, size, kind): error}."""
    return Runs("toy", ARMS, [
        SimpleNamespace(config=Point(n, k).as_dict(), seed=s, measurement={"end": {"rel": e}})
        for (s, n, k), e in values.items()
    ])  # fmt: skip


CUBIC = {(s, n, "plain"): (1 + s) * n**-3.0 for s in (0, 1) for n in (1, 2, 4)}
BOTH = runs({**CUBIC, (0, 2, "other"): 0.25, (1, 2, "other"): 1.0})
REL = number("end", "rel")


def size(config):
    return config.size


def test_values_of_an_arm_are_combined_seed_by_seed():
    assert each(REL, "plain", max)(BOTH) == {0: 1.0, 1: 2.0}
    assert each(REL, "other")(BOTH) == {0: 0.25, 1: 1.0}
    assert each(REL, ("plain", "other"), len)(BOTH) == {0: 4, 1: 4}
    assert each(REL, "plain", geometric_mean)(BOTH)[0] == pytest.approx(1 / 8)
    assert mean([1.0, 2.0, 6.0]) == 3.0


def test_several_runs_a_seed_must_say_how_they_combine():
    with pytest.raises(ValueError, match="expected one run a seed, got 3"):
        each(REL, "plain")(BOTH)


def test_ratios_and_differences_are_of_the_seeds_that_both_have():
    few = runs({(0, 2, "other"): 4.0, (1, 1, "plain"): 1.0, (0, 1, "plain"): 2.0})
    top, bottom = each(REL, "other"), each(REL, "plain")
    assert ratio(top, bottom)(few) == {0: 2.0} and difference(top, bottom)(few) == {0: 2.0}


def test_the_exponent_of_a_power_law_is_found():
    assert slope(size, REL, "plain")(BOTH) == {0: pytest.approx(-3), 1: pytest.approx(-3)}
    assert math.isnan(exponent([(1.0, 1.0), (2.0, math.nan)]))


def test_a_diverged_run_is_not_a_number():
    assert math.isnan(each(REL, "other")(runs({(0, 2, "other"): None}))[0])


def test_the_extreme_of_an_arm_with_a_diverged_run_is_not_a_number():
    found = {(0, 2, "plain"): None}
    assert all(math.isnan(each(REL, "plain", f)(runs(found))[0]) for f in (min, max))


def test_the_size_that_a_level_takes_is_interpolated_on_the_logarithms():
    found = needed(BOTH, "plain", size=size, by=lambda c: c.kind, value=REL, level=0.2)
    assert found[0]["plain"] == pytest.approx(5 ** (1 / 3))
    assert found[1]["plain"] == pytest.approx(10 ** (1 / 3))


def test_a_level_that_is_not_crossed_is_a_bound():
    for errors, size, side in (([0.5, 0.4], 2, "≥"), ([0.05, 0.01], 1, "≤")):
        found = crossing(list(zip([1, 2], errors, strict=True)), 0.1)
        assert isinstance(found, Bound) and (found, found.side) == (size, side)
    assert math.isnan(crossing([(1, math.nan), (2, 0.01)], 0.1))
    assert crossing([(2, 0.0), (1, 1.0)], 0.1) == pytest.approx(2 ** (1 / 15))


def constant(value: float):
    return lambda runs: {0: value}


@pytest.mark.parametrize(
    ("above", "below", "side"),
    [
        (at_least(4.0), 2.0, "≥"),
        (4.0, at_least(2.0), "≤"),
        (4.0, at_most(2.0), "≥"),
        (at_least(4.0), at_most(2.0), "≥"),
        (at_least(4.0), at_least(2.0), None),
    ],
)
def test_what_is_made_of_bounds_is_a_bound_or_unknown(above, below, side):
    for make, value in ((ratio, 2.0), (difference, 2.0)):
        found = make(constant(above), constant(below))(BOTH)[0]
        if side is None:
            assert math.isnan(found)
        else:
            assert isinstance(found, Bound) and (found, found.side) == (value, side)


def test_a_mean_over_a_bound_is_one_and_a_power_law_through_one_is_none():
    found = each(lambda c, m: at_least(9) if c.size == 4 else REL(c, m), "plain", mean)(BOTH)
    assert {value.side for value in found.values()} == {"≥"}
    assert math.isnan(exponent([(1, 1.0), (2, at_most(0.5))]))
