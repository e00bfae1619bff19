r"""Training of one-hidden-layer networks: Adam on fresh batches, and full-batch gradient descent.

The second is the algorithm of Safran & Lee (2022, Thm. 8): the hidden layer is frozen, so that its
features are computed once and a step is two matrix products with them.
"""

import math
from collections.abc import Callable, Collection, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.ball.networks import TrainedNetworks
from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.capture import captured
from hierlearn.engine.doors import at_least, checked, plain, positive

BETAS = (0.9, 0.999)
POWER_ITERATIONS = 15
RIDGES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
_CHUNK = 2048


@checked
def adam(
    net: TrainedNetworks,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    n_steps: int,
    rate: float,
    low: Float[Tensor, "run 1"],
    high: Float[Tensor, "run 1"],
    at: Collection[int] = (),
    observe: Callable[[int], None] = lambda step: None,
) -> None:
    """Train by Adam on `batches`, the inputs and labels of one step after another.

    The rate rises over the first twentieth of the steps, so that the first ones do not push all
    outputs out of a clip, and drops tenfold at 0.7 and again at 0.9 of the way.
    `observe` is called before the steps in `at`, and at the end if `n_steps` is among them.

    Raises:
        ValueError: unless `low` and `high` fit the runs, and every batch of labels its inputs.
    """
    at_least(1, n_steps=n_steps)
    positive(rate=rate)
    net = plain(net)
    optimizer = Adam(net.theta, net.grad, BETAS)

    def update(size: Tensor, x: Tensor, labels: Tensor) -> None:
        net.step_gradient(x, labels, low=low, high=high)
        optimizer.step(size)

    run = captured(update, net.theta.device)
    rates = torch.tensor([rate * _factor(step, n_steps) for step in range(n_steps)])
    sizes = step_sizes(rates, BETAS).to(net.theta)
    seen: tuple[torch.Size, ...] = ()
    for step, (size, batch) in enumerate(zip(sizes, batches, strict=True)):
        if step in at:
            observe(step)
        if (shapes := tuple(one.shape for one in batch)) != seen:
            _check_batch(net, shapes, step)
            seen = shapes
        run(size, *batch)
    if n_steps in at:
        observe(n_steps)


def _check_batch(net: TrainedNetworks, shapes: tuple[torch.Size, ...], step: int) -> None:
    size = shapes[-1][-1] if shapes[-1] else 0
    if shapes != ((net.n_seeds, size, net.dim + 1), (net.n_runs, size)):
        raise ValueError(
            "a batch must be inputs [seed, batch, dim + 1] and labels [run, batch] with "
            f"seed = {net.n_seeds}, dim = {net.dim}, run = {net.n_runs}; got shapes "
            f"{[list(shape) for shape in shapes]} at step {step}"
        )


def _factor(step: int, n_steps: int) -> float:
    """Return the factor on the rate: it rises, and drops tenfold twice."""
    drop = 1.0 if step < 0.7 * n_steps else 0.1 if step < 0.9 * n_steps else 0.01
    return min(drop, (step + 1) / (0.05 * n_steps))


@checked
def smoothness(features: Float[Tensor, "n width"]) -> float:
    r"""Estimate $\hat L=2\lambda_{\max}(\tilde X^\top\tilde X/n)$ by power iteration.

    It is the smoothness of the squared loss without clipping, and bounds it with. The iteration
    starts at the sum of the features, and sees no direction at right angles to it.

    Raises:
        ValueError: for features whose sum is zero up to rounding, centered ones above all.
    """
    if not features.sum(0).norm() > 1e-5 * math.sqrt(len(features)) * features.norm():
        raise ValueError(
            "features must be finite and their sum over the points not zero, which is where the "
            f"power iteration starts; got one of norm {float(features.sum(0).norm()):g} for "
            f"{len(features)} points: do not center them"
        )
    vector = features.sum(0)
    size = vector.norm()
    for _ in range(POWER_ITERATIONS):
        vector = (features @ (vector / size)) @ features
        size = vector.norm()
    return 2 * float(size) / len(features)


