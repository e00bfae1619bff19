r"""What no two-layer network of $r$ units goes below on Gaussian inputs: a certificate of rank.

For $x\sim N(0,I_d)$ every square-integrable $f$ is $\sum_q\langle T_q,H_q(x)\rangle$ with symmetric
tensors $T_q=E[\nabla^qf]/q!$ and the Hermite tensors, $\langle u^{\otimes q},H_q(x)\rangle=
\mathrm{He}_q(\langle u,x\rangle)$ for unit vectors $u$; and $E\langle T,H_q\rangle^2=q!\,|T|^2$.
A unit $\sigma(\langle w,x\rangle+b)$ is a function of $z=\langle w,x\rangle/|w|$ alone, so its part
of degree q is $c_q\mathrm{He}_q(z)$, with the tensor $c_q(w/|w|)^{\otimes q}$: unfolded into a
matrix, its rank is one. A network of r units therefore has rank at most r in every degree, and by
Eckart and Young, with $s_i$ the singular values of the unfolded tensor of f,

$$E(f-N)^2\ \ge\ \sum_qq!\sum_{i>r}s_i(T_q)^2.\qquad(2.3)$$

Whatever $\sigma$, which may differ from unit to unit, and at every d. The proof is ours. For
polynomial activations Allen-Zhu & Li (COLT 2023, Lemma H.5) bound the rank of an unfolded
top-degree tensor. (2.3) is void from the rank on, at most $\binom{k+p-1}p$ with
$p=\lfloor q/2\rfloor$ for a function of k directions.
"""

import math
from collections.abc import Sequence
from itertools import permutations

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked

MAX_BYTES = 8 << 30
"""What the orders of the axes of one tensor may take."""


@checked
def symmetrized(tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Average a tensor over all orders of its axes; ValueError where they take too much memory."""
    _check(tensor)
    orders = list(permutations(range(tensor.ndim)))
    return torch.stack([tensor.permute(order) for order in orders]).mean(0)


@checked
def spectrum(tensor: Float[Tensor, "..."]) -> Float[Tensor, "rank"]:
    r"""Return the singular values $s_1\ge s_2\ge\dots$ of the symmetrized, unfolded tensor.

    The first $\lfloor q/2\rfloor$ of its q axes are the rows.
    """
    symmetric = symmetrized(tensor)
    rows = tensor.shape[0] ** (tensor.ndim // 2) if tensor.ndim else 1
    return torch.linalg.svdvals(symmetric.reshape(rows, -1))


@checked
def least_errors(
    tensors: Sequence[Float[Tensor, "..."]], widths: Sequence[int]
) -> Float[Tensor, "width"]:
    r"""Compute (2.3) for every width, as a share of $\sum_qq!\,|T_q|^2$.

    Args:
        tensors: $T_q$, of as many degrees as are known, none twice; the constant is free.
        widths: numbers of units r; 0 leaves everything.
    """
    if not tensors or len({one.ndim for one in tensors}) < len(tensors):
        raise ValueError(
            f"give tensors, one a degree; got {[one.ndim for one in tensors]} as their degrees"
        )
    if not widths or not any(bool(one.any()) for one in tensors):
        raise ValueError(
            f"give at least one width, and tensors that are not all zero; got {list(widths)} and "
            f"largest entries {[float(one.abs().max()) for one in tensors if one.numel()]}"
        )
    at_least(0, **{f"widths[{i}]": width for i, width in enumerate(widths)})
    parts = [math.factorial(one.ndim) * spectrum(one).square() for one in tensors]
    rest = [torch.cat([part[width:] for part in parts]).sum() for width in widths]
    return torch.stack(rest) / torch.cat(parts).sum()


def _check(tensor: Tensor) -> None:
    if len(set(tensor.shape)) > 1:
        raise ValueError(f"the axes of a tensor must have one size; got {list(tensor.shape)}")
    if torch.finfo(tensor.dtype).eps > 1e-6 or not tensor.isfinite().all():
        raise ValueError(
            f"a tensor must be finite, of float32 or float64; got {tensor.dtype} with "
            f"{int((~tensor.isfinite()).sum())} entries that are not"
        )
    if math.factorial(tensor.ndim) * tensor.numel() * tensor.element_size() > MAX_BYTES:
        raise ValueError(
            f"all {tensor.ndim}! orders of a tensor must take at most {MAX_BYTES >> 30} GiB; got "
            f"one of shape {list(tensor.shape)}: take fewer axes, or fewer directions"
        )
