r"""Polynomial networks with batch normalization, many at once, with hand-written gradients.

*Deep*: $h_l=\mathrm{BN}((h_{l-1}W_l)^2)$, $h_0=x$, $\hat y=b+\sum_la_l^\top h_l$.
*Two-layer*: $\hat y=b+\sum_pa_p^\top\mathrm{BN}((xW)^p)$ with one W for all powers p.
BN has no trained part: it subtracts the batch mean and divides by the standard deviation, the
variance raised by $10^{-4}$; running averages (weight .05 a batch) replace both in tests.

Features lie along the second axis and samples along the last, so that BN sums over contiguous
memory. The gradients are written out because the networks are so small that an autograd tape costs
more than the arithmetic; a test compares them with autograd.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked, plain
from hierlearn.engine.seeds import stream

EPSILON = 1e-4
MOMENTUM = 0.05


class Normalization:
    """One batch normalization: forward, backward, and the running averages."""

    @checked
    def __init__(self, n_runs: int, width: int, like: Float[Tensor, "..."]) -> None:
        at_least(1, n_runs=n_runs, width=width)
        self.mean = like.new_zeros(n_runs, width, 1)
        self.variance = like.new_ones(n_runs, width, 1)

    def _axes(self) -> dict[str, int]:
        return {"run": len(self.mean), "width": self.mean.shape[1]}

    @checked
    def forward(self, values: Float[Tensor, "run width batch"], training: bool) -> Tensor:
        """Normalize `values` in place; in training also move the running averages."""
        if not training:
            return values.sub_(self.mean).mul_((self.variance + EPSILON).rsqrt())
        mean = values.mean(2, keepdim=True)
        values.sub_(mean)
        variance = torch.linalg.vector_norm(values, dim=2, keepdim=True)
        variance.square_().div_(values.shape[2])
        self.mean.lerp_(mean, MOMENTUM)
        self.variance.lerp_(variance, MOMENTUM)
        self.factor = (variance + EPSILON).rsqrt_()
        return values.mul_(self.factor)

    @checked
    def backward(
        self, slope: Float[Tensor, "run width batch"], output: Float[Tensor, "run width batch"]
    ) -> Tensor:
        """Turn the gradient in the output into that in the input, in place."""
        batch = slope.shape[2]
        along = (slope * output).sum(2, keepdim=True).div_(-batch)
        slope.sub_(slope.mean(2, keepdim=True))
        return slope.addcmul_(output, along).mul_(self.factor)


class PolynomialNetworks(ABC):
    """`n_runs` networks of one shape.

    Attributes:
        theta: all parameters in one flat tensor; the others are views of it.
        grad: their gradients, laid out alike.
        weights: one tensor `[run, width, fan-in]` a hidden layer.
        readouts: one tensor `[run, 1, width]` a group of features.
        bias: `[run, 1, 1]`.
    """

    @checked
    def __init__(
        self,
        n_runs: int,
        fans: Sequence[tuple[int, int]],
        n_readouts: int,
        *,
        dtype: torch.dtype | None,
        device: torch.device | str,
    ) -> None:
        at_least(1, n_runs=n_runs, n_readouts=n_readouts)
        if not fans or min(map(min, fans)) < 1:
            raise ValueError(
                "width, dim and depth must be at least 1; got layers of (width, fan-in) "
                f"{list(fans)}"
            )
        width = fans[0][0]
        shapes = [(n_runs, out, fan) for out, fan in fans]
        shapes += [(n_runs, 1, width)] * n_readouts + [(n_runs, 1, 1)]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.n_runs, self.width = n_runs, width
        self.theta = torch.zeros(sum(sizes), dtype=dtype, device=device)
        self.grad = torch.zeros_like(self.theta)

        def views(flat: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
            parts = zip(flat.split(sizes), shapes, strict=True)
            every = [part.view(shape) for part, shape in parts]
            return every[: len(fans)], every[len(fans) : -1], every[-1]

        self.weights, self.readouts, self.bias = views(self.theta)
        self._grad_weights, self._grad_readouts, self._grad_bias = views(self.grad)
        self._norms = [plain(Normalization(n_runs, width, self.theta)) for _ in range(n_readouts)]

    def _axes(self) -> dict[str, int]:
        return {"run": self.n_runs, "dim": self.weights[0].shape[2]}

    @checked
    def initialize(self, seeds: Sequence[int]) -> None:
        r"""Draw $W_l\sim N(0,1/\text{fan-in})$, one seed a run; equal seeds start alike."""
        if len(seeds) != self.n_runs:
            raise ValueError(f"give {self.n_runs} seeds, one a run; got {list(seeds)}")
        for run, seed in enumerate(seeds):
            generator = stream("polynomial network", seed)
            for weight in self.weights:
                shape = weight.shape[1:]
                draw = torch.randn(shape, generator=generator) * shape[1] ** -0.5
                weight[run] = draw.to(weight)

    @checked
    def output(self, x: Float[Tensor, "run batch dim"], *, training: bool) -> Tensor:
        """Compute the outputs `[run, batch]`, by batch (training) or running averages."""
        self._features = self._forward(x, training)
        total = self.bias.expand(-1, 1, x.shape[1]).clone()
        for readout, feature in zip(self.readouts, self._features, strict=True):
            total.baddbmm_(readout, feature)
        return total[:, 0]

    @checked
    def backward(
        self, x: Float[Tensor, "run batch dim"], slope: Float[Tensor, "run batch"]
    ) -> None:
        r"""Write the gradients of $\sum_b\mathrm{slope}_b\,\hat y_b$ into `grad`.

        To be called after `output(x, training=True)`, whose features it uses up.
        """
        columns = slope[:, None, :]
        torch.sum(columns, 2, keepdim=True, out=self._grad_bias)
        for grad, feature in zip(self._grad_readouts, self._features, strict=True):
            torch.bmm(columns, feature.mT, out=grad)
        self._backward(x, columns)

    @abstractmethod
    def _forward(self, x: Tensor, training: bool) -> list[Tensor]:
        """Compute the normalized features, one tensor `[run, width, batch]` a readout."""

    @abstractmethod
    def _backward(self, x: Tensor, slope: Tensor) -> None:
        """Write the gradients of the hidden weights."""


class DeepNetworks(PolynomialNetworks):
    r"""$h_l=\mathrm{BN}((h_{l-1}W_l)^2)$ for $l\le$ depth, with a readout from every layer."""

    @checked
    def __init__(
        self,
        n_runs: int,
        *,
        dim: int,
        depth: int,
        width: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Allocate the networks with all parameters zero; `initialize` draws them."""
        at_least(1, depth=depth)
        fans = [(width, dim)] + [(width, width)] * (depth - 1)
        super().__init__(n_runs, fans, depth, dtype=dtype, device=device)

    def _forward(self, x: Tensor, training: bool) -> list[Tensor]:
        self._linear, features = [], []
        below = x.mT
        for weight, norm in zip(self.weights, self._norms, strict=True):
            linear = torch.bmm(weight, below)
            below = norm.forward(linear * linear, training)
            self._linear.append(linear)
            features.append(below)
        return features

    def _backward(self, x: Tensor, slope: Tensor) -> None:
        from_above: Tensor | None = None
        for layer in range(len(self.weights) - 1, -1, -1):
            total = self.readouts[layer].mT * slope
            if from_above is not None:
                total.add_(from_above)
            total = self._norms[layer].backward(total, self._features[layer])
            total.mul_(self._linear[layer]).mul_(2)
            below = self._features[layer - 1].mT if layer else x
            torch.bmm(total, below, out=self._grad_weights[layer])
            if layer:
                from_above = torch.bmm(self.weights[layer].mT, total)


