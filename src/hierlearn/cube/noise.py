"""Deep networks on the hypercube from labels with noise, which no certificate of kernels minds."""

from dataclasses import dataclass
from typing import Any

import torch

from hierlearn.cube.runs import NetworkConfig, draw_labels, errors_of, make_networks
from hierlearn.cube.target import draw_points
from hierlearn.cube.training import Pools, train
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group


@dataclass(frozen=True)
class NoisyConfig(NetworkConfig):
    """A `NetworkConfig` whose labels carry Gaussian noise of standard deviation `noise`."""

    noise: float = 0.5


def measure_noisy(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Train a group of one configuration; one measurement a run, in the order of its runs.

    `rel`: the test error against clean values, over $\sum_l\alpha_l^2$.
    """
    config, seeds = NoisyConfig(**work.runs[0].config), [run.seed for run in work.runs]
    x, x_test = (
        torch.stack([draw_points(n, config.dim, stream(purpose, seed)) for seed in seeds])
        for purpose, n in (("pool", config.n_samples), ("test data", config.n_test))
    )
    y, y_test = (draw_labels(config, points, seeds).to(device) for points in (x, x_test))
    noise = [torch.randn(config.n_samples, generator=stream("noise", seed)) for seed in seeds]
    y = y + config.noise * torch.stack(noise).to(y)
    net, owners = make_networks(config, len(seeds), device), list(range(len(seeds)))
    net.initialize(seeds)
    pools = Pools(x.to(device), y, owners, [config.n_samples] * len(seeds), seeds)
    rates = [config.rate] * len(seeds)
    train(net, pools, n_steps=config.n_steps, batch=config.batch, rates=rates)
    errors = errors_of(net, x_test.to(device), y_test, owners, [config.n_test] * len(seeds))
    energy = sum(a**2 for a in config.amplitudes)
    return [{"rel": e / energy if abs(e) < float("inf") else None} for e in errors]
