import pytest
import torch
from scipy.special import comb

from hierlearn.engine.kernels import polynomial_kernel, ridge_predictions


def points(n, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def test_the_polynomial_kernel_spans_exactly_the_polynomials_of_its_degree():
    x = points(40, 3, 0)
    assert torch.linalg.matrix_rank(polynomial_kernel(x, x, degree=2)) == comb(5, 2)


def test_predictions_agree_with_ridge_regression_on_explicit_features():
    x, z, y = points(30, 1, 0), points(5, 1, 1), points(30, 1, 2)[:, 0]

    # (1 + x z)^2 = <(1, sqrt(2) x, x^2), (1, sqrt(2) z, z^2)>
    def features(u):
        return torch.cat([torch.ones_like(u), 2**0.5 * u, u**2], 1)

    gram, cross = polynomial_kernel(x, x, degree=2), polynomial_kernel(z, x, degree=2)
    found = ridge_predictions(gram, cross, y, ridges=[0.1])[0]
    ridge = 0.1 * gram.diagonal().mean()
    f = features(x)
    weights = torch.linalg.solve(f.T @ f + ridge * torch.eye(3), f.T @ y)
    assert torch.allclose(found, features(z) @ weights)


def test_enough_samples_make_a_polynomial_exact():
    x, z = points(60, 4, 0), points(20, 4, 1)

    def target(u):
        return u[:, 0] ** 2 * u[:, 1] - u[:, 3]

    gram, cross = polynomial_kernel(x, x, degree=3), polynomial_kernel(z, x, degree=3)
    found = ridge_predictions(gram, cross, target(x), ridges=[1e-12])[0]
    assert torch.allclose(found, target(z), atol=1e-6)


def test_a_ridge_that_is_not_positive_is_refused():
    x = points(3, 2, 0)
    gram = polynomial_kernel(x, x, degree=2)
    with pytest.raises(ValueError, match=r"ridges must be positive, and at least one; got \[0.0\]"):
        ridge_predictions(gram, gram, x[:, 0], ridges=[0.0])
