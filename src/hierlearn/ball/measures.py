r"""The radial spectrum of a network under the sum of two unit vectors, and a certificate.

With $x=x_1+x_2$, both uniform on the unit sphere, put $t=\langle x_1,x_2\rangle=
(\lVert x\rVert^2-2)/2$. The polynomials $p_k$ orthonormal in $t$ are Gegenbauer polynomials, each
normalized, with $p_k(1)^2=N_{d,k}$, the number of spherical harmonics of degree k. The spectrum
and the certificate are ours; Safran & Lee (2022) use the same harmonics in their Prop. 18.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from hierlearn.engine.doors import checked

N_NODES = 200


@checked
def inner_product(norms: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""Compute $t=(\lVert x\rVert^2-2)/2$ from norms."""
    return (norms.square() - 2) / 2


@checked
def n_harmonics(dim: int, degree: int) -> int:
    r"""Compute $N_{d,k}$, the number of linearly independent spherical harmonics.

    Raises:
        ValueError: for dim < 2 or a negative degree.
    """
    if dim < 2 or degree < 0:
        raise ValueError(f"dim must be >= 2 and degree >= 0; got {dim} and {degree}")
    below = math.comb(degree + dim - 3, dim - 1) if degree > 1 else 0
    return math.comb(degree + dim - 1, dim - 1) - below


@checked
def polynomials(
    t: Float[Tensor, "*shape"], *, dim: int, degree: int
) -> Float[Tensor, "degrees *shape"]:
    r"""Compute $p_0..p_m$ at `t`, orthonormal under the sum of two unit vectors.

    $p_0=1$, $p_1=\sqrt dt$, $tp_k=\beta_{k+1}p_{k+1}+\beta_kp_{k-1}$ with
    $\beta_k^2=k(k+d-3)/((2k+d-2)(2k+d-4))$.
    """
    _check(dim, degree)
    rows = [torch.ones_like(t), math.sqrt(dim) * t]
    for k in range(1, degree):
        rows.append((t * rows[k] - _beta(dim, k) * rows[k - 1]) / _beta(dim, k + 1))
    return torch.stack(rows[: degree + 1])


def _check(dim: int, degree: int, radius: float = 0.0) -> None:
    if dim < 2 or degree < 0 or radius < 0:
        raise ValueError(
            "dim must be at least 2, degree and radius at least 0; "
            f"got dim = {dim}, degree = {degree}, radius = {radius:g}"
        )


def _beta(dim: int, k: int) -> float:
    if k == 1:
        return dim**-0.5
    return math.sqrt(k * (k + dim - 3) / ((2 * k + dim - 2) * (2 * k + dim - 4)))