@checked
def descend(
    features: Float[Tensor, "n width"],
    labels: Float[Tensor, "arm n"],
    start: Float[Tensor, "width"] | Float[Tensor, "arm width"],
    *,
    n_steps: int,
    rate: float,
    momentum: float,
    low: Float[Tensor, "arm 1"],
    high: Float[Tensor, "arm 1"],
    at: Collection[int] = (),
    observe: Callable[[int, Tensor], None] = lambda step, weights: None,
) -> Float[Tensor, "arm width"]:
    r"""Minimize $\hat F(w)=\frac1n\sum_i([w^\top\tilde x_i]_{low}^{high}-y_i)^2$ (Eq. 6).

    Full-batch gradient descent, an arm for each row of labels. The step is `rate`
    over `smoothness(features)`.

    Args:
        features: hidden features $\tilde x_i$.
        labels: $y_i$.
        start: $w_0$, one for all arms or one an arm.
        n_steps: T.
        rate: step size in units of $1/\hat L$.
        momentum: 0 is plain gradient descent; else Nesterov's, at step t the smaller of this and
            $t/(t+3)$, so that the first steps do not overshoot the clip, where gradients vanish.
        low: lower end of the clip, one an arm.
        high: its upper end.
        at: steps before which `observe` is called; `n_steps` means the end.
        observe: called with the step and the weights.
    """
    at_least(0, n_steps=n_steps)
    positive(rate=rate)
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum must lie in [0, 1]; got {momentum}")
    if not (low <= high).all():
        raise ValueError(
            f"low must be at most high, and both numbers; got {low[:5, 0].tolist()} and "
            f"{high[:5, 0].tolist()}"
        )
    scale = rate / smoothness(features)
    weights = start.expand(len(labels), -1).clone()
    before = weights.clone()
    for step in range(n_steps):
        if step in at:
            observe(step, weights)
        ahead = torch.lerp(before, weights, 1 + min(momentum, step / (step + 3)))
        raw = ahead @ features.T
        slope = (raw - labels).mul_((raw > low) & (raw < high))
        before = weights
        weights = ahead.addmm_(slope, features, alpha=-2 * scale / features.shape[0])
    if n_steps in at:
        observe(n_steps, weights)
    return weights


@checked
def best_ridge_error(
    features: Float[Tensor, "n width"],
    labels: Float[Tensor, "arm n"],
    test_features: Float[Tensor, "m width"],
    test_labels: Float[Tensor, "arm m"],
) -> Float[Tensor, "arm"]:
    """Compute the smallest test error over `RIDGES` of a linear output on the same features.

    The output has a constant; choosing the ridge on the test points favors it. In float64.
    """
    width = features.shape[1]
    gram = torch.zeros(width + 1, width + 1, dtype=torch.float64, device=features.device)
    cross = torch.zeros(len(labels), width + 1, dtype=torch.float64, device=features.device)
    for rows, ys in zip(features.split(_CHUNK), labels.split(_CHUNK, 1), strict=True):
        block = torch.nn.functional.pad(rows.double(), (0, 1), value=1.0)
        gram.addmm_(block.T, block)
        cross.addmm_(ys.double(), block)
    gram /= len(features)
    cross /= len(features)
    errors = []
    for ridge in RIDGES:
        shifted = gram + ridge * torch.eye(width + 1, dtype=gram.dtype, device=gram.device)
        factor, failed = torch.linalg.cholesky_ex(shifted)
        solved = torch.cholesky_solve(cross.T, factor).T.to(features)
        guess = solved[:, :-1] @ test_features.T + solved[:, -1:]
        error = (guess - test_labels).double().square().mean(1)
        errors.append(torch.full_like(error, torch.inf) if int(failed) else error)
    return torch.stack(errors).min(0).values
