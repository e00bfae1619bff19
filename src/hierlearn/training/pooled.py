"""Training many networks on fixed pools of samples of different sizes, by AdamW."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.learners.normalized_powers import PolynomialNetworks
from hierlearn.randomness import stream

WARM_UP, DROPS = 50, ((0.6, 0.2), (0.85, 0.04))
WEIGHT_DECAY = 1e-4


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    r"""Return `peak` $\cdot\min(1,t/50+.02)$, times .2 from $.6T$ and .04 from $.85T$ on."""
    factor = next((f for start, f in reversed(DROPS) if step >= start * n_steps), 1.0)
    return peak * factor * min(1.0, step / WARM_UP + 0.02)


@dataclass
class Pools:
    """Fixed training samples; the networks of one seed see prefixes of the same pool.

    Attributes:
        x: inputs `[seed, n, dim]`.
        y: labels `[seed, n]`.
        owners: the seed index of every run.
        sizes: the prefix that every run sees.
        seeds: name the streams that batches are drawn from, with replacement.
    """

    x: Float[Tensor, "seed n dim"]
    y: Float[Tensor, "seed n"]
    owners: Sequence[int]
    sizes: Sequence[int]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        n = self.x.shape[1]
        if not all(1 <= size <= n for size in self.sizes):
            raise ValueError(f"every pool size must lie in 1..{n}; got {list(self.sizes)}")
        device = self.x.device
        self._generators = [stream("batches", seed) for seed in self.seeds]
        self._owners = torch.tensor(self.owners)
        self._sizes = torch.tensor(self.sizes, dtype=torch.float64)[:, None]
        self._starts = (self._owners * n)[:, None]
        self._x, self._y = self.x.flatten(0, 1), self.y.flatten().to(device)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        r"""Draw a batch: run r sees points $\lfloor uN_r\rfloor$, u shared by a seed's runs."""
        draws = [torch.rand(size, generator=g, dtype=torch.float64) for g in self._generators]
        uniform = torch.stack(draws)[self._owners]
        index = (self._starts + (uniform * self._sizes).long()).to(self._x.device)
        x = self._x.index_select(0, index.flatten())
        return x.view(*index.shape, -1), self._y[index]


def train(
    net: PolynomialNetworks, pools: Pools, *, n_steps: int, batch: int, rates: Sequence[float]
) -> None:
    r"""Train in place on the mean squared error of a batch, one peak learning rate a run.

    The runs are independent: the sum of their losses is minimized, and AdamW acts on every
    parameter alone. `rates` that differ are reached by scaling, see `_RatedAdamW`.
    """
    optimizer = _RatedAdamW(net, rates)
    for step in range(n_steps):
        x, y = pools.batch(batch)
        slope = net.output(x, training=True).sub_(y).mul_(2 / batch)
        net.backward(x, slope)
        optimizer.step(learning_rate(step, n_steps, 1.0))


class _RatedAdamW:
    """AdamW (Loshchilov & Hutter) on a flat tensor whose runs have rates of their own."""

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, net: PolynomialNetworks, rates: Sequence[float]) -> None:
        self.theta, self.grad = net.theta, net.grad
        rate = torch.tensor(rates, dtype=net.theta.dtype, device=net.theta.device)[:, None, None]
        views = [*net.weights, *net.readouts, net.bias]
        self.rate = torch.cat([rate.expand_as(view).flatten() for view in views])
        self.first, self.second = torch.zeros_like(net.theta), torch.zeros_like(net.theta)
        self.scratch = torch.empty_like(net.theta)
        self.n_steps = 0

    def step(self, factor: float) -> None:
        self.n_steps += 1
        (b1, b2), t = self.BETAS, self.n_steps
        self.first.lerp_(self.grad, 1 - b1)
        self.second.mul_(b2).addcmul_(self.grad, self.grad, value=1 - b2)
        torch.sqrt(self.second, out=self.scratch)
        self.scratch.div_((1 - b2**t) ** 0.5).add_(self.EPSILON)
        torch.div(self.first, self.scratch, out=self.scratch)
        self.scratch.div_(1 - b1**t).add_(self.theta, alpha=WEIGHT_DECAY).mul_(self.rate)
        self.theta.sub_(self.scratch, alpha=factor)
