"""The t intervals cover on the distributions that the committed records themselves suggest.

A residual divided by a standard deviation from 5 or 8 seeds cannot exceed (n - 1) / sqrt(n), so
pooled residuals would hide every tail. Here the standardized residuals of one statistic enter as a
sample of unknown location and scale: their exact joint density, both integrated out with
d mu d sigma / sigma, is the likelihood of a shape, pooled by kind of interval. The sign of a skew
is left open, for statistics lean to either side. A Johnson SU law tends to a log-normal as its
skew grows, so that the grid reaches from the normal to heavy tails and to the log-normal.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from hierlearn.book.project import Project
from hierlearn.book.published import chapter_profiles
from hierlearn.claims.declarations import Reference, load_claims
from hierlearn.claims.resampling import ends
from hierlearn.claims.verdicts import Evidence, MissingResource
from hierlearn.intervals import interval
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

PROJECT = Project(Path(__file__).parents[2])
N_EXPERIMENTS = 20_000
KINDS = ("t", "log-t")
LOCATIONS, LOG_SCALES = np.linspace(-2.5, 2.5, 21), np.linspace(-3.5, 1.5, 21)


def johnson(skew: float, tail: float) -> Any:
    """A Johnson SU law that is like a standard normal around its median 0."""
    scale = np.cosh(skew) / tail
    return stats.johnsonsu(skew * tail, tail, loc=np.sinh(skew) / scale, scale=1 / scale)


FAMILIES: dict[str, dict[str, Any]] = {
    "Student t": {f"df {df:g}": stats.t(df) for df in (1.5, 2, 3, 4, 5, 7, 10, 20, 50, 1000)},
    "Johnson SU": {
        f"skew {skew:g}, tail {tail:g}": johnson(skew, tail)
        for skew, tail in product((0, 0.5, 1, 1.7, 2.5, 4), (1.3, 1.7, 2.2, 2.6, 3, 3.5, 5))
    },
}


@cache
def references(kind: str) -> dict[str, np.ndarray]:
    """The per-seed values of every statistic that a rule reads through an interval of `kind`."""
    store, every = RecordStore(PROJECT.frozen_records), load_claims(PROJECT.claims, EXPERIMENTS)
    profiles = chapter_profiles(store, every)
    evidences = {p: Evidence(store, p, EXPERIMENTS) for p in set(profiles.values())}
    found: dict[str, np.ndarray] = {}
    for claim in every:
        evidence = evidences[profiles[claim.chapter]]
        rule = claim.rule_at(evidence.profile)
        both: list[Reference | None] = [claim.statistic, claim.control]
        for reference in both:
            if rule is None or rule.reports or reference is None or reference.interval != kind:
                continue
            with suppress(MissingResource):  # it waits for a GPU
                if evidence.records(reference.experiment):
                    values = np.array(list(evidence.values(reference)[0].values()))
                    found[str(reference)] = np.log(values) if kind == "log-t" else values
    return found


def standardized(samples: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Residuals over their standard deviation; a statistic that does not scatter has none."""
    scatter = [s for s in samples.values() if np.ptp(s) > 1e-12 * max(1.0, abs(s.mean()))]
    return [(sample - sample.mean()) / sample.std(ddof=1) for sample in scatter]


def log_likelihood(residuals: list[np.ndarray], law: Any) -> float:
    """The log-likelihood of a shape, up to a constant."""
    total = 0.0
    for n in {len(one) for one in residuals}:
        z = np.array([one for one in residuals if len(one) == n])[:, None, None, :]
        points = (z - LOCATIONS[:, None, None]) / np.exp(LOG_SCALES)[:, None]
        signs = [
            special.logsumexp(law.logpdf(s * points).sum(-1) - n * LOG_SCALES, axis=(1, 2))
            for s in (1, -1)
        ]
        total += float(np.logaddexp(*signs).sum())
    return total


@cache
def likelihoods(kind: str, family: str) -> dict[str, float]:
    """The log-likelihood of each shape of a family under the residuals of the records."""
    residuals = standardized(references(kind))
    return {name: log_likelihood(residuals, law) for name, law in FAMILIES[family].items()}


def coverage(law: Any, kind: str, n: int, seed: int = 0) -> float:
    """The share of simulated experiments of n seeds whose interval contains the true center."""
    drawn = law.rvs((N_EXPERIMENTS, n), random_state=np.random.default_rng([seed, n]))
    truth = float(law.mean())
    if kind == "log-t":
        drawn, truth = np.exp(drawn - truth), 1.0
    low, high = ends(drawn, "t" if kind == "t" else "log-t")
    return float(np.mean((low <= truth) & (truth <= high)))


def seed_counts(kind: str) -> list[int]:
    """The numbers of seeds in use."""
    return sorted({len(values) for values in references(kind).values()})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_intervals_cover_on_the_distribution_fitted_to_the_records(kind, family, capsys):
    found = likelihoods(kind, family)
    best = max(found, key=lambda name: found[name])
    assert seed_counts(kind)
    for n in seed_counts(kind):
        covered = coverage(FAMILIES[family][best], kind, n)
        error = np.sqrt(covered * (1 - covered) / N_EXPERIMENTS)
        with capsys.disabled():
            print(f"\n  {kind}, n = {n}, {family} ({best}): {covered:.4f} +- {error:.4f}", end="")
        assert covered >= 0.93, (kind, n, family, best)


@pytest.mark.parametrize(("law", "nearest"), [(stats.t(2), "df 2"), (stats.norm(), "df 1000")])
def test_the_likelihood_of_standardized_residuals_finds_the_tail_of_small_samples(law, nearest):
    drawn = law.rvs((600, 8), random_state=np.random.default_rng(3))
    residuals = standardized({str(i): 5 + 7 * row for i, row in enumerate(drawn)})
    laws = FAMILIES["Student t"]
    found = {name: log_likelihood(residuals, laws[name]) for name in ("df 2", "df 4", "df 1000")}
    assert max(found, key=lambda name: found[name]) == nearest


@pytest.mark.parametrize("kind", ["t", "log-t", "range"])
def test_intervals_of_many_experiments_are_those_of_each(kind):
    drawn = np.exp(np.random.default_rng(0).standard_normal((50, 5)))
    low, high = ends(drawn, kind)
    for row, *found in zip(drawn, low, high, strict=True):
        one = interval(row, kind)
        assert found == pytest.approx([one.low, one.high])
