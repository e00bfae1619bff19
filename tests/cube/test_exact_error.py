"""The exact class-averaged error, against enumeration, Monte Carlo and closed forms."""

import math
from itertools import combinations

import pytest
import torch

from hierlearn.cube.exact_error import (
    CubeKernel,
    NotPositiveError,
    class_average_error,
    class_average_errors,
    harmonic,
    mercer_eigenvalues,
    required_bytes,
)
from hierlearn.cube.target import (
    Hierarchies,
    ParityClass,
    draw_points,
    hamming,
    hierarchy_class,
    krawtchouk,
)
from hierlearn.engine import memory
from hierlearn.engine.kernels import ZOO, arc_cosine_1, neural_tangent, power
from hierlearn.engine.seeds import stream

from .test_target import all_points

RIDGES = [1e-4, 1e-2, 1.0]


def samples(n, dim, seed=0):
    return draw_points(n, dim, stream("test samples", seed))


def by_enumeration(h, target, x, ridge):
    """Fit every parity of the class on its own and test it on the whole cube."""
    cube, x = all_points(target.dim), x.double()
    gram = h(x @ x.T / target.dim) + ridge * torch.eye(len(x), dtype=torch.float64)
    cross = h(cube @ x.T / target.dim)
    total = 0.0
    for degree, value in zip(target.degrees, target.eigenvalues, strict=True):
        for s in combinations(range(target.dim), degree):
            weights = torch.linalg.solve(gram, x[:, list(s)].prod(1))
            total += value * float((cross @ weights - cube[:, list(s)].prod(1)).square().mean())
    return total


@pytest.mark.parametrize("name", ZOO)
def test_eigenvalues_reproduce_every_kernel_of_the_zoo_and_sum_to_its_diagonal(name):
    kernel = CubeKernel.of(ZOO[name], 12)
    table = torch.tensor(krawtchouk(12), dtype=torch.float64)
    assert torch.allclose(kernel.eigenvalues @ table, kernel.values, atol=1e-13)
    assert float(kernel.values[0]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["rbf", "poly4", "ntk2"])
@pytest.mark.parametrize("target", [ParityClass(8, (2,), (1.0,)), ParityClass(8, (2, 4), (1, 0.7))])
def test_tables_agree_with_enumerating_the_cube_and_all_targets(name, target):
    x = samples(30, 8)
    kernel = CubeKernel.of(ZOO[name], 8)
    found = class_average_errors(kernel, target, hamming(x, x), ridges=RIDGES)
    expected = [by_enumeration(ZOO[name], target, x, ridge) for ridge in RIDGES]
    assert found.tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ZOO)
def test_eigendecomposition_and_cholesky_give_one_number(name):
    target, x = ParityClass(10, (2, 4), (1.0, 0.7)), samples(90, 10)
    kernel, distances = CubeKernel.of(ZOO[name], 10), hamming(x, x)
    exact = class_average_errors(kernel, target, distances, ridges=[1e-2])
    cholesky = class_average_error(kernel, target, distances, ridge=1e-2)
    assert cholesky == pytest.approx(float(exact[0]), abs=1e-10)


def test_the_exact_error_agrees_with_monte_carlo_over_targets_and_test_points():
    dim, amplitudes, n_seeds, ridge = 12, (1.0, 0.7), 60, 1e-3
    x = samples(200, dim)
    target = hierarchy_class(dim, amplitudes)
    exact = class_average_error(CubeKernel.of(ZOO["rbf"], dim), target, hamming(x, x), ridge=ridge)
    test = samples(3000, dim, seed=1)
    draws = Hierarchies.draw(range(n_seeds), dim=dim, amplitudes=amplitudes)
    y, y_test = (draws.values(p.expand(n_seeds, -1, -1)).double() for p in (x, test))
    gram = ZOO["rbf"](x.double() @ x.double().T / dim)
    gram.diagonal().add_(ridge)
    guess = ZOO["rbf"](test.double() @ x.double().T / dim) @ torch.linalg.solve(gram, y.T)
    errors = (guess.T - y_test).square().mean(1)
    assert abs(float(errors.mean()) - exact) < 4 * float(errors.std()) / math.sqrt(n_seeds)


