r"""Targets on the hypercube $\{\pm1\}^d$: parities, their hierarchical sums, dense polynomials.

The parities $\chi_S(x)=\prod_{j\in S}x_j$ are an orthonormal basis of all functions of a uniform
input. The hierarchical class is ours, in the spirit of Allen-Zhu & Li (COLT 2023) and not their
class: level 1 multiplies pairs of coordinates, every further level multiplies neighbours of the
one below, and the target adds up all levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import comb, prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hierlearn.cube.bounds import samples_required, water_filling
from hierlearn.engine.doors import at_least, check_indices, checked
from hierlearn.engine.seeds import stream

CHUNK = 500
MAX_TABLE = 1000
"""The largest dim whose binomials are all below the largest float64."""


@checked
@cache
def krawtchouk(dim: int) -> tuple[tuple[int, ...], ...]:
    r"""Compute the Krawtchouk polynomials $\kappa_j(i)=[z^j](1+z)^{d-i}(1-z)^i$, exactly.

    $\kappa_j(i)=\sum_{|S|=j}\chi_S(x)\chi_S(z)$ for any two points at Hamming distance $i$. Row j,
    column i, both from 0 to d.
    """
    at_least(0, dim=dim)
    columns = []
    for i in range(dim + 1):
        plus = [comb(dim - i, a) for a in range(dim + 1)]
        minus = [(-1) ** a * comb(i, a) for a in range(i + 1)]
        columns.append(
            [sum(m * plus[j - a] for a, m in enumerate(minus[: j + 1])) for j in range(dim + 1)]
        )
    return tuple(zip(*columns, strict=True))


@checked
def draw_points(n_points: int, dim: int, generator: torch.Generator) -> Float[Tensor, "n dim"]:
    r"""Draw independent uniform points of $\{\pm1\}^d$, in the default dtype."""
    at_least(0, n_points=n_points, dim=dim)
    bits = torch.randint(2, (n_points, dim), generator=generator, dtype=torch.int8)
    return bits.to(torch.get_default_dtype()).mul_(2).sub_(1)


@checked
def hamming(x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"]) -> Int[Tensor, "n m"]:
    r"""Count the coordinates in which points of $x$ and $z$ differ, in int32.

    Raises:
        ValueError: for coordinates other than $\pm1$, or more than the dtype counts.
    """
    if not ((x.abs() == 1).all() and (z.abs() == 1).all()):
        raise ValueError(
            "coordinates must be -1 or 1; got, among them, "
            f"{[*x[x.abs() != 1][:3].tolist(), *z[z.abs() != 1][:3].tolist()]}"
        )
    if x.shape[1] * torch.finfo(x.dtype).eps > 1:
        raise ValueError(
            f"{x.dtype} counts to {round(1 / torch.finfo(x.dtype).eps)}; got {x.shape[1]} "
            "coordinates: take float32"
        )
    return ((x.shape[1] - x @ z.T) / 2).round_().to(torch.int32)


@checked
@dataclass(frozen=True)
class ParityClass:
    r"""Random targets with energy $\alpha_l^2$ spread evenly over all parities of degree $k_l$.

    Its second moment $C=E[f\otimes f]$ is diagonal in the parity basis, with eigenvalue
    $\alpha_l^2/\binom d{k_l}$ on every parity of degree $k_l$. One level of amplitude 1 is the
    class of all parities of one degree.

    Attributes:
        dim: $d$.
        degrees: $k_l$, distinct.
        amplitudes: $\alpha_l$.
    """

    dim: int
    degrees: tuple[int, ...]
    amplitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        valid = all(0 <= k <= self.dim for k in self.degrees)
        if not self.degrees or not valid or len(set(self.degrees)) != len(self.degrees):
            raise ValueError(
                f"degrees must be distinct and lie in 0..dim={self.dim}; got {self.degrees}"
            )
        finite = all(map(math.isfinite, self.amplitudes))
        if len(self.amplitudes) != len(self.degrees) or not any(self.amplitudes) or not finite:
            raise ValueError(
                f"give one amplitude a degree, finite and not all zero; got {self.amplitudes} "
                f"for degrees {self.degrees}"
            )
        if any(
            math.lgamma(self.dim + 1) - math.lgamma(k + 1) - math.lgamma(self.dim - k + 1) > 700
            for k in self.degrees
        ):
            raise ValueError(
                f"a level may have at most 1e300 parities; dim = {self.dim} and degrees "
                f"{self.degrees} have more: take a smaller dim"
            )

    @property
    def multiplicities(self) -> tuple[int, ...]:
        r"""The number of parities of each level, $\binom d{k_l}$."""
        return tuple(comb(self.dim, k) for k in self.degrees)

    @property
    def eigenvalues(self) -> tuple[float, ...]:
        r"""The eigenvalue of each level, $\alpha_l^2/\binom d{k_l}$."""
        pairs = zip(self.amplitudes, self.multiplicities, strict=True)
        return tuple(a**2 / m for a, m in pairs)

    @property
    def energy(self) -> float:
        r"""The mean squared norm of a target, $\sum_l\alpha_l^2$."""
        return sum(a**2 for a in self.amplitudes)

    @checked
    def floor(self, n_samples: int) -> float:
        """Return the relative error that no kernel goes below with N samples, by (2.2)."""
        return water_filling(n_samples, self.eigenvalues, self.multiplicities) / self.energy

    @checked
    def samples_for(self, error: float) -> float:
        """Return the N below which no kernel has this relative error, by (2.2)."""
        return samples_required(error * self.energy, self.eigenvalues, self.multiplicities)

    @checked
    def covariance_table(self, weights: Sequence[float] | None = None) -> Float[Tensor, "distance"]:
        r"""Tabulate $\sum_l w_{k_l}\alpha_l^2\kappa_{k_l}(i)/\binom d{k_l}$ over the distance i.

        `weights` are by degree, 0..d; without them it is the kernel of $C$.
        """
        if weights is not None and len(weights) != self.dim + 1:
            raise ValueError(
                f"give one weight for each degree 0..{self.dim}; got {len(weights)} weights"
            )
        if self.dim > MAX_TABLE:
            raise ValueError(f"a table in float64 needs dim <= {MAX_TABLE}; got {self.dim}")
        table = krawtchouk(self.dim)
        total = torch.zeros(self.dim + 1, dtype=torch.float64)
        for degree, value in zip(self.degrees, self.eigenvalues, strict=True):
            weight = 1.0 if weights is None else weights[degree]
            total += weight * value * torch.tensor(table[degree], dtype=torch.float64)
        return total


@checked
def hierarchy_class(dim: int, amplitudes: Sequence[float]) -> ParityClass:
    r"""Return the class of `Hierarchies`: degree $2^l$ at level l; zero amplitudes drop out."""
    if not any(amplitudes) or not all(map(math.isfinite, amplitudes)):
        raise ValueError(f"amplitudes must be finite and not all zero; got {amplitudes}")
    levels = [(2**level, a) for level, a in enumerate(amplitudes, start=1) if a]
    return ParityClass(dim, tuple(k for k, _ in levels), tuple(a for _, a in levels))


@checked
@dataclass(frozen=True)
class Hierarchies:
    r"""One target a seed: $z_i=s_ix_{\pi(2i-1)}x_{\pi(2i)}$, then products of neighbours.

    $y=\sum_l\alpha_l\,(\text{sum of level }l)/\sqrt{\text{its number of products}}$, with
    $2^{L-l}$ products of degree $2^l$ at level l. Amplitudes $(0,\dots,0,1)$ leave one parity of
    degree $2^L$ with a random sign.

    Attributes:
        order: the $2^L$ coordinates used, in order, `[seed, coordinate]`.
        signs: $s_i$, `[seed, pair]`.
        amplitudes: $\alpha_1..\alpha_L$.
    """

    order: Int[Tensor, "seed coordinate"]
    signs: Float[Tensor, "seed pair"]
    amplitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.order.numel() and int(self.order.min()) < 0:
            raise ValueError(f"order must be at least 0; got {int(self.order.min())}")
        used = 2 ** len(self.amplitudes)
        if used < 2 or self.order.shape[1] != used or self.signs.shape[1] != used // 2:
            raise ValueError(
                f"{len(self.amplitudes)} amplitudes, at least one, need {used} coordinates and "
                f"{used // 2} signs a seed; got {self.order.shape[1]} and {self.signs.shape[1]}"
            )

    @classmethod
    @checked
    def draw(cls, seeds: Sequence[int], *, dim: int, amplitudes: Sequence[float]) -> "Hierarchies":
        """Draw the coordinates and signs of one target a seed.

        Raises:
            ValueError: without seeds or amplitudes, or when $2^L$ coordinates do not fit in `dim`.
        """
        if not seeds:
            raise ValueError(f"give at least one seed; got {list(seeds)}")
        if not amplitudes:
            raise ValueError(f"give at least one amplitude; got {list(amplitudes)}")
        if not all(map(math.isfinite, amplitudes)):
            raise ValueError(f"amplitudes must be finite; got {list(amplitudes)}")
        used = 2 ** len(amplitudes)
        if used > dim:
            raise ValueError(
                f"{len(amplitudes)} levels need {used} coordinates, dim is {dim}; "
                "take fewer levels or a larger dim"
            )
        orders, signs = [], []
        for seed in seeds:
            generator = stream("hierarchical parity", seed)
            orders.append(torch.randperm(dim, generator=generator)[:used])
            signs.append(draw_points(1, used // 2, generator)[0])
        return cls(torch.stack(orders), torch.stack(signs), tuple(amplitudes))

    @checked
    def values(self, x: Float[Tensor, "seed n dim"]) -> Float[Tensor, "seed n"]:
        """Compute the targets of each seed at its points."""
        check_indices(x.shape[2], order=self.order)
        pairs = zip(x, self.order, strict=True)
        picked = torch.stack([points[:, order] for points, order in pairs])
        products = picked[..., ::2] * picked[..., 1::2] * self.signs[:, None, :]
        y = torch.zeros_like(products[..., 0])
        for level, amplitude in enumerate(self.amplitudes):
            if level:
                products = products[..., ::2] * products[..., 1::2]
            y += amplitude * products.sum(2) / products.shape[2] ** 0.5
        return y


@checked
def monomials(x: Float[Tensor, "n dim"], *, degree: int) -> Float[Tensor, "n sets"]:
    r"""Compute all $\binom dk$ parities of one degree, sets in the order of `combinations`."""
    columns = _sets(x.shape[1], degree).T
    return prod((x[:, column] for column in columns), start=torch.ones(1).to(x))


@cache
def _sets(dim: int, degree: int) -> Tensor:
    if not 1 <= degree <= dim:
        raise ValueError(f"degree must lie in 1..dim={dim}; got {degree}")
    return torch.tensor(list(combinations(range(dim), degree)))


@checked
def draw_coefficients(n_sets: int, n_terms: int, seed: int) -> Float[Tensor, "sets"]:
    r"""Draw s of M coefficients as $\pm1/\sqrt s$, the others zero: C of the sum is $I/M$."""
    if not 1 <= n_terms <= n_sets:
        raise ValueError(f"n_terms must lie in 1..{n_sets}, the number of sets; got {n_terms}")
    generator = stream("random monomials", seed)
    chosen = torch.randperm(n_sets, generator=generator)[:n_terms]
    found = torch.zeros(n_sets)
    found[chosen] = draw_points(1, n_terms, generator)[0] / n_terms**0.5
    return found


@checked
def random_sums(
    x: Float[Tensor, "seed n dim"], seeds: Sequence[int], *, degree: int, n_terms: int | None
) -> Float[Tensor, "seed n"]:
    r"""Compute one sum of `n_terms` random parities a seed, of all of them where it is None.

    Its parities share no hierarchy; between one parity and a dense polynomial only sparsity
    varies. Coefficients as in `draw_coefficients`.
    """
    if len(seeds) != len(x):
        raise ValueError(f"give one seed for each of {len(x)} batches; got {list(seeds)}")
    n_sets = len(_sets(x.shape[2], degree))
    rows = []
    for points, seed in zip(x, seeds, strict=True):
        c = draw_coefficients(n_sets, n_sets if n_terms is None else n_terms, seed).to(x)
        rows.append(torch.cat([monomials(p, degree=degree) @ c for p in points.split(CHUNK)]))
    return torch.stack(rows)
