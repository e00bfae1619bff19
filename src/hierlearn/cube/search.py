r"""The trivial learner of sparse polynomials: search all monomials of one degree.

A sum of s of the $M=\binom dk$ parities is a sparse vector in a known orthonormal dictionary.
Orthogonal matching pursuit adds, one after the other, the parity that is most correlated with the
residual, and refits (Tropp & Gilbert 2007). It knows no hierarchy and has no kernel; for s = 1 it
is the search for the one parity that fits, and of N samples $(M-1)2^{1-N}$ wrong ones are expected
to fit too, up to sign.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.cube.target import draw_coefficients, draw_points, monomials
from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group

LEVEL = 0.1
RESOLUTION = 0.02
"""The search for N ends at this relative width."""


@dataclass(frozen=True)
class SearchConfig(Config):
    r"""The samples that the search needs for relative error 0.1 on a sum of random parities.

    Attributes:
        dim: $d$.
        degree: $k$.
        n_terms: s; None: all $\binom dk$ parities.
    """

    dim: int
    degree: int
    n_terms: int | None = None

    @property
    def n_targets(self) -> int:
        r"""The number of parities, $M=\binom dk$."""
        return math.comb(self.dim, self.degree)

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` take."""
        terms = self.n_terms or self.n_targets
        return n_runs * (0.01 + 2e-9 * terms * self.n_targets * min(self.n_targets, 20 * terms))


@checked
def samples_to_search(n_targets: int) -> float:
    r"""Return $1+\log_2(M-1)$: the N at which one wrong parity is expected to fit as well."""
    at_least(2, n_targets=n_targets)
    return 1 + math.log2(n_targets - 1)


@checked
def matching_pursuit(
    dictionary: Float[Tensor, "n sets"], y: Float[Tensor, "n"], *, n_terms: int
) -> Float[Tensor, "sets"]:
    """Fit `y` by at most twice `n_terms` columns; the coefficients, zero for those not chosen."""
    at_least(1, n_terms=n_terms)
    basis = dictionary.new_zeros(min(2 * n_terms, len(y)), len(y))
    chosen: list[int] = []
    residual = y.clone()
    for row in basis:
        correlation = (residual @ dictionary).abs_()
        correlation[chosen] = -1
        column = dictionary[:, int(correlation.argmax())].clone()
        for _ in range(2):  # once more, against rounding
            column -= basis.T @ (basis @ column)
        if column.norm() < 1e-3:
            break
        chosen.append(int(correlation.argmax()))
        row.copy_(column / column.norm())
        residual = residual - row * (row @ residual)
        if residual.norm() < 1e-4 * y.norm():
            break
    found = dictionary.new_zeros(dictionary.shape[1])
    columns = dictionary[:, chosen]
    # gelsy, the default of the CPU, does not repeat itself to the bit; CUDA has gels alone.
    driver = "gels" if columns.is_cuda else "gelsd"
    found[chosen] = torch.linalg.lstsq(columns, y[:, None], driver=driver).solution[:, 0]
    return found


def measure_search(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Bisect for the samples that the search needs; one measurement a run, in order.

    A measurement holds `n_samples`, at which the relative error (exact: the parities are
    orthonormal) is at most 0.1, and None where 2 M samples do not suffice.
    """
    results = []
    for run in work.runs:
        config = SearchConfig(**run.config)
        m = config.n_targets
        terms = config.n_terms or m
        low, high = 1, min(2 * m, 40 + round(1.5 * terms * math.log2(m)))
        points = draw_points(high, config.dim, stream("pool", run.seed)).to(device)
        dictionary = monomials(points, degree=config.degree)
        truth = draw_coefficients(m, terms, run.seed).to(device)
        y = dictionary @ truth

        def reached(
            n: int, part: Tensor = dictionary, y: Tensor = y, truth: Tensor = truth, s: int = terms
        ) -> bool:
            error = (matching_pursuit(part[:n], y[:n], n_terms=s) - truth).square().sum()
            return float(error) <= LEVEL

        found: int | None = high if reached(high) else None
        while found and high - low > max(1, RESOLUTION * low):
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
            found = high
        results.append({"n_samples": found})
    return results
