r"""One learner that is not a deep network, on one sample of a hierarchical quadratic target.

Every seed has its own target, its own pool of inputs, its own validation and test points; the pool
and the test points are those of the deep network with the same seed. Each learner chooses its
ridge, kernel, checkpoint or round by the error on the validation points; the deep network chooses
nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.kernels import (
    neural_tangent_kernel,
    polynomial_kernel,
    rbf_kernel,
    ridge_predictions,
)
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.measures import unexplained
from hierlearn.quadratic.simpler.feature_machine import feature_machine
from hierlearn.quadratic.simpler.sequential import (
    Sample,
    sequential_eigenfeatures,
    sequential_predictions,
)
from hierlearn.quadratic.simpler.two_layer import TwoLayerNetworks, TwoLayerTraining, train
from hierlearn.quadratic.target import QuadraticTeachers

N_VALIDATION, N_TEST = 2000, 2000
KERNEL_RIDGES = (1e-8, 1e-6, 1e-4, 1e-2)
ALL_KERNELS = ("poly2", "poly4", "poly8", "rbf1", "rbf2.5", "ntk1", "ntk2")
TARGETS = ("hierarchy", "level 2 only", "two-layer")
LEARNERS = ("kernel", "predictions", "eigenfeatures", "feature machine", "two-layer")


@dataclass(frozen=True)
class SimpleConfig(Config):
    r"""One run of a simple learner.

    Attributes:
        learner: "kernel" (ridge regression, best of `kernels`), "predictions" or "eigenfeatures"
            (sequential kernels), "feature machine", "two-layer".
        n_samples: training points.
        dim, widths, gaps, skip: of the target, see `QuadraticConfig`.
        target: "hierarchy"; "level 2 only", a quadratic; "two-layer", a GELU network with as many
            units as the target has features.
        kernels: tried by "kernel".
        factor: eigen-features a stage, as a multiple of the target's width.
        degree: of the feature machine's kernel.
        n_updates: of its metric.
        powers: activation of the two-layer network, empty for GELU.
        width, rate, n_steps: of the two-layer network.
    """

    learner: str
    n_samples: int
    dim: int = 20
    widths: Sequence[int] = (4, 3)
    gaps: Sequence[float] = (1, 0.2)
    skip: float = 0.8
    target: str = "hierarchy"
    kernels: Sequence[str] = ()
    factor: int = 0
    degree: int = 0
    n_updates: int = 0
    powers: Sequence[int] = ()
    width: int = 0
    rate: float = 0.0
    n_steps: int = 0

    CHOICES = {"learner": LEARNERS, "target": TARGETS}

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` fits take, by the size of the solves or the number of steps."""
        cost = {
            "kernel": 2e-10 * self.n_samples**3 * max(len(self.kernels), 1),
            "feature machine": 2e-10 * self.n_samples**3 * 4,
            "two-layer": 2e-3 * self.n_steps,
        }
        return 0.3 * n_runs * cost.get(self.learner, 1.0)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Fit and test every run of a group; one measurement a run, with `rel` under `final`.

    Beside it stand what a learner tried: errors by `kernel`, by `stage`, or by `round`.
    """
    configs = [SimpleConfig(**run.config) for run in work.runs]
    samples = [draw(c, run.seed, device) for c, run in zip(configs, work.runs, strict=True)]
    if configs[0].learner == "two-layer":
        return _two_layer(configs[0], samples, [run.seed for run in work.runs])
    fit: dict[str, Callable[[SimpleConfig, Sample], dict[str, Any]]] = {
        "kernel": _kernel,
        "predictions": _sequential,
        "eigenfeatures": _sequential,
        "feature machine": _feature_machine,
    }
    return [fit[c.learner](c, sample) for c, sample in zip(configs, samples, strict=True)]


def draw(config: SimpleConfig, seed: int, device: torch.device) -> Sample:
    """Draw a seed's pool, validation points and test points with their labels, in float64."""
    sizes = {"pool": config.n_samples, "validation": N_VALIDATION, "test data": N_TEST}
    x, validation, test = (
        torch.randn(n, config.dim, generator=stream(name, seed)).double().to(device)
        for name, n in sizes.items()
    )
    label = _labels(config, seed, device)
    return Sample((x, validation, test), (label(x), label(validation), label(test)))


