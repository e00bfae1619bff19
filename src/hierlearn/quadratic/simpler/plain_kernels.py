"""Kernels that know nothing of the target: Gaussian, and the neural tangent kernel of ReLU nets."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import checked, positive


@checked
def rbf_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, bandwidth: float
) -> Float[Tensor, "n m"]:
    r"""Compute $e^{-\lVert x-z\rVert^2/(2dg^2)}$, $g$ the bandwidth in units of $\sqrt d$."""
    positive(bandwidth=bandwidth)
    return torch.exp(torch.cdist(x, z).square() / (-2 * x.shape[1] * bandwidth**2))


@checked
def neural_tangent_kernel(
    x: Float[Tensor, "n dim"], z: Float[Tensor, "m dim"], *, hidden: int
) -> Float[Tensor, "n m"]:
    r"""Compute the neural tangent kernel of a ReLU network with `hidden` hidden layers.

    $\Sigma_0=\Theta_0=\langle x,z\rangle/d$,
    $\Theta_l=\Theta_{l-1}\kappa_0(\rho_{l-1})+\Sigma_l$ with $\Sigma_l=\sqrt{\Sigma_0(x,x)
    \Sigma_0(z,z)}\,\kappa_1(\rho_{l-1})$, $\rho$ the normalized $\Sigma$, and $\kappa_0,\kappa_1$
    the arc-cosine kernels of degree 0 and 1 with $\kappa(1)=1$.

    Raises:
        ValueError: for fewer than one hidden layer.
    """
    if hidden < 1:
        raise ValueError(f"hidden must be at least 1; got {hidden}")
    lengths = (x.square().mean(1).sqrt()[:, None] * z.square().mean(1).sqrt()).clamp(min=1e-300)
    tangent = x @ z.T / x.shape[1]
    correlation = (tangent / lengths).clamp(-1, 1)
    for _ in range(hidden):
        angle = torch.acos(correlation)
        derivative = 1 - angle / math.pi
        correlation = torch.sin(angle) / math.pi + correlation * derivative
        tangent = tangent * derivative + lengths * correlation
        correlation = correlation.clamp(-1, 1)
    return tangent