class TwoLayerNetworks(PolynomialNetworks):
    r"""$\hat y=b+\sum_pa_p^\top\mathrm{BN}((xW)^p)$: one hidden layer, several powers of it."""

    @checked
    def __init__(
        self,
        n_runs: int,
        *,
        dim: int,
        powers: Sequence[int],
        width: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Allocate the networks with all parameters zero; `initialize` draws them."""
        if not powers or min(powers) < 1:
            raise ValueError(f"powers must be at least 1, and at least one; got {list(powers)}")
        super().__init__(n_runs, [(width, dim)], len(powers), dtype=dtype, device=device)
        self.powers = tuple(powers)

    def _forward(self, x: Tensor, training: bool) -> list[Tensor]:
        self._linear = torch.bmm(self.weights[0], x.mT)
        pairs = zip(self.powers, self._norms, strict=True)
        return [norm.forward(_power(self._linear, p), training) for p, norm in pairs]

    def _backward(self, x: Tensor, slope: Tensor) -> None:
        total = torch.zeros_like(self._linear)
        for p, readout, norm, feature in zip(
            self.powers, self.readouts, self._norms, self._features, strict=True
        ):
            part = norm.backward(readout.mT * slope, feature)
            total.addcmul_(part, _power(self._linear, p - 1), value=p)
        torch.bmm(total, x, out=self._grad_weights[0])


def _power(values: Tensor, p: int) -> Tensor:
    """Raise to an integer power by squaring, a new tensor: `**` takes a logarithm above three."""
    if p < 2:
        return values.clone() if p else torch.ones_like(values)
    half = _power(values, p // 2)
    return half.mul_(half) if p % 2 == 0 else half.mul_(half).mul_(values)
