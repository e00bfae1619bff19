r"""One learner on one sample of a hierarchical quadratic target.

Every seed has its own target, its own pool of inputs, its own validation and test points; the pool
and the test points are those of the deep network with the same seed. Each learner chooses its
ridge, kernel, checkpoint or round by the error on the validation points; the deep network chooses
nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
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
KERNEL_RIDGES = (1e-8, 1e-5, 1e-2)
LEARNERS = (
    "staged", "kernel", "quadratic", "predictions", "eigenfeatures", "feature machine", "two-layer",
)  # fmt: skip


@dataclass(frozen=True)
class SimpleConfig(Config):
    r"""One run of a simple learner, or of the staged network on the same pool.

    Attributes:
        learner: "staged", "kernel" (ridge regression, best of `kernels`), "quadratic" (ridge
            regression on monomials of degree at most 2), "predictions" or "eigenfeatures"
            (sequential kernels), "feature machine", "two-layer".
        n_samples: training points.
        dim, widths, gaps, skip: of the target, see `QuadraticConfig`.
        target: "full"; "permuted", with the staged network, see `QuadraticConfig`.
        kernels: tried by "kernel".
        factor: eigen-features a stage, as a multiple of the target's width.
        degree: of the feature machine's kernel.
        n_updates: of its metric.
        powers: activation of the two-layer network, empty for GELU.
        width, rate: of the two-layer network.
        n_steps: of its training and of the staged network's.
        opens: see `Protocol`.
    """

    learner: str
    n_samples: int
    dim: int = 20
    widths: Sequence[int] = (4, 3)
    gaps: Sequence[float] = (1, 0.2)
    skip: float = 0.8
    target: str = "full"
    kernels: Sequence[str] = ()
    factor: int = 0
    degree: int = 0
    n_updates: int = 0
    powers: Sequence[int] = ()
    width: int = 0
    rate: float = 0.0
    n_steps: int = 0
    opens: Sequence[int | None] = ()

    CHOICES = {"learner": LEARNERS, "target": ("full", "permuted")}

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` fits take, by the size of the solves or the number of steps."""
        cost = {
            "kernel": 2e-10 * self.n_samples**3 * max(len(self.kernels), 1),
            "feature machine": 2e-10 * self.n_samples**3 * 4,
            "two-layer": 2e-3 * self.n_steps,
            "staged": 4e-4 * self.n_steps,
        }
        return 0.3 * n_runs * cost.get(self.learner, 1.0)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Fit and test every run of a group, all of one configuration; `rel` stands under `final`.

    Beside it stand what a learner tried: errors by `kernel`, by `stage`, or by `round`; and whether
    a trained one `converged`: the staged network as in `quadratic.runs.measure`, two layers when
    the second half of the steps lowered the smallest validation error by less than a fifth.
    """
    config, seeds = SimpleConfig(**work.runs[0].config), [run.seed for run in work.runs]
    if config.learner == "staged":
        return _staged(config, seeds, device)
    samples = [draw(config, seed, device) for seed in seeds]
    if config.learner == "two-layer":
        return _two_layer(config, samples, seeds)
    fit: dict[str, Callable[[SimpleConfig, Sample], dict[str, Any]]] = {
        "kernel": _kernel,
        "feature machine": _feature_machine,
    }
    return [fit.get(config.learner, _sequential)(config, sample) for sample in samples]


def _staged(
    config: SimpleConfig, seeds: Sequence[int], device: torch.device
) -> list[dict[str, Any]]:
    fields = ("dim", "widths", "gaps", "skip", "target", "n_samples", "opens", "n_steps")
    one = QuadraticConfig(**{name: getattr(config, name) for name in fields})
    found = quadratic.measure(Group.of("staged", [one], seeds), device)
    return [{name: m[name] for name in ("final", "converged")} for m in found]


def draw(config: SimpleConfig, seed: int, device: torch.device) -> Sample:
    """Draw a seed's pool, validation points and test points with their labels, in float64."""
    sizes = {"pool": config.n_samples, "validation": N_VALIDATION, "test data": N_TEST}
    x, validation, test = (
        torch.randn(n, config.dim, generator=stream(name, seed)).double().to(device)
        for name, n in sizes.items()
    )
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    ).to(device)
    amplitudes = teacher.amplitudes(torch.tensor([[config.gaps]], device=device).double())
    y, y_validation, y_test = (
        torch.bmm(amplitudes, teacher.level_sums(points[None]))[0, 0]
        for points in (x, validation, test)
    )
    return Sample((x, validation, test), (y, y_validation, y_test))


def _error(prediction: Tensor, truth: Tensor) -> float:
    return float(unexplained(prediction[None], truth[None]))


def _kernel(config: SimpleConfig, sample: Sample) -> dict[str, Any]:
    """Choose kernel and ridge by validation error."""
    x, validation, test = sample.x
    residual = sample.y[0] - sample.y[0].mean()
    others = torch.cat([validation, test])
    found: dict[str, tuple[float, float]] = {}
    for name in config.kernels:
        kernel = KERNELS[name]
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


KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "poly2": partial(polynomial_kernel, degree=2),
    "poly4": partial(polynomial_kernel, degree=4),
    "rbf2.5": partial(rbf_kernel, bandwidth=2.5),
    "ntk1": partial(neural_tangent_kernel, hidden=1),
}


def _sequential(config: SimpleConfig, sample: Sample) -> dict[str, Any]:
    if config.learner == "eigenfeatures":
        widths = [config.factor * k for k in config.widths[:-1]]
        stages = sequential_eigenfeatures(sample, widths=widths)
    else:
        n_stages = 1 if config.learner == "quadratic" else len(config.widths)
        stages = sequential_predictions(sample, n_stages=n_stages)
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
    tried = train(net, x, y / scale, validation, y_validation / scale, seeds)
    test = torch.stack([sample.x[2] for sample in samples]).float()
    truth = torch.stack([sample.y[2] for sample in samples]).float() / scale
    halfway = tried[:, : tried.shape[1] // 2].amin(1)
    return [
        {"final": {"rel": float(error)}, "converged": bool(settled)}
        for error, settled in zip(
            unexplained(net.outputs(test), truth), tried.amin(1) > 0.8 * halfway, strict=True
        )
    ]
