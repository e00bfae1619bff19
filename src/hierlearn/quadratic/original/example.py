r"""Equation (1) of Allen-Zhu & Li, their motivating example: the best quadratic, exactly.

$g(x)=q+c(q+x_3)^2$ with $q=x_1^2+2x_2^2$ and $c=0.1$, for independent coordinates of mean 0 and
variance 1. All moments up to the sixth are exact under Gauss's quadrature with few nodes.
"""

import numpy as np
import torch
from jaxtyping import Float64
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.laguerre import laggauss
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from hierlearn.engine.doors import checked
from hierlearn.errors import check_choice
from hierlearn.quadratic.original.alternation import least_squares, level_2, products


def _law(nodes: np.ndarray, weights: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


LAWS = {
    "Gaussian": _law(*hermegauss(4)),
    "uniform": _law(leggauss(4)[0] * 3**0.5, leggauss(4)[1]),
    "exponential": _law(laggauss(4)[0] - 1, laggauss(4)[1]),
    "x^2 - 1": _law((hermegauss(7)[0] ** 2 - 1) / 2**0.5, hermegauss(7)[1]),
}
"""Nodes and weights of laws of mean 0 and variance 1, the last that of the class's $z_i$."""


@checked
def best_features(law: str) -> Float64[Tensor, "2 3"]:
    r"""Return the two features of the best quadratic form $x^\top Mx$ for g of Eq. (1).

    Off the diagonal $M_{13}=cm_3$, $M_{23}=2cm_3$ and $M_{12}=2cm_3^2$ with the third moment
    $m_3$ of a coordinate: where it vanishes nothing turns the features towards $x_3$.

    The law is that of one coordinate, a key of `LAWS`. $K^\top K$ is the best rank-2 part of M.
    """
    nodes, weights = LAWS[check_choice("law", law, tuple(LAWS))]
    x = torch.cartesian_prod(nodes, nodes, nodes)
    root = torch.cartesian_prod(weights, weights, weights).prod(1).sqrt()
    q = x[:, 0] ** 2 + 2 * x[:, 1] ** 2
    g = q + 0.1 * (q + x[:, 2]) ** 2
    return level_2(least_squares(root[:, None] * products(x), root * g), 3, 2)
