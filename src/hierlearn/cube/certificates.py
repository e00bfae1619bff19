r"""Kernels on the hypercube: one exact run in float64, without a test set, and how it is measured.

`measure_errors` computes class-averaged errors at given sample sizes; `measure_half_error` searches
for the sample size at which the error falls to one half; `measure_spans` asks, target by target,
how near any weights come.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.cube.exact_error import (
    CubeKernel,
    class_average_error,
    class_average_errors,
    harmonic,
)
from hierlearn.cube.target import ParityClass, draw_points, hamming
from hierlearn.engine.kernels import ZOO
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group

RIDGES = tuple(10.0**p for p in range(-6, 2))
LEVEL = 0.5
N_REFINEMENTS = 3


@dataclass(frozen=True)
class ErrorsConfig(Config):
    r"""Exact errors of one kernel on a class of parities, on nested samples.

    Attributes:
        dim: $d$.
        degrees: $k_l$ of the class.
        amplitudes: $\alpha_l$ of the class.
        kernel: a name of the zoo, or "harmonic", the class's own kernel.
        sizes: sample sizes N.
        ridges: tried; the best for the class counts, which favors the kernel.
    """

    dim: int
    degrees: Sequence[int]
    amplitudes: Sequence[float]
    kernel: str
    sizes: Sequence[int]
    ridges: Sequence[float] = RIDGES

    @property
    def target(self) -> ParityClass:
        """The class of targets."""
        return ParityClass(self.dim, tuple(self.degrees), tuple(self.amplitudes))

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` take: factorizations, of which the largest counts."""
        return _seconds(n_runs, 1.2 * max(self.sizes))


@dataclass(frozen=True)
class HalfErrorConfig(Config):
    r"""The sample size at which a kernel's exact error on all parities of a degree is one half.

    Attributes:
        dim: $d$.
        degree: $k$.
        kernel: a name of the zoo.
        ridges: tried; the best for the class counts, which favors the kernel.
        largest: the search ends at this multiple of $\binom dk$.
    """

    dim: int
    degree: int
    kernel: str
    ridges: Sequence[float]
    largest: float = 2.2

    @property
    def target(self) -> ParityClass:
        """The class of targets."""
        return ParityClass(self.dim, (self.degree,), (1.0,))

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` take, most of it near the number of targets."""
        return _seconds(n_runs, 1.7 * math.comb(self.dim, self.degree))


@dataclass(frozen=True)
class SpanConfig(Config):
    r"""How near a kernel with N samples comes to single parities, whatever its weights.

    Attributes:
        dim: $d$.
        degree: $k$.
        kernel: a name of the zoo, or "harmonic".
        n_samples: N.
        n_draws: random parities of degree k that are tried.
    """

    dim: int
    degree: int
    kernel: str
    n_samples: int
    n_draws: int = 1000

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` take."""
        return _seconds(n_runs, self.n_samples)


def _seconds(n_runs: int, size: float) -> float:
    return n_runs * (1e-3 + 2e-10 * size**3)


def cube_kernel(name: str, target: ParityClass) -> CubeKernel:
    """Return the zoo's kernel of that name on the hypercube of `target`, or its harmonic kernel.

    Raises:
        ValueError: for an unknown name; the message lists the valid ones.
    """
    if name == "harmonic":
        return harmonic(target)
    if name not in ZOO:
        raise ValueError(f"no kernel {name!r}; valid: {', '.join([*ZOO, 'harmonic'])}")
    return CubeKernel.of(ZOO[name], target.dim)


def measure_errors(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Measure a group; one measurement a run, in the order of its runs.

    A measurement holds, one entry a size, `relative` (the smallest class-averaged error over the
    ridges, over the class's energy), `bound` (equation 2.2, likewise) and `rank` of the class's
    harmonic kernel on the samples, which only the harmonic run records.
    """
    results: list[dict[str, Any]] = []
    drawn: tuple[Any, Tensor] = (None, torch.empty(0))
    for run in work.runs:
        config = ErrorsConfig(**run.config)
        key = run.seed, config.dim, max(config.sizes)
        if drawn[0] != key:
            points = draw_points(key[2], key[1], stream("samples", run.seed))
            drawn = key, hamming(points, points).to(device)
        results.append(_errors(config, drawn[1]))
    return results


