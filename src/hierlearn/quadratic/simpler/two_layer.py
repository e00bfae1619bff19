r"""Two-layer networks trained by Adam, many at once.

$f(x)=\sum_p\sum_ja_{pj}\,\sigma_p(w_j^\top x+b_j)$: one activation (GELU), or several powers with
their own output weights (1, 2, 4, and 8 for four levels), each divided by its standard deviation
scale $\sqrt{(2p-1)!!}$.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.capture import Drawn, ahead, captured
from hierlearn.engine.doors import at_least, checked, plain, positive
from hierlearn.engine.seeds import stream

BETAS = (0.9, 0.99)
CLIP = 5.0
CHECKPOINTS = 8


@checked
@dataclass(frozen=True)
class TwoLayerTraining:
    """The training of a two-layer network.

    Attributes:
        width: hidden units.
        powers: of the activation; empty for GELU.
        rate: initial learning rate of Adam; a cosine anneals it to zero.
        n_steps: of the training.
        batch: samples a step.
    """

    width: int
    powers: tuple[int, ...]
    rate: float
    n_steps: int
    batch: int = 256

    def __post_init__(self) -> None:
        at_least(1, width=self.width, batch=self.batch)
        at_least(CHECKPOINTS, n_steps=self.n_steps)
        positive(rate=self.rate)
        if any(power < 1 for power in self.powers):
            raise ValueError(f"powers must be at least 1; got {self.powers}")


class TwoLayerNetworks:
    """One network a seed; `theta` holds all parameters of a run in a row, `[run, parameters]`."""

    @checked
    def __init__(self, seeds: Sequence[int], dim: int, training: TwoLayerTraining) -> None:
        at_least(1, dim=dim)
        if not seeds:
            raise ValueError(f"give at least one seed; got {list(seeds)}")
        self.training, self.dim = training, dim
        self.n_heads = max(len(training.powers), 1)
        width = training.width
        self.sizes = [width * dim, width, self.n_heads * width]
        self.theta = torch.empty(len(seeds), sum(self.sizes))
        self.grad = torch.zeros_like(self.theta)
        gain = 0.7 if training.powers else 1.0
        for row, seed in zip(self.theta, seeds, strict=True):
            draw = torch.randn(sum(self.sizes), generator=stream("two-layer weights", seed))
            parts = draw.split(self.sizes)
            scales = gain * dim**-0.5, 0.5, 0.1 * width**-0.5
            row.copy_(torch.cat([s * p for s, p in zip(scales, parts, strict=True)]))

    def _axes(self) -> dict[str, int]:
        return {"run": len(self.theta), "dim": self.dim}

    @checked
    def to(self, device: torch.device) -> "TwoLayerNetworks":
        """Move the parameters to `device`, in place."""
        self.theta, self.grad = self.theta.to(device), self.grad.to(device)
        return self

    def _parts(self, flat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inner, bias, outer = flat.split(self.sizes, 1)
        runs, width = len(flat), self.training.width
        return (
            inner.view(runs, width, self.dim), bias[:, :, None],
            outer.view(runs, self.n_heads, width),
        )  # fmt: skip

    def _f(self, theta: Tensor, x: Tensor) -> Tensor:
        inner, bias, outer = self._parts(theta)
        z = torch.baddbmm(bias, inner, x.mT)
        if not self.training.powers:
            return torch.bmm(outer, torch.nn.functional.gelu(z))[:, 0]
        heads = [
            torch.bmm(
                outer[:, p : p + 1], integer_power(z, power) / _double_factorial(power) ** 0.5
            )[:, 0]
            for p, power in enumerate(self.training.powers)
        ]
        return torch.stack(heads).sum(0)

    @checked
    def outputs(self, x: Float[Tensor, "run batch dim"]) -> Float[Tensor, "run batch"]:
        """Compute f(x)."""
        return self._f(self.theta, x)

    @checked
    def backward(self, x: Float[Tensor, "run batch dim"], y: Float[Tensor, "run batch"]) -> Tensor:
        """Write the gradient of the variance of f - y over the batch; return that variance.

        By autograd: for networks of this size the batched tape costs nothing, and its GELU is
        fused (twice as fast as one written out).
        """
        theta = self.theta.detach().requires_grad_()
        with torch.enable_grad():
            raw = self._f(theta, x) - y
            variance = (raw - raw.mean(1, keepdim=True)).square().mean(1)
            (grad,) = torch.autograd.grad(variance.sum(), theta)
        self.grad.copy_(grad)
        return variance.detach()


def _double_factorial(power: int) -> int:
    """Return $(2p-1)!!$, the second moment of the p-th power of a normal variable."""
    return math.prod(range(1, 2 * power, 2))


def integer_power(z: Tensor, power: int) -> Tensor:
    """Compute an integer power, at least 0, by squaring: torch's own takes a logarithm."""
    if power <= 1:
        return z if power else torch.ones_like(z)
    half = integer_power(z, power // 2)
    return half * half * z if power % 2 else half * half


@checked
def train(
    net: TwoLayerNetworks,
    x: Float[Tensor, "run n dim"],
    y: Float[Tensor, "run n"],
    x_valid: Float[Tensor, "run m dim"],
    y_valid: Float[Tensor, "run m"],
    seeds: Sequence[int],
) -> Float[Tensor, "run checkpoint"]:
    """Train on batches drawn from the pool; leave each run at its best validation checkpoint.

    Returns the validation errors of all checkpoints.
    """
    if len(seeds) != len(net.theta):
        raise ValueError(f"give {len(net.theta)} seeds, one a run; got {list(seeds)}")
    if min(x.shape[1], x_valid.shape[1]) < 2:
        raise ValueError(
            "give at least 2 training and 2 validation points; "
            f"got {x.shape[1]} and {x_valid.shape[1]}"
        )
    net = plain(net)
    training = net.training
    generators = [stream("two-layer batches", seed) for seed in seeds]
    optimizer = Adam(net.theta, net.grad, BETAS)
    tried: list[Tensor] = []
    kept = net.theta.clone()
    rows = torch.arange(len(x), device=x.device)[:, None]

    def draw() -> Drawn:
        picks = [torch.randint(x.shape[1], (training.batch,), generator=g) for g in generators]
        return (torch.stack(picks),)

    def update(size: Tensor, index: Tensor) -> None:
        index = index.to(x.device)
        net.backward(x[rows, index], y[rows, index])
        norms = net.grad.norm(dim=1, keepdim=True)
        net.grad.mul_(CLIP / norms.clamp(min=CLIP))
        optimizer.step(size)

    run = captured(update, x.device)
    steps = torch.arange(training.n_steps, dtype=torch.float64) / training.n_steps
    rates = training.rate * 0.5 * (1 + torch.cos(math.pi * steps))
    sizes = step_sizes(rates, BETAS).to(x)
    draws = ahead(draw, training.n_steps, x.device)
    for step, (size, drawn) in enumerate(zip(sizes, draws, strict=True)):
        run(size, *drawn)
        if (step + 1) % (training.n_steps // CHECKPOINTS) == 0:
            tried.append((net.outputs(x_valid) - y_valid).var(1))
            better = tried[-1] <= torch.stack(tried).amin(0)
            kept[better] = net.theta[better]
    net.theta.copy_(kept)
    return torch.stack(tried, 1)
