r"""Theorem 4 of Allen-Zhu & Li: labels $Y=\mathrm{sgn}(x_0+G^*(x))$, learned without any rescaling.

$\mathrm{Var}\,G^*=1$ and $x_0\sim N(-EG^*,1)$ is seen: it fixes scale and offset. The loss is
$\log(1+e^{-Yv(x_0+F)})$; given the features of level 2, F is linear in what is fitted, so that each
fit is convex. v doubles from fit to fit, as the paper lets it grow with $1/\epsilon$; after each,
new features are read off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import checked
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.original.alternation import columns, distance, level_2, products, turned
from hierlearn.quadratic.original.target import OriginalTarget

N_TEST = 20_000
RIDGE = 1e-9


@dataclass(frozen=True)
class LabelConfig(Config):
    r"""One run from labels.

    Attributes:
        dim: input dimension d.
        widths: $k_2,k_3$.
        gap: $\alpha_3$.
        n_samples: size of the sample, the 2 % with the largest $|G^*-\mathrm{med}|$ left out.
        last: the last v; the first is 2.
        levels: 2 fits level 2 alone, 3 both together.
        target: "true", or "independent", where level 3 sees another input.
    """

    CHOICES = {"levels": (2, 3), "target": ("true", "independent")}

    dim: int
    widths: Sequence[int]
    gap: float
    n_samples: int
    last: int = 256
    levels: int = 3
    target: str = "true"

    def seconds(self, n_runs: int) -> float:
        """Return the CPU seconds of `n_runs` runs."""
        return 1e-4 * self.n_samples * n_runs


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Fit the runs of a group; one measurement a run.

    `error` is $e_2$; `wrong` the share of wrong labels on fresh points of the same law; `needs_3`
    the share of labels that level 3 decides: those that change when $\alpha_3G^*_3$ is replaced by
    its mean.
    """
    return [_one(LabelConfig(**run.config), run.seed) for run in work.runs]


def _one(config: LabelConfig, seed: int) -> dict[str, Any]:
    target = OriginalTarget.draw(seed, dim=config.dim, widths=config.widths)
    draws = stream("label data", seed)
    x_test, g_test, third = _points(config, target, N_TEST, draws)
    scale, mean = g_test.std(), g_test.mean()
    flat = g_test - config.gap * (third - third.mean())
    x0_test = torch.randn(N_TEST, generator=draws, dtype=torch.float64) - mean / scale
    truth = x0_test + g_test / scale > 0
    x, g, _ = _points(config, target, config.n_samples, draws)
    x0 = torch.randn(len(x), generator=draws, dtype=torch.float64) - mean / scale
    y = torch.where(x0 + g / scale > 0, 1.0, -1.0).double()

    def design(points: Tensor, first: Tensor) -> Tensor:
        z = points**2 - 1
        return torch.cat(columns(points, [z @ first.T]), 1) if config.levels == 3 else products(z)

    k, n_first = config.widths[0], config.dim * (config.dim + 1) // 2
    alone = products(x**2 - 1)
    w = newton(alone, y, x0, torch.zeros(n_first, dtype=x.dtype), v=2.0)
    first = level_2(w, config.dim, k)
    w = torch.cat([w, torch.zeros(design(x[:1], first).shape[1] - n_first, dtype=x.dtype)])
    v = 2.0
    while v <= config.last:
        used = first
        w = newton(design(x, used), y, x0, w, v=v)
        new = level_2(w[:n_first], config.dim, k)
        z = x**2 - 1
        first = turned(z @ new.T, z @ used.T).T @ new
        v *= 2
    z_test = x_test**2 - 1
    return {
        "error": distance(z_test @ first.T, z_test @ target.first.T / scale.sqrt()),
        "wrong": float(((x0_test + design(x_test, used) @ w > 0) != truth).double().mean()),
        "needs_3": float(((x0_test + flat / scale > 0) != truth).double().mean()),
    }


@dataclass(frozen=True)
class InflationConfig(LabelConfig):
    r"""One run of level 2 from labels at a fixed v, `last`; the gap is 0.

    Attributes:
        constant: whether F has a constant beside $z_iz_j$; the paper's class has none.
    """

    constant: bool = True


