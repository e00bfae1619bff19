"""Hand-written gradients against autograd, batches of runs against single runs."""

import pytest
import torch

from hierlearn.cube.networks import EPSILON, DeepNetworks, TwoLayerNetworks
from hierlearn.cube.runs import NetworkConfig, measure
from hierlearn.cube.target import draw_points
from hierlearn.cube.training import Pools, learning_rate, train
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group

CPU = torch.device("cpu")


def networks(kind, n_runs=3, dtype=torch.float64):
    if kind == "deep":
        net = DeepNetworks(n_runs, dim=8, depth=3, width=5, dtype=dtype)
    else:
        net = TwoLayerNetworks(n_runs, dim=8, powers=(1, 2, 3, 8), width=5, dtype=dtype)
    net.theta.normal_(generator=stream("weights", 0)).mul_(0.5)
    return net


def normalized(values):
    mean = values.mean(2, keepdim=True)
    variance = (values - mean).square().mean(2, keepdim=True)
    return (values - mean) / (variance + EPSILON).sqrt()


def with_autograd(kind, net, x):
    """The same network in plain torch; returns its output and the parameters it used."""
    weights = [w.clone().requires_grad_() for w in net.weights]
    readouts = [a.clone().requires_grad_() for a in net.readouts]
    bias = net.bias.clone().requires_grad_()
    if kind == "deep":
        features, h = [], x.mT
        for weight in weights:
            h = normalized((weight @ h) ** 2)
            features.append(h)
    else:
        features = [normalized((weights[0] @ x.mT) ** p) for p in net.powers]
    output = bias + sum(a @ h for a, h in zip(readouts, features, strict=True))
    return output[:, 0], [*weights, *readouts, bias]


@pytest.mark.parametrize("kind", ["deep", "two-layer"])
def test_hand_written_gradients_are_those_of_autograd(kind):
    net = networks(kind)
    x = torch.randn(3, 20, 8, generator=stream("x", 0), dtype=torch.float64)
    slope = torch.randn(3, 20, generator=stream("slope", 0), dtype=torch.float64)
    expected, parameters = with_autograd(kind, net, x)
    assert torch.allclose(net.output(x, training=True), expected, atol=1e-12)
    net.backward(x, slope)
    gradients = torch.autograd.grad((expected * slope).sum(), parameters)
    flat = torch.cat([g.flatten() for g in gradients])
    assert torch.allclose(net.grad, flat, atol=1e-10)


def test_running_averages_converge_to_the_statistics_of_a_fixed_batch():
    net = networks("deep")
    x = torch.randn(3, 50, 8, generator=stream("x", 1), dtype=torch.float64)
    for _ in range(600):
        trained = net.output(x, training=True)
    assert torch.allclose(net.output(x, training=False), trained, atol=1e-8)


def test_a_run_of_a_batch_is_the_run_alone():
    arms = [NetworkConfig(12, (1.0, 0.7), n, 60, n_test=500, width=8) for n in (60, 90)]
    together = measure(Group.of("x", arms, [1, 2]), CPU)
    for index, (seed, arm) in enumerate((s, a) for s in (1, 2) for a in arms):
        alone = measure(Group.of("x", [arm], [seed]), CPU)[0]["rel"]
        # Not bit for bit: the pool of a smaller N is drawn alone, its matrices are summed alike.
        assert alone == pytest.approx(together[index]["rel"], rel=1e-4)


def test_a_seed_repeats_and_another_seed_differs():
    arm = NetworkConfig(12, (0.0, 1.0), 80, 40, n_test=300, width=8)
    first, again, other = (measure(Group.of("x", [arm], [s]), CPU)[0]["rel"] for s in (5, 5, 6))
    assert first == again != other


def test_the_deep_network_learns_a_parity_that_no_kernel_could():
    found = measure(Group.of("x", [NetworkConfig(12, (0.0, 1.0), 400, 500)], [3]), CPU)[0]["rel"]
    assert found < 0.1 < 1 - 400 / 495


def test_every_run_sees_only_its_own_prefix_of_its_own_pool():
    x = draw_points(20, 6, stream("x", 2)).reshape(2, 10, 6)
    y = torch.arange(20.0).reshape(2, 10)
    pools = Pools(x, y, owners=[0, 0, 1], sizes=[3, 10, 5], seeds=[0, 1])
    points, labels = pools.read(*pools.draw(500))
    assert set(labels[0].tolist()) == {0, 1, 2}
    assert set(labels[1].tolist()) == set(range(10))
    assert set(labels[2].tolist()) == set(range(10, 15))
    assert torch.equal(points[2], x.flatten(0, 1)[labels[2].long()])


def test_adamw_with_one_rate_is_that_of_torch():
    nets = [networks("deep", 1, torch.float32) for _ in range(2)]
    x, y = draw_points(64, 8, stream("x", 3))[None], torch.randn(1, 64, generator=stream("y", 0))

    def pools():
        return Pools(x, y, owners=[0], sizes=[64], seeds=[7])

    train(nets[0], pools(), n_steps=30, batch=32, rates=[5e-3])
    theta = nets[1].theta.requires_grad_()
    reference = torch.optim.AdamW([theta], weight_decay=1e-4)
    drawn = pools()
    for step in range(30):
        points, labels = drawn.read(*drawn.draw(32))
        with torch.no_grad():
            slope = (nets[1].output(points, training=True) - labels) * 2 / 32
            nets[1].backward(points, slope)
        theta.grad = nets[1].grad.clone()
        reference.param_groups[0]["lr"] = learning_rate(step, 30, 5e-3)
        reference.step()
    assert torch.allclose(nets[0].theta, nets[1].theta, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NetworkConfig(8, (1.0, 1.0), 10, 10, target="sum"), "has one degree"),
        (
            lambda: Pools(torch.ones(1, 4, 2), torch.ones(1, 4), owners=[0], sizes=[5], seeds=[0]),
            r"must lie in 1\.\.4; got \[5\]",
        ),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
