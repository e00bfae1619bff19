"""The samplers draw the radii that their densities say, and bad parameters are refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from hierlearn.ball import target

N = 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distribution_function(law: target.RadialDistribution, dim: int, ends: np.ndarray) -> np.ndarray:
    """The integral of the density from 0 to each end."""
    grid = np.linspace(0, ends.max(), 60_001)[1:]
    density = law.density(grid, dim)
    cdf = integrate.cumulative_simpson(density, x=grid, initial=0)
    return np.interp(ends, grid, cdf)


@pytest.mark.parametrize("dim", [4, 10, 30])
@pytest.mark.parametrize("name", sorted(target.DISTRIBUTIONS))
def test_sampled_radii_follow_the_density(name, dim):
    law = target.find(name, dim)
    norms = target.sample(name, N, dim=dim, generator=generator(dim)).norm(dim=1).double().numpy()
    ends = np.quantile(norms, [0.05, 0.2, 0.4, 0.6, 0.8, 0.9])
    expected = distribution_function(law, dim, ends)
    found = np.array([(norms <= end).mean() for end in ends])
    assert np.abs(found - expected).max() < 4 / math.sqrt(N)


@pytest.mark.parametrize("dim", [3, 10])
def test_fixing_one_of_two_unit_vectors_does_not_change_the_law_of_their_sum(dim):
    g = generator(1)
    both = (target.sphere(N, dim, g) + target.sphere(N, dim, g)).norm(dim=1)
    one = target.sample("sum", N, dim=dim, generator=g).norm(dim=1)
    assert stats.ks_2samp(both.numpy(), one.numpy()).pvalue > 1e-3


def test_inner_products_of_unit_vectors_are_beta_distributed():
    dim = 10
    norms = target.sample("sum", N, dim=dim, generator=generator(2)).norm(dim=1)
    share = ((norms.square() - 2) / 2 + 1) / 2
    law = stats.beta((dim - 1) / 2, (dim - 1) / 2)
    assert stats.kstest(share.numpy(), law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("dim", [10, 30])
def test_bessel_radii_invert_the_closed_form_of_their_distribution_function(dim):
    # For even d, int_0^z d J_n(s)^2 / s ds = 1 - J_0^2 - 2 sum_{0<k<n} J_k^2 - J_n^2, n = d/2.
    uniforms = np.linspace(0.02, 0.97, 40)
    z = target.bessel_scale(dim) * target.bessel_radii(uniforms, dim)
    n = dim // 2
    between = sum(special.jv(k, z) ** 2 for k in range(1, n))
    closed = 1 - special.jv(0, z) ** 2 - 2 * between - special.jv(n, z) ** 2
    assert np.abs(closed - uniforms).max() < 1e-4


def test_the_bessel_tail_falls_like_one_over_the_radius():
    dim = 10
    scale = dim / (math.pi * target.bessel_scale(dim))
    for radius in (20.0, 55.0, 400.0):
        uniform = 1 - scale / radius
        assert abs(float(target.bessel_radii([uniform], dim)[0]) / radius - 1) < 0.02


def test_directions_are_uniform_on_the_sphere():
    points = target.sample("half_cauchy", N, dim=5, generator=generator(3))
    directions = points / points.norm(dim=1, keepdim=True)
    assert directions.mean(0).abs().max() < 0.02
    assert (directions.T @ directions / N - torch.eye(5) / 5).abs().max() < 0.01


@settings(max_examples=30, deadline=None)
@given(radius=st.floats(0.05, 1.95))
def test_the_indicator_counts_what_the_distribution_function_of_a_uniform_radius_says(radius):
    norms = target.sample("uniform", 4000, dim=3, generator=generator(4)).norm(dim=1)
    labels = target.ball_indicator(norms, radius)
    assert set(labels.unique().tolist()) <= {0.0, 1.0}
    assert abs(float(labels.mean()) - radius / 2) < 0.05


@pytest.mark.parametrize("radius", [0.0, -1.0, 2.0, 2.5])
def test_a_ball_outside_the_support_is_refused(radius):
    with pytest.raises(ValueError, match="inside the support"):
        target.find("sum", 10, radius)


def test_a_dimension_without_directions_and_an_unknown_name_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        target.sample("uniform", 10, dim=1, generator=generator())
    with pytest.raises(ValueError, match="valid: sum, bessel, uniform, half_cauchy"):
        target.find("gaussian", 10)
