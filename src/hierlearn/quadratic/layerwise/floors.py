r"""The error that greedy training settles near: an exact consequence of the level-2 plateau.

While level 2 is alone it settles at $\hat A$ (`quadratic.measures.plateau_gram`). Frozen there,
the network with level 3 is $a_2x^\top\hat Ax+a_3\sum_is_i(x)^2$ with
$s_i=\langle C_i,xx^\top-I\rangle+v_i^\top x+c_i$ and $C_i=K_2^\top G_iK_2$. For Gaussian inputs
the loss of such a network is a polynomial in its parameters, by the orthogonality of the Hermite
polynomials, and what we call its floor is the minimum over level 3
next to the truth; others may lie lower. The derivation is ours and has no free parameter.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import least_squares
from torch import Tensor
from torch.func import jacfwd

from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream

MAX_STEPS = 60


@checked
@dataclass(frozen=True)
class SquaredForms:
    r"""Functions $\sum_iw_is_i(x)^2+x^\top Dx$, $s_i=\langle C_i,xx^\top-I\rangle+v_i^\top x+c_i$.

    Attributes:
        weights: $w_i$, `[term]`.
        quadratic: $C_i$, symmetric, `[term, dim, dim]`.
        linear: $v_i$, `[term, dim]`.
        constant: $c_i$, `[term]`.
        form: $D$, symmetric, `[dim, dim]`.
    """

    weights: Float[Tensor, "term"]
    quadratic: Float[Tensor, "term dim dim"]
    linear: Float[Tensor, "term dim"]
    constant: Float[Tensor, "term"]
    form: Float[Tensor, "dim dim"]

    @checked
    def minus(self, other: "SquaredForms") -> "SquaredForms":
        """Return the difference, again of this form and of one dimension."""
        if self.form.shape != other.form.shape:
            raise ValueError(
                "both functions must have one dimension; "
                f"got {len(self.form)} and {len(other.form)}"
            )
        return SquaredForms(
            torch.cat([self.weights, -other.weights]),
            torch.cat([self.quadratic, other.quadratic]),
            torch.cat([self.linear, other.linear]),
            torch.cat([self.constant, other.constant]),
            self.form - other.form,
        )

    @checked
    def hermite(self, *, up_to_quadratic: bool = False) -> Tensor:
        r"""Return the coefficients of the function on orthonormal Hermite polynomials, flat.

        Degree k has $\sqrt{k!}\,\mathrm{sym}\,T_k$ with $T_4=\sum wC\otimes C$, $T_3=2\sum
        wC\otimes v$, $T_2=D+\sum w(4C^2+vv^\top+2cC)$, $T_1=\sum w(4Cv+2cv)$; the constant is
        left out.

        Args:
            up_to_quadratic: leave out degree 2 too, as if a free $x^\top Qx$ were there to fit it.
        """
        w, c2, v, c = self.weights, self.quadratic, self.linear, self.constant
        dim = c2.shape[1]
        (i, j, k, m), four = _multi_indices(dim, 4)
        doubled = c2[:, i, j] * c2[:, k, m] + c2[:, i, k] * c2[:, j, m] + c2[:, i, m] * c2[:, j, k]
        parts = [four.to(w) * (w @ doubled) / 3]
        (i, j, k), three = _multi_indices(dim, 3)
        mixed = c2[:, i, j] * v[:, k] + c2[:, i, k] * v[:, j] + c2[:, j, k] * v[:, i]
        parts.append(three.to(w) * (2 / 3) * (w @ mixed))
        if not up_to_quadratic:
            squares = 4 * c2 @ c2 + v[:, :, None] * v[:, None, :] + 2 * c[:, None, None] * c2
            form = self.form + torch.einsum("a,aij->ij", w, squares)
            (i, j), two = _multi_indices(dim, 2)
            parts.append(two.to(w) * form[i, j])
        slopes = 4 * torch.einsum("aij,aj->ai", c2, v) + 2 * c[:, None] * v
        parts.append(w @ slopes)
        return torch.cat(parts)

    def variance(self) -> Tensor:
        r"""Compute the variance under $x\sim N(0,I)$: the coefficients' sum of squares."""
        return self.hermite().square().sum()


@cache
def _multi_indices(dim: int, degree: int) -> tuple[tuple[Tensor, ...], Tensor]:
    r"""List the multi-indices $i\le j\le\dots$ and the norms of their Hermite polynomials.

    A symmetric tensor T stands for a polynomial of variance $k!\lVert T\rVert^2$, in which the
    entry of a multi-index counts as often as it has orders.
    """
    rows = torch.tensor(list(combinations_with_replacement(range(dim), degree)))
    repeats = torch.tensor([[int((row == a).sum()) for a in range(dim)] for row in rows])
    factorials = torch.tensor([math.factorial(n) for n in range(degree + 1)])
    orders = math.factorial(degree) / factorials[repeats].prod(1)
    return tuple(rows.T), (math.factorial(degree) * orders).sqrt()


@checked
def target_forms(
    first: Float[Tensor, "k2 dim"],
    mixing: Float[Tensor, "k3 k2"],
    skips: Float[Tensor, "k3 dim"],
    amplitudes: Float[Tensor, "2"],
) -> SquaredForms:
    """Write the three-level target, up to a constant, as squared forms."""
    quadratic = torch.einsum("ij,ja,jb->iab", mixing, first, first)
    return SquaredForms(
        amplitudes[1].expand(len(mixing)),
        quadratic,
        skips,
        torch.zeros(len(mixing)).to(first),
        amplitudes[0] * first.T @ first,
    )


