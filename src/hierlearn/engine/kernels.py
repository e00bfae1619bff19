"""Kernel ridge regression with kernels of the inner product."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked


@checked
def polynomial_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, degree: int
) -> Float[Tensor, "n m"]:
    r"""Compute $(1+\langle x,z\rangle/d)^{\mathrm{degree}}$: all polynomials up to that degree."""
    at_least(0, degree=degree)
    return (1 + x @ z.T / x.shape[1]) ** degree


@checked
def ridge_predictions(
    gram: Float[Tensor, "n n"],
    cross: Float[Tensor, "m n"],
    targets: Float[Tensor, "n"],
    *,
    ridges: Sequence[float],
) -> Float[Tensor, "ridge m"]:
    r"""Compute kernel ridge predictions $k(x)^\top(K+\lambda\bar K I)^{-1}y$ for every $\lambda$.

    $\bar K$ is the mean diagonal entry of K. A ridge at which the factorization breaks down, the
    matrix being singular to working precision, predicts not-a-number.

    Raises:
        ValueError: for a ridge that is not positive.
    """
    if not ridges or any(ridge <= 0 for ridge in ridges):
        raise ValueError(f"ridges must be positive; got {list(ridges)}")
    scale = gram.diagonal().mean()
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    predictions = []
    for ridge in ridges:
        factor, failed = torch.linalg.cholesky_ex(gram + ridge * scale * identity)
        weights = torch.cholesky_solve(targets[:, None], factor)
        predictions.append(
            cross @ weights[:, 0] if not failed else torch.full_like(cross[:, 0], torch.nan)
        )
    return torch.stack(predictions)
