"""What two layers cannot do: tensors, ranks and errors by enumeration over quadrature nodes."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from hierlearn.certificate import least_errors, spectrum, symmetrized
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic.simpler.narrow import (
    NarrowConfig,
    Quartics,
    measure_narrow,
    population_errors,
)
from hierlearn.quadratic.simpler.runs import SimpleConfig, draw
from hierlearn.quadratic.simpler.two_layer import TwoLayerNetworks, TwoLayerTraining

DIM = 3


def grid(n_nodes: int = 40, dim: int = DIM) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights of the Gaussian law, a product of Gauss-Hermite rules."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    points = torch.tensor(list(product(nodes, repeat=dim)))
    return points, torch.tensor(list(product(weights / weights.sum(), repeat=dim))).prod(1)


def chaos(values: torch.Tensor, degree: int, nodes: int = 40, dim: int = DIM) -> torch.Tensor:
    """T_q of a function on the grid: E f H_q / q!, entry by entry, from univariate polynomials."""
    x, weight = grid(nodes, dim)
    he = [torch.ones_like(x), x]
    for q in range(1, degree):
        he.append(x * he[q] - q * he[q - 1])
    found = torch.zeros((dim,) * degree, dtype=torch.float64)
    for index in product(range(dim), repeat=degree):
        counts = [index.count(axis) for axis in range(dim)]
        entry = math.prod(he[count][:, axis] for axis, count in enumerate(counts))
        found[index] = (weight * values * entry).sum() / math.factorial(degree)
    return found


def quartics(seed: int = 0) -> Quartics:
    draw = torch.randn(2 * DIM * DIM + 2 * DIM + DIM * DIM, generator=stream("forms", seed))
    a, v, b = draw.double().split([2 * DIM * DIM, 2 * DIM, DIM * DIM])
    a, b = a.view(1, 2, DIM, DIM), b.view(1, DIM, DIM)
    return Quartics(a + a.mT, v.view(1, 2, DIM), b + b.mT)


def values(f: Quartics, x: torch.Tensor) -> torch.Tensor:
    h2 = x[:, :, None] * x[:, None] - torch.eye(x.shape[1])
    s = torch.einsum("jab,nab->nj", f.quadratic[0], h2) + x @ f.linear[0].T
    return s.square().sum(1) + torch.einsum("ab,nab->n", f.form[0], h2)


def test_the_tensors_of_a_quartic_are_its_projections_on_hermite_polynomials():
    f = quartics()
    x, weight = grid(6)
    for degree, tensor in enumerate(f.tensors(0), 1):
        torch.testing.assert_close(tensor, chaos(values(f, x), degree, 6))
        u = torch.nn.functional.normalize(torch.randn(1, 2, DIM).double(), dim=2)
        full = tensor
        for _ in range(degree):
            full = torch.tensordot(full, u[0, 0], dims=([0], [0]))
        scale = math.factorial(degree) ** 0.5
        torch.testing.assert_close(f.along(u)[0, 0, degree - 1], scale * full)


@pytest.mark.parametrize("activation", [torch.relu, torch.sin, lambda z: torch.sign(z) + z**6])
def test_two_units_of_any_shape_have_rank_two_in_every_degree(activation):
    # The line of a unit is an axis or a diagonal of the grid, so that kinks cost no accuracy.
    x, _ = grid(24, 2)
    y = activation(1.3 * x[:, 0] + 0.3) - 0.7 * torch.sin(0.8 * (x[:, 0] - x[:, 1]) + 0.4)
    for degree in (2, 3, 4):
        found = spectrum(chaos(y, degree, 24, 2))
        assert found[2:].abs().sum() < 1e-9 * found[0]
        assert found[1] > 1e-6


def test_random_networks_stay_above_the_certificate_of_their_width():
    f, (x, weight) = quartics(), grid(24)
    y = values(f, x)
    variance = float((weight * y.square()).sum() - (weight * y).sum() ** 2)
    for width in (1, 2, 3):
        bound = float(least_errors(f.tensors(0), [width])) * variance
        assert bound > 0
        for seed in range(20):
            w = torch.randn(width, DIM + 1, generator=stream("units", seed)).double()
            units = torch.tanh(x @ w[:, :-1].T + w[:, -1])
            powers = torch.cat([units, (x @ w[:, :-1].T) ** 2, (x @ w[:, :-1].T) ** 4], 1)
            columns = torch.cat([powers, torch.ones(len(x), 1).double()], 1)
            root = weight.sqrt()[:, None]
            fit = torch.linalg.lstsq(root * columns, root[:, 0] * y).solution
            assert float((weight * (y - columns @ fit).square()).sum()) > bound


def test_it_is_attained_by_the_first_of_a_sum_of_fourth_powers():
    f = Quartics.fourth_powers([3], 4)
    found = least_errors(f.tensors(0), [0, 1, 2, 3, 4]).tolist()
    assert found == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=1e-12)


def test_the_fourth_power_of_the_norm_needs_a_unit_for_every_pair():
    dim = 5
    square = torch.einsum("ab,cd->abcd", *[torch.eye(dim, dtype=torch.float64)] * 2)
    found = spectrum(square)
    pairs = dim * (dim + 1) // 2
    flat = [2 / 3] * (pairs - 1) + [0.0] * (dim**2 - pairs)
    expected = torch.tensor([(dim + 2) / 3, *flat], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("powers", [(1, 2, 4), ()])
def test_the_population_error_is_that_of_the_quadrature(powers):
    f, (x, weight) = quartics(1), grid(24)
    y = values(f, x)
    variance = (weight * y.square()).sum() - (weight * y).sum() ** 2
    training = TwoLayerTraining(width=3, powers=powers, rate=0.1, n_steps=8)
    net = TwoLayerNetworks([5], DIM, training)
    net.theta = net.theta.double()
    rest = y / variance.sqrt() - net.outputs(x[None])[0]
    direct = (weight * rest.square()).sum() - (weight * rest).sum() ** 2
    found = population_errors(net, net.theta, f, variance[None])
    assert float(found) == pytest.approx(float(direct), rel=1e-6)


def test_the_three_levels_are_those_of_the_contest_up_to_a_constant():
    config = SimpleConfig("kernel", 50)
    sample = draw(config, 2, torch.device("cpu"))
    x, y = sample.x[0].double(), sample.y[0].double()
    found = values(Quartics.three_levels([2], config.dim), x)
    scale = found.std() / y.std()
    torch.testing.assert_close(
        (found - found.mean()) / scale, y - y.mean(), atol=1e-5 * float(y.std()), rtol=1e-4
    )


def test_trained_networks_attain_it_on_fourth_powers_and_never_pass_it():
    for target, least in (("fourth powers", 1e-6), ("three levels", 1e-4)):
        config = NarrowConfig(target, 8, "polynomial", 2, 150)
        found = measure_narrow(Group.of("narrow_layers", [config], [0, 1]), torch.device("cpu"))
        for one in found:
            assert 1 - 1e-9 < one["rel"] / one["certificate"] < 1.05
            assert one["certificate"] > least


def test_impossible_tensors_are_named():
    with pytest.raises(ValueError, match="one size; got \\[2, 3\\]"):
        symmetrized(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="one a degree; got \\[2, 2\\]"):
        least_errors([torch.eye(2), torch.eye(2)], [1])
    with pytest.raises(ValueError, match="at least 0"):
        least_errors([torch.eye(2)], [-1])