@checked
@dataclass(frozen=True)
class Floor:
    """The smallest relative error with level 2 frozen, without and with a free quadratic readout.

    `level` is the error of level 3, as a function, that belongs to the former.
    """

    rel: float
    level: float
    with_readout: float


@checked
def greedy_floor(
    first: Float[Tensor, "k2 dim"],
    mixing: Float[Tensor, "k3 k2"],
    skips: Float[Tensor, "k3 dim"],
    amplitudes: Float[Tensor, "2"],
    *,
    frozen: Float[Tensor, "dim dim"],
    widths: tuple[int, int],
) -> Floor:
    r"""Minimize the population loss over level 3 while $K_2^\top K_2$ stays at `frozen`.

    A trust-region method from the target's own level 3: a minimum near the truth, an upper bound on
    the global one.

    Args:
        first: $W_2$.
        mixing: $U_3$.
        skips: $V_3$.
        amplitudes: $a_2,a_3$.
        frozen: $\hat A$.
        widths: $m_2,m_3$ of the network.
    """
    if min(widths) < 1:
        raise ValueError(f"widths must be at least 1; got {widths}")
    first, mixing, skips, amplitudes, frozen = (
        t.double() for t in (first, mixing, skips, amplitudes, frozen)
    )
    basis = torch.linalg.qr(torch.cat([first, skips]).T).Q  # everything happens in this subspace
    inside = target_forms(first @ basis, mixing, skips @ basis, amplitudes)
    gram = basis.T @ frozen @ basis
    problem = _Problem(inside, gram, widths[0], widths[1], amplitudes)
    total = inside.variance()
    best, forms = problem.solve(with_readout=False)
    third = SquaredForms(torch.ones(widths[1]).double(), *forms, torch.zeros_like(gram))
    truth = SquaredForms(
        torch.ones(len(mixing)).double(), inside.quadratic, inside.linear, inside.constant,
        torch.zeros_like(gram),
    )  # fmt: skip
    level = third.minus(truth).variance() / truth.variance()
    with_readout, _ = problem.solve(with_readout=True)
    return Floor(best / float(total), float(level), with_readout / float(total))


class _Problem:
    """Level 3 on top of a frozen level 2, in coordinates of the relevant subspace."""

    def __init__(
        self, target: SquaredForms, gram: Tensor, below: int, width: int, amplitudes: Tensor
    ) -> None:
        values, vectors = torch.linalg.eigh(gram)
        below = min(below, len(gram))
        self.rows = (vectors[:, -below:] * values[-below:].clamp(min=0).sqrt()).T
        self.target, self.gram, self.width, self.amplitudes = target, gram, width, amplitudes
        self.pairs = torch.triu_indices(below, below)
        self.shapes = [(width, self.pairs.shape[1]), (width, len(gram)), (width,)]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def forms(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return C_i, v_i and c_i."""
        parts = [
            part.view(shape)
            for part, shape in zip(parameters.split(self.sizes), self.shapes, strict=True)
        ]
        lower, upper = self.rows[self.pairs[0]], self.rows[self.pairs[1]]
        products = (lower[:, :, None] * upper[:, None, :] + upper[:, :, None] * lower[:, None]) / 2
        return torch.einsum("ap,pij->aij", parts[0], products), parts[1], parts[2]

    def residuals(self, parameters: Tensor, with_readout: bool) -> Tensor:
        """Return the Hermite coefficients of network minus target, in units of $a_3$."""
        weights = self.amplitudes[1].expand(self.width)
        network = SquaredForms(weights, *self.forms(parameters), self.amplitudes[0] * self.gram)
        difference = network.minus(self.target).hermite(up_to_quadratic=with_readout)
        return difference / self.amplitudes[1]

    def start(self) -> Tensor:
        """Return the target's level 3 seen through the frozen level 2, slightly perturbed."""
        inverse = torch.linalg.pinv(self.rows)
        mixed = inverse.T @ self.target.quadratic @ inverse
        i, j = self.pairs
        mixed = mixed[:, i, j] * torch.where(i == j, 1.0, 2.0)
        parts = [torch.zeros(shape, dtype=torch.float64) for shape in self.shapes]
        kept = min(len(mixed), self.width)
        parts[0][:kept], parts[1][:kept] = mixed[:kept], self.target.linear[:kept]
        generator = stream("floor", 0)
        noise = torch.randn(sum(self.sizes), generator=generator, dtype=torch.float64)
        return torch.cat([part.flatten() for part in parts]) + 1e-3 * noise

    def solve(self, *, with_readout: bool) -> tuple[float, tuple[Tensor, Tensor, Tensor]]:
        """Return the smallest loss found, and C, v, c there."""

        # "trf", not "lm": two runs of SciPy's MINPACK did not agree to the bit
        def residuals(parameters: np.ndarray) -> np.ndarray:
            return self.residuals(torch.tensor(parameters), with_readout).numpy()

        def jacobian(parameters: np.ndarray) -> np.ndarray:
            slope = jacfwd(lambda p: self.residuals(p, with_readout))
            return slope(torch.tensor(parameters)).numpy()

        best = least_squares(
            residuals, self.start().numpy(), jac=jacobian, method="trf", max_nfev=MAX_STEPS
        )
        forms = self.forms(torch.tensor(best.x))
        return 2 * float(best.cost) * float(self.amplitudes[1]) ** 2, forms
