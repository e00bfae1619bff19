r"""Two-layer networks of few units, trained on the exact population loss, beside the certificate.

For Gaussian inputs the loss of units $\sigma_i(\langle w_i,x\rangle+b_i)$ is a sum over Hermite
degrees. With $u_i=w_i/|w_i|$, $c_{iq}=E[\sigma_i(|w_i|z+b_i)\mathrm{He}_q(z)]/\sqrt{q!}$, and the
tensors $T_q$ of the target (`hierlearn.certificate`), degree q contributes

$$q!\,|T_q|^2-2\sqrt{q!}\sum_ic_{iq}T_q[u_i,\dots,u_i]
+\sum_{ij}c_{iq}c_{jq}\langle u_i,u_j\rangle^q.$$

No sample is drawn. The degrees 1 to 4 are all there is of a polynomial network; of another one the
degrees up to `N_DEGREES` are at most its error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.certificate import least_errors, symmetrized
from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.simpler.two_layer import (
    BETAS,
    TwoLayerNetworks,
    TwoLayerTraining,
    integer_power,
)
from hierlearn.quadratic.target import QuadraticTeachers

POWERS = (1, 2, 4)
N_DEGREES, N_NODES = 12, 40
N_STARTS, RATE = 2, 0.05
SETTLED = 0.02


@checked
@dataclass(frozen=True)
class Quartics:
    r"""Functions $\sum_jS_j^2+\langle B,H_2\rangle$, one a seed.

    $S_j=\langle A_j,H_2\rangle+\langle v_j,x\rangle$, $H_2=xx^\top-I$.

    Attributes:
        quadratic: $A_j$, symmetric, `[seed, j, dim, dim]`.
        linear: $v_j$, `[seed, j, dim]`.
        form: $B$, symmetric, `[seed, dim, dim]`.
    """

    quadratic: Float[Tensor, "seed j dim dim"]
    linear: Float[Tensor, "seed j dim"]
    form: Float[Tensor, "seed dim dim"]

    @classmethod
    @checked
    def fourth_powers(cls, seeds: Sequence[int], dim: int) -> "Quartics":
        r"""Draw $\sum_i\langle e_i,x\rangle^4$, up to a constant, $e_i$ an orthonormal basis."""
        bases = [
            torch.linalg.qr(torch.randn(dim, dim, generator=stream("basis", seed)).double()).Q
            for seed in seeds
        ]
        squares = torch.stack([torch.einsum("ai,bi->iab", basis, basis) for basis in bases])
        return cls(squares, squares.new_zeros(len(bases), dim, dim), 2 * squares.sum(1))

    @classmethod
    @checked
    def three_levels(cls, seeds: Sequence[int], dim: int) -> "Quartics":
        """Draw the three-level target of the contest, up to a constant."""
        teacher = QuadraticTeachers.draw(
            seeds, dim=dim, widths=(4, 3), skip=0.8, dtype=torch.float64
        )
        gaps = torch.tensor([1, 0.2], dtype=torch.float64).expand(len(seeds), 1, 2)
        lower, upper = teacher.amplitudes(gaps)[:, 0].T[..., None, None]
        mixing, first = teacher.mixing[0] * upper.sqrt(), teacher.first
        quadratic = torch.einsum("sji,sia,sib->sjab", mixing, first, first)
        return cls(quadratic, teacher.skips[0] * upper.sqrt(), lower * first.mT @ first)

    @checked
    def tensors(self, seed: int) -> list[Float[Tensor, "..."]]:
        r"""Return $T_1..T_4$ of the function of one seed.

        $T_4=\sum A\otimes A$ and $T_3=2\sum A\otimes v$, symmetrized, $T_2=B+\sum(4A^2+vv^\top)$,
        $T_1=4\sum Av$.
        """
        a, v = self.quadratic[seed], self.linear[seed]
        return [
            4 * torch.einsum("jab,jb->a", a, v),
            self.form[seed] + 4 * (a @ a).sum(0) + v.T @ v,
            symmetrized(2 * torch.einsum("jab,jc->abc", a, v)),
            symmetrized(torch.einsum("jab,jcd->abcd", a, a)),
        ]

    @checked
    def along(self, u: Float[Tensor, "seed unit dim"]) -> Float[Tensor, "seed unit degree"]:
        r"""Compute $\sqrt{q!}\,T_q[u,\dots,u]$, q = 1..4."""
        a, v = self.quadratic, self.linear
        first = 4 * torch.einsum("sjab,sjb->sa", a, v)
        second = self.form + 4 * (a @ a).sum(1) + v.mT @ v
        squares = torch.einsum("sua,sjab,sub->suj", u, a, u)
        degrees = [
            torch.einsum("sa,sua->su", first, u),
            torch.einsum("sua,sab,sub->su", u, second, u),
            2 * (squares * (u @ v.mT)).sum(2),
            squares.square().sum(2),
        ]
        return torch.stack([math.factorial(q) ** 0.5 * t for q, t in enumerate(degrees, 1)], 2)


@dataclass(frozen=True)
class NarrowConfig(Config):
    """A two-layer network of few units on one target, the best of two starts.

    Attributes:
        target: "fourth powers", or "three levels": the contest's.
        dim: input dimension d.
        activation: "polynomial", powers 1, 2, 4 with weights of their own, or "GELU".
        width: units r.
        n_steps: of Adam; a cosine anneals its rate to zero.
    """

    target: str
    dim: int
    activation: str
    width: int
    n_steps: int

    CHOICES = {
        "target": ("fourth powers", "three levels"), "activation": ("polynomial", "GELU"),
    }  # fmt: skip

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes."""
        return 2e-3 * self.n_steps * (1 + 0.01 * n_runs * self.width)


