"""Hand-written gradients agree with autograd, batches with single runs, Prop. 21 with sampling."""

import math

import pytest
import torch

from hierlearn.ball import target, training
from hierlearn.ball.networks import FrozenFeatures, TrainedNetworks, unit_mean


def network(n_seeds: int = 2, n_arms: int = 2, activation: str = "erf") -> TrainedNetworks:
    net = TrainedNetworks(n_seeds, n_arms, dim=4, width=7, activation=activation)
    net.initialize(range(n_seeds))
    net.theta += 0.2 * torch.randn(net.theta.shape, generator=torch.Generator().manual_seed(1))
    return net


def batch(n_seeds: int, n_runs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.nn.functional.pad(torch.randn(n_seeds, 50, 4, generator=generator), (0, 1), value=1.0)
    return x, torch.rand(n_runs, 50, generator=generator).round()


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_gradients_agree_with_autograd_with_and_without_a_clip(activation):
    net = network(activation=activation)
    x, labels = batch(2, 4)
    low = torch.tensor([[-math.inf], [0.0], [0.0], [-10.0]])
    high = torch.tensor([[math.inf], [1.0], [1.0], [11.0]])
    net.step_gradient(x, labels, low=low, high=high)
    parts = [p.detach().clone().requires_grad_() for p in (net.hidden, net.outer, net.offset)]
    hidden, outer, offset = parts
    sigma = torch.relu if activation == "relu" else torch.erf
    units = sigma(torch.bmm(hidden, x.repeat_interleave(2, 0).mT))
    raw = (outer[:, :, None] * units).sum(1) + offset[:, None]
    (raw.clamp(low, high) - labels).square().mean(1).sum().backward()
    expected = torch.cat([part.grad.flatten() for part in parts])
    assert torch.allclose(net.grad, expected, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_batched_training_agrees_with_one_network_at_a_time(activation):
    inputs, _ = batch(2, 4)
    generator = torch.Generator().manual_seed(3)
    labels = torch.rand(4, 50, generator=generator).round()
    low, high = torch.tensor([[-math.inf], [0.0]] * 2), torch.tensor([[math.inf], [1.0]] * 2)
    together = TrainedNetworks(2, 2, dim=4, width=7, activation=activation)
    together.initialize([0, 1])
    settings = {"n_steps": 40, "rate": 5e-3}
    training.adam(together, [(inputs, labels)] * 40, low=low, high=high, **settings)
    for run in range(4):
        seed = run // 2
        alone = TrainedNetworks(1, 1, dim=4, width=7, activation=activation)
        alone.initialize([seed])
        one = (inputs[seed : seed + 1], labels[run : run + 1])
        bounds = {"low": low[run : run + 1], "high": high[run : run + 1]}
        training.adam(alone, [one] * 40, **bounds, **settings)
        assert torch.allclose(alone.hidden[0], together.hidden[run], atol=1e-5)
        assert torch.allclose(alone.outer[0], together.outer[run], atol=1e-5)


def frozen_problem(
    n: int = 300, width: int = 20
) -> tuple[FrozenFeatures, torch.Tensor, torch.Tensor]:
    layer = FrozenFeatures(0, dim=4, width=width)
    generator = torch.Generator().manual_seed(4)
    x = target.sample("uniform", n, dim=4, generator=generator)
    norms = x.norm(dim=1)
    labels = torch.stack([target.ball_indicator(norms, radius) for radius in (0.8, 1.2)])
    return layer, layer(x), labels


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_descent_of_several_arms_agrees_with_one_arm_at_a_time(momentum):
    layer, features, labels = frozen_problem()
    low, high = torch.tensor([[0.0], [-math.inf]]), torch.tensor([[1.0], [math.inf]])
    settings = {"n_steps": 60, "rate": 1.0, "momentum": momentum}
    both = training.descend(features, labels, layer.start, low=low, high=high, **settings)
    for arm in range(2):
        rows = slice(arm, arm + 1)
        one = training.descend(
            features, labels[rows], layer.start, low=low[rows], high=high[rows], **settings
        )
        assert torch.allclose(one[0], both[arm], atol=1e-5)


def test_one_plain_step_is_the_gradient_of_the_clipped_loss():
    layer, features, labels = frozen_problem()
    low, high = torch.zeros(2, 1), torch.ones(2, 1)
    stepped = training.descend(
        features, labels, layer.start, n_steps=1, rate=1.0, momentum=0.0, low=low, high=high
    )
    weights = layer.start.expand(2, -1).clone().requires_grad_()
    ((weights @ features.T).clamp(0, 1) - labels).square().mean(1).sum().backward()
    expected = weights.detach() - weights.grad / training.smoothness(features)
    assert torch.allclose(stepped, expected, atol=1e-6)


def test_smoothness_is_the_largest_eigenvalue_of_the_hessian():
    _, features, _ = frozen_problem()
    hessian = 2 * features.T.double() @ features.double() / len(features)
    assert abs(training.smoothness(features) / float(torch.linalg.eigvalsh(hessian)[-1]) - 1) < 1e-3


def test_linear_descent_goes_to_the_ridge_solution():
    layer, features, labels = frozen_problem(width=5)
    low, high = torch.full((2, 1), -math.inf), torch.full((2, 1), math.inf)
    bias = torch.ones(len(features), 1)
    with_constant = torch.cat([features, bias], 1)
    weights = training.descend(
        with_constant, labels, torch.zeros(6), n_steps=3000, rate=1.0, momentum=0.99, low=low,
        high=high,
    )  # fmt: skip
    found = (weights @ with_constant.T - labels).square().mean(1)
    best = training.best_ridge_error(features, labels, features, labels)
    assert torch.allclose(found.double(), best, atol=1e-4)


@pytest.mark.parametrize("radius", [0.0, 1.0, 1.7])
def test_units_average_to_the_closed_form_of_proposition_21(radius):
    n = 400_000
    generator = torch.Generator().manual_seed(5)
    # <U, x> is normal with standard deviation |x| / 2 whatever the direction of x.
    inner = radius / 2 * torch.randn(n, generator=generator)
    bias = 0.5 * torch.randn(n, generator=generator)
    units = torch.erf(inner + bias)
    assert abs(float(units[bias > 0].mean()) - unit_mean(radius)) < 5e-3


def test_a_network_without_units_and_an_unknown_activation_are_refused():
    with pytest.raises(ValueError, match="width must be at least 1"):
        FrozenFeatures(0, dim=3, width=0)
    with pytest.raises(ValueError, match="activation must be one of"):
        TrainedNetworks(1, 1, dim=3, width=2, activation="tanh")
