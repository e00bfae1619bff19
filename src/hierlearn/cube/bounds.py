r"""Lower bounds as functions, each with the theorem it comes from.

Equation numbers (2.1) and (2.2) are those of chapter 2 of the book, where both are proved.
"""

import math
from collections.abc import Sequence

from hierlearn.engine.doors import at_least, checked


@checked
def water_filling(
    n_samples: int, eigenvalues: Sequence[float], multiplicities: Sequence[int]
) -> float:
    r"""Compute $\sum_{i>N}\lambda_i$, equation (2.2): the floor for any prior over targets.

    $\lambda_1\ge\lambda_2\ge\dots$ are the eigenvalues of $C=E_f[f\otimes f]$. A space of N
    dimensions covers at most the N largest (Ky Fan). For M orthonormal targets, $\lambda_i=1/M$,
    it is $1-N/M$, equation (2.1): Hsu et al. (COLT 2021), Theorem 11, state it for the span of N
    random functions; as $N\ge(1-\mathrm{MSE})M$ it is Theorem 19 of Kamath et al. (COLT 2020) at
    $\lambda=1$, $\mathrm{MSE}=2\epsilon$.

    Args:
        n_samples: N; use N + 1 with an unpenalized intercept, qN when one of q kernels is chosen
            for each target.
        eigenvalues: the distinct $\lambda$, in any order.
        multiplicities: how often each occurs.

    Raises:
        ValueError: for a negative count or eigenvalue, or sequences of different lengths.
    """
    at_least(0, n_samples=n_samples)
    left, total = n_samples, 0.0
    for value, count in _sorted(eigenvalues, multiplicities):
        dropped = min(left, count)
        left -= dropped
        total += (count - dropped) * value
    return total


@checked
def samples_required(
    error: float, eigenvalues: Sequence[float], multiplicities: Sequence[int]
) -> float:
    r"""Invert `water_filling`: the N, interpolated, at which $\sum_{i>N}\lambda_i$ is `error`.

    Below that many samples no kernel method has a mean squared error of `error`. For M orthonormal
    targets this is $(1-\mathrm{error})M$.

    Raises:
        ValueError: as `water_filling`, and for an `error` outside 0..$\sum_i\lambda_i$.
    """
    spectrum = _sorted(eigenvalues, multiplicities)
    missing = sum(value * count for value, count in spectrum) - error
    if error < 0 or missing < 0:
        raise ValueError(
            f"error must lie between 0 and the sum of all eigenvalues, {missing + error:g}; "
            f"got {error:g}"
        )
    needed = 0.0
    for value, count in spectrum:
        if value * count >= missing:
            return needed + (missing / value if value else 0.0)
        missing -= value * count
        needed += count
    return needed


def _sorted(eigenvalues: Sequence[float], multiplicities: Sequence[int]) -> list[tuple[float, int]]:
    if len(eigenvalues) != len(multiplicities):
        raise ValueError(
            f"give one multiplicity an eigenvalue; got {len(eigenvalues)} eigenvalues "
            f"and {len(multiplicities)} multiplicities"
        )
    if not all(math.isfinite(value) for value in eigenvalues):
        raise ValueError(f"eigenvalues must be finite; got {list(eigenvalues)}")
    if min([*eigenvalues, *multiplicities, 0]) < 0:
        raise ValueError(
            "eigenvalues and multiplicities must not be negative; "
            f"got {list(eigenvalues)} and {list(multiplicities)}"
        )
    if any(count > 10**300 for count in multiplicities):
        raise ValueError(
            "multiplicities must be at most 1e300, for their products with eigenvalues to be "
            f"numbers; got one of {max(multiplicities).bit_length()} bits"
        )
    return sorted(zip(eigenvalues, multiplicities, strict=True), reverse=True)
