"""Harmonics are orthonormal, floors agree with sampling, and the certificate holds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from hierlearn.ball import facts, measures, target


def law_of_t(dim: int, n: int = 4001) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of t on the whole of [-1, 1], by the trapezoidal rule in the angle."""
    angle = np.linspace(0, math.pi, n)
    weight = np.sin(angle) ** (dim - 2)
    return torch.from_numpy(np.cos(angle)), torch.from_numpy(weight / weight.sum())


@pytest.mark.parametrize("dim", [3, 4, 10, 30])
def test_the_polynomials_are_orthonormal(dim):
    t, weight = law_of_t(dim)
    values = measures.polynomials(t, dim=dim, degree=8)
    gram = (values * weight) @ values.T
    assert (gram - torch.eye(9, dtype=gram.dtype)).abs().max() < (1e-5 if dim == 3 else 1e-8)


@settings(max_examples=30, deadline=None)
@given(dim=st.integers(3, 40), degree=st.integers(1, 8))
def test_the_square_at_one_counts_the_harmonics(dim, degree):
    at_one = measures.polynomials(torch.ones(1, dtype=torch.float64), dim=dim, degree=degree)
    count = measures.n_harmonics(dim, degree)
    assert abs(float(at_one[degree, 0]) ** 2 / count - 1) < 1e-9
    closed = (2 * degree + dim - 2) * math.factorial(degree + dim - 3)
    assert count == closed // (math.factorial(degree) * math.factorial(dim - 2))


@pytest.mark.parametrize("dim", [3, 10, 25])
def test_the_polynomials_are_gegenbauers(dim):
    t = torch.linspace(-1, 1, 33, dtype=torch.float64)
    mine = measures.polynomials(t, dim=dim, degree=5)[5]
    theirs = special.gegenbauer(5, dim / 2 - 1)(t.numpy())
    assert np.abs(mine.numpy() / mine[-1].item() - theirs / theirs[-1]).max() < 1e-10


@pytest.mark.parametrize("dim", [3, 10, 30])
def test_the_first_coefficient_has_a_closed_form_and_even_ones_vanish_at_the_median(dim):
    found = measures.ball_coefficients(dim, math.sqrt(2), 6)
    log_ratio = math.lgamma(dim / 2) - math.lgamma((dim + 1) / 2)
    mean_size = math.exp(log_ratio) / math.sqrt(math.pi)
    assert abs(found[0] - 0.5) < 1e-9
    assert abs(found[1] + math.sqrt(dim) / 2 * mean_size) < 1e-9
    assert max(abs(found[k]) for k in (2, 4, 6)) < 1e-9


@pytest.mark.parametrize("radius", [1.2, math.sqrt(2), 1.6])
def test_the_degree_1_level_by_quadrature_agrees_with_monte_carlo(radius):
    dim, n = 10, 200_000
    generator = torch.Generator().manual_seed(5)
    norms = target.sample("sum", n, dim=dim, generator=generator).norm(dim=1).double()
    labels = target.ball_indicator(norms, radius)
    design = torch.stack([torch.ones_like(norms), measures.inner_product(norms)], 1)
    solution = torch.linalg.lstsq(design, labels[:, None]).solution
    residual = float((labels[:, None] - design @ solution).square().mean())
    assert abs(residual - measures.polynomial_floor(dim, radius, 1)) < 2e-3


def test_floors_fall_with_the_degree_and_reach_the_gaussian_limit():
    floors = [measures.polynomial_floor(10, math.sqrt(2), m) for m in range(8)]
    assert all(a >= b - 1e-9 for a, b in zip(floors, floors[1:], strict=False))
    assert abs(floors[0] - 0.25) < 1e-9
    limit = 0.25 * (1 - 2 / math.pi)
    assert abs(measures.polynomial_floor(4000, math.sqrt(2), 1) - limit) < 1e-4