def _errors(config: ErrorsConfig, distances: Tensor) -> dict[str, Any]:
    target = config.target
    kernel = cube_kernel(config.kernel, target)
    result: dict[str, Any] = {"relative": [], "bound": [], "rank": []}
    for n in config.sizes:
        errors = class_average_errors(kernel, target, distances[:n, :n], ridges=config.ridges)
        result["relative"].append(float(errors.min()) / target.energy)
        result["bound"].append(target.floor(n))
        if config.kernel == "harmonic":
            gram = kernel.values.to(errors.device)[distances[:n, :n]]
            result["rank"].append(int(torch.linalg.matrix_rank(gram, hermitian=True)))
    return result


def measure_half_error(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Search for the smallest N with error at most 1/2; one measurement a run, in order.

    A measurement holds `n_samples`, None where `largest` $\binom dk$ samples do not suffice.
    """
    return [_half_error(HalfErrorConfig(**run.config), run.seed, device) for run in work.runs]


def _half_error(config: HalfErrorConfig, seed: int, device: torch.device) -> dict[str, Any]:
    target = config.target
    kernel = cube_kernel(config.kernel, target)
    n_largest = int(config.largest * target.multiplicities[0])
    points = draw_points(n_largest, config.dim, stream("samples", seed)).to(device)

    def error(n: int) -> float:
        distances = hamming(points[:n], points[:n])
        found = [class_average_error(kernel, target, distances, ridge=r) for r in config.ridges]
        return min((e for e in found if not math.isnan(e)), default=math.inf)

    return {"n_samples": _search(error, target.multiplicities[0], n_largest)}


def _search(error: Callable[[int], float], n_targets: int, n_largest: int) -> float | None:
    """Bracket the crossing of one half, then refine it by interpolation in log N.

    By (2.1) the error at half of `n_targets` is above one half, so the search starts at all.
    """
    start = min(n_targets, n_largest)
    low, high = (max(n_targets // 2, 1), math.inf), (start, error(start))
    while high[1] > LEVEL:
        if high[0] == n_largest:
            return None
        n = min(math.ceil(1.3 * high[0]), n_largest)
        low, high = high, (n, error(n))
    for _ in range(N_REFINEMENTS):
        n = min(max(round(_interpolated(low, high)), low[0] + 1), high[0] - 1)
        if high[0] - low[0] < 2 or n in (low[0], high[0]):
            break
        value = error(n)
        low, high = (low, (n, value)) if value <= LEVEL else ((n, value), high)
    return _interpolated(low, high)


def _interpolated(low: tuple[int, float], high: tuple[int, float]) -> float:
    """Interpolate log N linearly in the error; in the middle where the lower end is unknown."""
    known = math.isfinite(low[1]) and low[1] > high[1]
    share = (low[1] - LEVEL) / (low[1] - high[1]) if known else 0.5
    return float(low[0] * (high[0] / low[0]) ** share)


def measure_spans(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Measure how near any weights come to random parities; one measurement a run, in order.

    For a parity S it is $\min_v\lVert\chi_S-\sum_nv_nK(\cdot,x_n)\rVert^2=1-\mu_k^2y^\top K_2^+y$
    with $y=\chi_S(X)$, exactly. A measurement holds the `mean` over S and `percentile`, the first:
    99 of 100 parities are missed by more.
    """
    return [_span(SpanConfig(**run.config), run.seed, device) for run in work.runs]


def _span(config: SpanConfig, seed: int, device: torch.device) -> dict[str, Any]:
    kernel = cube_kernel(config.kernel, ParityClass(config.dim, (config.degree,), (1.0,)))
    points = draw_points(config.n_samples, config.dim, stream("samples", seed)).to(device)
    generator = stream("parities", seed)
    shuffled = torch.rand(config.n_draws, config.dim, generator=generator).argsort(1)
    sets = shuffled[:, : config.degree].to(device)
    y = points.double()[:, sets].prod(2)
    square = kernel.square_table().to(device)[hamming(points, points)]
    inverse = torch.linalg.pinv(square, hermitian=True, rtol=1e-12)
    missed = 1 - float(kernel.eigenvalues[config.degree]) ** 2 * (y * (inverse @ y)).sum(0)
    return {"mean": float(missed.mean()), "percentile": float(missed.quantile(0.01))}
