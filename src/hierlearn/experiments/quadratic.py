r"""The common body of the experiments on hierarchical quadratic targets.

A `QuadraticConfig` says what one run is; `measure` trains the runs of a group as one batch and
measures each of them before every stage and at the end.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from hierlearn.experiments.base import Group, Run
from hierlearn.learners.quadratic import QuadraticNetworks
from hierlearn.measure import features
from hierlearn.randomness import stream
from hierlearn.targets.quadratic import N_CALIBRATION, QuadraticTeachers
from hierlearn.training.loop import Loop, Task
from hierlearn.training.protocols import Plan, Protocol, compile_plan

TARGETS = ("full", "debiased", "permuted", "independent level 3")
CURVE_POINTS = 56


@dataclass(frozen=True)
class QuadraticConfig:
    r"""One run on a hierarchical quadratic target.

    Attributes:
        dim: input dimension d.
        widths: $k_2..k_L$ of the target.
        gaps: amplitude ratios $\alpha_2=1,\alpha_3..\alpha_L$; zero removes a level.
        skip: $\rho$.
        opens, look_back, thaw, rate, lower_rate, level_rate: see `Protocol`.
        n_steps, batch, optimizer: of the training loop.
        target: what is fitted: "full" y; "debiased" $y-a_3x^\top B_3x$; "permuted" y of another
            input; "independent level 3", where $h_3$ belongs to another input. Errors are always
            measured against the full y.
        loss: "squared", or "logistic" on the label $\mathrm{sign}(y-\mathrm{med}\,y)$.
        flips: probability of a flipped training label.
        n_samples: size of the training pool, `None` for fresh batches.
        feature_flow: factor on the gradient that reaches level 2 through the features of level 3.
        output_flow: the same for level 2's own output, from the opening of level 3 on.
        oracle: whether level 2 is replaced by its nearest rotation of the truth, and frozen, when
            level 3 opens.
        learner_widths: widths of the network, `None` for those of the target.
        n_test: number of test points.
        curve: whether the run keeps its error curves.
    """

    dim: int
    widths: Sequence[int]
    gaps: Sequence[float]
    opens: Sequence[int | None]
    n_steps: int
    skip: float = 0.8
    look_back: int | None = None
    thaw: int | None = None
    rate: float = 1e-2
    lower_rate: float = 1.0
    level_rate: float = 0.0
    batch: int = 256
    optimizer: str = "adam"
    target: str = "full"
    loss: str = "squared"
    flips: float = 0.0
    n_samples: int | None = None
    feature_flow: float = 1.0
    output_flow: float = 1.0
    oracle: bool = False
    learner_widths: Sequence[int] | None = None
    n_test: int = 2000
    curve: bool = False

    def __post_init__(self) -> None:
        for name in ("widths", "gaps", "opens", "learner_widths"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(value))
        if not len(self.widths) == len(self.gaps) == len(self.opens):
            raise ValueError(
                "widths, gaps and opens need one entry a level; got "
                f"{len(self.widths)}, {len(self.gaps)} and {len(self.opens)}"
            )
        for name, valid in (
            ("target", TARGETS),
            ("loss", ("squared", "logistic")),
            ("optimizer", ("adam", "sgd")),
        ):
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} must be one of {valid}; got {getattr(self, name)!r}")

    @property
    def protocol(self) -> Protocol:
        """The training protocol of the run."""
        names = [field.name for field in fields(Protocol)]
        return Protocol(**{name: getattr(self, name) for name in names})

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        return (
            self.dim, self.widths, self.skip, self.n_steps, self.batch, self.optimizer,
            self.loss, self.n_samples, self.learner_widths, self.n_test,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON: those without a default, and those that differ from it."""
        values = asdict(self)
        kept = {f.name for f in fields(self) if values[f.name] != f.default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if k in kept}


