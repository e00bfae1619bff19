"""What the proofs say with named constants, by quadrature and by least squares."""

import math

import numpy as np
import pytest
import torch
from scipy import special

from hierlearn.ball.facts import FactsConfig, difference, hard_error, measure_facts, upper_mean
from hierlearn.ball.measures import polynomials
from hierlearn.experiment import Group


@pytest.mark.parametrize(("dim", "m"), [(4, 1), (10, 2), (20, 3)])
def test_the_hard_error_is_what_weighted_least_squares_leaves(dim, m):
    angle = np.linspace(0, math.pi, 200_001)
    t, weight = np.cos(angle), np.sin(angle) ** (dim - 2)
    weight /= weight.sum()
    wave = np.where(np.sin(4 * math.pi * m * math.sqrt(dim) * (1 + t)) >= 0, 1.0, -1.0)
    wave[(t < -0.5 / math.sqrt(dim)) | (t > 0)] = 0
    basis = polynomials(torch.from_numpy(t), dim=dim, degree=m).numpy()
    fit = np.linalg.lstsq((basis * np.sqrt(weight)).T, wave * np.sqrt(weight), rcond=None)[0]
    left = float((weight * (wave - fit @ basis) ** 2).sum())
    assert hard_error(dim, m, m) == pytest.approx(left, rel=2e-3)
    assert left > 1 / 36  # Lemma 17


@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_the_second_mean_of_proposition_21_is_its_integral(radius):
    bias = np.linspace(2**-0.5, 6, 20_001)
    density = np.exp(-2 * bias**2)
    inside = special.erf(bias / np.sqrt(1 + radius**2 / 2))
    assert float(upper_mean(radius)) == pytest.approx(
        (inside * density).sum() / density.sum(), 1e-3
    )


def test_every_radius_has_its_crossing_and_the_minimum_is_where_proposition_22_has_it():
    radii = np.linspace(0.01, 12, 3000)
    low, high = (difference(xi, radii) for xi in (0.45, 0.472))
    inside = (radii >= 1) & (radii <= 2)
    assert (low[inside] > 0).any() and (high[inside] < 0).any()
    for values in (low, high):
        assert 2.8 <= radii[values.argmin()] <= 4.2
        assert (values[radii >= 10] <= -1 / (50 * radii[radii >= 10])).all()


def test_facts_hold_as_assumed_and_fail_outside():
    few = {"n_units": 20_000, "n_samples": 100_000}
    configs = [FactsConfig(**few), FactsConfig(**few, bias=2.0), FactsConfig(**few, tail=2.0)]
    paper, wider, heavier = measure_facts(Group.of("x", configs, [0]), torch.device("cpu"))
    assert paper["units"] == pytest.approx(1, abs=0.05) and wider["units"] > 1.2
    assert paper["reached"] < 1 < min(paper["missed"], paper["slope"])
    assert paper["laws"] < 1 < heavier["laws"]
