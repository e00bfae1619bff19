r"""How far the levels of a quadratic network are from those of its target.

Level 2 is compared through $K_2^\top K_2$ and $A^*=W_2^\top W_2$, which do not see rotations of
the features; higher levels through the function $\lVert S_l\rVert^2$ that they feed to the output.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import checked


@checked
@dataclass(frozen=True)
class FirstLevelErrors:
    r"""Errors of level 2, one a run.

    Attributes:
        gram: $\lVert K_2^\top K_2-A^*\rVert_F/\lVert A^*\rVert_F$.
        shape: the same after the best rescaling, with $cK_2^\top K_2$ minimized over c.
        rotation: $\lVert\hat P-A^*\rVert_F/\sqrt{2k_2}$, $\hat P$ the projector on the top $k_2$
            eigenvectors of $K_2^\top K_2$: the root mean square sine of the principal angles.
    """

    gram: Float[Tensor, "run"]
    shape: Float[Tensor, "run"]
    rotation: Float[Tensor, "run"]


@checked
def first_level_errors(
    gram: Float[Tensor, "run dim dim"], truth: Float[Tensor, "run width dim"]
) -> FirstLevelErrors:
    r"""Compare $K_2^\top K_2$ with $W_2^\top W_2$; the rows of `truth` are orthonormal.

    A run whose Gram matrix is not finite, having diverged, has errors that are not numbers.
    """
    _check_rank(truth)
    gram, truth = gram.double(), truth.double()
    diverged = ~gram.isfinite().all(2).all(1)
    gram = gram.masked_fill(diverged[:, None, None], 0.0)
    target = truth.mT @ truth
    width = truth.shape[1]
    norm = width**0.5
    eigenvectors = torch.linalg.eigh(gram).eigenvectors[:, :, -width:]
    # ||P - A||^2 = 2 ||(I - A) P||^2 for projectors of equal rank: no cancellation near zero
    leak = eigenvectors - target @ eigenvectors
    inner = (gram * target).sum((1, 2))
    scale = inner / gram.square().sum((1, 2)).clamp(min=1e-300)
    errors = (gram - target, scale[:, None, None] * gram - target, leak)
    return FirstLevelErrors(
        *((e.norm(dim=(1, 2)) / norm).masked_fill(diverged, torch.nan) for e in errors)
    )


def _check_rank(truth: Tensor) -> None:
    """Raise ValueError unless there are 1..dim features, which orthonormal rows are."""
    _, width, dim = truth.shape
    if not 1 <= width <= dim:
        raise ValueError(f"truth must have 1 to dim = {dim} rows a run; got {width}")


@checked
def plateau_gram(
    truth: Float[Tensor, "run width dim"],
    bias_form: Float[Tensor, "run dim dim"],
    ratio: Float[Tensor, "run"],
) -> Float[Tensor, "run dim dim"]:
    r"""Compute where level 2 settles while level 3 is shut (our closed form, L = 3).

    With only level 2 open the squared loss is $2a_2^2\lVert K_2^\top K_2-\tilde A\rVert_F^2$ plus a
    constant, $\tilde A=A^*+(a_3/a_2)B_3$; its minimizer of rank $k_2$ is the positive
    semi-definite truncation of $\tilde A$ to its top $k_2$ eigenvalues.

    Args:
        truth: $W_2$.
        bias_form: $B_3$.
        ratio: $a_3/a_2$.
    """
    _check_rank(truth)
    truth = truth.double()
    width = truth.shape[1]
    total = truth.mT @ truth + ratio.double()[:, None, None] * bias_form.double()
    values, vectors = torch.linalg.eigh(total)
    top, basis = values[:, -width:].clamp(min=0), vectors[:, :, -width:]
    return (basis * top[:, None, :]) @ basis.mT


@checked
def nearest_rotation(
    weights: Float[Tensor, "run width dim"], truth: Float[Tensor, "run rows dim"]
) -> Float[Tensor, "run width dim"]:
    r"""Compute $OW_2$ for the O with orthonormal columns that brings it nearest to `weights`.

    The orthogonal Procrustes solution $O=PQ^\top$ for $K_2W_2^\top=P\Sigma Q^\top$.

    Raises:
        ValueError: when `weights` has fewer rows than `truth`.
    """
    if weights.shape[1] < truth.shape[1]:
        raise ValueError(
            f"cannot rotate {truth.shape[1]} features into {weights.shape[1]} rows; "
            "the network's level needs at least the target's width"
        )
    left, _, right = torch.linalg.svd(weights.double() @ truth.double().mT, full_matrices=False)
    return (left @ right @ truth.double()).to(weights)


@checked
def unexplained(
    prediction: Float[Tensor, "run batch"], target: Float[Tensor, "run batch"]
) -> Float[Tensor, "run"]:
    r"""Compute $E(F-G)^2/\mathrm{Var}\,G$ of centered F and G."""
    f = (prediction - prediction.mean(1, keepdim=True)).double()
    g = (target - target.mean(1, keepdim=True)).double()
    return (f - g).square().mean(1) / g.square().mean(1)
