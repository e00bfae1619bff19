r"""Theorem 2 of Allen-Zhu & Li with its constants: the base case of its proof, two levels.

With $F=\lVert Kz\rVert^2$, $y=\lVert W_2z\rVert^2$ and $D=K^\top K-W_2^\top W_2$ the squared
coefficients of degree 4 of F - y add up to $\mathcal C=2\lVert D\rVert_F^2-\sum_iD_{ii}^2$.
Property (3) of section 5 with $c_1(4)\le4!$ says $\mathcal C\le4!\,E(F-y)^2$, and Claim I.10 has a
rotation that brings K to $W_2$ (appendix E, base case).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from hierlearn.engine.doors import checked, positive
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.original.alternation import turned
from hierlearn.quadratic.original.target import OriginalTarget


@dataclass(frozen=True)
class BaseConfig(Config):
    r"""Gradient descent on the population loss of two levels, from a small random K.

    Attributes:
        dim, k: d and $k_2$.
        n_steps: of gradient descent.
        flat: 0 for Gaussian inputs; else $x_i^2=1\pm$ `flat`, nearly bits, which property (3)
            excludes.
    """

    dim: int
    k: int
    n_steps: int
    flat: float = 0.0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes."""
        return 3e-4 * n_runs * self.n_steps


@checked
def loss(
    difference: Float64[Tensor, "dim dim"], *, second: float, fourth: float
) -> Float64[Tensor, ""]:
    r"""Return $E(z^\top Dz)^2$ for independent z of moments $Ez_i^2$, $Ez_i^4$, symmetric D."""
    positive(second=second, fourth=fourth)
    diagonal = difference.diagonal()
    pairs = diagonal.sum() ** 2 + 2 * difference.square().sum()
    return second**2 * pairs + (fourth - 3 * second**2) * diagonal.square().sum()


def measure_base(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Descend, and hold every tenth step to the base case; one measurement a run.

    `top`: the largest $\mathcal C/(4!\,E(F-y)^2)$. `features`: the largest
    $\min_U\lVert K-UW_2\rVert_F$ over the bound of Claim I.10, at steps where that applies;
    `unturned`: the same with U = I.
    `converged`: $\lVert D\rVert_F$ ends below $10^{-3}$.
    """
    return [_one(BaseConfig(**run.config), run.seed) for run in work.runs]


def _one(config: BaseConfig, seed: int) -> dict[str, Any]:
    w = OriginalTarget.draw(seed, dim=config.dim, widths=[config.k]).first
    k = 0.1 * torch.randn(w.shape, generator=stream("base case", seed), dtype=torch.float64)
    moments = {"second": 2.0, "fourth": 60.0}
    if config.flat:
        moments = {"second": config.flat**2, "fourth": config.flat**4}
    # The largest curvature that the loss has at the truth, from above.
    rate = 0.1 / (moments["fourth"] + config.dim * moments["second"] ** 2)
    found: list[tuple[float, ...]] = []
    for step in range(config.n_steps + 1):
        k.requires_grad_()
        difference = k.T @ k - w.T @ w
        value = loss(difference, **moments)
        (gradient,) = torch.autograd.grad(value, k)
        k, squares = k.detach(), difference.detach().square()
        if step % 10 == 0:
            top = float(2 * squares.sum() - squares.diagonal().sum()) / float(24 * value.detach())
            limit = claim_bound(k, w)
            apart = (k.T @ turned(k.T, w.T) - w.T, k - w)
            found.append((top, *(float(one.norm()) / limit for one in apart)))
        k = k - rate * gradient
    held = [one for one in found if not math.isnan(one[1])]
    return {
        "top": max(one[0] for one in found),
        "features": max(one[1] for one in held) if held else None,
        "unturned": max(one[2] for one in held) if held else None,
        "converged": float(squares.sum()) < 1e-6,
    }


@checked
def claim_bound(found: Float64[Tensor, "k dim"], true: Float64[Tensor, "k dim"]) -> float:
    r"""Return Claim I.10's bound on $\min_U\lVert K-UW\rVert_F$, with K the features found.

    It is $7\varepsilon(\sigma_{\max}(K)+\sigma_{\max}(W))^2\sigma_{\max}(W)^3/\sigma_{\min}(W)^6$
    for $\varepsilon=\lVert K^\top K-W^\top W\rVert_F\le\frac12\sigma_{\min}(W)^2$, else nan.
    """
    difference = float((found.T @ found - true.T @ true).norm())
    values = torch.linalg.svdvals(true)
    top, low = float(values[0]), float(values[-1])
    if difference > low**2 / 2:
        return math.nan
    largest = float(torch.linalg.matrix_norm(found, 2)) + top
    return 7 * difference * largest**2 * top**3 / low**6