def test_learned_fractions_of_the_target_are_one_and_of_degree_1_are_one_and_zero():
    dim, radius = 10, math.sqrt(2)
    generator = torch.Generator().manual_seed(6)
    norms = target.sample("sum", 50_000, dim=dim, generator=generator).norm(dim=1).double()
    labels = target.ball_indicator(norms, radius)
    whole = measures.learned_fractions(labels, labels, norms, dim=dim, radius=radius)
    assert np.abs(np.array(whole) - 1).max() < 1e-6
    mean, slope = measures.ball_coefficients(dim, radius, 1)
    line = mean + slope * math.sqrt(dim) * measures.inner_product(norms)
    first, *others = measures.learned_fractions(line, labels, norms, dim=dim, radius=radius)
    assert abs(first - 1) < 0.02 and np.abs(others).max() < 0.05


def planted(dim: int, width: int, scale: float, seed: int, activation) -> tuple[float, float]:
    """Certificate and error of a network with given output weights."""
    generator = torch.Generator().manual_seed(seed)
    x = target.sample("sum", 8000, dim=dim, generator=generator).double()
    units = activation(x @ torch.randn(dim, width, generator=generator).double())
    weights = scale * torch.randn(width, generator=generator).double() / width
    labels = target.ball_indicator(x.norm(dim=1), math.sqrt(2))
    output = units @ weights
    output += (labels - output).mean()
    bound = measures.certificate(
        weights, units.std(0), floor=measures.polynomial_floor(dim, math.sqrt(2), 2), dim=dim
    )
    return bound, float((output - labels).square().mean())


@settings(max_examples=25, deadline=None)
@given(
    dim=st.sampled_from([3, 10, 30]), width=st.integers(1, 200), scale=st.floats(0.0, 30.0),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_the_certificate_bounds_the_error_of_planted_networks(dim, width, scale, seed):
    for activation in (torch.relu, torch.erf, torch.sin):
        bound, error = planted(dim, width, scale, seed, activation)
        assert bound <= error


def test_the_certificate_is_the_floor_without_weights_and_void_with_enormous_ones():
    ones = torch.ones(4, dtype=torch.float64)
    floor = measures.polynomial_floor(20, math.sqrt(2), 2)
    assert abs(measures.certificate(0 * ones, ones, floor=floor, dim=20) - floor) < 1e-12
    assert measures.certificate(1e6 * ones, ones, floor=floor, dim=20) == 0


def test_a_radial_profile_gives_mean_and_spread_within_bins():
    norms = torch.tensor([0.1, 0.2, 0.6, 0.7, 2.0])
    mean, spread = measures.radial_profile(2 * norms, norms, [0.0, 0.5, 1.0, 1.5])
    assert mean[0] == pytest.approx(0.3) and mean[1] == pytest.approx(1.3) and mean[2] is None
    assert spread[0] == pytest.approx(0.2 / math.sqrt(2)) and spread[2] is None


def test_a_degree_or_dimension_without_harmonics_is_refused():
    with pytest.raises(ValueError, match="dim must be >= 2"):
        measures.n_harmonics(1, 3)


@pytest.mark.parametrize("dim", [4, 9, 10, 20, 47])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_hard_radii_are_the_jumps_of_the_function_of_the_proof(dim, m):
    radii, coefficients = measures.hard_radii(dim, m)
    assert len(radii) == len(coefficients) <= 2 * m + 2
    assert radii == sorted(radii) and radii[-1] == pytest.approx(math.sqrt(2))
    assert radii[0] ** 2 == pytest.approx(2 - dim**-0.5)
    z2 = np.linspace(1.4, 2.1, 7001)
    z2 = z2[np.abs(z2[:, None] - np.square(radii)).min(1) > 1e-6]
    inside = (z2 >= 2 - dim**-0.5) & (z2 <= 2)
    expected = np.where(inside, np.sign(np.sin(2 * math.pi * m * math.sqrt(dim) * z2)), 0)
    balls = np.sqrt(z2)[:, None] <= np.array(radii)
    assert (balls @ np.array(coefficients) == expected).all()


@pytest.mark.parametrize("dim", [4, 10, 20])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_one_ball_is_missed_by_as_much_as_the_triangle_inequality_leaves(dim, m):
    radii, coefficients = measures.hard_radii(dim, m)
    levels = [measures.polynomial_floor(dim, r, m) for r in radii]
    assert max(levels) >= facts.hard_error(dim, m, m) / np.abs(coefficients).sum() ** 2


def test_radii_of_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="dim >= 4 and m >= 1; got 3 and 1"):
        measures.hard_radii(3, 1)
