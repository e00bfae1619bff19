r"""Sums of products of bits, and layerwise learners of them after Ren et al. (2026), Appendix C.

Their class: products of 2, 4, 8, .. bits, disjoint within a level, each the union of two of the
level below (`cube.target.Hierarchies`); bits are uniform. Biased bits, for which a level is no
longer orthogonal to the products that the level below it is fitted by, are ours.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.cube.target import Hierarchies
from hierlearn.engine.doors import at_least, checked


@checked
def all_points(means: Float[Tensor, "dim"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n"]]:
    r"""List all $x\in\{\pm1\}^d$ with their probabilities, for independent bits of `means`."""
    _check_means(means)
    points = torch.tensor(list(product((-1.0, 1.0), repeat=len(means)))).to(means)
    return points, ((1 + points * means) / 2).prod(1)


@checked
def inner_dirt(means: Float[Tensor, "dim"]) -> float:
    r"""Return $\delta=\lVert\Pi_He\rVert^2$ of $e=\prod_ix_i$ for H spanned by $1,x_i,x_ix_j$.

    With $x_i=b_i+u_i$ and $E u_i^2=v_i=1-b_i^2$, e is the sum over sets S of the orthogonal terms
    $\prod_{i\in S}u_i\prod_{i\notin S}b_i$, and $\Pi_H$ keeps $|S|\le2$: for four bits of one mean
    $b^8+4b^6v+6b^4v^2$. Only two moments enter, so that any product law with them has the same.
    """
    _check_means(means)
    inside = torch.tensor(list(product((False, True), repeat=len(means))))
    terms = torch.where(inside, 1 - means.square(), means.square()).prod(1)
    return float(terms[inside.sum(1) <= 2].sum())


@checked
def after_look_backs(dirt: float, n: int) -> float:
    r"""Return $\delta^{2n+1}(1-\delta)$: what n look-backs leave of an upper level of energy 1.

    Stage 1 fits $\Pi_H(f+e)=f+\Pi_He$, so stage 2 finds $(1-\delta)e$. A look-back refits H to what
    stage 2 leaves, and stage 2 again: the coefficient's error is multiplied by $\delta$, the share
    of e that H takes. At $1-\delta^{n+1}$ what is left is $\delta^n(\delta e-\Pi_He)$.
    """
    at_least(0, n=n)
    return dirt ** (2 * n + 1) * (1 - dirt)


def _check_means(means: Tensor) -> None:
    if not bool((means.abs() <= 1).all()):
        raise ValueError(f"means of bits must lie in [-1, 1]; got {means.tolist()}")


@checked
def draw_target(seed: int, *, dim: int, amplitudes: Sequence[float]) -> Hierarchies:
    """Draw a target on all bits; `amplitudes` are those of single products, level by level."""
    scaled = [a * math.sqrt(dim // 2**level) for level, a in enumerate(amplitudes, start=1)]
    return Hierarchies.draw([seed], dim=dim, amplitudes=scaled)


@checked
def supports(order: Sequence[int]) -> list[set[frozenset[int]]]:
    """Return the sets of coordinates that each level multiplies: neighbors in `order`."""
    if sorted(order) != list(range(len(order))):
        raise ValueError(f"order must hold each of 0..{len(order) - 1} once; got {list(order)}")
    sizes = [2**k for k in range(1, len(order).bit_length())]
    return [{frozenset(order[i : i + k]) for i in range(0, len(order), k)} for k in sizes]


@checked
def solve(
    columns: Float[Tensor, "n column"], y: Float[Tensor, "n"], weights: Float[Tensor, "n"]
) -> Float[Tensor, "column"]:
    """Return the least coefficients of weighted least squares."""
    if not bool((weights >= 0).all()):
        raise ValueError(f"weights must not be negative; the least is {float(weights.min())}")
    root = weights.sqrt()
    rows, values = columns * root[:, None], (y * root)[:, None]
    return torch.linalg.lstsq(rows, values, driver="gelsd").solution[:, 0]


@checked
def pair_products(x: Float[Tensor, "n feature"]) -> Float[Tensor, "n pair"]:
    """Multiply every two features, in the order of `combinations`."""
    i, j = torch.combinations(torch.arange(x.shape[1])).T
    return x[:, i] * x[:, j]


@checked
def up_to_pairs(x: Float[Tensor, "n feature"]) -> Float[Tensor, "n column"]:
    """Return one, the features, and products of two of them."""
    return torch.cat([torch.ones_like(x[:, :1]), x, pair_products(x)], 1)


@checked
def learn_by_layers(
    x: Float[Tensor, "n dim"], y: Float[Tensor, "n"], widths: Sequence[int]
) -> list[set[frozenset[int]]]:
    """Learn by Appendix C's learner; returns the products that each stage kept.

    A stage fits what those before it left by products of two features of the last one, by least
    squares. The products with the largest coefficients, `widths` of them, are its features.
    """
    found, known, rest = [], [frozenset([i]) for i in range(x.shape[1])], y
    for width in widths:
        columns = pair_products(x)
        if not 0 < width <= columns.shape[1]:
            raise ValueError(
                f"widths must lie in 1..{columns.shape[1]}, the products that a stage has; "
                f"got {list(widths)}"
            )
        fitted = solve(columns, rest, torch.ones_like(y))
        rest, kept = rest - columns @ fitted, fitted.abs().topk(width).indices
        pairs = list(combinations(known, 2))
        known, x = [pairs[k][0] ^ pairs[k][1] for k in kept.tolist()], columns[:, kept]
        found.append(set(known))
    return found


@checked
def alternate(
    lower: Float[Tensor, "n column"],
    upper: Float[Tensor, "n product"],
    y: Float[Tensor, "n"],
    weights: Float[Tensor, "n"],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fit the lower class, freeze its output, fit the upper class to what is left; then look back.

    Yields the coefficients of both after 0, 1, 2, .. look-backs, each of which refits the lower
    class to what the upper one leaves, and the upper one again.
    """
    rest = y
    while True:
        low = solve(lower, rest, weights)
        high = solve(upper, y - lower @ low, weights)
        yield low, high
        rest = y - upper @ high