def measure_inflation(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Fit level 2 at a fixed v, run by run; `inflation` is the measured over the predicted one.

    At a point x the loss of Theorem 4, averaged over $x_0\sim N(-EG^*,1)$ of density p, is least
    where $\int Y\,p(t-F)\,(1+e^{Yvt})^{-1}dt$ vanishes, $Y=\mathrm{sgn}(t-F+G^*)$, that is at
    $F-G^*=\frac{\pi^2}{6v^2}\frac{p'(-G^*)}{p(-G^*)}+O(v^{-4})
    =\frac{\pi^2}{6v^2}(G^*-EG^*)+O(v^{-4})$. Measured is the coefficient of $G^*-EG^*$ in $F-G^*$
    on fresh points.
    """
    return [_inflation(InflationConfig(**run.config), run.seed) for run in work.runs]


def _inflation(config: InflationConfig, seed: int) -> dict[str, Any]:
    target = OriginalTarget.draw(seed, dim=config.dim, widths=config.widths)
    draws = stream("inflation data", seed)
    x_test, g_test, _ = _points(config, target, N_TEST, draws)
    x, g, _ = _points(config, target, config.n_samples, draws)
    scale, mean = g.std(), g.mean()
    x0 = torch.randn(len(x), generator=draws, dtype=torch.float64) - mean / scale
    y = torch.where(x0 + g / scale > 0, 1.0, -1.0).double()

    def design(points: Tensor) -> Tensor:
        own = products(points**2 - 1)
        return torch.cat([own, torch.ones_like(own[:, :1])], 1) if config.constant else own

    a, v = design(x), 2.0
    w = torch.zeros(a.shape[1], dtype=a.dtype)
    while v <= config.last:
        w = newton(a, y, x0, w, v=v)
        v *= 2
    off, centred = design(x_test) @ w - g_test / scale, (g_test - g_test.mean()) / scale
    slope = (off - off.mean()) @ centred / (centred @ centred)
    return {"inflation": float(slope) * 6 * config.last**2 / math.pi**2}


def _points(
    config: LabelConfig, target: OriginalTarget, n: int, draws: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw n inputs with $G^*$ before scaling, and the part of it that is level 3's."""
    n_drawn = math.ceil(n / 0.98)
    x = torch.randn(n_drawn, config.dim, generator=draws, dtype=torch.float64)
    second, third = (s.square().sum(1) for s in target.features(x))
    if config.target == "independent":
        other = torch.randn(n_drawn, config.dim, generator=draws, dtype=torch.float64)
        third = target.features(other)[1].square().sum(1)
    g = second + config.gap * third
    kept = (g - g.median()).abs().argsort()[:n]
    return x[kept], g[kept], third[kept]


@checked
def newton(
    a: Float[Tensor, "n p"],
    y: Float[Tensor, "n"],
    offset: Float[Tensor, "n"],
    start: Float[Tensor, "p"],
    *,
    v: float,
    n_steps: int = 30,
) -> Float[Tensor, "p"]:
    r"""Minimise $\frac1n\sum\log(1+e^{-yv(x_0+a w)})+\frac\lambda2|w|^2$ by Newton's method.

    Columns are normalised inside; steps are halved until the loss falls.

    Args:
        a: columns.
        y: labels, -1 or 1.
        offset: $x_0$.
        start: where to begin.
        v: steepness.
        n_steps: at most.
    """
    norms = a.norm(dim=0) / len(a) ** 0.5
    a = a / norms
    w = start * norms

    def loss(w: Tensor) -> Tensor:
        margin = y * v * (offset + a @ w)
        return torch.nn.functional.softplus(-margin).mean() + RIDGE / 2 * (w @ w)

    now = loss(w)
    for _ in range(n_steps):
        p = torch.sigmoid(-y * v * (offset + a @ w))
        gradient = -v * (a.T @ (y * p)) / len(a) + RIDGE * w
        hessian = v * v * (a.T * (p * (1 - p))) @ a / len(a)
        step = torch.linalg.solve(hessian + RIDGE * torch.eye(len(w), dtype=a.dtype), gradient)
        t = 1.0
        while t > 1e-6 and not (new := loss(w - t * step)) < now:
            t /= 2
        if t <= 1e-6 or now - new < 1e-12 * now:
            break
        w, now = w - t * step, new
    return w / norms
