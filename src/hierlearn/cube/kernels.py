r"""A zoo of kernels that depend on the normalized inner product $t=\langle x,z\rangle/d$ only.

Each is a function h(t) on $[-1,1]$, in float64. The infinitely wide networks are those of ReLU
units without bias, normalized so that $h(1)=1$.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked

DotProduct = Callable[[Tensor], Tensor]


@checked
def arc_cosine_0(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Compute $\kappa^0(t)=(\pi-\arccos t)/\pi$: twice P(a unit is active at both points)."""
    return (math.pi - torch.arccos(t.clamp(-1, 1))) / math.pi


@checked
def arc_cosine_1(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Compute $\kappa^1(t)=(\sqrt{1-t^2}+t(\pi-\arccos t))/\pi$ (Cho & Saul 2009).

    It is $2E[\mathrm{relu}(w\cdot x)\,\mathrm{relu}(w\cdot z)]$ for $w\sim N(0,I/d)$ and
    $\lVert x\rVert^2=\lVert z\rVert^2=d$: a wide hidden ReLU layer of which only the output is
    trained.
    """
    t = t.clamp(-1, 1)
    return ((1 - t * t).sqrt() + t * (math.pi - torch.arccos(t))) / math.pi


@checked
def neural_tangent(depth: int) -> DotProduct:
    r"""Return the neural tangent kernel of `depth` hidden ReLU layers without bias, over depth + 1.

    $\Sigma_0=\Theta_0=t$, $\Sigma_l=\kappa^1(\Sigma_{l-1})$,
    $\Theta_l=\Sigma_l+\Theta_{l-1}\kappa^0(\Sigma_{l-1})$ (Jacot et al. 2018).
    """
    at_least(0, depth=depth)

    def kernel(t: Tensor) -> Tensor:
        covariance, tangent = t, t
        for _ in range(depth):
            slope = arc_cosine_0(covariance)
            covariance = arc_cosine_1(covariance)
            tangent = covariance + tangent * slope
        return tangent / (depth + 1)

    return kernel


@checked
def power(degree: int) -> DotProduct:
    r"""Return $((1+t)/2)^{\mathrm{degree}}$: all polynomials up to that degree."""
    at_least(0, degree=degree)
    return lambda t: ((1 + t) / 2) ** degree


@checked
def composition(outer: DotProduct, inner: DotProduct) -> DotProduct:
    """Return `outer` of `inner`: a kernel on the features of a kernel."""
    return lambda t: outer(inner(t))


@checked
def rbf(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Compute $e^{-2(1-t)}$, the Gaussian kernel $e^{-\lVert x-z\rVert^2/d}$."""
    return torch.exp(-2 * (1 - t))


@checked
def laplace(t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    r"""Compute $e^{-\sqrt{2(1-t)}}=e^{-\lVert x-z\rVert/\sqrt d}$."""
    return torch.exp(-(2 * (1 - t)).clamp(min=0).sqrt())


ZOO: dict[str, DotProduct] = {
    "rbf": rbf,
    "laplace": laplace,
    "poly4": power(4),
    "poly8": power(8),
    "arccos1": arc_cosine_1,
    "ntk1": neural_tangent(1),
    "ntk2": neural_tangent(2),
    "ntk3": neural_tangent(3),
    "comp2": composition(power(2), power(2)),
}
"""The kernels of chapter 2, by the names that its configurations use."""
