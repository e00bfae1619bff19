r"""The error that greedy training settles near: an exact consequence of the level-2 plateau.

While level 2 is alone it settles at $\hat A$ (`quadratic.measures.plateau_gram`). Frozen there,
the network with level 3 is $a_2x^\top\hat Ax+a_3\sum_is_i(x)^2$ with
$s_i=\langle C_i,xx^\top-I\rangle+v_i^\top x+c_i$ and $C_i=K_2^\top G_iK_2$. For Gaussian inputs
the loss of such a network is a polynomial in its parameters, by the orthogonality of the Hermite
polynomials, and what we call its floor is the minimum over level 3
next to the truth; others may lie lower. The derivation is ours and has no free parameter.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import vmap

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream
from hierlearn.quadratic.target import QuadraticTeachers

MAX_STEPS, GAUSS_NEWTON_STEPS = 60, 20


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
    """What level 3 can reach above a frozen level 2, as relative errors.

    `rel` is the minimum next to the truth, `level` the error of level 3, as a function, that
    belongs to it, `with_readout` the same minimum with a free quadratic readout; `minima` are the
    ends of all starts, in ascending order.
    """

    rel: float
    level: float
    with_readout: float
    minima: tuple[float, ...]


@checked
def greedy_floor(
    first: Float[Tensor, "k2 dim"],
    mixing: Float[Tensor, "k3 k2"],
    skips: Float[Tensor, "k3 dim"],
    amplitudes: Float[Tensor, "2"],
    *,
    frozen: Float[Tensor, "dim dim"],
    widths: tuple[int, int],
    n_starts: int = 1,
) -> Floor:
    r"""Minimize the population loss over level 3 while $K_2^\top K_2$ stays at `frozen`.

    By Levenberg and Marquardt's method and then, equally damped, Newton's, from the target's own
    level 3 and from random ones: an upper bound on the global minimum.

    Args:
        first: $W_2$.
        mixing: $U_3$.
        skips: $V_3$.
        amplitudes: $a_2,a_3$.
        frozen: $\hat A$.
        widths: $m_2,m_3$ of the network.
        n_starts: how many starts, the first at the truth.
    """
    at_least(1, n_starts=n_starts)
    if min(widths) < 1:
        raise ValueError(f"widths must be at least 1; got {widths}")
    first, mixing, skips, amplitudes, frozen = (
        t.double() for t in (first, mixing, skips, amplitudes, frozen)
    )
    basis = torch.linalg.qr(torch.cat([first, skips]).T).Q  # everything happens in this subspace
    inside = target_forms(first @ basis, mixing, skips @ basis, amplitudes)
    problem = _Problem(inside, basis.T @ frozen @ basis, widths, amplitudes)
    total = float(inside.variance()) / float(amplitudes[1]) ** 2
    losses, rows = problem.solve(problem.starts(n_starts), with_readout=False)
    third = SquaredForms(
        torch.ones(widths[1]).double(), *problem.forms(rows[0]), torch.zeros_like(basis.T @ basis)
    )
    truth = replace(inside, weights=torch.ones_like(inside.weights), form=third.form)
    level = third.minus(truth).variance() / truth.variance()
    free, _ = problem.solve(problem.starts(1), with_readout=True)
    ends = losses / total
    return Floor(
        float(ends[0]), float(level), float(free[0]) / total, tuple(ends.sort().values.tolist())
    )


class _Problem:
    r"""Level 3 on top of a frozen level 2, in coordinates of the relevant subspace.

    A row u of level 3 holds the weights of $C$ on the products of level 2, $v$ and $c$; the Hermite
    coefficients of $s^2$ are quadratic forms in u.
    """

    def __init__(
        self, target: SquaredForms, gram: Tensor, widths: tuple[int, int], amplitudes: Tensor
    ) -> None:
        values, vectors = torch.linalg.eigh(gram)
        below, self.width = min(widths[0], len(gram)), widths[1]
        self.rows = (vectors[:, -below:] * values[-below:].clamp(min=0).sqrt()).T
        self.target, self.pairs = target, torch.triu_indices(below, below)
        self.sizes = [self.pairs.shape[1], len(gram), 1]
        lower = SquaredForms(
            amplitudes.new_zeros(0), target.quadratic[:0], target.linear[:0], target.constant[:0],
            amplitudes[0] * gram,
        )  # fmt: skip
        self.below = lower.minus(target), amplitudes[1]

    def forms(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return C_i, v_i and c_i of rows `[i, weight]`."""
        mixed, linear, constant = rows.split(self.sizes, 1)
        lower, upper = self.rows[self.pairs[0]], self.rows[self.pairs[1]]
        products = (lower[:, :, None] * upper[:, None, :] + upper[:, :, None] * lower[:, None]) / 2
        return torch.einsum("ap,pij->aij", mixed, products), linear, constant[:, 0]

    def starts(self, number: int) -> Tensor:
        """Return the target's level 3 seen through level 2, slightly perturbed, and random ones."""
        inverse = torch.linalg.pinv(self.rows)
        mixed = inverse.T @ self.target.quadratic @ inverse
        i, j = self.pairs
        own = torch.zeros(self.width, sum(self.sizes), dtype=torch.float64)
        kept = min(len(mixed), self.width)
        truth = mixed[:, i, j] * torch.where(i == j, 1.0, 2.0), self.target.linear
        own[:kept, :-1] = torch.cat(truth, 1)[:kept]
        noise = torch.randn(number, *own.shape, generator=stream("floor", 0), dtype=torch.float64)
        scale = own.square().mean().sqrt() * torch.ones(number, 1, 1)
        scale[0] = 1e-3
        return scale * noise + own * (torch.arange(number) == 0)[:, None, None]

    def solve(self, rows: Tensor, *, with_readout: bool) -> tuple[Tensor, Tensor]:
        """Return the minima found from the starts `[start, i, weight]`, and where."""

        def squared(row: Tensor) -> Tensor:
            one = SquaredForms(row.new_ones(1), *self.forms(row[None]), self.target.form * 0)
            return one.hermite(up_to_quadratic=with_readout)

        difference, amplitude = self.below
        constant = difference.hermite(up_to_quadratic=with_readout) / amplitude
        n_starts = len(rows)
        unit = torch.eye(rows.shape[2], dtype=rows.dtype)
        alone, pairs = vmap(squared)(unit), vmap(vmap(squared))(unit[:, None] + unit)
        # gradient of the coefficients in a row, linear in the row: [coefficient, weight, weight]
        slopes = (pairs - alone[:, None] - alone).permute(2, 0, 1)

        def look(rows: Tensor) -> tuple[Tensor, Tensor]:
            jacobian = torch.einsum("kuv,siv->skiu", slopes, rows)
            return jacobian.flatten(2), torch.einsum("skiu,siu->sk", jacobian, rows) / 2 + constant

        jacobian, residual = look(rows)
        damping, idle = rows.new_full((n_starts, 1), 1e-2), 0
        for number in range(MAX_STEPS):
            normal = jacobian.mT @ jacobian
            if number >= GAUSS_NEWTON_STEPS:
                bend = torch.einsum("sk,kuv->suv", residual, slopes)
                normal += torch.stack([torch.block_diag(*[one] * self.width) for one in bend])
            normal += torch.diag_embed(damping * (jacobian.square().sum(1) + 1e-6))
            step = torch.linalg.solve(normal, jacobian.mT @ residual[:, :, None])
            trial = rows - step.view_as(rows)
            found = look(trial)
            gain = 1 - found[1].square().sum(1) / residual.square().sum(1)
            better = (gain > 0)[:, None]
            rows = torch.where(better[:, :, None], trial, rows)
            jacobian = torch.where(better[:, :, None], found[0], jacobian)
            residual = torch.where(better, found[1], residual)
            damping = torch.where(better, damping / 4, damping * 4)
            idle = 0 if bool((gain.abs() > 1e-6).any()) else idle + 1
            if idle == 5:
                break
        return residual.square().sum(1), rows


