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
from hierlearn.quadratic.simpler.two_layer import integer_power

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
    others = torch.cat(sample.x[1:])
    sizes = [len(part) for part in sample.x[1:]]
    for _ in range(n_updates + 1):
        inner = train @ metric @ train.T
        found = ridge_weights(integer_power(1 + inner, degree), targets[:, None], ridges=ridges)
        weights = torch.cat(list(found), 1)
        weights = weights[:, ~weights.isnan().any(0)]
        if not weights.shape[1]:
            raise ValueError(f"no ridge of {list(ridges)} gives a regular system; add a larger one")
        fits = (integer_power(1 + others @ metric @ train.T, degree) @ weights).T.split(sizes, 1)
        validation, test = (
            unexplained(f, y.expand_as(f)) for f, y in zip(fits, sample.y[1:], strict=True)
        )
        best = int(validation.argmin())
        rounds.append(Iterate(metric, float(validation[best]), float(test[best])))
        metric = gradient_outer_product(inner, train, metric, weights[:, best], degree)
        metric = metric / metric.trace()
    return rounds


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
    slopes = degree * integer_power(1 + inner, degree - 1) * weights
    gradients = slopes @ train @ metric
    return gradients.T @ gradients / len(train)
