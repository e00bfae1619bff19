r"""Exact alternation on the class of Allen-Zhu & Li: no optimiser, only least squares.

Given the features $S_2,\dots,S_{L-1}$ the output $\sum_l\alpha_l\mathrm{Sum}(F_l)$ of the paper's
learner (section 2.1) is linear in $W_2^\top W_2$ and in the forms of the higher levels: random
squares $\sigma(RS)$ span the products $S_aS_b$, so that level l contributes the quartics
$S_aS_bS_cS_e$, the cubics $S_aS_bx_i$ and the products $x_ix_j$, which all levels share. A round
fits all of them, and then reads new features off the fit.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from jaxtyping import Float64
from torch import Tensor

from hierlearn.engine.doors import at_least, checked


@checked
@dataclass(frozen=True)
class Level:
    r"""The features of one level above the second, $S_l=Km(S_{l-1})+K_0x$.

    $m(S)$ are the products $S_aS_b$, $a\le b$.
    """

    products: Float64[Tensor, "k m"]
    inputs: Float64[Tensor, "k dim"]


@checked
@dataclass
class Learner:
    """The open levels: `first` is $K_2$, `upper` those above, `fit` the form that level 2 adds."""

    first: Float64[Tensor, "k2 dim"]
    upper: list[Level]
    fit: Float64[Tensor, "p"]

    @checked
    def features(self, x: Float64[Tensor, "n dim"]) -> list[Float64[Tensor, "n _"]]:
        """Return $S_2(x)$ and those above."""
        found = [(x**2 - 1) @ self.first.T]
        for level in self.upper:
            found.append(products(found[-1]) @ level.products.T + x @ level.inputs.T)
        return found


def _pairs(k: int) -> Tensor:
    r"""List the pairs $a\le b$ below k, `[pair, 2]`."""
    return torch.triu_indices(k, k).T


@checked
def products(s: Float64[Tensor, "n k"]) -> Float64[Tensor, "n m"]:
    r"""Return the products $s_as_b$, $a\le b$."""
    a, b = _pairs(s.shape[1]).T
    return s[:, a] * s[:, b]


def _quartics(k: int) -> list[tuple[int, ...]]:
    """List the indices of the distinct quartic monomials of k variables."""
    return list(combinations_with_replacement(range(k), 4))


@checked
def columns(
    x: Float64[Tensor, "n dim"], features: list[Float64[Tensor, "n _"]]
) -> list[Float64[Tensor, "n _"]]:
    r"""Return what the output is linear in: $z_iz_j$, $x_ix_j$, and each level's own monomials.

    The last entries belong to the levels above the `features`, one each: quartics and cubics.
    """
    blocks = [products(x**2 - 1), products(x)]
    for s in features:
        of = torch.tensor(_quartics(s.shape[1]))
        cubics = products(s)[:, :, None] * x[:, None, :]
        blocks.append(torch.cat([s[:, of].prod(2), cubics.flatten(1)], 1))
    return blocks


@checked
def least_squares(a: Float64[Tensor, "n p"], y: Float64[Tensor, "n"]) -> Float64[Tensor, "p"]:
    """Solve by QR on normalised columns, with one step of refinement.

    Below p samples, the solution of least norm (of the normalised columns).
    """
    norms = a.norm(dim=0).clamp_min(torch.finfo(a.dtype).tiny)
    a = a / norms
    if len(a) < a.shape[1]:
        q, r = torch.linalg.qr(a.T)
        return q @ torch.linalg.solve_triangular(r.T, y[:, None], upper=False)[:, 0] / norms
    q, r = torch.linalg.qr(a)
    solution = torch.zeros_like(norms)
    for _ in range(2):
        rest = (q.T @ (y - a @ solution))[:, None]
        solution += torch.linalg.solve_triangular(r, rest, upper=True)[:, 0]
    return solution / norms


def _symmetric(coefficients: Tensor, k: int) -> Tensor:
    """Return the symmetric matrix of a quadratic form from its coefficients on products."""
    a, b = _pairs(k).T
    form = torch.zeros(k, k, dtype=coefficients.dtype)
    form[a, b] = coefficients / 2
    return form + form.T


@checked
def level_2(coefficients: Float64[Tensor, "p"], dim: int, k: int) -> Float64[Tensor, "k dim"]:
    r"""Return $K_2$: the best rank-k root of the form $\sum_{i\le j}c_{ij}z_iz_j$.

    Args:
        coefficients: $c_{ij}$, as many as there are products of `dim` variables.
        dim: number of variables.
        k: rank; ValueError unless it lies in 1..dim.
    """
    at_least(1, dim=dim, k=k)
    if k > dim or len(coefficients) != dim * (dim + 1) // 2:
        raise ValueError(
            f"give dim (dim + 1) / 2 coefficients and k of at most dim = {dim}; got "
            f"{len(coefficients)} and k = {k}"
        )
    return root(_symmetric(coefficients, dim), k)


@checked
def root(form: Float64[Tensor, "dim dim"], k: int) -> Float64[Tensor, "k dim"]:
    r"""Return K of k rows whose $K^\top K$ is the best positive rank-k part of a symmetric form."""
    at_least(1, k=k)
    if k > len(form):
        raise ValueError(f"k is at most the dimension, {len(form)}; got {k}")
    values, vectors = torch.linalg.eigh(form)
    return values[-k:].clamp_min(0).sqrt()[:, None] * vectors[:, -k:].T


def _upper_level(coefficients: Tensor, below: int, dim: int, k: int) -> Level:
    r"""Read the features of a level off its fitted monomials, as the paper's section 6 does.

    With $F=|W_mm+W_0x|^2$ the cubics give $X=W_m^\top W_0=U\Sigma V^\top$ of rank k, whence
    $W_m=CA$ and $W_0=C^{-\top}B$ with $A=\Sigma^{1/2}U^\top$, $B=\Sigma^{1/2}V^\top$; the quartics,
    linear in $C^\top C$, fix C up to a rotation.
    """
    monomials = _quartics(below)
    n_products = below * (below + 1) // 2
    cross = coefficients[len(monomials) :].reshape(n_products, dim) / 2
    u, s, v = torch.linalg.svd(cross, full_matrices=False)
    roots = s[:k].sqrt()
    a, b = roots[:, None] * u[:, :k].T, roots[:, None] * v[:k]
    of = {pair: i for i, pair in enumerate(combinations_with_replacement(range(below), 2))}
    place = {monomial: i for i, monomial in enumerate(monomials)}
    where = torch.tensor(
        [[place[tuple(sorted((*one, *other)))] for other in of] for one in of]
    ).flatten()
    design = torch.stack(
        [
            torch.zeros(len(monomials), dtype=a.dtype).index_add(
                0, where, (torch.outer(a[i], a[j]) + torch.outer(a[j], a[i])).flatten()
            )
            * (0.5 if i == j else 1.0)
            for i, j in _pairs(k).tolist()
        ],
        1,
    )
    # The default driver, gelsy, does not repeat itself to the bit.
    quartic = coefficients[: len(monomials), None]
    solved = torch.linalg.lstsq(design, quartic, driver="gelsd").solution[:, 0]
    form = _symmetric(solved * (1 + (_pairs(k)[:, 0] != _pairs(k)[:, 1])), k)
    values, vectors = torch.linalg.eigh(form)
    root = values.clamp_min(1e-12 * float(values.max().clamp_min(1e-12))).sqrt()
    return Level(
        vectors @ (root[:, None] * (vectors.T @ a)), vectors @ ((vectors.T @ b) / root[:, None])
    )


@checked
def turned(new: Float64[Tensor, "n k"], onto: Float64[Tensor, "n k"]) -> Float64[Tensor, "k k"]:
    """Return the rotation U, rows mixed as in S -> S U, that brings `new` closest to `onto`."""
    u, _, v = torch.linalg.svd(new.T @ onto)
    return u @ v


@checked
def distance(found: Float64[Tensor, "n k"], true: Float64[Tensor, "n k"]) -> float:
    r"""Return $\min_U(E|S^*-US|^2/E|S^*|^2)^{1/2}$ over rotations U: the error of Theorem 2."""
    return float((found @ turned(found, true) - true).norm() / true.norm())


@checked
def refit(
    learner: Learner,
    x: Float64[Tensor, "n dim"],
    y: Float64[Tensor, "n"],
    *,
    widths: list[int],
    alphas: list[float],
    residual: bool = False,
    kept: int = 0,
) -> tuple[Learner, Float64[Tensor, "p"]]:
    r"""One back-and-forth: fit all open levels, then read new features off the fit.

    Args:
        learner: the features so far; `learner.fit` is level 2's own output, from the round before.
        x: inputs of the sample.
        y: their values.
        widths: $k_l$ of the open levels, from level 2 on.
        alphas: $\alpha_l$ of the same levels.
        residual: fit the upper levels to what level 2 leaves, then level 2 to what they leave,
            instead of all together.
        kept: how many levels, from level 2 on, keep their features; their readouts are refitted.

    Returns:
        The new learner, and the coefficients of the columns.
    """
    dim, n_below = x.shape[1], len(learner.upper) + 1
    at_least(0, kept=kept)
    if not 2 <= len(widths) <= n_below + 1 or len(alphas) != len(widths) or min(widths) < 1:
        raise ValueError(
            f"give a width and an alpha of each of 2 to {n_below + 1} open levels, widths of at "
            f"least 1; got {widths} and {alphas}"
        )
    if kept > n_below or not all(0 < alpha < float("inf") for alpha in alphas):
        raise ValueError(
            f"kept is at most the {n_below} levels there are, alphas are positive; got {kept} and "
            f"{alphas}"
        )
    features = learner.features(x)[: len(widths) - 1]
    blocks = columns(x, features)
    if residual:
        rest = torch.cat(blocks[1:], 1)
        upper = least_squares(rest, y - blocks[0] @ learner.fit)
        fit = torch.cat([least_squares(blocks[0], y - rest @ upper), upper])
    else:
        fit = least_squares(torch.cat(blocks, 1), y)
    parts = fit.split([block.shape[1] for block in blocks])
    new = Learner(learner.first, [], parts[0])
    if not kept:
        new.first = level_2(parts[0], dim, widths[0])
        new.first = turned(new.features(x)[0], features[0]).T @ new.first
    old = learner.features(x)
    for i, (part, k, alpha) in enumerate(zip(parts[2:], widths[1:], alphas[1:], strict=True)):
        if i + 1 < kept:
            new.upper.append(learner.upper[i])
            continue
        level = _upper_level(part / alpha, widths[i], dim, k)
        s = Learner(new.first, [*new.upper, level], new.fit).features(x)[-1]
        if len(old) > i + 1:
            u = turned(s, old[i + 1]).T
            level = Level(u @ level.products, u @ level.inputs)
        new.upper.append(level)
    return new, fit