@checked
def bias_form_of_level_4(teachers: QuadraticTeachers) -> Float[Tensor, "seed dim dim"]:
    r"""Compute $B_4$: $x^\top B_4x$ is, up to a constant, the degree-2 part of $\mathrm{Sum}(h_4)$.

    With $S_4=\sum_k\langle F_k,\mathrm{He}_k(x)\rangle$ and the product formula of the Hermite
    polynomials, $B_4=\sum_i\big(\sum_{k\ge1}k\,k!\,F_k\cdot F_k+2\sum_{k\ge0}k!\binom{k+2}2F_k\cdot
    F_{k+2}\big)$, where all indices but two are contracted. In units of $a_4$; exact; ours.
    """
    if len(teachers.mixing) < 2:
        raise ValueError(f"level 4 is missing: the targets have {len(teachers.mixing) + 1} levels")
    found = []
    (mixing, uppers, *_), (skips, overs, *_) = teachers.mixing, teachers.skips
    parts = zip(teachers.first, mixing, skips, uppers, overs, strict=True)
    for first, mix, skip, upper, over in parts:
        basis = torch.linalg.qr(torch.cat([first, skip, over]).T).Q
        w, v = first @ basis, skip @ basis
        c = torch.einsum("ij,ja,jb->iab", mix, w, w)
        own = [torch.einsum("mi,i...->m...", upper, part) for part in _squared(c, v)]
        own[1] = own[1] + over @ basis
        found.append(basis @ _degree_two(own) @ basis.T)
    return torch.stack(found)


def _squared(c: Tensor, v: Tensor) -> list[Tensor]:
    r"""Return the Hermite tensors of $s^2-1$, $s=\langle C,xx^\top-I\rangle+v^\top x$, listed."""
    four = torch.einsum("iab,icd->iabcd", c, c)
    four = (four + four.transpose(2, 3) + four.transpose(2, 4)) / 3
    three = torch.einsum("iab,ic->iabc", c, v)
    three = 2 * (three + three.transpose(2, 3) + three.transpose(1, 3)) / 3
    two = 4 * c @ c + v[:, :, None] * v[:, None, :]
    one = 4 * torch.einsum("iab,ib->ia", c, v)
    return [2 * c.square().sum((1, 2)) + v.square().sum(1) - 1, one, two, three, four]


def _degree_two(parts: list[Tensor]) -> Tensor:
    """Return the degree-2 tensor of the sum of squares of functions with these Hermite tensors."""
    form = torch.zeros_like(parts[2][0])
    for k, own in enumerate(parts):
        if k:
            rows = own.reshape(len(own), len(form), -1)
            form = form + k * math.factorial(k) * torch.einsum("map,mbp->ab", rows, rows)
        if k + 2 < len(parts):
            upper = parts[k + 2].reshape(len(own), len(form), len(form), -1)
            weight = 2 * math.factorial(k) * math.comb(k + 2, 2)
            form = form + weight * torch.einsum("mabp,mp->ab", upper, own.reshape(len(own), -1))
    return form
