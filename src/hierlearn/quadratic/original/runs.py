"""One run of exact alternation on the paper's own class: its configuration and what is measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.original.alternation import (
    Learner,
    columns,
    distance,
    least_squares,
    level_2,
    products,
    refit,
    root,
    turned,
)
from hierlearn.quadratic.original.target import OriginalTarget, plateau
from hierlearn.statistics import Value

N_TEST = 4000
TOLERANCE = 1e-9


@dataclass(frozen=True)
class AlternationConfig(Config):
    r"""One run of exact alternation.

    Attributes:
        dim: input dimension d.
        widths: $k_2..k_L$ of the target.
        gaps: $\alpha_2=1,\alpha_3..\alpha_L$; zero removes a level.
        n_samples: size of the sample, after trimming.
        rounds: back-and-forths of each stage: with levels 2 and 3 open, with 2 to 4, ...; the
            learner has one level more than there are entries. Before them, level 2 is fitted alone.
        form: "joint" fits all open levels at once; "residual" fits the upper levels to what level
            2 leaves and then level 2 to what they leave; "frozen" keeps the features of a level
            once the next is open, and refits all readouts.
        target: "true", "independent" (levels from 3 on see another input) or "permuted".
        skip: strength of the connections to the input.
        trim: the share of samples with the largest $|y-\mathrm{med}\,y|$ that is left out: the
            rest is an input law of its own, on which the target is the same.
    """

    CHOICES = {
        "form": ("joint", "residual", "frozen"),
        "target": ("true", "independent", "permuted"),
    }

    dim: int
    widths: Sequence[int]
    gaps: Sequence[float]
    n_samples: int
    rounds: Sequence[int]
    form: str = "joint"
    target: str = "true"
    skip: float = 1.0
    trim: float = 0.02

    def seconds(self, n_runs: int) -> float:
        """Return the CPU seconds of `n_runs` runs: QR of samples by columns, every round."""
        p = n_columns(self.dim, self.widths)
        return n_runs * (1 + sum(self.rounds)) * (0.02 + self.n_samples * p**2 / 2e9)


def n_columns(dim: int, widths: Sequence[int]) -> int:
    """Count what all levels fit: d(d+1) products, and each upper level's quartics and cubics."""
    own = (math.comb(k + 3, 4) + math.comb(k + 1, 2) * dim for k in widths[:-1])
    return dim * (dim + 1) + sum(own)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Run each alternation of a group; one measurement a run.

    A measurement has, for round 0 and every round after it, `errors`: $e_2,e_3,\dots$ of the open
    levels, $e_l=\min_U(E|S^*_l-US_l|^2/E|S^*_l|^2)^{1/2}$ on fresh points of the same law, and
    `rel`: $E(F-y)^2/\mathrm{Var}\,y$ there. `plateau` is $e_2$ of round 0 by the closed form, and
    `rotation` the sine of the largest angle between the subspaces of level 2 and its truth, beside
    `plateau_rotation`. `converged`: $e_2$ is below $10^{-9}$, or the second half of the last stage
    changed it by less than a tenth.
    """
    return [_one(AlternationConfig(**run.config), run.seed, device) for run in work.runs]


def _one(config: AlternationConfig, seed: int, device: torch.device) -> dict[str, Any]:
    target = OriginalTarget.draw(seed, dim=config.dim, widths=config.widths, skip=config.skip)
    draws = stream("original data", seed)
    x, y, _ = _sample(config, target, config.n_samples, draws)
    x_test, y_test, truth = _sample(config, target, N_TEST, draws)
    fit = least_squares(products(x**2 - 1), y)
    learner = Learner(level_2(fit, config.dim, config.widths[0]), [], fit)
    errors = [_errors(learner, x_test, truth)]
    rels = [float(_relative(y_test - products(x_test**2 - 1) @ fit, y_test))]
    first = learner.first
    for stage, n_rounds in enumerate(config.rounds):
        n_open = stage + 2
        for _ in range(n_rounds):
            kept = 0 if config.form != "frozen" else stage + 1
            before = learner
            learner, fit = refit(
                learner, x, y, widths=list(config.widths[:n_open]),
                alphas=list(config.gaps[:n_open]), residual=config.form == "residual", kept=kept,
            )  # fmt: skip
            features = before.features(x_test)[: n_open - 1]
            output = torch.cat(columns(x_test, features), 1) @ fit
            errors.append(_errors(learner, x_test, truth))
            rels.append(float(_relative(y_test - output, y_test)))
    last, earlier = errors[-1][0], errors[-1 - (max(config.rounds[-1:], default=0) + 1) // 2][0]
    return {
        "errors": errors,
        "rel": rels,
        "n_columns": n_columns(config.dim, config.widths[: len(config.rounds) + 1]),
        "rotation": _angle(first, target.first),
        "converged": last < TOLERANCE or abs(math.log(last / earlier)) < 0.1,
        **_closed_form(config, target),
    }


NEAR, N_NEAR = 1e-6, 20


def measure_without_gap(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Run each alternation as `measure` does, and on the same sample next to the truth.

    With features that are off by a small E, the joint fit misses $\alpha_3$ times what is linear
    in E, so that the next E is $\alpha_3\mathcal L(E)$ with a linear map $\mathcal L$ of the target
    and the inputs. `factor` is $\alpha_3$ times its spectral radius, by the power method: E is
    brought back to its first norm after each round, and the second half of them counts. The truth
    attracts where it is below 1.
    """
    measured = measure(work, device)
    factors = [_factor(AlternationConfig(**run.config), run.seed) for run in work.runs]
    return [{**one, "factor": f} for one, f in zip(measured, factors, strict=True)]


