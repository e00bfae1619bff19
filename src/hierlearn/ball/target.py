r"""Ball indicators $1\{\lVert x\rVert\le\lambda\}$ under radial distributions (Safran & Lee, 2022).

Every input is $x=\rho\,\omega$ with $\omega$ uniform on the unit sphere, so a distribution is the
law of its radius $\rho$. A new distribution is one more row of `DISTRIBUTIONS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from torch import Tensor

from hierlearn.engine.doors import at_least, checked

Array = NDArray[np.float64]
BESSEL_GRID_END = 60.0


@checked
@dataclass(frozen=True)
class RadialDistribution:
    r"""The law of the radius $\rho=\lVert x\rVert$.

    Attributes:
        title: in words, for figures and errors.
        end: upper end of the support, which begins at 0.
        radius: the $\lambda$ that the experiments use unless they say otherwise.
        draw: `(n_samples, dim, generator)` to radii of the default dtype, on the CPU.
        density: `(radii, dim)` to the density $\gamma_d(\rho)$.
    """

    title: str
    end: float
    radius: float
    draw: Callable[[int, int, torch.Generator], Tensor]
    density: Callable[[ArrayLike, int], Array]


@checked
def sphere(n_samples: int, dim: int, generator: torch.Generator) -> Float[Tensor, "n dim"]:
    """Draw points uniform on the unit sphere."""
    if n_samples < 0 or dim < 1:
        raise ValueError(
            f"a sphere needs n_samples >= 0 and dim >= 1; got n_samples = {n_samples}, dim = {dim}"
        )
    points = torch.randn(n_samples, dim, generator=generator)
    return points / points.norm(dim=1, keepdim=True)


@checked
def sample(
    distribution: str, n_samples: int, *, dim: int, generator: torch.Generator
) -> Float[Tensor, "n dim"]:
    r"""Draw $x=\rho\,\omega$.

    Raises:
        ValueError: for a distribution that is not in `DISTRIBUTIONS`, and for dim < 2.
    """
    law = find(distribution, dim)
    if n_samples < 0:
        raise ValueError(f"n_samples must be at least 0; got {n_samples}")
    radii = law.draw(n_samples, dim, generator)
    return radii[:, None] * sphere(n_samples, dim, generator)


@checked
def ball_indicator(norms: Float[Tensor, "*shape"], radius: float) -> Float[Tensor, "*shape"]:
    r"""Compute $1\{\lVert x\rVert\le\lambda\}$ from norms $\lVert x\rVert$."""
    if radius < 0:
        raise ValueError(f"radius must be at least 0; got {radius}")
    if norms.device.type == "cpu" and norms.isnan().any():
        raise ValueError(f"norms must be numbers; {int(norms.isnan().sum())} are not")
    return (norms <= radius).to(norms.dtype)


@checked
def find(distribution: str, dim: int, radius: float | None = None) -> RadialDistribution:
    r"""Return the distribution of that name, having checked the dimension and the ball.

    Raises:
        ValueError: for an unknown name, dim < 2, or a $\lambda$ that does not lie inside the
            support, where the indicator would be constant.
    """
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"unknown distribution {distribution!r}; valid: {', '.join(DISTRIBUTIONS)}"
        )
    if dim < 2:
        raise ValueError(f"dim must be at least 2, for a sphere to have directions; got {dim}")
    law = DISTRIBUTIONS[distribution]
    if radius is not None and not 0 < radius < law.end:
        raise ValueError(
            f"radius must lie inside the support (0, {law.end:g}) of {law.title}, where the "
            f"indicator is not constant; got {radius:g}"
        )
    return law


# --- the sum of two unit vectors --------------------------------------------------------------


def _draw_sum(n_samples: int, dim: int, generator: torch.Generator) -> Tensor:
    # By symmetry the first vector may be fixed: the inner product is a coordinate of the second.
    inner = sphere(n_samples, dim, generator)[:, 0]
    return (2 + 2 * inner).clamp(min=0).sqrt()


def _density_sum(radii: ArrayLike, dim: int) -> Array:
    """Eq. 5 and p. 27 of the paper."""
    rho = np.asarray(radii, dtype=float)
    log_scale = math.lgamma(dim / 2) - math.lgamma((dim - 1) / 2) - math.log(math.pi) / 2
    inside = np.clip(1 - rho**2 / 4, 0, None)
    with np.errstate(divide="ignore"):
        value = math.exp(log_scale) * rho ** (dim - 2) * inside ** ((dim - 3) / 2)
    return np.where((rho >= 0) & (rho <= 2), value, 0.0)


# --- half a Bessel density, half a Gaussian ---------------------------------------------------


@checked
def bessel_scale(dim: int) -> float:
    r"""Compute $c=2\pi\alpha\sqrt dR_d$, $R_d=\pi^{-1/2}\Gamma(d/2+1)^{1/d}$, at $\alpha=1$.

    The paper's $\alpha\ge1$ (Eq. 3) is an unspecified constant.
    """
    at_least(1, dim=dim)
    return 2 * math.sqrt(math.pi * dim) * math.exp(math.lgamma(dim / 2 + 1) / dim)


@checked
def bessel_density(radii: ArrayLike, dim: int) -> Array:
    r"""Compute the density of the radius under $\bar\mu_d$: $d\,J_{d/2}^2(c\rho)/\rho$ (p. 20)."""
    rho = np.asarray(radii, dtype=float)
    density = dim * special.jv(dim / 2, bessel_scale(dim) * rho) ** 2 / np.maximum(rho, 1e-300)
    return np.asarray(density)


@lru_cache
def _bessel_table(dim: int) -> tuple[Array, Array]:
    """The distribution function of the Bessel radius on a grid that resolves its oscillation."""
    step = math.pi / bessel_scale(dim) / 60
    grid = np.linspace(0, BESSEL_GRID_END, math.ceil(BESSEL_GRID_END / step) + 1)
    density = bessel_density(grid, dim)
    pieces = (density[1:] + density[:-1]) / 2 * np.diff(grid)
    return grid, np.concatenate([[0.0], np.cumsum(pieces)])


@checked
def bessel_radii(uniforms: ArrayLike, dim: int) -> Array:
    r"""Map uniform numbers to radii under $\bar\mu_d$ by the inverse distribution function.

    Beyond the grid $J^2$ is replaced by its mean, $P[\rho>z]\approx d/(\pi cz)$.
    """
    u = np.asarray(uniforms, dtype=float)
    if not ((u >= 0) & (u <= 1)).all():
        raise ValueError(f"uniforms must lie in [0, 1]; got {u.min()} to {u.max()}")
    grid, cdf = _bessel_table(dim)
    tail = dim / (math.pi * bessel_scale(dim) * np.maximum(1 - u, 1e-12))
    return np.where(u < cdf[-1], np.interp(u, cdf, grid), np.maximum(tail, BESSEL_GRID_END))


def _draw_bessel_mixture(n_samples: int, dim: int, generator: torch.Generator) -> Tensor:
    uniforms = torch.rand(n_samples, generator=generator, dtype=torch.float64).numpy()
    bessel = torch.from_numpy(bessel_radii(uniforms, dim))
    gaussian = torch.randn(n_samples, dim, generator=generator).norm(dim=1) / math.sqrt(dim)
    coin = torch.rand(n_samples, generator=generator) < 0.5
    return torch.where(coin, bessel.to(gaussian), gaussian)


def _density_bessel_mixture(radii: ArrayLike, dim: int) -> Array:
    gaussian = stats.chi.pdf(np.asarray(radii, dtype=float), dim, scale=1 / math.sqrt(dim))
    return 0.5 * bessel_density(radii, dim) + 0.5 * gaussian


# --- two radii of ours ------------------------------------------------------------------------


def _draw_uniform(n_samples: int, dim: int, generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(n_samples, generator=generator)


def _density_uniform(radii: ArrayLike, dim: int) -> Array:
    rho = np.asarray(radii, dtype=float)
    return np.where((rho >= 0) & (rho <= 2), 0.5, 0.0)


def _draw_half_cauchy(n_samples: int, dim: int, generator: torch.Generator) -> Tensor:
    return math.sqrt(2) * torch.tan(math.pi / 2 * torch.rand(n_samples, generator=generator))


def _density_half_cauchy(radii: ArrayLike, dim: int) -> Array:
    return np.asarray(stats.halfcauchy.pdf(np.asarray(radii, dtype=float), scale=math.sqrt(2)))


DISTRIBUTIONS: dict[str, RadialDistribution] = {
    "sum": RadialDistribution(
        "the sum of two unit vectors", 2.0, math.sqrt(2), _draw_sum, _density_sum
    ),
    "bessel": RadialDistribution(
        "the Bessel mixture", math.inf, 1.0, _draw_bessel_mixture, _density_bessel_mixture
    ),
    "uniform": RadialDistribution("uniform radius", 2.0, 1.0, _draw_uniform, _density_uniform),
    "half_cauchy": RadialDistribution(
        "half-Cauchy radius", math.inf, math.sqrt(2), _draw_half_cauchy, _density_half_cauchy
    ),
}
r"""The paper's two distributions and two of ours, by name.

"sum" is the paper's $D'_d$ (Eq. 5), "bessel" its $D_d$ (Eqs. 3 and 4).
"""
