"""What Safran & Lee (2022) prove with named constants: units, hard functions, their two laws."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import special

from hierlearn.ball.measures import ball_coefficients, hard_radii
from hierlearn.ball.networks import FrozenFeatures, unit_mean
from hierlearn.ball.target import Array, find
from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group

RADII, CUT = (0.5, 1.0, 1.5, 2.0), 2**-0.5
XI, SLOPES = (0.45, 0.472), np.linspace(0.9, 2.1, 121)
"""Prop. 22's $I$, and where it bounds the slope."""
N_PAIRS = 6


@dataclass(frozen=True)
class FactsConfig(Config):
    r"""What of the paper is checked on one draw.

    Attributes:
        n_units: of the frozen layer whose units are averaged.
        n_samples: of each law.
        bias: scale of the units' biases over that of Assumption 7.
        tail: power that the radius of the Bessel mixture is raised to; 1 is the paper's law.
    """

    n_units: int = 100_000
    n_samples: int = 100_000
    bias: float = 1.0
    tail: float = 1.0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes."""
        return 0.3 * n_runs


def measure_facts(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Check one draw; one measurement a run.

    `units`: averages of erf units with $B>0$, and with $B>1/\sqrt2$, over their closed forms
    (Prop. 21), mean over four radii. `slope`: 600 times the least $|f_\xi'|$ on [.9, 2.1], of a
    random $\xi\in[.45,.472]$ (Prop. 22, item 6: at least 1). `missed`: 36 times the least squared
    error of a polynomial of degree m on $\bar f_m$, over six random d in 4..60 and m in 1..8
    (Lemma 17: at least 1); `reached`: that of degree $50m\sqrt d$, d up to 12 and m up to 2,
    the largest. `laws`: the largest of measured over bound, of the constants of Assumption 6 that
    App. B proves: $zP[\lVert x\rVert\ge z]\le1$ from z = 2 on and $P[\lVert x\rVert\le2]\ge1/4$
    under $D_d$, density at most $\sqrt d$ under $D'_d$; d of the first of the six pairs.
    """
    return [_one(FactsConfig(**run.config), run.seed) for run in work.runs]


def _one(config: FactsConfig, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 17])
    pairs = [(int(rng.integers(4, 61)), int(rng.integers(1, 9))) for _ in range(N_PAIRS)]
    small = [(int(rng.integers(4, 13)), int(rng.integers(1, 3))) for _ in range(N_PAIRS)]
    xi = float(rng.uniform(*XI))
    return {
        "units": _units(config, seed),
        "slope": 600 * float(np.abs(np.gradient(difference(xi, SLOPES), SLOPES)).min()),
        "missed": 36 * min(hard_error(d, m, m) for d, m in pairs),
        "reached": 36 * max(hard_error(d, m, math.ceil(50 * m * math.sqrt(d))) for d, m in small),
        "laws": _laws(config, pairs[0][0], seed),
    }


def _units(config: FactsConfig, seed: int) -> float:
    layer = FrozenFeatures(seed, dim=2, width=config.n_units)
    layer.bias *= config.bias
    found = []
    for radius in RADII:
        x = torch.tensor([[radius, 0.0]])
        values = layer(x)[0].double()
        for cut, closed in ((0.0, unit_mean(radius)), (CUT, float(upper_mean(radius)))):
            found.append(float(values[layer.bias > cut].mean()) / closed)
    return sum(found) / len(found)


@checked
def upper_mean(radius: float | Array) -> Array:
    r"""Return $E[\mathrm{erf}(\langle U,x\rangle+B)\mid B>1/\sqrt2]$ at $\lVert x\rVert=\rho$.

    It is $\frac4{1-\mathrm{erf}(1)}T(\sqrt2,1/\sqrt{2+\rho^2})$ with Owen's T (Prop. 21).
    """
    slope = 1 / np.sqrt(2 + np.square(radius))
    return np.asarray(4 / (1 - special.erf(1)) * special.owens_t(math.sqrt(2), slope))


@checked
def difference(xi: float, radius: Array) -> Array:
    r"""Return $f_\xi$ of Prop. 22: the first mean of Prop. 21 less $\xi$ times the second."""
    return np.asarray([unit_mean(float(one)) for one in radius]) - xi * upper_mean(radius)


@checked
def hard_error(dim: int, m: int, degree: int) -> float:
    r"""Return the squared error of the best polynomial of a degree in t on $\bar f_m$ (p. 32)."""
    at_least(0, degree=degree)
    radii, signs = hard_radii(dim, m)
    balls = np.array([ball_coefficients(dim, radius, degree) for radius in radii])
    energy = ball_coefficients(dim, radii[-1], 0)[0] - ball_coefficients(dim, radii[0], 0)[0]
    return float(energy - np.square(np.array(signs) @ balls).sum())


def _laws(config: FactsConfig, dim: int, seed: int) -> float:
    n, draws = config.n_samples, stream("radii of the laws", seed)
    radii = np.sort(find("bessel", dim).draw(n, dim, draws).double().numpy() ** config.tail)
    # The last hundred say too little about their share.
    tail = (radii * (n - np.arange(n)) / n)[:-100][radii[:-100] >= 2].max(initial=0)
    density = find("sum", dim).density(np.linspace(0.0, 2.0, 4001), dim).max()
    return float(max(tail, 0.25 / (radii <= 2).mean(), density / math.sqrt(dim)))
