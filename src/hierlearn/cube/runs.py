r"""Networks on the hypercube: one run, and how a group of them is trained and measured."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from hierlearn.cube.networks import DeepNetworks, PolynomialNetworks, TwoLayerNetworks
from hierlearn.cube.target import (
    Hierarchies,
    ParityClass,
    draw_points,
    hierarchy_class,
    random_sums,
)
from hierlearn.cube.training import Pools, train
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group

TEST_CHUNK = 1000
TOLERANCE = 0.02
"""The relative training error below which a run counts as converged: it fits its samples."""


@dataclass(frozen=True)
class NetworkConfig(Config):
    r"""One network trained on a fixed pool of points of the hypercube.

    Attributes:
        dim: $d$.
        amplitudes: $\alpha_1..\alpha_L$ of the target; (0, .., 0, 1) is one parity of degree $2^L$.
        n_samples: N.
        n_steps: $T$ of the training.
        target: "hierarchy", or "sum": of random parities of degree $2^L$.
        n_terms: how many of them; None: all.
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
    n_terms: int | None = None
    network: str = "deep"
    width: int = 32
    batch: int = 256
    rate: float = 5e-3
    n_test: int = 4000

    CHOICES = {"target": ("hierarchy", "sum"), "network": ("deep", "two-layer")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == "sum" and any(self.amplitudes[:-1]):
            raise ValueError(f"a sum has one degree; got amplitudes {self.amplitudes}")

    @property
    def depth(self) -> int:
        """The number of levels L."""
        return len(self.amplitudes)

    @property
    def parities(self) -> ParityClass:
        """The class that the target is a random member of."""
        return hierarchy_class(self.dim, self.amplitudes)

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

    A measurement holds `rel`, the test error over $\sum_l\alpha_l^2$, the error of the zero
    function; `train`, the same on the samples; and `converged`: whether that is below 2 %.
    """
    configs = [NetworkConfig(**run.config) for run in work.runs]
    first, seeds = configs[0], list(dict.fromkeys(run.seed for run in work.runs))
    owners = [seeds.index(run.seed) for run in work.runs]
    sizes = [config.n_samples for config in configs]
    x, x_test = (
        torch.stack([draw_points(n, first.dim, stream(purpose, seed)) for seed in seeds])
        for purpose, n in (("pool", max(sizes)), ("test data", first.n_test))
    )
    y, y_test = (draw_labels(first, points, seeds).to(device) for points in (x, x_test))
    x, x_test = x.to(device), x_test.to(device)
    net = make_networks(first, len(configs), device)
    net.initialize([run.seed for run in work.runs])
    pools = Pools(x, y, owners, sizes, seeds)
    rates = [config.rate for config in configs]
    train(net, pools, n_steps=first.n_steps, batch=first.batch, rates=rates)
    energy = sum(a**2 for a in first.amplitudes)
    every = [first.n_test] * len(configs)
    tests = errors_of(net, x_test, y_test, owners, every)
    fits = errors_of(net, x, y, owners, sizes)
    return [_measurement(*pair) for pair in (torch.tensor([tests, fits]).T / energy).tolist()]


def _measurement(test: float, fit: float) -> dict[str, Any]:
    rel, train_error = (e if abs(e) < float("inf") else None for e in (test, fit))
    return {"rel": rel, "train": train_error, "converged": fit < TOLERANCE}


def draw_labels(config: NetworkConfig, x: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return the values of the targets of `seeds` at points x, [seed, batch]."""
    if config.target == "sum":
        return random_sums(x, seeds, degree=2**config.depth, n_terms=config.n_terms)
    return Hierarchies.draw(seeds, dim=config.dim, amplitudes=config.amplitudes).values(x)


def make_networks(config: NetworkConfig, n_runs: int, device: torch.device) -> PolynomialNetworks:
    """Return `n_runs` networks of the kind that `config` names, not yet initialized."""
    common: dict[str, Any] = {"dim": config.dim, "width": config.width, "device": device}
    if config.network == "deep":
        return DeepNetworks(n_runs, depth=config.depth, **common)
    powers = [2**level for level in range(1, config.depth + 1)]
    return TwoLayerNetworks(n_runs, powers=powers, **common)


def errors_of(
    net: PolynomialNetworks, x: Tensor, y: Tensor, owners: Sequence[int], sizes: Sequence[int]
) -> list[float]:
    """Compute the mean squared error of every run on the first `sizes` points, in float64."""
    whose, ends = torch.tensor([owners, sizes], device=x.device)
    total = torch.zeros(net.n_runs, dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], TEST_CHUNK):
        part = slice(start, start + TEST_CHUNK)
        error = net.output(x[whose, part], training=False) - y[whose, part]
        places = torch.arange(start, start + error.shape[1], device=x.device)
        total += error.double().square().where(places < ends[:, None], 0).sum(1)
    return (total / ends).tolist()
