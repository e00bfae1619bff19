r"""The same exact error for any kernel on the hypercube, by a fast Walsh-Hadamard transform.

A kernel that is no function of the inner product has no table. But the cube is finite: the
coefficients $\hat K_i(S)=E_x[K(x_i,x)\chi_S(x)]$ of every representer are one transform of
$d2^d$ additions, and the error follows from those in the class.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.cube.exact_error import ROUNDING, NotPositiveError
from hierlearn.cube.target import ParityClass, all_points
from hierlearn.engine import memory
from hierlearn.engine.doors import checked

MAX_DIM = 16
CHUNK = 4096

Kernel = Callable[[Tensor, Tensor], Tensor]


@checked
def walsh_hadamard(values: Float[Tensor, "n cube"]) -> Float[Tensor, "n cube"]:
    r"""Compute $\sum_x v(x)\chi_S(x)$ for all S, rows being functions listed as `all_points` does.

    Set S is the column whose binary digits are the indicator of S.
    """
    n_rows, size = values.shape
    if size & (size - 1) or not size:
        raise ValueError(f"the number of columns must be a power of two; got {size}")
    half = 1
    while half < size:
        pairs = values.reshape(n_rows, -1, 2, half)
        values = torch.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], 2)
        half *= 2
    return values.reshape(n_rows, size)


@checked
def any_kernel_errors(
    kernel: Kernel, target: ParityClass, x: Float[Tensor, "n dim"], *, ridges: Sequence[float]
) -> Float[Tensor, "ridge"]:
    r"""Compute the class-averaged squared error of ridge regression with the kernel K, exactly.

    Args:
        kernel: maps points `[n, dim]` and `[m, dim]` in float64 to $K$, `[n, m]`, in float64.
        target: the class, of dimension at most 16.
        x: the samples, float64, on the same hypercube.
        ridges: $\lambda>0$, added to the diagonal as it is.

    Raises:
        NotPositiveError: when the matrix of K at the samples has a negative eigenvalue, or is not
            symmetric.
        ValueError: for a dimension above 16 or a ridge that is not positive.
        TooLargeError: when the memory is not there; nothing is allocated then.
    """
    n, dim = x.shape
    _check(target, x, ridges)
    gram = kernel(x, x)
    if gram.shape != (n, n) or gram.dtype != x.dtype:
        raise ValueError(
            f"the kernel must return a matrix [n, m] of {x.dtype}; got shape {list(gram.shape)} of "
            f"{gram.dtype} for n = m = {n}"
        )
    spectrum, basis = torch.linalg.eigh(_symmetric(gram))
    scale = gram.diagonal().abs().max()
    if spectrum[0] < -n * ROUNDING * scale:
        raise NotPositiveError(
            f"K is not positive semi-definite at these {n} samples: the matrix has the eigenvalue "
            f"{float(spectrum[0]):.6g}. A kernel needs all of them to be at least 0."
        )
    cube = all_points(dim).to(x.device)
    sizes = (cube < 0).sum(1)
    chosen = torch.cat([(sizes == k).nonzero()[:, 0] for k in target.degrees])
    weights = torch.cat(
        [
            cube.new_full((m,), value)
            for value, m in zip(target.eigenvalues, target.multiplicities, strict=True)
        ]
    )
    coefficients = torch.cat(
        [
            walsh_hadamard(kernel(part, cube))[:, chosen] / len(cube)
            for part in x.split(max(1, CHUNK * 64 // len(cube)))
        ]
    )
    square = torch.zeros_like(gram)
    for part in cube.split(CHUNK):
        block = kernel(x, part)
        square.addmm_(block, block.T, alpha=1 / len(cube))
    labels = _parities(x, cube[chosen])
    scaled = basis.T @ (labels * weights)
    a = scaled @ (labels.T @ basis)
    diagonal = (scaled * (basis.T @ coefficients)).sum(1)
    product = (basis.T @ (square @ basis)) * a
    w = 1 / (spectrum.clamp(min=0) + torch.tensor(ridges, dtype=a.dtype, device=a.device)[:, None])
    return target.energy - 2 * w @ diagonal + ((w @ product) * w).sum(1)


def _parities(
    x: Float[Tensor, "n dim"], indicators: Float[Tensor, "sets dim"]
) -> Float[Tensor, "n sets"]:
    """Compute the parities at `x`; a coordinate belongs to a set where its indicator is -1."""
    negatives = (x < 0).to(x) @ (indicators < 0).to(x).T
    return 1 - 2 * (negatives % 2)


def _symmetric(gram: Tensor) -> Tensor:
    gap = float((gram - gram.T).abs().max())
    if not gap <= ROUNDING * float(gram.abs().max()):
        raise NotPositiveError(
            f"K is not symmetric at these samples: K(x, z) and K(z, x) differ by up to {gap:.3g}"
        )
    return (gram + gram.T) / 2


def _check(target: ParityClass, x: Tensor, ridges: Sequence[float]) -> None:
    n, dim = x.shape
    if dim > MAX_DIM:
        raise ValueError(
            f"the transform visits all 2^d points of the cube and takes d <= {MAX_DIM}; got d = "
            f"{dim}. Larger d needs a kernel of the inner product: CubeKernel.of"
        )
    if dim != target.dim:
        raise ValueError(f"the samples have dimension {dim}, the class {target.dim}")
    if x.dtype != torch.float64:
        raise ValueError(f"certificates need float64; got samples of {x.dtype}")
    if not ridges or any(not ridge > 0 for ridge in ridges):
        raise ValueError(f"ridges must be positive; got {list(ridges)}")
    n_class = sum(target.multiplicities)
    n_numbers = 6 * n * n + 4 * n * n_class + (2**dim) * (dim + 1) + CHUNK * (256 + 2 * n)
    memory.require(8 * n_numbers, x.device, f"the transform of {n} samples in dimension {dim}")
