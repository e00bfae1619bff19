r"""The exact class-averaged error of kernel ridge regression on the hypercube, in float64.

For $h(t)$, $t=\langle x,z\rangle/d$, every matrix that the error needs is a table of $d+1$ numbers,
looked up by Hamming distance: no test points, no loop over targets, no enumeration of the cube.
With $G=(K+\lambda I)^{-1}$, $K=\sum_S\mu_{|S|}\chi_S\otimes\chi_S$ and a class of second moment C,
$$e(\lambda)=\mathrm{tr}\,C-2\,\mathrm{tr}(GC_\mu)+\mathrm{tr}(GK_2GC_X),$$
where $C_X$, $C_\mu$ and $K_2$ have the weights $c_S$, $\mu_Sc_S$ and $\mu_S^2$ on $\chi_S$ at the
samples: $E\langle\hat f,f\rangle=\mathrm{tr}(GC_\mu)$,
$E\lVert\hat f\rVert^2=\mathrm{tr}(GK_2GC_X)$.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from hierlearn.cube.target import MAX_TABLE, ParityClass, krawtchouk
from hierlearn.engine import memory
from hierlearn.engine.doors import at_least, check_indices, checked
from hierlearn.engine.kernels import DotProduct

ROUNDING = 1e-13
"""Relative size up to which a negative eigenvalue is rounding and counts as zero."""
N_MATRICES = 7
"""N x N matrices of float64 that are alive at once; `required_bytes` counts them."""


class NotPositiveError(ValueError):
    """A kernel with a negative eigenvalue, which is none."""


@checked
def mercer_eigenvalues(values: Float64[Tensor, "distance"]) -> Float[Tensor, "degree"]:
    r"""Compute $\mu_j=2^{-d}\binom dj^{-1}\sum_i\binom dih(t_i)\kappa_j(i)$ from all $h(t_i)$."""
    if not len(values):
        raise ValueError("give the values at distances 0..d, at least one; got none")
    dim = len(values) - 1
    rows = [
        [math.comb(dim, i) / 2**dim * (kappa / math.comb(dim, j)) for i, kappa in enumerate(row)]
        for j, row in enumerate(krawtchouk(dim))
    ]
    return torch.tensor(rows, dtype=torch.float64) @ values


@checked
@dataclass(frozen=True)
class CubeKernel:
    r"""A kernel of the inner product on $\{\pm1\}^d$.

    Attributes:
        dim: $d$.
        values: $h(t_i)$ at Hamming distance i, 0..d.
        eigenvalues: $\mu_j$ of every parity of degree j, 0..d, not negative.
    """

    dim: int
    values: Float[Tensor, "distance"]
    eigenvalues: Float[Tensor, "degree"]

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.eigenvalues) == self.dim + 1:
            raise ValueError(
                f"values and eigenvalues must be dim + 1 = {self.dim + 1} each; got "
                f"{len(self.values)} and {len(self.eigenvalues)}"
            )
        if self.dim > MAX_TABLE:
            raise ValueError(f"tables in float64 need dim <= {MAX_TABLE}; got {self.dim}")

    @classmethod
    @checked
    def of(cls, kernel: DotProduct, dim: int) -> "CubeKernel":
        """Tabulate `kernel`, a function of $t$, on the hypercube; errors as `from_values`."""
        at_least(1, dim=dim)
        if dim > MAX_TABLE:
            raise ValueError(f"tables in float64 need dim <= {MAX_TABLE}; got {dim}")
        distances = torch.arange(dim + 1, dtype=torch.float64)
        return cls.from_values(kernel(1 - 2 * distances / dim))

    @classmethod
    @checked
    def from_values(cls, values: Float[Tensor, "distance"]) -> "CubeKernel":
        """Take the kernel's values at Hamming distances 0..d.

        Raises:
            NotPositiveError: when an eigenvalue is negative; the message names it and its degree.
            ValueError: when the values are not float64, not finite, or all zero.
        """
        if values.dtype != torch.float64:
            raise ValueError(
                f"certificates need float64, got {values.dtype}: in float32 rounding alone makes "
                "eigenvalues negative; convert the kernel's values"
            )
        if not bool(torch.isfinite(values).all()) or not bool(values.any()):
            raise ValueError(
                f"the kernel must be finite and not zero; its values at distances 0..d are "
                f"{values.tolist()}"
            )
        mu = mercer_eigenvalues(values)
        worst = int(mu.argmin())
        if mu[worst] < -ROUNDING * values.abs().max():
            raise NotPositiveError(
                f"h(t) is not positive semi-definite on the hypercube of dimension "
                f"{len(values) - 1}: the eigenvalue of parities of degree {worst} is "
                f"{float(mu[worst]):.6g}. A kernel needs all of them to be at least 0."
            )
        return cls(len(values) - 1, values, mu.clamp(min=0))

    def square_table(self) -> Float[Tensor, "distance"]:
        r"""Tabulate $K_2(x,z)=E_u[K(x,u)K(u,z)]=\sum_j\mu_j^2\kappa_j$ over the distance."""
        table = torch.tensor(krawtchouk(self.dim), dtype=torch.float64)
        return self.eigenvalues.square() @ table


@checked
def harmonic(target: ParityClass) -> CubeKernel:
    r"""Return the class's own kernel $\sum_l\alpha_l^2\kappa_{k_l}/\binom d{k_l}$."""
    return CubeKernel.from_values(target.covariance_table())