def group(experiment: str, arms: Iterable[QuadraticConfig], seeds: Sequence[int]) -> Group:
    """Make the group that trains every arm with every seed; the seed varies slowest."""
    arms = list(arms)
    if len({arm.shape for arm in arms}) != 1:
        raise ValueError("the arms of a group must agree in everything that shapes a batch")
    runs = tuple(Run(experiment, arm.as_dict(), seed) for seed in seeds for arm in arms)
    size = sum(arms[0].learner_widths or arms[0].widths) * (arms[0].dim + 40)
    weight = arms[0].n_steps * (0.3 + 1e-8 * len(runs) * arms[0].batch * size * 4)
    return Group(runs, weight)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a group as one batch; one measurement a run, in the order of its runs.

    A measurement holds `before` (one entry a stage that the run begins: the errors just before its
    step), `final` and, where the run asks for it, `curve`, plus the closed-form `plateau`.
    """
    return _Batch(work, device).run()


class _Batch:
    """The state of one group while it trains."""

    def __init__(self, work: Group, device: torch.device) -> None:
        self.configs = [QuadraticConfig(**run.config) for run in work.runs]
        self.seeds = list(dict.fromkeys(run.seed for run in work.runs))
        n_seeds = len(self.seeds)
        n_arms = len(work.runs) // n_seeds
        arms, first = self.configs[:n_arms], self.configs[0]
        self.arms, self.first, self.device = arms, first, device
        teachers = QuadraticTeachers.draw(
            self.seeds, dim=first.dim, widths=first.widths, skip=first.skip
        ).to(device)
        gaps = torch.tensor([arm.gaps for arm in arms], device=device)
        self.amplitudes = teachers.amplitudes(gaps.expand(n_seeds, -1, -1))
        self.teachers = teachers
        self.net = QuadraticNetworks(
            n_seeds, n_arms, dim=first.dim, widths=first.learner_widths or first.widths,
            device=device,
        )  # fmt: skip
        self.net.initialize(self.seeds)
        self.truth = teachers.first.repeat_interleave(n_arms, 0)
        self._draw_test()
        thresholds = self._thresholds() if first.loss == "logistic" else None
        self.task = Task(
            teachers, self.seeds, self.amplitudes, self._targets(), thresholds,
            torch.tensor([arm.flips for arm in arms]), first.n_samples,
        )  # fmt: skip
        self.plan: Plan = compile_plan(
            [c.protocol for c in self.configs], [c.gaps for c in self.configs], first.n_steps
        )

    def _targets(self) -> Tensor:
        """Coefficients of every arm's training target on the basis of `training.loop.basis`."""
        n_levels = self.amplitudes.shape[2]
        target = torch.zeros(len(self.seeds), len(self.arms), 2 * n_levels + 1, device=self.device)
        for a, arm in enumerate(self.arms):
            own, other = self.amplitudes[:, a], slice(n_levels + 1, 2 * n_levels + 1)
            if arm.target == "permuted":
                target[:, a, other] = own
                continue
            target[:, a, :n_levels] = own
            if arm.target == "debiased":
                target[:, a, n_levels] = -own[:, 1]
            elif arm.target == "independent level 3":
                target[:, a, n_levels + 2] = own[:, 1]
                target[:, a, 1] = 0
        return target

    def _draw_test(self) -> None:
        dim, n_test = self.first.dim, self.first.n_test
        draws = [torch.randn(n_test, dim, generator=stream("test data", s)) for s in self.seeds]
        self.x_test = torch.stack(draws).to(self.device)
        self.sums = self.teachers.level_sums(self.x_test)
        self.y_test = torch.bmm(self.amplitudes, self.sums).flatten(0, 1)

    def _thresholds(self) -> Tensor:
        """The median of y, from a sample of its own, `[seed, arm]`."""
        draws = [
            torch.randn(N_CALIBRATION, self.first.dim, generator=stream("median", s))
            for s in self.seeds
        ]
        sums = self.teachers.level_sums(torch.stack(draws).to(self.device))
        return torch.bmm(self.amplitudes, sums).median(2).values

    def run(self) -> list[dict[str, Any]]:
        self.results: list[dict[str, Any]] = [{"before": {}} for _ in self.configs]
        n_steps = self.first.n_steps
        curve = set(_curve_steps(n_steps)) if any(c.curve for c in self.configs) else set()
        starts = [s for s in self.plan.starts if s > 0]
        self.begun = [set(c.protocol.stage_starts()) - {0} for c in self.configs]
        self.curve_steps = curve
        flows = {
            name: torch.tensor([getattr(c, name) for c in self.configs], device=self.device)
            for name in ("feature_flow", "output_flow")
        }
        loop = Loop(
            self.net, self.task, self.plan, self.first.batch, self.first.optimizer,
            **{k: None if bool((v == 1).all()) else v for k, v in flows.items()},
            at_start=self._install_oracles if any(c.oracle for c in self.configs) else None,
        )  # fmt: skip
        loop.run(self._observe, sorted({*starts, *curve, n_steps}))
        self._closed_form()
        return self.results

    def _install_oracles(self, stage: int) -> Tensor | None:
        start = self.plan.starts[stage]
        chosen = torch.tensor([c.oracle and c.opens[1] == start for c in self.configs])
        if not bool(chosen.any()):
            return None
        weights = self.net.level_rows(0)
        weights[chosen] = features.nearest_rotation(weights[chosen], self.truth[chosen])
        frozen = torch.zeros_like(self.plan.trained[0])
        frozen[chosen, 0] = True
        return frozen

    def _observe(self, step: int) -> None:
        values = self._errors(step)
        for r, result in enumerate(self.results):
            entry = {n: c[r] if math.isfinite(c[r]) else None for n, c in values.items()}
            if step in self.begun[r]:
                result["before"][str(step)] = entry
            if step == self.first.n_steps:
                result["final"] = entry
            if self.configs[r].curve and step in self.curve_steps:
                curve = result.setdefault("curve", {"step": []})
                curve["step"].append(step)
                for name, value in entry.items():
                    curve.setdefault(name, []).append(value)

    def _errors(self, step: int) -> dict[str, list[float]]:
        """All errors of all runs before step `step`, on the test points and in closed form."""
        net, n_arms = self.net, len(self.arms)
        stage = max(i for i, s in enumerate(self.plan.starts) if s < step or s == 0)
        gates = self.plan.gates[stage].to(self.device)
        z = net.level_outputs(self.x_test)
        weights = gates * self.amplitudes.flatten(0, 1)
        output = net.head(z, weights)
        columns = {"rel": features.unexplained(output, self.y_test)}
        if self.task.thresholds is not None:
            guess = output > net.extra[:, 1:]
            truth = self.y_test > self.task.thresholds.flatten()[:, None]
            columns["err"] = (guess != truth).double().mean(1)
        rows = net.level_rows(0)
        first = features.first_level_errors(rows.mT @ rows, self.truth)
        columns |= {"gram2": first.gram, "shape2": first.shape, "sin2": first.rotation}
        for level in range(1, net.n_levels):
            own = z[:, net.slices[level]].square().sum(1)
            truth = self.sums[:, level].repeat_interleave(n_arms, 0)
            measure_level = (
                features.uncorrelated if self.first.loss == "logistic" else features.unexplained
            )
            name = "un" if self.first.loss == "logistic" else "fn"
            columns[f"{name}{level + 2}"] = measure_level(own, truth)
        return {name: column.double().tolist() for name, column in columns.items()}

    def _closed_form(self) -> None:
        """Add the plateau that our closed form predicts for level 2 while level 3 is shut."""
        if self.amplitudes.shape[2] < 2:
            return
        flat = self.amplitudes.flatten(0, 1)
        form = self.teachers.bias_form().repeat_interleave(len(self.arms), 0)
        plateau = features.plateau_gram(self.truth, form, flat[:, 1] / flat[:, 0])
        errors = features.first_level_errors(plateau, self.truth)
        for r, result in enumerate(self.results):
            result["plateau"] = {
                "gram2": float(errors.gram[r]),
                "shape2": float(errors.shape[r]),
                "sin2": float(errors.rotation[r]),
            }


def _curve_steps(n_steps: int) -> list[int]:
    """Steps at which curves are kept, evenly spaced."""
    return sorted({round(i * n_steps / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)})