@pytest.mark.parametrize(("dim", "degree"), [(24, 2), (32, 2), (40, 2)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_harmonic_kernel_meets_the_certificate_with_equality(dim, degree, share):
    target = ParityClass(dim, (degree,), (1.0,))
    n_targets = math.comb(dim, degree)
    n = round(share * n_targets)
    x = samples(n, dim)
    gram = harmonic(target).values[hamming(x, x)]
    assert torch.linalg.matrix_rank(gram, hermitian=True) == n
    error = class_average_errors(harmonic(target), target, hamming(x, x), ridges=[1e-8])
    assert float(error[0]) == pytest.approx(1 - n / n_targets, abs=1e-12)


def test_repeated_and_antipodal_samples_carry_no_information_of_even_degree():
    target, x = ParityClass(12, (2,), (1.0,)), samples(20, 12)
    x = torch.cat([x, x[:5], -x[5:9]])
    error = class_average_errors(harmonic(target), target, hamming(x, x), ridges=[1e-8])
    assert float(error[0]) == pytest.approx(1 - 20 / 66, abs=1e-6)


def test_more_samples_than_targets_let_the_harmonic_kernel_learn_all():
    target, x = ParityClass(10, (2, 4), (1.0, 0.7)), samples(600, 10)
    error = class_average_errors(harmonic(target), target, hamming(x, x), ridges=[1e-8])
    assert abs(float(error[0])) < 1e-6


def test_one_hidden_relu_layer_without_bias_has_no_odd_eigenvalues_above_degree_one():
    for kernel in (arc_cosine_1, neural_tangent(1)):
        mu = CubeKernel.of(kernel, 15).eigenvalues
        assert mu[3::2].max() < 1e-16 < 1e-9 < mu[1]
        assert mu[::2].min() > 1e-9
    assert CubeKernel.of(neural_tangent(2), 15).eigenvalues[3] > 1e-4


def test_float32_would_break_the_certificate():
    """In float32 a kernel seems to have negative eigenvalues, and tight runs beat the bound."""
    dim = 16
    values = CubeKernel.of(ZOO["poly4"], dim).values
    table = torch.tensor(krawtchouk(dim), dtype=torch.float64)
    weights = [math.comb(dim, i) / 2**dim for i in range(dim + 1)]
    single = (table.float() * torch.tensor(weights)) @ values.float()
    multiplicity = torch.tensor([float(math.comb(dim, j)) for j in range(dim + 1)])
    assert (single / multiplicity).min() < 0 <= CubeKernel.of(ZOO["poly4"], dim).eigenvalues.min()
    assert mercer_eigenvalues(values).min() > -1e-17

    dim, n, ridge = 24, 230, 1e-8
    target = ParityClass(dim, (2,), (1.0,))
    x = samples(n, dim)
    distances = hamming(x, x)
    bound = 1 - n / 276
    double = float(class_average_errors(harmonic(target), target, distances, ridges=[ridge])[0])
    gram = harmonic(target).values.float()[distances]
    spectrum, basis = torch.linalg.eigh(gram)
    a = basis.T @ gram @ basis
    w = 1 / (spectrum + ridge)
    in_single = float(1 - 2 * (a.diagonal() * w).sum() / 276 + (a * a * w * w[:, None]).sum() / 276)
    assert abs(double - bound) < 1e-9
    assert abs(in_single - bound) > 1e-8

    with pytest.raises(ValueError, match="float64, got torch.float32"):
        CubeKernel.from_values(values.float())


def test_a_function_that_is_no_kernel_is_refused_with_its_negative_eigenvalue():
    with pytest.raises(NotPositiveError, match=r"degree 1 is -0\.1\b") as caught:
        CubeKernel.of(lambda t: 1 - t, 10)
    assert "dimension 10" in str(caught.value)
    distances = torch.arange(11.0, dtype=torch.float64)
    bad = torch.where(distances == 0, 1.0, 0.0) - torch.where(distances == 1, 0.2, 0.0)
    with pytest.raises(NotPositiveError, match="eigenvalue of parities of degree 0 is"):
        CubeKernel.from_values(bad.double())


def test_sizes_beyond_memory_are_refused_beforehand_with_the_bytes_needed(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 10**6)
    x = samples(1000, 12)
    target, kernel = ParityClass(12, (2,), (1.0,)), CubeKernel.of(power(4), 12)
    with pytest.raises(memory.TooLargeError, match=f"{required_bytes(1000)} bytes"):
        class_average_errors(kernel, target, hamming(x, x), ridges=[1e-2])
    with pytest.raises(MemoryError, match="1000 samples needs"):
        class_average_error(kernel, target, hamming(x, x), ridge=1e-2)


def test_the_available_memory_is_a_sensible_number():
    assert 2**20 < memory.available_bytes(torch.device("cpu")) < 2**50


@pytest.mark.parametrize("ridges", [[], [0.0], [1e-3, -1.0], [math.nan]])
def test_ridges_that_are_not_positive_are_refused(ridges):
    x = samples(5, 8)
    with pytest.raises(ValueError, match="ridges.* must be"):
        class_average_errors(
            CubeKernel.of(power(2), 8), ParityClass(8, (2,), (1.0,)), hamming(x, x), ridges=ridges
        )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_tangent_kernel_is_the_gradient_product_of_a_wide_random_network(depth):
    """ReLU layers without bias, weights N(0, 2 / fan-in), all of them trained."""
    dim, width, n_draws = 16, 1000, 6
    x = samples(4, dim).double()
    found = torch.zeros(4, 4, dtype=torch.float64)
    for seed in range(n_draws):
        g = stream("wide network", seed)
        sizes = [dim] + [width] * depth + [1]
        layers = [
            torch.randn(b, a, generator=g, dtype=torch.float64).requires_grad_()
            for a, b in zip(sizes, sizes[1:], strict=False)
        ]
        h = x
        for number, weight in enumerate(layers):
            scale = (1 if number == 0 else 2) / weight.shape[1]
            h = h @ weight.T * scale**0.5
            h = h.relu() if number < depth else h
        rows = [
            torch.cat([p.flatten() for p in torch.autograd.grad(out, layers, retain_graph=True)])
            for out in h[:, 0]
        ]
        gradients = torch.stack(rows)
        found += gradients @ gradients.T / n_draws
    expected = neural_tangent(depth)(x @ x.T / dim)
    assert torch.allclose(found / (depth + 1), expected, atol=0.05)


def test_the_arc_cosine_kernel_is_the_covariance_of_wide_random_features():
    x = samples(5, 12).double()
    weights = torch.randn(12, 400_000, generator=stream("features", 0), dtype=torch.float64)
    hidden = (x @ weights / 12**0.5).relu()
    found = 2 * hidden @ hidden.T / hidden.shape[1]
    assert torch.allclose(found, arc_cosine_1(x @ x.T / 12), atol=0.01)
