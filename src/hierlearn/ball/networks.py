r"""Networks with one hidden layer: trained in all their layers, or with the hidden one frozen.

*Weak* networks $x\mapsto\sum_jw_j\sigma(\langle u_j,x\rangle+b_j)+b_0$ have a linear output (Eq. 1
of Safran & Lee, 2022). The *strong* class $x\mapsto[\sum_jw_j\,\mathrm{erf}(\langle u_j,x\rangle+
b_j)]_+^1$ clips it to [0, 1] and has no output bias (Eq. 2); there, hidden weights stay as drawn.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream

ACTIVATIONS = ("relu", "erf")
HIDDEN_SCALE = {"relu": 1.0, "erf": 0.5}
OUTPUT_BIAS = 0.5
_UNITS_AT_ONCE = 10_000


class TrainedNetworks:
    r"""`n_seeds * n_arms` networks trained in all their layers, with hand-written gradients.

    Run `seed * n_arms + arm` is arm `arm` of a seed; the arms of a seed see the same inputs.

    Attributes:
        theta: all parameters in one flat tensor; `hidden`, `outer` and `offset` are views of it.
        grad: their gradients, laid out alike.
        hidden: $(u_j,b_j)$, `[run, width, dim + 1]`.
        outer: $w_j$, `[run, width]`.
        offset: $b_0$, `[run]`.
    """

    @checked
    def __init__(
        self,
        n_seeds: int,
        n_arms: int,
        *,
        dim: int,
        width: int,
        activation: str,
        device: torch.device | str = "cpu",
    ) -> None:
        """Allocate the networks with all parameters zero; `initialize` draws them.

        Raises:
            ValueError: for an activation that is not in `ACTIVATIONS`, and for width < 1.
        """
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}; got {activation!r}")
        at_least(1, n_seeds=n_seeds, n_arms=n_arms, dim=dim)
        check_width(width)
        self.n_seeds, self.n_arms, self.n_runs = n_seeds, n_arms, n_seeds * n_arms
        self.dim, self.width, self.activation = dim, width, activation
        shapes = [(self.n_runs, width, dim + 1), (self.n_runs, width), (self.n_runs,)]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.theta = torch.zeros(sum(sizes), device=device)
        self.grad = torch.zeros_like(self.theta)
        self.hidden, self.outer, self.offset = _views(self.theta, shapes, sizes)
        self._grad_hidden, self._grad_outer, self._grad_offset = _views(self.grad, shapes, sizes)
        self._work: dict[int, tuple[Tensor, Tensor]] = {}

    def _axes(self) -> dict[str, int]:
        sizes = {"seed": self.n_seeds, "run": self.n_runs, "width": self.width}
        return sizes | {"dim_and_one": self.dim + 1}

    @checked
    def initialize(self, seeds: Sequence[int]) -> None:
        r"""Draw $b_j\sim N(0,\frac14)$, $w_j\sim N(0,r^{-2})$, $u_j$ normal, and $b_0=\frac12$.

        The scale of $u_j$ is 1 for relu and 1/2 for erf. The arms of a seed start alike.
        """
        if len(seeds) != self.n_seeds:
            raise ValueError(f"give {self.n_seeds} seeds, one a target; got {list(seeds)}")
        for s, seed in enumerate(seeds):
            generator = stream("initial network", seed)
            draw = torch.randn(self.width, self.dim + 1, generator=generator)
            draw[:, : self.dim] *= HIDDEN_SCALE[self.activation]
            draw[:, self.dim] *= 0.5
            runs = slice(s * self.n_arms, (s + 1) * self.n_arms)
            self.hidden[runs] = draw.to(self.theta)
            outer = torch.randn(self.width, generator=generator) / self.width
            self.outer[runs] = outer.to(self.theta)
        self.offset.fill_(OUTPUT_BIAS)

    @checked
    def units(self, x: Float[Tensor, "seed batch dim_and_one"]) -> Float[Tensor, "run width batch"]:
        """Compute the pre-activations of all units from inputs that end in a constant one."""
        units, _ = self._buffers(x.shape[1])
        rows = self.hidden.view(self.n_seeds, -1, self.dim + 1)
        torch.bmm(rows, x.mT, out=units.view(self.n_seeds, -1, x.shape[1]))
        return units

    @checked
    def output(
        self, x: Float[Tensor, "seed batch dim_and_one"]
    ) -> tuple[Float[Tensor, "run batch"], Float[Tensor, "run width batch"]]:
        """Compute the output before any clipping, and the values of the units (reused memory)."""
        units = self.units(x)
        slopes = self._buffers(x.shape[1])[1]
        if self.activation == "relu":
            torch.gt(units, 0, out=slopes)
            units.clamp_(min=0)
        else:
            torch.mul(units, units, out=slopes)
            slopes.neg_().exp_().mul_(2 / math.sqrt(math.pi))
            units.erf_()
        raw = torch.bmm(self.outer[:, None, :], units)[:, 0] + self.offset[:, None]
        return raw, units

    @checked
    def step_gradient(
        self,
        x: Float[Tensor, "seed batch dim_and_one"],
        labels: Float[Tensor, "run batch"],
        *,
        low: Float[Tensor, "run 1"],
        high: Float[Tensor, "run 1"],
    ) -> None:
        r"""Write the gradient of $\frac1B\sum_b([N(x_b)]_{low}^{high}-y_b)^2$ into `grad`."""
        raw, units = self.output(x)
        active = (raw > low) & (raw < high)
        slope = (raw - labels).mul_(active).mul_(2 / x.shape[1])
        slopes = self._buffers(x.shape[1])[1]
        scaled = x.repeat_interleave(self.n_arms, 0) * slope[:, :, None]
        torch.bmm(slopes, scaled, out=self._grad_hidden)
        self._grad_hidden.mul_(self.outer[:, :, None])
        torch.bmm(units, slope[:, :, None], out=self._grad_outer[:, :, None])
        torch.sum(slope, 1, out=self._grad_offset)

    def _buffers(self, batch: int) -> tuple[Tensor, Tensor]:
        if batch not in self._work:
            shape = (self.n_runs, self.width, batch)
            self._work[batch] = self.theta.new_empty(shape), self.theta.new_empty(shape)
        return self._work[batch]


class FrozenFeatures:
    r"""The hidden layer of the strong class, as drawn: $U_j\sim N(0,\frac14I)$, $B_j$ likewise.

    Attributes:
        hidden: $U$, `[width, dim]`.
        bias: $B$, `[width]`.
        start: the initial output weights, $N(0,r^{-2})$ (Assumption 7).
    """

    @checked
    def __init__(self, seed: int, *, dim: int, width: int, device: torch.device | str = "cpu"):
        """Draw the layer; ValueError for width < 1."""
        check_width(width)
        at_least(1, dim=dim)
        generator = stream("frozen features", seed)
        self.hidden = (0.5 * torch.randn(width, dim, generator=generator)).to(device)
        self.bias = (0.5 * torch.randn(width, generator=generator)).to(device)
        self.start = (torch.randn(width, generator=generator) / width).to(device)

    def _axes(self) -> dict[str, int]:
        return {"width": self.hidden.shape[0], "dim": self.hidden.shape[1]}

    @checked
    def __call__(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "n width"]:
        r"""Compute $\tilde x_j=\mathrm{erf}(\langle U_j,x\rangle+B_j)$."""
        return torch.addmm(self.bias, x, self.hidden.T).erf_()


@checked
def unit_mean(radius: float) -> float:
    r"""Compute $E[\mathrm{erf}(\langle U,x\rangle+B)\mid B>0]$ at $\lVert x\rVert=\rho$ (Prop. 21).

    It is $\frac2\pi\arctan\frac1{\sqrt{2+\rho^2}}$.
    """
    at_least(0, radius=radius)
    return 2 / math.pi * math.atan(1 / math.sqrt(2 + radius**2))


@checked
def check_width(width: int) -> None:
    """Raise ValueError for a network without units."""
    if width < 1:
        raise ValueError(f"width must be at least 1, the number of hidden units; got {width}")


def _views(flat: Tensor, shapes: list[tuple[int, ...]], sizes: list[int]) -> list[Tensor]:
    return [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
