"""The simple learners of chapter 6, each against a second route to the same number."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from hierlearn.engine.kernels import neural_tangent_kernel, rbf_kernel
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.floors import target_forms
from hierlearn.quadratic.measures import unexplained
from hierlearn.quadratic.simpler.feature_machine import feature_machine, gradient_outer_product
from hierlearn.quadratic.simpler.runs import KERNELS, SimpleConfig, draw, measure
from hierlearn.quadratic.simpler.sequential import (
    Sample,
    fit_quadratic,
    sequential_eigenfeatures,
    sequential_predictions,
)
from hierlearn.quadratic.simpler.two_layer import (
    TwoLayerNetworks,
    TwoLayerTraining,
    integer_power,
    train,
)
from hierlearn.quadratic.target import QuadraticTeachers

CPU = torch.device("cpu")
SMALL = {"dim": 6, "widths": (2, 2), "n_samples": 400}


def normal(*shape: int, name: str = "points") -> torch.Tensor:
    return torch.randn(*shape, generator=stream(name, 0), dtype=torch.float64)


def error(stage, sample: Sample) -> float:
    return float(unexplained(stage.predictions[2][None], sample.y[2][None]))


def test_a_gaussian_kernel_falls_from_one_with_the_distance():
    x = normal(4, 3)
    gram = rbf_kernel(x, x, bandwidth=2.0)
    torch.testing.assert_close(gram.diagonal(), torch.ones(4, dtype=torch.float64))
    distance = (x[0] - x[1]).square().sum() / (2 * 3 * 4)
    assert float(gram[0, 1]) == pytest.approx(math.exp(-distance))


def test_the_tangent_kernel_of_one_hidden_layer_is_its_gaussian_expectation():
    u, v = normal(1, 2, name="u"), normal(1, 2, name="v")
    measured = float(neural_tangent_kernel(u, v, hidden=1))
    # E over the angle of a Gaussian direction w in the plane, its length integrated out
    a, b = u[0].numpy() / np.sqrt(2), v[0].numpy() / np.sqrt(2)

    def integrand(angle: float) -> float:
        w = np.array([np.cos(angle), np.sin(angle)])
        s, t = w @ a, w @ b
        both = 2 * (s > 0) * (t > 0)  # the ReLU kernels are normalized to E[2 relu relu]
        return both * (2 * s * t + a @ b) / (2 * np.pi)

    expected, _ = integrate.quad(integrand, 0, 2 * np.pi, limit=400)
    assert measured == pytest.approx(expected, rel=1e-4)


def test_level_2_alone_is_learned_by_a_kernel_of_degree_2_and_by_the_best_quadratic():
    gaps = {"gaps": (1, 0)}
    for config in (
        SimpleConfig("kernel", kernels=("poly2",), **gaps, **SMALL),
        SimpleConfig("quadratic", **gaps, **SMALL),
    ):
        assert measure(Group.of("test", [config], [1]), CPU)[0]["final"]["rel"] < 1e-8


def test_the_best_quadratic_leaves_the_variance_of_degrees_3_and_4():
    widths, gaps = (2, 2), (1, 0.2)
    teacher = QuadraticTeachers.draw([1], dim=6, widths=widths, skip=0.8, dtype=torch.float64)
    amplitudes = teacher.amplitudes(torch.tensor([[gaps]]).double())[0, 0]
    target = target_forms(teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], amplitudes)
    share = float(target.hermite(up_to_quadratic=True)[:-6].square().sum() / target.variance())
    config = SimpleConfig("quadratic", 20_000, dim=6, widths=widths, gaps=gaps)
    found = measure(Group.of("test", [config], [1]), CPU)[0]["final"]["rel"]
    assert found == pytest.approx(share, rel=0.1)


def test_the_staged_network_is_the_one_of_chapter_1_on_the_same_pool():
    fields = {"opens": (0, 20), "n_steps": 60, "gaps": (1, 0.2), **SMALL}
    config = SimpleConfig("staged", **fields)
    found = measure(Group.of("test", [config], [1, 2]), CPU)
    same = quadratic.measure(Group.of("test", [QuadraticConfig(**fields)], [1, 2]), CPU)
    assert [one["final"] for one in found] == [one["final"] for one in same]


def test_every_kernel_is_tried_and_one_is_chosen():
    config = SimpleConfig("kernel", kernels=tuple(KERNELS), **SMALL)
    result = measure(Group.of("test", [config], [1]), CPU)[0]
    assert list(result["kernel"]) == list(KERNELS)
    assert result["final"]["rel"] == result["kernel"][result["chosen"]]


@pytest.mark.parametrize("n_samples", [10, 60])
def test_ridge_on_monomials_is_the_same_in_the_primal_and_in_the_dual(n_samples):
    sample = draw(SimpleConfig("predictions", n_samples, dim=5, widths=(2, 2)), 3, CPU)
    stage = fit_quadratic(sample.x, sample, ridges=(0.1,))
    x, y = sample.x[0], sample.y[0]
    i, j = torch.triu_indices(5, 5)
    features = torch.cat([x, x[:, i] * x[:, j]], 1)
    features = (features - features.mean(0)) / features.std(0)
    gram = features.T @ features
    ridge = 0.1 * (gram if gram.shape[0] <= n_samples else features @ features.T).diagonal().mean()
    weights = torch.linalg.solve(
        gram + ridge * torch.eye(len(gram)).double(), features.T @ (y - y.mean())
    )
    torch.testing.assert_close(stage.predictions[0], features @ weights + y.mean())


def test_eigenfeatures_carry_what_predictions_do_not():
    sample = draw(SimpleConfig("predictions", **SMALL), 2, CPU)
    scalar = sequential_predictions(sample, n_stages=2)
    directions = sequential_eigenfeatures(sample, widths=[4])
    assert error(scalar[0], sample) == pytest.approx(error(directions[0], sample))
    assert error(directions[1], sample) < error(scalar[1], sample) / 10


def test_the_gradient_outer_product_is_that_of_autograd():
    train_x, weights = normal(7, 3), normal(7, name="weights")
    metric = normal(3, 3, name="metric")
    metric = metric @ metric.T
    points = train_x.clone().requires_grad_()
    f = (1 + points @ metric @ train_x.T) ** 4 @ weights
    (gradients,) = torch.autograd.grad(f.sum(), points)
    found = gradient_outer_product(train_x @ metric @ train_x.T, train_x, metric, weights, 4)
    torch.testing.assert_close(found, gradients.T @ gradients / 7)


def test_the_feature_machine_finds_the_directions_and_then_the_target():
    sample = draw(SimpleConfig("feature machine", dim=10, widths=(2, 1), n_samples=400), 1, CPU)
    rounds = feature_machine(sample, degree=4, n_updates=3)
    assert rounds[-1].test < 1e-3 * rounds[0].test
    values = torch.linalg.eigvalsh(rounds[-1].metric)
    assert float(values[:-3].sum() / values.sum()) < 1e-3


@pytest.mark.parametrize("power", range(9))
def test_an_integer_power_is_that_of_torch(power):
    z = normal(50)
    torch.testing.assert_close(integer_power(z, power), z**power)


def test_a_two_layer_network_of_squares_learns_a_quadratic_form():
    training = TwoLayerTraining(width=20, powers=(2,), rate=0.02, n_steps=400, batch=64)
    net = TwoLayerNetworks([1], 4, training)
    x = normal(1, 600, 4).float()
    y = x[:, :, 0] * x[:, :, 1]
    train(net, x[:, :400], y[:, :400], x[:, 400:], y[:, 400:], [1])
    assert float(unexplained(net.outputs(x), y)) < 1e-2


def test_the_pool_is_that_of_the_deep_network_and_seeds_differ_in_it():
    config = SimpleConfig("kernel", 50, dim=5, widths=(2, 2), kernels=("poly2",))
    one, two = draw(config, 1, CPU), draw(config, 2, CPU)
    pool = torch.randn(50, 5, generator=stream("pool", 1))
    torch.testing.assert_close(one.x[0], pool.double())
    assert not torch.allclose(one.x[0], two.x[0])