def measure_narrow(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a group as one batch; one measurement a run, in the order of its runs.

    A measurement holds `rel`, the relative error of the better start; `certificate`, what no
    network of that width goes below; and `converged`: whether the second half of the steps lowered
    the error by less than a fiftieth.
    """
    config, seeds = NarrowConfig(**work.runs[0].config), [run.seed for run in work.runs]
    draw = Quartics.three_levels if config.target == "three levels" else Quartics.fourth_powers
    target = draw(seeds, config.dim)
    tensors = [target.tensors(index) for index in range(len(seeds))]
    variances = [
        sum(math.factorial(q) * float(t.square().sum()) for q, t in enumerate(some, 1))
        for some in tensors
    ]
    halfway, last = _train(config, target, torch.tensor(variances).double(), seeds)
    return [
        {
            "rel": end,
            "certificate": float(least_errors(some, [config.width])),
            "converged": end > (1 - SETTLED) * half,
        }
        for half, end, some in zip(halfway, last, tensors, strict=True)
    ]


def _train(
    config: NarrowConfig, target: Quartics, variances: Tensor, seeds: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return the error of the better start of each seed, halfway and at the end."""
    training = TwoLayerTraining(
        width=config.width, powers=POWERS if config.activation == "polynomial" else (),
        rate=RATE, n_steps=config.n_steps,
    )  # fmt: skip
    starts = [1000 * seed + start for seed in seeds for start in range(N_STARTS)]
    net = TwoLayerNetworks(starts, config.dim, training)
    net.theta, net.grad = net.theta.double(), net.grad.double()
    optimizer = Adam(net.theta, net.grad, BETAS)
    rates = 0.5 * RATE * (1 + torch.cos(torch.linspace(0, math.pi, config.n_steps + 1)))
    found = []
    for step, size in enumerate(step_sizes(rates, BETAS)):
        theta = net.theta.detach().requires_grad_()
        with torch.enable_grad():
            errors = population_errors(net, theta, target, variances)
            (gradient,) = torch.autograd.grad(errors.sum(), theta)
        if step in (config.n_steps // 2, config.n_steps):
            found.append(errors.detach().view(len(seeds), -1).amin(1).tolist())
        net.grad.copy_(gradient)
        optimizer.step(size)
    return found[0], found[1]


@cache
def _quadrature(n_degrees: int) -> tuple[Tensor, Tensor]:
    r"""Return Gauss-Hermite nodes, and their weights times $\mathrm{He}_q/\sqrt{q!}$, q from 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    rows = [np.ones_like(nodes), nodes]
    for q in range(1, n_degrees):
        rows.append((nodes * rows[q] - math.sqrt(q) * rows[q - 1]) / math.sqrt(q + 1))
    basis = np.stack(rows[1:], 1) * (weights / weights.sum())[:, None]
    return torch.from_numpy(nodes), torch.from_numpy(basis)


def population_errors(
    net: TwoLayerNetworks, theta: Tensor, target: Quartics, variances: Tensor
) -> Float[Tensor, "run"]:
    """Compute the relative error of every network, `len(target.form)` targets in a row."""
    inner, bias, outer = net._parts(theta)
    powers = net.training.powers
    n_degrees = max(powers, default=N_DEGREES)
    nodes, basis = _quadrature(n_degrees)
    size = inner.norm(dim=2, keepdim=True)
    u, z = inner / size, size * nodes + bias
    if powers:
        heads = [integer_power(z, p) / math.prod(range(1, 2 * p, 2)) ** 0.5 for p in powers]
    else:
        heads = [torch.nn.functional.gelu(z)]
    c = torch.einsum("pruz,rpu,zq->ruq", torch.stack(heads), outer, basis)
    overlaps = torch.stack([(u @ u.mT) ** q for q in range(1, n_degrees + 1)])
    own = torch.einsum("ruq,qruv,rvq->r", c, overlaps, c)
    aims = target.along(u.reshape(len(variances), -1, net.dim)).view(*u.shape[:2], 4)
    scale = variances.repeat_interleave(len(u) // len(variances)).sqrt()
    return 1 - 2 * (c[..., :4] * aims).sum((1, 2)) / scale + own
