"""Training many networks on fixed pools of samples of different sizes, by AdamW."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hierlearn.cube.networks import PolynomialNetworks
from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.capture import Drawn, ahead, captured
from hierlearn.engine.doors import at_least, check_indices, checked, plain, positive
from hierlearn.engine.seeds import stream

WARM_UP, DROPS = 50, ((0.6, 0.2), (0.85, 0.04))
WEIGHT_DECAY = 1e-4
BETAS = (0.9, 0.999)


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    r"""Return `peak` $\cdot\min(1,t/50+.02)$, times .2 from $.6T$ and .04 from $.85T$ on."""
    at_least(1, n_steps=n_steps)
    at_least(0, step=step, peak=peak)
    factor = next((f for start, f in reversed(DROPS) if step >= start * n_steps), 1.0)
    return peak * factor * min(1.0, step / WARM_UP + 0.02)


@checked
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
        if len(self.seeds) != len(self.x) or len(self.owners) != len(self.sizes):
            raise ValueError(
                f"give one seed for each of {len(self.x)} pools, and one size for each of "
                f"{len(self.owners)} owners; got {len(self.seeds)} and {len(self.sizes)}"
            )
        check_indices(len(self.x), owners=self.owners)
        if not all(1 <= size <= n for size in self.sizes):
            raise ValueError(f"every pool size must lie in 1..{n}; got {list(self.sizes)}")
        device = self.x.device
        self._generators = [stream("batches", seed) for seed in self.seeds]
        self._owners = torch.tensor(self.owners)
        self._sizes = torch.tensor(self.sizes, dtype=torch.float64)[:, None]
        self._starts = (self._owners * n)[:, None]
        self._x, self._y = self.x.flatten(0, 1), self.y.flatten().to(device)

    @checked
    def draw(self, size: int) -> Drawn:
        r"""Draw a batch: run r sees points $\lfloor uN_r\rfloor$, u shared by a seed's runs.

        Returns their numbers, `[run, size]`, on the CPU.
        """
        at_least(1, size=size)
        draws = [torch.rand(size, generator=g, dtype=torch.float64) for g in self._generators]
        uniform = torch.stack(draws)[self._owners]
        return (self._starts + (uniform * self._sizes).long(),)

    def _axes(self) -> dict[str, int]:
        return {"run": len(self.owners)}

    @checked
    def read(self, index: Int64[Tensor, "run size"]) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels with these numbers."""
        index = index.to(self._x.device)
        x = self._x.index_select(0, index.flatten())
        return x.view(*index.shape, -1), self._y[index]


@checked
def train(
    net: PolynomialNetworks, pools: Pools, *, n_steps: int, batch: int, rates: Sequence[float]
) -> None:
    r"""Train in place on the mean squared error of a batch, one peak learning rate a run.

    The runs are independent: the sum of their losses is minimized, and AdamW acts on every
    parameter alone (Loshchilov & Hutter 2019: the weights decay beside the step).

    Raises:
        ValueError: unless pools and rates are of as many runs as `net`, the rates positive.
    """
    if not len(pools.owners) == len(rates) == net.n_runs:
        raise ValueError(
            f"give pools and one rate for each of {net.n_runs} runs; got pools of "
            f"{len(pools.owners)} runs and {len(rates)} rates"
        )
    at_least(1, n_steps=n_steps, batch=batch)
    for rate in rates:
        positive(rate=rate)
    net, pools = plain(net), plain(pools)
    optimizer = Adam(net.theta, net.grad, BETAS)
    peaks = torch.tensor(rates, dtype=net.theta.dtype, device=net.theta.device)[:, None, None]
    views = [*net.weights, *net.readouts, net.bias]
    own = torch.cat([peaks.expand_as(view).flatten() for view in views])

    def step(factors: Tensor, index: Tensor) -> None:
        factor, size = factors.unbind()
        x, y = pools.read(index)
        slope = net.output(x, training=True).sub_(y).mul_(2 / batch)
        net.backward(x, slope)
        net.theta.addcmul_(net.theta, own * factor, value=-WEIGHT_DECAY)
        optimizer.step(own * size)

    run = captured(step, net.theta.device)
    factors = torch.tensor([learning_rate(t, n_steps, 1.0) for t in range(n_steps)])
    schedule = torch.stack([factors, step_sizes(factors, BETAS)], 1).to(net.theta)
    draws = ahead(lambda: pools.draw(batch), n_steps, net.theta.device)
    for sizes, drawn in zip(schedule, draws, strict=True):
        run(sizes, *drawn)