@checked
def required_bytes(n_samples: int) -> int:
    """Return the bytes that the error of `n_samples` points takes at its peak."""
    at_least(0, n_samples=n_samples)
    return N_MATRICES * 8 * n_samples**2


@checked
def class_average_errors(
    kernel: CubeKernel,
    target: ParityClass,
    distances: Int[Tensor, "n n"],
    *,
    ridges: Sequence[float],
) -> Float[Tensor, "ridge"]:
    r"""Compute the class-averaged squared error for every ridge, by one eigendecomposition.

    With $K=U\Lambda U^\top$, $A=U^\top C_XU$, $B=U^\top K_2U$ and $w=1/(\Lambda+\lambda)$ it is
    $\mathrm{tr}\,C-2\sum_i(U^\top C_\mu U)_{ii}w_i+\sum_{ij}A_{ij}B_{ij}w_iw_j$: a further ridge
    costs $O(N^2)$.

    Args:
        kernel: of dimension d.
        target: the class; its error is absolute, `target.energy` for the zero predictor.
        distances: Hamming distances of the N samples, or a leading block of a larger matrix.
        ridges: $\lambda>0$, added to the diagonal as it is.

    Raises:
        TooLargeError: when `required_bytes` are not available; nothing is allocated then.
        ValueError: for a ridge that is not positive, or dimensions that differ.
    """
    gram, square, covariance, aligned = _tables(kernel, target, distances, ridges)
    spectrum, basis = torch.linalg.eigh(gram[distances])
    rotated = basis.T @ (square[distances] @ basis)
    a = basis.T @ (covariance[distances] @ basis)
    if len(target.degrees) == 1:
        diagonal = float(kernel.eigenvalues[target.degrees[0]]) * a.diagonal()
    else:
        diagonal = ((aligned[distances] @ basis) * basis).sum(0)
    shifts = torch.tensor(ridges, dtype=a.dtype, device=a.device)[:, None]
    weights = 1 / (spectrum.clamp(min=0) + shifts)
    errors = target.energy - 2 * weights @ diagonal
    return errors + ((weights @ a.mul_(rotated)) * weights).sum(1)


@checked
def class_average_error(
    kernel: CubeKernel, target: ParityClass, distances: Int[Tensor, "n n"], *, ridge: float
) -> float:
    """Compute the class-averaged squared error of one ridge, by one Cholesky factorization.

    Arguments and errors as `class_average_errors`; cheaper for a single ridge. Where the
    factorization breaks down, K + ridge being singular to working precision, it is not a number.
    """
    gram, square, covariance, aligned = _tables(kernel, target, distances, [ridge])
    regularized = gram[distances]
    regularized.diagonal().add_(ridge)
    factor, failed = torch.linalg.cholesky_ex(regularized)
    if failed:
        return math.nan
    inverse = torch.cholesky_inverse(factor)
    error = target.energy - 2 * (inverse * aligned[distances]).sum()
    left = inverse @ covariance[distances]
    right = square[distances] @ inverse
    return float(error + (left * right).sum())


def _tables(
    kernel: CubeKernel, target: ParityClass, distances: Tensor, ridges: Sequence[float]
) -> tuple[Tensor, ...]:
    r"""Check the arguments, and tabulate the kernels K, $K_2$, $C$ and $C_\mu$."""
    check_indices(kernel.dim + 1, distances=distances)
    if kernel.dim != target.dim:
        raise ValueError(f"the kernel has dimension {kernel.dim}, the class {target.dim}")
    if not ridges or any(not ridge > 0 for ridge in ridges):
        raise ValueError(f"ridges must be positive; got {list(ridges)}")
    n = len(distances)
    memory.require(required_bytes(n), distances.device, f"the exact error of {n} samples")
    tables = (
        kernel.values,
        kernel.square_table(),
        target.covariance_table(),
        target.covariance_table(kernel.eigenvalues.tolist()),
    )
    return tuple(table.to(distances.device) for table in tables)
