"""The search of all monomials finds sparse sums, and as many samples as it must."""

import math

import pytest
import torch

from hierlearn.cube.search import SearchConfig, matching_pursuit, measure_search, samples_to_search
from hierlearn.cube.target import draw_coefficients, draw_points, monomials
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group

CPU = torch.device("cpu")


@pytest.mark.parametrize(("n_terms", "n"), [(1, 30), (5, 90), (20, 250)])
def test_matching_pursuit_finds_a_sparse_sum_exactly(n_terms, n):
    dictionary = monomials(draw_points(n, 10, stream("x", 0)), degree=4)
    truth = draw_coefficients(210, n_terms, 3)
    found = matching_pursuit(dictionary, dictionary @ truth, n_terms=n_terms)
    assert torch.allclose(found, truth, atol=1e-4)


def test_matching_pursuit_takes_what_least_squares_takes_on_the_same_columns():
    dictionary = monomials(draw_points(40, 8, stream("x", 1)), degree=3).double()
    y = torch.randn(40, generator=stream("y", 0), dtype=torch.float64)
    found = matching_pursuit(dictionary, y, n_terms=3)
    chosen = found.nonzero()[:, 0]
    assert len(chosen) == 6
    residual = y - dictionary @ found
    assert (residual @ dictionary[:, chosen]).abs().max() < 1e-9


def test_the_search_for_one_parity_needs_as_many_samples_as_computed():
    work = Group.of("x", [SearchConfig(12, 4, 1)], range(40))
    found = [one["n_samples"] for one in measure_search(work, CPU)]
    assert sum(found) / 40 == pytest.approx(samples_to_search(math.comb(12, 4)), abs=2)


def test_by_the_computed_number_one_wrong_parity_is_expected_to_fit():
    assert 209 * 2 ** (1 - samples_to_search(210)) == pytest.approx(1)


def test_more_terms_need_more_samples_and_all_of_them_as_many_as_there_are():
    configs = [SearchConfig(8, 2, s) for s in (1, 8, None)]
    few, more, every = (
        measure_search(Group.of("x", [c], [1]), CPU)[0]["n_samples"] for c in configs
    )
    assert few < more <= every
    assert every >= 28
