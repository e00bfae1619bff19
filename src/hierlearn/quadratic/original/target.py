r"""The target class of Allen-Zhu & Li (COLT 2023), section 2, for Gaussian inputs.

With $x\sim N(0,I_d)$ and $z=x^2-1$ (coordinatewise), $S^*_2=W_2z$, $G^*_l=(S^*_l)^2$ and
$S^*_l=U_lG^*_{l-1}+V_lx$ for $l\ge3$: connections $J_2=\{1\}$ and $J_l=\{l-1,0\}$, which the paper
allows. The target is $y=\sum_l\alpha_l\mathrm{Sum}(G^*_l)$, of degree $2^L$, with neither bias nor
noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor

from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream

N_CALIBRATION = 40_000


@checked
@dataclass(frozen=True)
class OriginalTarget:
    r"""One target, in float64.

    Attributes:
        first: $W_2$, `[k_2, dim]`; rows orthogonal.
        mixing: $U_l$ for $l=3..L$, each `[k_l, k_{l-1}]`.
        skips: $V_l$ for $l=3..L$, each `[k_l, dim]`; rows orthogonal.
    """

    first: Float64[Tensor, "k2 dim"]
    mixing: tuple[Float64[Tensor, "_ _"], ...]
    skips: tuple[Float64[Tensor, "_ dim"], ...]

    @classmethod
    @checked
    def draw(
        cls, seed: int, *, dim: int, widths: Sequence[int], skip: float = 1.0
    ) -> "OriginalTarget":
        r"""Draw the target of a seed.

        The singular values of $\sqrt2W_2$ and, up to a factor, of each $U_l$ lie evenly between
        1.25 and 0.8; the rows of $V_l$ have norm `skip` times that factor. The factor makes all
        $\mathrm{Sum}(G^*_l)$ equal in standard deviation, so that the $\alpha_l$ are ratios of
        amplitudes.

        Args:
            seed: of the draw.
            dim: input dimension $d$.
            widths: $k_2\ge k_3\ge\dots$, none above `dim`.
            skip: strength of the connection to the input.

        Raises:
            ValueError: for widths that grow with the level, or lie outside 1..dim.
        """
        if not 0 <= skip < float("inf"):
            raise ValueError(f"skip must be a finite number from 0 on; got {skip}")
        if not widths or any(not 1 <= k <= dim for k in widths):
            raise ValueError(f"widths must lie in 1..{dim}, one a level; got {list(widths)}")
        if any(above > below for below, above in pairwise(widths)):
            raise ValueError(f"widths must not grow with the level; got {list(widths)}")
        draws = stream("original target", seed)
        x = torch.randn(N_CALIBRATION, dim, generator=draws, dtype=torch.float64)
        first = _scales(widths[0])[:, None] * _frame(widths[0], dim, draws) / 2**0.5
        features = (x**2 - 1) @ first.T
        amplitude = features.square().sum(1).std()
        mixing, skips = [], []
        for below, k in pairwise(widths):
            u = _frame(k, k, draws) @ (_scales(k)[:, None] * _frame(k, below, draws))
            outputs = features.square()
            u = u / (outputs @ u.T).var(0).mean().sqrt()
            v = skip * _frame(k, dim, draws)
            features = outputs @ u.T + x @ v.T
            factor = (amplitude / features.square().sum(1).std()).sqrt()
            features, u, v = features * factor, u * factor, v * factor
            mixing.append(u)
            skips.append(v)
        return cls(first, tuple(mixing), tuple(skips))

    @checked
    def features(self, x: Float64[Tensor, "n dim"]) -> list[Float64[Tensor, "n _"]]:
        r"""Return $S^*_2(x),\dots,S^*_L(x)$."""
        found = [(x**2 - 1) @ self.first.T]
        for u, v in zip(self.mixing, self.skips, strict=True):
            found.append(found[-1].square() @ u.T + x @ v.T)
        return found


def _scales(k: int) -> Tensor:
    return torch.linspace(1.25, 0.8, k, dtype=torch.float64) if k > 1 else torch.ones(1).double()


def _frame(k: int, dim: int, draws: torch.Generator) -> Tensor:
    """Draw k orthonormal rows."""
    q, r = torch.linalg.qr(torch.randn(dim, k, generator=draws, dtype=torch.float64))
    return (q * r.diagonal().sign()).T


@checked
def plateau(target: OriginalTarget) -> Float64[Tensor, "dim dim"]:
    r"""Return $B_3$: what level 2 swallows of level 3 is $\alpha_3z^\top B_3z$.

    Level 2 alone fits $y$ by $z^\top Mz$; $\mathrm{Sum}(G^*_3)=\sum_i(z^\top C_iz+v_i\cdot x)^2$
    with $C_i=\sum_jU_{ij}w_jw_j^\top$, whose cross terms are odd in $x$. The normal equations
    read $\mathcal M(B)=T$ with
    $\mathcal M(B)=E[zz^\top\,z^\top Bz]=48\,\mathrm{diag}B+4(\mathrm{tr}B\,I+2B)$ and
    $T=E[zz^\top\,\mathrm{Sum}(G^*_3)]$, from the cumulants 2, 8, 48, 384, 3840 of $z_i$.
    """
    d = target.first.shape[1]
    eye = torch.eye(d, dtype=torch.float64)
    total = torch.zeros(d, d, dtype=torch.float64)
    for u, v in zip(target.mixing[0], target.skips[0], strict=True):
        c = torch.einsum("j,ja,jb->ab", u, target.first, target.first)
        total += squared_form_moment(c) + 8 * torch.diag(v**2) + 2 * (v @ v) * eye
    trace = total.trace() / (56 + 4 * d)
    b = total / 8
    return b - torch.diag(b.diagonal()) + torch.diag((total.diagonal() - 4 * trace) / 56)


@checked
def squared_form_moment(c: Float64[Tensor, "dim dim"]) -> Float64[Tensor, "dim dim"]:
    r"""Return $E[zz^\top(z^\top Cz)^2]$ for symmetric C and $z=x^2-1$ with Gaussian x.

    A sum over the partitions of six indices into blocks of at least two (6, 4+2, 3+3, 2+2+2), each
    weighted by the cumulants of its blocks.
    """
    eye = torch.eye(len(c), dtype=torch.float64)
    diagonal, square = c.diagonal(), c @ c
    on_diagonal = torch.diag(diagonal)
    six = 3840 * torch.diag(diagonal**2)
    four_two = 96 * (
        (diagonal @ diagonal) * eye
        + 2 * c.trace() * on_diagonal
        + 4 * (c @ on_diagonal + on_diagonal @ c)
        + 4 * torch.diag(square.diagonal())
    )
    threes = 64 * (4 * torch.diag(c @ diagonal) + 2 * torch.outer(diagonal, diagonal) + 4 * c * c)
    twos = 8 * ((c.trace() ** 2 + 2 * square.trace()) * eye + 4 * c.trace() * c + 8 * square)
    return six + four_two + threes + twos
