r"""The learner of Ren et al., Theorem 7: kernel ridge regression to the label, level by level.

A tuple's tokens $h_1\circ h_2$ pass $\Phi$, random Fourier features of
$e^{-|h-h'|^2/2\sigma^2}$ (their Eq. 6); W is the ridge regression of $e_{\mathrm{label}}$ on
$\Phi$ of the *first* tuple (Eq. 3); the token of the next level is $Wx/\langle1,Wx\rangle$ (Eq. 2).
Gradient descent from zero on Eq. 3 tends to that W (their Lemma 15), so it is solved for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from hierlearn.engine.doors import at_least, check_indices, checked, positive
from hierlearn.engine.kernels import rbf_kernel

Kernel = Callable[[Tensor, Tensor], Tensor]


@checked
def kernel_of(
    sigma: float, dim: int, *, width: int = 0, generator: torch.Generator | None = None
) -> Kernel:
    r"""Return the kernel of $\Phi$ on $R^{\mathrm{dim}}$ with M = `width` frequencies.

    They are $N(0,\sigma^{-2}I)$, each with a cosine and a sine; 0 is the limit $M\to\infty$.
    """
    positive(sigma=sigma)
    at_least(1, dim=dim)
    at_least(0, width=width)
    if not width:
        return lambda x, z: rbf_kernel(x, z, bandwidth=sigma / math.sqrt(dim))
    omega = torch.randn(dim, width, generator=generator, dtype=torch.float64) / sigma

    def features(x: Tensor) -> Tensor:
        phase = x @ omega
        return torch.cat([phase.cos(), phase.sin()], 1) / math.sqrt(width)

    return lambda x, z: features(x) @ features(z).T


@checked
@dataclass(frozen=True)
class TrainedLevel:
    """One trained level: the tuples that it saw, their dual weights, and its kernel."""

    patches: Float[Tensor, "u dim"]
    weights: Float[Tensor, "u label"]
    kernel: Kernel

    @checked
    def __call__(self, patches: Float[Tensor, "n dim"]) -> Float[Tensor, "n label"]:
        """Return the tokens of tuples; 1/v each where nothing near was seen."""
        out = self.kernel(patches, self.patches) @ self.weights
        total = out.sum(1, keepdim=True)
        blank = torch.full_like(out, 1 / out.shape[1])
        return torch.where(total.abs() < 1e-9, blank, out / total)


@checked
def fit_stage(
    patches: Float[Tensor, "u dim"],
    counts: Float[Tensor, "u label"],
    kernel: Kernel,
    *,
    ridge: float,
) -> TrainedLevel:
    r"""Solve $\min_W\frac1{2N}\sum|e-W\Phi(x)|^2+\frac\lambda2|W|^2$ over *different* tuples.

    With $D^2$ the number of data of each and Y their label counts, the dual weights are
    $D(DKD+\lambda NI)^{-1}D^{-1}Y$: those of all data, added up over equal ones.
    """
    positive(ridge=ridge)
    if not bool((counts >= 0).all() and (counts.sum(1) > 0).all()):
        raise ValueError("counts must be at least 0, with one or more examples of every tuple")
    root = counts.sum(1).sqrt()[:, None]
    gram = kernel(patches, patches) * root * root.T
    gram.diagonal().add_(ridge * float(counts.sum()))
    solved = torch.cholesky_solve(counts / root, torch.linalg.cholesky(gram))
    return TrainedLevel(patches, root * solved, kernel)


@checked
def read(
    stages: Sequence[TrainedLevel], strings: UInt8[Tensor, "n length"], *, vocab_size: int
) -> tuple[Float[Tensor, "u dim"], Shaped[Tensor, "n patch"]]:
    """Pass strings through trained levels: the different tuples above them, and where they are."""
    at_least(1, vocab_size=vocab_size)
    check_indices(vocab_size, strings=strings)
    tokens, ids = torch.eye(vocab_size, dtype=torch.float64), strings.long()
    for stage in (*stages, None):
        n = len(tokens)
        codes, ids = torch.unique(ids[:, 0::2] * n + ids[:, 1::2], return_inverse=True)
        patches = torch.cat([tokens[codes // n], tokens[codes % n]], 1)
        if stage is not None:
            tokens = stage(patches)
    return patches, ids
