r"""Networks on the hypercube: one run, and how a group of them is trained and measured."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from hierlearn.cube.networks import DeepNetworks, PolynomialNetworks, TwoLayerNetworks
from hierlearn.cube.target import Hierarchies, dense_polynomials, draw_points
from hierlearn.cube.training import Pools, train
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group

TARGETS = ("hierarchy", "permuted", "dense")
NETWORKS = ("deep", "two-layer")
TEST_CHUNK = 1000


@dataclass(frozen=True)
class NetworkConfig(Config):
    r"""One network trained on a fixed pool of points of the hypercube.

    Attributes:
        dim: $d$.
        amplitudes: $\alpha_1..\alpha_L$ of the target; (0, .., 0, 1) is one parity of degree $2^L$.
        n_samples: N.
        n_steps: $T$ of the training.
        target: "hierarchy"; "permuted", the same with training labels that belong to other inputs;
            "dense", a Gaussian polynomial on all parities of degree $2^L$.
        network: "deep" of depth L, or "two-layer" with powers $2,4,..,2^L$.
        width: of every hidden layer.
        batch: drawn with replacement from the N points.
        rate: peak learning rate.
        n_test: number of test points.
    """

    dim: int
    amplitudes: Sequence[float]
    n_samples: int
    n_steps: int
    target: str = "hierarchy"
    network: str = "deep"
    width: int = 32
    batch: int = 256
    rate: float = 5e-3
    n_test: int = 4000

    CHOICES = {"target": TARGETS, "network": NETWORKS}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == "dense" and any(self.amplitudes[:-1]):
            raise ValueError(f"a dense target has one degree; got amplitudes {self.amplitudes}")

    @property
    def depth(self) -> int:
        """The number of levels L."""
        return len(self.amplitudes)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share: all but the number of samples and the rate."""
        own = ("n_samples", "rate")
        return tuple(getattr(self, f.name) for f in fields(self) if f.name not in own)

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes."""
        return 3.2e-9 * self.width * self.depth * self.batch * self.n_steps * n_runs


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Train a group as one batch; one measurement a run, in the order of its runs.

    A measurement is {"rel": test error over $\sum_l\alpha_l^2$, the error of the zero function}.
    """
    configs = [NetworkConfig(**run.config) for run in work.runs]
    first, seeds = configs[0], list(dict.fromkeys(run.seed for run in work.runs))
    owners = [seeds.index(run.seed) for run in work.runs]
    sizes = [config.n_samples for config in configs]
    x = _points("pool", seeds, max(sizes), first.dim).to(device)
    x_test = _points("test data", seeds, first.n_test, first.dim).to(device)
    y, y_test = (_labels(first, points, seeds, device) for points in (x, x_test))
    if first.target == "permuted":
        y = _permuted(y, seeds)
    net = _networks(first, len(configs), device)
    net.initialize([run.seed for run in work.runs])
    pools = Pools(x, y, owners, sizes, seeds)
    rates = [config.rate for config in configs]
    train(net, pools, n_steps=first.n_steps, batch=first.batch, rates=rates)
    energy = sum(a**2 for a in first.amplitudes)
    errors = _test_errors(net, x_test, y_test, torch.tensor(owners, device=device)) / energy
    return [{"rel": e if e == e and abs(e) < float("inf") else None} for e in errors.tolist()]


def _points(purpose: str, seeds: Sequence[int], n: int, dim: int) -> Tensor:
    return torch.stack([draw_points(n, dim, stream(purpose, seed)) for seed in seeds])


def _labels(config: NetworkConfig, x: Tensor, seeds: Sequence[int], device: torch.device) -> Tensor:
    if config.target == "dense":
        return dense_polynomials(x.cpu(), seeds, degree=2**config.depth).to(device)
    target = Hierarchies.draw(seeds, dim=config.dim, amplitudes=config.amplitudes)
    return target.values(x.cpu()).to(device)


def _permuted(y: Tensor, seeds: Sequence[int]) -> Tensor:
    n = y.shape[1]
    orders = [torch.randperm(n, generator=stream("permutation", seed)) for seed in seeds]
    return y.gather(1, torch.stack(orders).to(y.device))


def _networks(config: NetworkConfig, n_runs: int, device: torch.device) -> PolynomialNetworks:
    if config.network == "deep":
        return DeepNetworks(
            n_runs, dim=config.dim, depth=config.depth, width=config.width, device=device
        )
    powers = [2**level for level in range(1, config.depth + 1)]
    return TwoLayerNetworks(
        n_runs, dim=config.dim, powers=powers, width=config.width, device=device
    )


def _test_errors(net: PolynomialNetworks, x: Tensor, y: Tensor, owners: Tensor) -> Tensor:
    """Compute the mean squared test error of every run, in float64."""
    total = torch.zeros(net.n_runs, dtype=torch.float64, device=x.device)
    pairs = zip(x.split(TEST_CHUNK, 1), y.split(TEST_CHUNK, 1), strict=True)
    for points, labels in pairs:
        guess = net.output(points[owners], training=False)
        total += (guess - labels[owners]).double().square().sum(1)
    return total / x.shape[1]
