"""The bounds agree with brute force over subspaces and with each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hierlearn.cube.bounds import samples_required, water_filling

settings.register_profile("hierlearn", deadline=None, derandomize=True, database=None)
settings.load_profile("hierlearn")

spectra = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=4)


@given(st.integers(0, 40), st.integers(1, 30))
def test_equal_eigenvalues_give_one_minus_the_share_of_samples(n_samples, n_targets):
    expected = max(0.0, 1 - n_samples / n_targets)
    found = water_filling(n_samples, [1 / n_targets], [n_targets])
    assert found == pytest.approx(expected, abs=1e-12)


@given(spectra, st.integers(0, 30), st.integers(0, 2**31))
def test_no_subspace_covers_more_of_a_covariance_than_water_filling_allows(spectrum, n, seed):
    values = torch.tensor([float(v) for v, m in spectrum for _ in range(m)], dtype=torch.float64)
    bound = water_filling(n, [float(v) for v, _ in spectrum], [m for _, m in spectrum])
    dim = len(values)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(dim, min(n, dim), generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(draw).Q
    missed = values.sum() - (basis.square().sum(1) * values).sum()
    assert missed >= bound - 1e-9
    best = values.sort(descending=True).values[n:].sum()
    assert best == pytest.approx(bound, abs=1e-9)


@given(spectra, st.floats(0, 1))
def test_the_number_of_samples_required_inverts_the_bound(spectrum, share):
    values, counts = [float(v) for v, _ in spectrum], [m for _, m in spectrum]
    error = share * sum(v * m for v, m in spectrum)
    n = samples_required(error, values, counts)
    assert water_filling(int(n), values, counts) >= error - 1e-9
    assert water_filling(int(n) + 1, values, counts) <= error + 1e-9


def test_a_level_of_amplitude_zero_changes_nothing():
    assert water_filling(30, [1 / 120, 0.0], [120, 1820]) == 1 - 30 / 120


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: water_filling(-1, [1.0], [1]), "n_samples must be at least 0 and finite; got -1"),
        (lambda: water_filling(1, [1.0], [1, 2]), "1 eigenvalues and 2 multiplicities"),
        (lambda: water_filling(1, [-1.0], [1]), "must not be negative"),
        (lambda: samples_required(2.0, [1.0], [1]), "between 0 and"),
    ],
)
def test_impossible_arguments_are_refused_with_what_was_given(call, message):
    with pytest.raises(ValueError, match=message):
        call()
