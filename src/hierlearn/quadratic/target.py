r"""Hierarchical quadratic targets, in the spirit of Allen-Zhu & Li (COLT 2023).

For $x\sim N(0,I_d)$ the target is $y=\sum_{l=2}^L a_l\,\mathrm{Sum}(h_l)$ with
$S^*_2=W_2x$, $h_l=(S^*_l)^2-1$ and $S^*_l=U_lh_{l-1}+V_lx$ for $l\ge3$: a polynomial of degree
$2^{L-1}$, written as a composition of quadratic layers. Normalization, skip strength and the
choice $J_l=\{l-1,0\}$ are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream

N_CALIBRATION = 20_000


@checked
@dataclass(frozen=True)
class QuadraticTeachers:
    r"""One hierarchical quadratic target a seed, batched along a leading seed axis.

    Attributes:
        first: $W_2$, orthonormal rows, shape `[seed, k_2, dim]`.
        mixing: $U_l$ for $l=3..L$, each `[seed, k_l, k_{l-1}]`.
        skips: $V_l$ for $l=3..L$, rows orthogonal of norm `skip`, each `[seed, k_l, dim]`.
        scale: standard deviation of $\mathrm{Sum}(h_l)$, `[seed, level]`, levels from 2 to L.
    """

    first: Float[Tensor, "seed k2 dim"]
    mixing: tuple[Float[Tensor, "seed _ _"], ...]
    skips: tuple[Float[Tensor, "seed _ dim"], ...]
    scale: Float[Tensor, "seed level"]

    def __post_init__(self) -> None:
        upper = [tuple(v.shape[1:2]) for v in self.skips]
        widths = [k for (k,) in [tuple(self.first.shape[1:2]), *upper]]
        pairs = [tuple(u.shape[1:]) for u in self.mixing]
        if pairs != list(zip(widths[1:], widths, strict=False)) or len(widths) != len(self.scale.T):
            raise ValueError(
                "give one U_l [seed, k_l, k_(l-1)] and one V_l [seed, k_l, dim] for each of the "
                f"{len(self.scale.T)} levels of `scale` from level 3 on; got U of {pairs} and "
                f"k = {widths}"
            )

    @classmethod
    @checked
    def draw(
        cls,
        seeds: Sequence[int],
        *,
        dim: int,
        widths: Sequence[int],
        skip: float,
        dtype: torch.dtype | None = None,
    ) -> "QuadraticTeachers":
        r"""Draw the targets of `seeds`.

        Args:
            seeds: one target a seed; a seed's target does not depend on the others.
            dim: input dimension $d$.
            widths: $k_2,\dots,k_L$.
            skip: $\rho\in[0,1)$, the norm of the rows of $V_l$; $U_l$ carries the rest of the
                variance, $\mathrm{sd}((U_lh_{l-1})_i)=\sqrt{1-\rho^2}$.
            dtype: of the tensors returned, by default torch's default; they are drawn and
                calibrated in float64.

        Raises:
            ValueError: for no seeds, widths outside 1..dim, fewer than one level, or `skip`
                outside [0, 1).
        """
        _check_shape(dim, widths, skip)
        if not seeds:
            raise ValueError(f"give at least one seed; got {list(seeds)}")
        dtype = dtype or torch.get_default_dtype()
        teachers = [_draw_one(seed, dim, widths, skip) for seed in seeds]
        return cls(
            first=torch.stack([t[0] for t in teachers]).to(dtype),
            mixing=tuple(
                torch.stack(u).to(dtype) for u in zip(*(t[1] for t in teachers), strict=True)
            ),
            skips=tuple(
                torch.stack(v).to(dtype) for v in zip(*(t[2] for t in teachers), strict=True)
            ),
            scale=torch.stack([t[3] for t in teachers]).to(dtype),
        )

    @checked
    def to(self, device: torch.device | str) -> "QuadraticTeachers":
        """Return the same targets on `device`."""
        return QuadraticTeachers(
            self.first.to(device),
            tuple(u.to(device) for u in self.mixing),
            tuple(v.to(device) for v in self.skips),
            self.scale.to(device),
        )

    @checked
    def amplitudes(self, gaps: Float[Tensor, "seed arm level"]) -> Float[Tensor, "seed arm level"]:
        r"""Compute $a_l=\alpha_l\,\mathrm{sd}(\mathrm{Sum}\,h_2)/\mathrm{sd}(\mathrm{Sum}\,h_l)$.

        `gaps` are the amplitude ratios $\alpha_l$.
        """
        return gaps * (self.scale[:, :1] / self.scale)[:, None, :]

    @checked
    def level_sums(self, x: Float[Tensor, "seed batch dim"]) -> Float[Tensor, "seed level batch"]:
        r"""Compute $\mathrm{Sum}(h_l)(x)$ for every level."""
        inputs = x.transpose(1, 2)
        h = (self.first @ inputs).square_().sub_(1)
        sums = [h.sum(1)]
        for mixing, skip in zip(self.mixing, self.skips, strict=True):
            h = torch.baddbmm(torch.bmm(skip, inputs), mixing, h).square_().sub_(1)
            sums.append(h.sum(1))
        return torch.stack(sums, 1)

    def bias_form(self) -> Float[Tensor, "seed dim dim"]:
        r"""Compute $B_3=\sum_i(4C_i^2+v_iv_i^\top)$, $C_i=\sum_jU_{3,ij}w_jw_j^\top$.

        $x^\top B_3x$ is, up to a constant, the degree-2 Hermite part of $\mathrm{Sum}(h_3)$: what
        a quadratic feature sees of level 3 before level 3 is modelled. Zero when L = 2.
        """
        if not self.mixing:
            n_seeds, _, dim = self.first.shape
            return self.first.new_zeros(n_seeds, dim, dim)
        mixing, skip = self.mixing[0], self.skips[0]
        # C_i^2 = sum_j U_ij^2 w_j w_j^T because the rows w_j are orthonormal
        weights = 4 * mixing.square().sum(1)
        return torch.einsum("sj,sja,sjb->sab", weights, self.first, self.first) + skip.mT @ skip


def _check_shape(dim: int, widths: Sequence[int], skip: float) -> None:
    if not widths or any(not 1 <= k <= dim for k in widths):
        raise ValueError(
            f"widths must be a non-empty list of integers from 1 to dim={dim}, one a level "
            f"from level 2 on; got {list(widths)}"
        )
    if not 0 <= skip < 1:
        raise ValueError(f"skip must lie in [0, 1); got {skip}")


def _orthonormal_rows(rows: int, dim: int, generator: torch.Generator) -> Tensor:
    gaussian = torch.randn(dim, rows, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T.contiguous()


def _draw_one(
    seed: int, dim: int, widths: Sequence[int], skip: float
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
    """Draw one target in float64 and calibrate its levels on a sample of their own."""
    generator = stream("quadratic teacher", seed)
    x = torch.randn(N_CALIBRATION, dim, generator=stream("calibration", seed), dtype=torch.float64)
    first = _orthonormal_rows(widths[0], dim, generator)
    h = (x @ first.T).square() - 1
    mixing, skips, scale = [], [], [h.sum(1).std()]
    for below, width in zip(widths, widths[1:], strict=False):
        u = torch.randn(width, below, generator=generator, dtype=torch.float64)
        u *= ((1 - skip**2) ** 0.5 / (h @ u.T).std(0))[:, None]
        v = skip * _orthonormal_rows(width, dim, generator)
        h = (h @ u.T + x @ v.T).square() - 1
        mixing.append(u)
        skips.append(v)
        scale.append(h.sum(1).std())
    return first, mixing, skips, torch.stack(scale)