def _factor(config: AlternationConfig, seed: int) -> float:
    target = OriginalTarget.draw(seed, dim=config.dim, widths=config.widths, skip=config.skip)
    draws = stream("original data", seed)
    x, y, truth = _sample(config, target, config.n_samples, draws)
    off = torch.randn(target.first.shape, generator=draws, dtype=torch.float64)
    fit = torch.zeros(products(x).shape[1], dtype=x.dtype)
    factors = []
    for _ in range(N_NEAR):
        learner = Learner(target.first + off * (NEAR / off.norm()), [], fit)
        learner, _ = refit(learner, x, y, widths=list(config.widths), alphas=list(config.gaps))
        onto = turned(learner.features(x)[0], truth[0])
        off = onto.T @ learner.first - target.first
        factors.append(float(off.norm()) / NEAR)
    return math.prod(factors[N_NEAR // 2 :]) ** (1 / (N_NEAR - N_NEAR // 2))


def _sample(
    config: AlternationConfig, target: OriginalTarget, n: int, draws: torch.Generator
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Draw n inputs, their y and the target's features, without the largest |y|."""
    n_drawn = math.ceil(n / (1 - config.trim))
    x = torch.randn(n_drawn, config.dim, generator=draws, dtype=torch.float64)
    truth = target.features(x)
    seen = truth
    if config.target == "independent":
        other = torch.randn(n_drawn, config.dim, generator=draws, dtype=torch.float64)
        seen = [truth[0], *target.features(other)[1:]]
    y = sum(a * s.square().sum(1) for a, s in zip(config.gaps, seen, strict=True))
    assert isinstance(y, Tensor)
    if config.target == "permuted":
        y = y[torch.randperm(n_drawn, generator=draws)]
    kept = (y - y.median()).abs().argsort()[:n]
    return x[kept], y[kept], [s[kept] for s in truth]


def _errors(learner: Learner, x: Tensor, truth: list[Tensor]) -> list[float]:
    return [distance(s, t) for s, t in zip(learner.features(x), truth, strict=False)]


def _relative(rest: Tensor, y: Tensor) -> Tensor:
    return rest.square().mean() / y.var()


def _angle(found: Tensor, true: Tensor) -> float:
    """Return the sine of the largest angle between the row spaces."""
    p, q = (torch.linalg.qr(rows.T).Q for rows in (found, true))
    return float(torch.linalg.matrix_norm(p - q @ (q.T @ p), 2))


def _closed_form(config: AlternationConfig, target: OriginalTarget) -> dict[str, float]:
    form = target.first.T @ target.first + config.gaps[1] * plateau(target)
    best = root(form, config.widths[0])
    # W_2 itself stands for its features: E zz^T = 2 I.
    error = distance(best.T, target.first.T)
    return {"plateau": error, "plateau_rotation": _angle(best, target.first)}


def error(level: int, round_: int = -1) -> Value:
    """Read $e_l$ after a round; round 0 is level 2 alone."""
    return lambda config, measurement: float(measurement["errors"][round_][level - 2])


def relative(round_: int = -1) -> Value:
    """Read the relative error of the output after a round."""
    return lambda config, measurement: float(measurement["rel"][round_])
