r"""Recursive feature machine: a polynomial kernel whose metric is learned from its own gradients.

Ridge regression with $K(x,z)=(1+x^\top Mz)^p$, then $M\leftarrow G/\mathrm{tr}\,G$ with the average
gradient outer product $G=\frac1N\sum_i\nabla f(x_i)\nabla f(x_i)^\top$ of its predictor f, and
again: the algorithm of Radhakrishnan, Beaglehole, Pandit & Belkin (2024) with this kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.kernels import ridge_weights
from hierlearn.quadratic.measures import unexplained
from hierlearn.quadratic.simpler.sequential import Sample

RIDGES = (1e-8, 1e-5, 1e-3)


@checked
@dataclass(frozen=True)
class Iterate:
    """One round: the metric used, and the errors of the ridge that did best on validation data."""

    metric: Float[Tensor, "dim dim"]
    validation: float
    test: float


@checked
def feature_machine(
    sample: Sample, *, degree: int, n_updates: int, ridges: Sequence[float] = RIDGES
) -> list[Iterate]:
    """Return the rounds 0 (no update yet) to `n_updates`; the search picks by `validation`."""
    at_least(1, degree=degree)
    at_least(0, n_updates=n_updates)
    train = sample.x[0]
    dim = train.shape[1]
    metric = torch.eye(dim, dtype=train.dtype, device=train.device) / dim
    targets = sample.y[0] - sample.y[0].mean()
    rounds = []
    for _ in range(n_updates + 1):
        inner = train @ metric @ train.T
        gram = (1 + inner) ** degree
        best = None
        for weights in ridge_weights(gram, targets[:, None], ridges=ridges):
            weights = weights[:, 0]
            if weights.isnan().any():
                continue
            validation, test = (
                float(unexplained(_predict(part, train, metric, weights, degree)[None], y[None]))
                for part, y in zip(sample.x[1:], sample.y[1:], strict=True)
            )
            if best is None or validation < best[0].validation:
                best = Iterate(metric, validation, test), weights
        if best is None:
            raise ValueError(f"no ridge of {list(ridges)} gives a regular system; add a larger one")
        rounds.append(best[0])
        metric = gradient_outer_product(inner, train, metric, best[1], degree)
        metric = metric / metric.trace()
    return rounds


def _predict(x: Tensor, train: Tensor, metric: Tensor, weights: Tensor, degree: int) -> Tensor:
    return (1 + x @ metric @ train.T) ** degree @ weights


@checked
def gradient_outer_product(
    inner: Float[Tensor, "n n"],
    train: Float[Tensor, "n dim"],
    metric: Float[Tensor, "dim dim"],
    weights: Float[Tensor, "n"],
    degree: int,
) -> Float[Tensor, "dim dim"]:
    r"""Compute $\frac1N\sum_i\nabla f(x_i)\nabla f(x_i)^\top$, $f=\sum_jw_j(1+x_j^\top Mx)^p$.

    `inner` holds $x_i^\top Mx_j$.
    """
    at_least(1, degree=degree)
    slopes = degree * (1 + inner) ** (degree - 1) * weights
    gradients = slopes @ train @ metric
    return gradients.T @ gradients / len(train)
