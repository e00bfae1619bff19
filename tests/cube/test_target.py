"""Parities are orthonormal, and the targets made of them have the second moments they promise."""

from itertools import combinations
from math import comb

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hierlearn.cube.target import (
    Hierarchies,
    ParityClass,
    draw_coefficients,
    draw_points,
    hamming,
    hierarchy_class,
    krawtchouk,
    monomials,
    random_sums,
)
from hierlearn.engine.seeds import stream

settings.register_profile("hierlearn", deadline=None, derandomize=True, database=None)
settings.load_profile("hierlearn")


def all_points(dim):
    """List the cube: coordinate j of point n is -1 iff bit j of n is set."""
    bits = torch.arange(2**dim)[:, None] >> torch.arange(dim) & 1
    return 1 - 2 * bits.double()


def spectrum(values):
    """Coefficients in the parities of functions `[..., point]` on the cube, and their degrees."""
    minus = all_points(values.shape[-1].bit_length() - 1) < 0
    signs = 1 - 2 * ((minus.double() @ minus.double().T) % 2)
    return values.double() @ signs / len(minus), minus.sum(1)


@given(st.integers(1, 24))
def test_krawtchouk_polynomials_are_orthogonal_under_binomial_weights_exactly(dim):
    table = krawtchouk(dim)
    for j, k in combinations(range(dim + 1), 2):
        assert sum(comb(dim, i) * table[j][i] * table[k][i] for i in range(dim + 1)) == 0
    for j in range(dim + 1):
        norm = sum(comb(dim, i) * table[j][i] ** 2 for i in range(dim + 1))
        assert norm == 2**dim * comb(dim, j)


def test_krawtchouk_polynomials_sum_products_of_parities_over_all_sets():
    dim = 7
    points = all_points(dim)
    distances = hamming(points[:5], points).long()
    for degree in range(dim + 1):
        parities = torch.stack(
            [points[:, list(s)].prod(1) for s in combinations(range(dim), degree)], 1
        )
        table = torch.tensor(krawtchouk(dim)[degree], dtype=torch.float64)
        assert torch.equal(table[distances], parities[:5] @ parities.T)


def test_hamming_distances_count_the_coordinates_that_differ():
    x = draw_points(20, 33, stream("a", 0))
    z = draw_points(11, 33, stream("b", 0))
    expected = (x[:, None, :] != z[None, :, :]).sum(2)
    assert torch.equal(hamming(x, z).long(), expected)


@pytest.mark.parametrize("amplitudes", [(1.0, 0.7), (0.0, 1.0), (1.0, 0.8, 0.64)])
def test_a_hierarchical_target_has_its_energy_on_the_promised_parities_only(amplitudes):
    dim = 8
    points = all_points(dim)
    target = Hierarchies.draw([3, 4], dim=dim, amplitudes=amplitudes)
    found, degrees = spectrum(target.values(points.float().expand(2, -1, -1)))
    energy = found.square()
    for level, amplitude in enumerate(amplitudes, start=1):
        here = energy[:, degrees == 2**level].sum(1)
        assert torch.allclose(here, torch.full_like(here, amplitude**2), atol=1e-6)
    assert torch.allclose(energy.sum(1), torch.full((2,), sum(a**2 for a in amplitudes)).double())


def test_over_many_draws_the_second_moment_is_diagonal_in_the_parities():
    amplitudes, dim = (1.0, 0.7), 5
    points = all_points(dim)
    n = 4000
    values = Hierarchies.draw(range(n), dim=dim, amplitudes=amplitudes).values(
        points.float().expand(n, -1, -1)
    )
    coefficients, degrees = spectrum(values)
    moment = coefficients.T @ coefficients / n
    target = hierarchy_class(dim, amplitudes)
    expected = torch.zeros(len(points), dtype=torch.float64)
    for degree, value in zip(target.degrees, target.eigenvalues, strict=True):
        expected[degrees == degree] = value
    assert (moment - expected.diag()).abs().max() < 0.015


@pytest.mark.parametrize("n_terms", [1, 4, None])
def test_a_random_sum_has_energy_one_on_so_many_parities_of_one_degree(n_terms):
    dim, seeds = 6, [3, 4]
    points = all_points(dim)
    values = random_sums(points.float().expand(2, -1, -1), seeds, degree=2, n_terms=n_terms)
    found, degrees = spectrum(values)
    energy = found.square()
    assert energy[:, degrees != 2].max() < 1e-12
    assert energy.sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert (energy > 1e-9).sum(1).tolist() == [n_terms or 15] * 2


def test_over_many_draws_a_random_sum_spreads_its_energy_evenly():
    draws = torch.stack([draw_coefficients(15, 4, seed) for seed in range(2000)])
    assert (draws.T @ draws / 2000 - torch.eye(15) / 15).abs().max() < 0.01


def test_monomials_are_orthonormal_on_the_cube():
    values = monomials(all_points(6), degree=3)
    assert torch.equal(values.T @ values / 64, torch.eye(20, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ParityClass(4, (5,), (1.0,)), "0..dim=4"),
        (lambda: ParityClass(4, (2, 2), (1.0, 1.0)), "distinct"),
        (lambda: ParityClass(4, (2,), (0.0,)), "not all zero"),
        (lambda: ParityClass(4, (2,), (1.0, 1.0)), "one amplitude a degree"),
        (lambda: draw_coefficients(15, 16, 0), r"n_terms must lie in 1\.\.15"),
        (lambda: Hierarchies.draw([0], dim=7, amplitudes=(1.0, 1.0, 1.0)), "need 8 coordinates"),
    ],
)
def test_impossible_classes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
