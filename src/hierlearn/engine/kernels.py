r"""Kernels, and kernel ridge regression.

A zoo of functions h(t) of the normalized inner product $t=\langle x,z\rangle/d$ on $[-1,1]$, in
the dtype of t; kernels of points of any length; and the one path of solves over several ridges.
The infinitely wide networks are those of ReLU units without bias, normalized so that $h(1)=1$.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked, positive

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
"""Kernels of t by name; `poly4`, of $((1+t)/2)^4$, is not `polynomial_kernel` of degree 4."""


@checked
def polynomial_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, degree: int
) -> Float[Tensor, "n m"]:
    r"""Compute $(1+\langle x,z\rangle/d)^{\mathrm{degree}}$: all polynomials up to that degree."""
    at_least(0, degree=degree)
    return (1 + x @ z.T / x.shape[1]) ** degree


@checked
def rbf_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, bandwidth: float
) -> Float[Tensor, "n m"]:
    r"""Compute $e^{-\lVert x-z\rVert^2/(2dg^2)}$, $g$ the bandwidth in units of $\sqrt d$.

    Raises:
        ValueError: for points so far from the origin that their squared distances, found as
            $\lVert x\rVert^2+\lVert z\rVert^2-2\langle x,z\rangle$, are rounded by $10^{-3}$ of
            $2dg^2$ or more.
    """
    positive(bandwidth=bandwidth)
    if not (
        (x.square().sum(1) * torch.finfo(x.dtype).eps <= 2e-3 * x.shape[1] * bandwidth**2).all()
        and (z.square().sum(1) * torch.finfo(z.dtype).eps <= 2e-3 * z.shape[1] * bandwidth**2).all()
    ):
        raise ValueError(
            f"points must be finite and near the origin, for {x.dtype} and bandwidth {bandwidth:g};"
            f" got coordinates up to {max(float(x.abs().max()), float(z.abs().max())):g}: subtract "
            "their mean from both, or take float64"
        )
    return torch.exp(torch.cdist(x, z).square() / (-2 * x.shape[1] * bandwidth**2))


@checked
def neural_tangent_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, hidden: int
) -> Float[Tensor, "n m"]:
    r"""Compute the neural tangent kernel of a ReLU network with `hidden` hidden layers.

    Such a network is homogeneous: the kernel is $\lVert x\rVert\lVert z\rVert/d$ times that of
    `neural_tangent` at the cosine of the angle, which is normalized to 1 at 1, times hidden + 1.

    Raises:
        ValueError: for fewer than one hidden layer, and for a zero point in less than float64.
    """
    at_least(1, hidden=hidden)
    if x.dtype != torch.float64 and not (
        (x.square().mean(1) > 0).all() and (z.square().mean(1) > 0).all()
    ):
        raise ValueError(
            f"points must not be zero, finite and of positive length in {x.dtype}; got some of "
            "length 0: take float64"
        )
    lengths = (x.square().mean(1).sqrt()[:, None] * z.square().mean(1).sqrt()).clamp(min=1e-300)
    cosine = (x @ z.T / x.shape[1] / lengths).clamp(-1, 1)
    return (hidden + 1) * lengths * neural_tangent(hidden)(cosine)


@checked
def ridge_weights(
    gram: Float[Tensor, "n n"], targets: Float[Tensor, "n k"], *, ridges: Sequence[float]
) -> Iterator[Float[Tensor, "n k"]]:
    r"""Give $(K+\lambda\bar K I)^{-1}y$ for every $\lambda$, by Cholesky factorization.

    $\bar K$ is the mean diagonal entry of K. At a ridge at which the factorization breaks down, the
    matrix being singular to working precision, the weights are not numbers.

    Raises:
        ValueError: without a ridge, or for one that is not positive.
    """
    if not ridges or min(ridges) <= 0:
        raise ValueError(f"ridges must be positive, and at least one; got {list(ridges)}")
    return _ridge_weights(gram, targets, ridges)


def _ridge_weights(gram: Tensor, targets: Tensor, ridges: Sequence[float]) -> Iterator[Tensor]:
    scale = gram.diagonal().mean()
    for ridge in ridges:
        regular = gram.clone()
        regular.diagonal().add_(ridge * scale)
        factor, failed = torch.linalg.cholesky_ex(regular)
        solved = torch.cholesky_solve(targets, factor)
        yield torch.full_like(solved, torch.nan) if failed else solved


@checked
def ridge_predictions(
    gram: Float[Tensor, "n n"],
    cross: Float[Tensor, "m n"],
    targets: Float[Tensor, "n"],
    *,
    ridges: Sequence[float],
) -> Float[Tensor, "ridge m"]:
    r"""Compute kernel ridge predictions $k(x)^\top(K+\lambda\bar K I)^{-1}y$ for every $\lambda$.

    See `ridge_weights`; where it has no weights the predictions are not numbers.
    """
    found = ridge_weights(gram, targets[:, None], ridges=ridges)
    return torch.stack([(cross @ weights)[:, 0] for weights in found])