def _labels(config: SimpleConfig, seed: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    if config.target == "two-layer":
        generator = stream("two-layer teacher", seed)
        n_units = sum(config.widths)
        inner = torch.randn(config.dim, n_units, generator=generator).double().to(device)
        outer = torch.randn(n_units, generator=generator).double().to(device)
        inner = inner * (1.5 / config.dim**0.5)
        return lambda points: torch.nn.functional.gelu(points @ inner) @ outer
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    ).to(device)
    gaps = torch.tensor([[config.gaps]], device=device).double()
    if config.target == "level 2 only":
        gaps[:, :, 1:] = 0
    amplitudes = teacher.amplitudes(gaps)
    return lambda points: torch.bmm(amplitudes, teacher.level_sums(points[None]))[0, 0]


def _error(prediction: Tensor, truth: Tensor) -> float:
    return float(unexplained(prediction[None], truth[None]))


def _kernel(config: SimpleConfig, sample: Sample) -> dict[str, Any]:
    """Choose kernel and ridge by validation error."""
    kernels: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        **{f"poly{p}": _polynomial(p) for p in (2, 4, 8)},
        **{f"rbf{g:g}": _gaussian(g) for g in (1, 2.5)},
        **{f"ntk{h}": _tangent(h) for h in (1, 2)},
    }
    x, validation, test = sample.x
    residual = sample.y[0] - sample.y[0].mean()
    others = torch.cat([validation, test])
    found: dict[str, tuple[float, float]] = {}
    for name in config.kernels:
        kernel = kernels[name]
        fits = ridge_predictions(
            kernel(x, x), kernel(others, x), residual, ridges=KERNEL_RIDGES
        ).split([len(validation), len(test)], 1)
        errors = [unexplained(f, y.expand_as(f)) for f, y in zip(fits, sample.y[1:], strict=True)]
        best = int(errors[0].nan_to_num(torch.inf).argmin())
        found[name] = float(errors[0][best]), float(errors[1][best])
    chosen = min(found, key=lambda name: found[name][0])
    return {
        "final": {"rel": found[chosen][1]},
        "chosen": chosen,
        "kernel": {name: test_error for name, (_, test_error) in found.items()},
    }


def _polynomial(degree: int) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, z: polynomial_kernel(x, z, degree=degree)


def _gaussian(bandwidth: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, z: rbf_kernel(x, z, bandwidth=bandwidth)


def _tangent(hidden: int) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, z: neural_tangent_kernel(x, z, hidden=hidden)


def _sequential(config: SimpleConfig, sample: Sample) -> dict[str, Any]:
    if config.learner == "predictions":
        stages = sequential_predictions(sample, n_stages=len(config.widths))
    else:
        widths = [config.factor * k for k in config.widths[:-1]]
        stages = sequential_eigenfeatures(sample, widths=widths)
    validation, test = (
        [_error(stage.predictions[part], sample.y[part]) for stage in stages] for part in (1, 2)
    )
    return {"final": {"rel": test[validation.index(min(validation))]}, "stage": test}


def _feature_machine(config: SimpleConfig, sample: Sample) -> dict[str, Any]:
    rounds = feature_machine(sample, degree=config.degree, n_updates=config.n_updates)
    best = min(rounds, key=lambda r: r.validation)
    return {"final": {"rel": best.test}, "round": [r.test for r in rounds]}


def _two_layer(
    config: SimpleConfig, samples: list[Sample], seeds: list[int]
) -> list[dict[str, Any]]:
    training = TwoLayerTraining(
        width=config.width, powers=tuple(config.powers), rate=config.rate, n_steps=config.n_steps
    )
    x, validation, _ = (
        torch.stack(part).float() for part in zip(*(s.x for s in samples), strict=True)
    )
    y, y_validation, _ = (
        torch.stack(part).float() for part in zip(*(s.y for s in samples), strict=True)
    )
    scale = y.std(1, keepdim=True)
    net = TwoLayerNetworks(seeds, config.dim, training).to(x.device)
    train(net, x, y / scale, validation, y_validation / scale, seeds)
    fits, tests = (
        unexplained(
            net.outputs(torch.stack([s.x[part] for s in samples]).float()),
            torch.stack([s.y[part] for s in samples]).float() / scale,
        )
        for part in (0, 2)
    )
    return [
        {"final": {"rel": float(test)}, "train": float(fit)}
        for test, fit in zip(tests, fits, strict=True)
    ]
