r"""Kernels applied one after the other: each stage a ridge regression on features of the last.

Every stage fits y by a quadratic polynomial of its inputs (the degree-2 polynomial kernel, with its
monomials written out). What the next stage is given besides x is either the stage's *predictions*
or the leading *eigen-features* of its quadratic form, multiplied pairwise. The paper mentions
sequential kernels without fixing a form; both are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.kernels import ridge_weights

RIDGES = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2)


@checked
@dataclass(frozen=True)
class Sample:
    """Inputs with their labels: of the training, the validation and the test set in turn."""

    x: tuple[Float[Tensor, "_ dim"], Float[Tensor, "_ dim"], Float[Tensor, "_ dim"]]
    y: tuple[Float[Tensor, "_"], Float[Tensor, "_"], Float[Tensor, "_"]]

    def __post_init__(self) -> None:
        _check_lengths(self.x, self.y)


def _check_lengths(x: Sequence[Tensor], y: Sequence[Tensor]) -> None:
    if list(map(len, x)) != list(map(len, y)):
        raise ValueError(
            "each of the three sets must have as many labels as inputs; got "
            f"{list(map(len, y))} labels and {list(map(len, x))} inputs"
        )


@checked
def monomials(x: Float[Tensor, "n dim"]) -> Float[Tensor, "n features"]:
    r"""Compute $x_i$, then $x_ix_j$ for $i\le j$."""
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([x, x[:, i] * x[:, j]], 1)


@checked
@dataclass(frozen=True)
class Stage:
    """A fitted stage: what it predicts on the three sets, and its weights on raw monomials."""

    predictions: tuple[Float[Tensor, "_"], Float[Tensor, "_"], Float[Tensor, "_"]]
    weights: Float[Tensor, "monomial"]


@checked
def fit_quadratic(
    inputs: tuple[Float[Tensor, "_ i"], Float[Tensor, "_ i"], Float[Tensor, "_ i"]],
    sample: Sample,
    ridges: Sequence[float] = RIDGES,
) -> Stage:
    r"""Fit y by ridge regression on the standardized monomials of degree at most 2 of `inputs`.

    The ridge, a multiple of the mean eigenvalue of the Gram matrix, is the one with the smallest
    validation error.
    """
    _check_lengths(inputs, sample.y)
    features = [monomials(part) for part in inputs]
    center, scale = features[0].mean(0), features[0].std(0).clamp(min=1e-12)
    standard = [(part - center) / scale for part in features]
    train, offset = standard[0], sample.y[0].mean()
    residual = sample.y[0] - offset
    primal = train.shape[1] <= len(train)
    gram = train.T @ train if primal else train @ train.T
    right = train.T @ residual if primal else residual
    best: tuple[float, Tensor] | None = None
    for solution in ridge_weights(gram, right[:, None], ridges=ridges):
        if solution.isnan().any():
            continue
        weights = solution[:, 0] if primal else train.T @ solution[:, 0]
        error = float((standard[1] @ weights + offset - sample.y[1]).var())
        if best is None or error < best[0]:
            best = error, weights
    if best is None:
        raise ValueError(f"no ridge of {list(ridges)} gives a regular system; add a larger one")
    train_fit, validation, test = (part @ best[1] + offset for part in standard)
    return Stage((train_fit, validation, test), best[1] / scale)


@checked
def sequential_predictions(sample: Sample, *, n_stages: int) -> list[Stage]:
    """Fit stages on x and the predictions of all earlier ones; return them in order."""
    at_least(1, n_stages=n_stages)
    stages: list[Stage] = []
    inputs = sample.x
    for _ in range(n_stages):
        stages.append(fit_quadratic(inputs, sample))
        columns = [p / stages[-1].predictions[0].std() for p in stages[-1].predictions]
        inputs = _beside(inputs, [column[:, None] for column in columns])
    return stages


@checked
def sequential_eigenfeatures(sample: Sample, *, widths: Sequence[int]) -> list[Stage]:
    r"""Fit stages on x and the products of the leading eigen-features of the one before.

    The quadratic form Q of a stage, $\hat y=u^\top Qu+\dots$ of its inputs u, has eigenvectors; the
    `widths[i]` with the largest $|\lambda|$ give features $S$, and the next stage sees
    $[x,S_iS_j]$, standardized. There is one stage more than there are widths.
    """
    stages: list[Stage] = []
    inputs = sample.x
    if any(width < 1 for width in widths):
        raise ValueError(f"widths must be at least 1; got {list(widths)}")
    for width in [*widths, 0]:
        stages.append(fit_quadratic(inputs, sample))
        if width:
            features = _eigenfeatures(stages[-1].weights, inputs, width)
            i, j = torch.triu_indices(width, width)
            products = [part[:, i] * part[:, j] for part in features]
            center, scale = products[0].mean(0), products[0].std(0)
            inputs = _beside(sample.x, [(part - center) / scale for part in products])
    return stages


def _eigenfeatures(
    weights: Tensor, inputs: tuple[Tensor, Tensor, Tensor], width: int
) -> list[Tensor]:
    dim = inputs[0].shape[1]
    if width > dim:
        raise ValueError(f"a width must be at most {dim}, the stage's inputs; got {width}")
    i, j = torch.triu_indices(dim, dim)
    form = torch.zeros(dim, dim, dtype=weights.dtype, device=weights.device)
    form[i, j] = weights[dim:] / 2
    form = form + form.T
    values, vectors = torch.linalg.eigh(form)
    leading = values.abs().argsort(descending=True)[:width]
    return [part @ vectors[:, leading] for part in inputs]


def _beside(
    left: tuple[Tensor, Tensor, Tensor], right: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    first, second, third = (torch.cat(pair, 1) for pair in zip(left, right, strict=True))
    return first, second, third