@lru_cache
def _nodes(dim: int, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre nodes t and weights of the law of t, for integrals over the ball."""
    edge = math.acos(max(-1.0, min(1.0, (radius**2 - 2) / 2)))
    angle, weight = np.polynomial.legendre.leggauss(N_NODES)
    angle = edge + (math.pi - edge) * (angle + 1) / 2
    log_scale = math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2) - math.log(math.pi) / 2
    density = math.exp(log_scale) * np.sin(angle) ** (dim - 2)
    return np.cos(angle), weight * (math.pi - edge) / 2 * density


@checked
def ball_coefficients(dim: int, radius: float, degree: int) -> list[float]:
    r"""Compute $a_k=E[1\{\lVert x\rVert\le\lambda\}\,p_k(t)]$ for k = 0..m, by quadrature.

    Raises:
        ValueError: beyond the degrees and dimensions that its nodes resolve.
    """
    _check(dim, degree, radius)
    if (
        math.acos(1 - min(radius, 2.0) ** 2 / 2) * max(degree / 5.6, math.sqrt(dim)) > 100
        or dim * degree > 15_000
    ):
        raise ValueError(
            f"{N_NODES} nodes resolve degrees to {560 / math.pi:.0f}, of small balls more, while "
            "dim * degree <= 15000, and dim to 1013; need a smaller degree, dim or radius; got "
            f"dim = {dim}, degree = {degree}, radius = {radius:g}"
        )
    t, weight = _nodes(dim, float(radius))
    values = polynomials(torch.from_numpy(t), dim=dim, degree=degree)
    return [float(one) for one in values @ torch.from_numpy(weight)]


@checked
def polynomial_floor(dim: int, radius: float, degree: int) -> float:
    r"""Compute $A_m^2=E[y^2]-\sum_{k\le m}a_k^2$.

    The squared error of the best polynomial of degree m in t, for the ball of that radius.
    """
    coefficients = ball_coefficients(dim, radius, degree)
    return coefficients[0] - sum(a * a for a in coefficients)


@checked
def hard_radii(dim: int, m: int) -> tuple[list[float], list[int]]:
    r"""Return the radii among which Theorem 5 finds its $\lambda_d$, and their coefficients.

    Its proof (p. 31) has $f_m(z)=\mathrm{sign}\sin(2\pi m\sqrt dz^2)$ for
    $2-1/\sqrt d\le z^2\le2$, else 0. That is $\sum_ic_i1\{z\le\lambda_i\}$: $\lambda_i^2$ are the
    two ends and the multiples of $1/(2m\sqrt d)$ between them, at most $2m+2$ radii; $|c_i|$ is 1
    at the ends and 2 inside.
    """
    if dim < 4 or m < 1:
        raise ValueError(f"the theorem is for dim >= 4 and m >= 1; got {dim} and {m}")
    step, low = 1 / (2 * m * math.sqrt(dim)), 2 - 1 / math.sqrt(dim)
    last = math.ceil(2 / step - 1e-9) - 1
    inside = [k * step for k in range(math.floor(low / step + 1e-9) + 1, last + 1)]
    sign = 1 if last % 2 == 0 else -1  # of the outermost shell
    coefficients = [sign, *(2 * sign * (-1) ** (i + 1) for i in range(len(inside)))]
    lowest = -sign * (-1) ** len(inside)
    return [math.sqrt(z) for z in (low, *inside, 2.0)], [lowest, *reversed(coefficients)]


@checked
def learned_fractions(
    output: Float[Tensor, "n"],
    labels: Float[Tensor, "n"],
    norms: Float[Tensor, "n"],
    *,
    dim: int,
    radius: float,
    degrees: tuple[int, ...] = (1, 3, 5, 7),
) -> list[float]:
    r"""Estimate $g_k=E[N(x)p_k(t)]/a_k$, the share of each harmonic of the ball that N has.

    The sampling error of $E[yp_k]$, which is known exactly, serves as a control variate.
    """
    if not degrees or min(degrees) < 0:
        raise ValueError(f"degrees must be at least 0, and at least one; got {degrees}")
    if not 0 < radius < 2 or not ((norms >= 0).all() and (norms < 2.001).all()):
        raise ValueError(
            "radius must lie between 0 and 2, and norms in [0, 2], those of sums of two unit "
            f"vectors; got radius = {radius:g} and norms {norms.tolist()[:5]}.."
        )
    if len(labels) < 2 or (labels == labels[:1]).all():
        raise ValueError(
            "labels must differ, for the ball to be seen; got "
            f"{len(labels)} that are all alike: take more points"
        )
    t = inner_product(norms.double())
    basis = polynomials(t, dim=dim, degree=max(degrees))
    exact = ball_coefficients(dim, radius, max(degrees))
    if any(abs(exact[k]) < 1e-12 for k in degrees):
        raise ValueError(
            f"the ball must have a part of each degree; at radius = {radius:g} those of {degrees} "
            f"are {[exact[k] for k in degrees]}"
        )
    fractions = []
    for k in degrees:
        mine, truth = output.double() * basis[k], labels.double() * basis[k]
        centered = truth - truth.mean()
        slope = float((mine * centered).sum() / centered.square().sum())
        fractions.append(float(mine.mean() - slope * (truth.mean() - exact[k])) / exact[k])
    return fractions


@checked
def certificate(
    weights: Float[Tensor, "width"],
    norms: Float[Tensor, "width"],
    *,
    floor: float,
    dim: int,
    degree: int = 2,
) -> float:
    r"""Compute the lower bound $(A_m-B/\sqrt{N_{d,m+1}})_+^2$ on the squared error of a network.

    It holds for every network with one hidden layer and linear output, whatever trained it: with
    $\psi_j$ the units, $B=\sum_j|w_j|\lVert\psi_j\rVert$. The part of y of degree above m is
    orthogonal to constants, so `norms` may be $L_2$ norms or, sharper, standard deviations.

    Args:
        weights: output weights $w_j$.
        norms: $\lVert\psi_j\rVert$, or the standard deviation of $\psi_j(x)$.
        floor: $A_m^2$ of the target, see `polynomial_floor`.
        dim: input dimension d.
        degree: m.
    """
    _check(dim, degree)
    if weights.isnan().any() or not (norms >= 0).all() or floor < -1e-9:
        raise ValueError(
            "weights must be numbers, norms and the floor at least 0; got "
            f"{int(weights.isnan().sum())} weights that are none, norms from "
            f"{float(norms.min()) if len(norms) else 0:g} and floor = {floor:g}"
        )
    if math.lgamma(dim + degree + 1) - math.lgamma(dim) - math.lgamma(degree + 2) > 690:
        raise ValueError(
            "there must be at most 1e300 harmonics of degree + 1; got more with "
            f"dim = {dim} and degree = {degree}"
        )
    total = float((weights.abs().double() * norms.double()).sum())
    gap = math.sqrt(max(floor, 0.0)) - total / math.sqrt(n_harmonics(dim, degree + 1))
    return max(gap, 0.0) ** 2


@checked
def radial_profile(
    output: Float[Tensor, "n"], norms: Float[Tensor, "n"], edges: list[float]
) -> tuple[list[float | None], list[float | None]]:
    """Compute mean and standard deviation of an output within bins of the norm.

    A bin with fewer than two points has None.
    """
    if len(edges) < 2 or any(a >= b for a, b in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"edges must ascend, at least two of them; got {edges}")
    place = torch.bucketize(norms, norms.new_tensor(edges)) - 1
    means: list[float | None] = []
    spreads: list[float | None] = []
    for index in range(len(edges) - 1):
        inside = output[place == index].double()
        enough = len(inside) > 1
        means.append(float(inside.mean()) if enough else None)
        spreads.append(float(inside.std()) if enough else None)
    return means, spreads
