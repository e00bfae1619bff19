r"""The common body of the experiments on hierarchical quadratic targets.

`config.QuadraticConfig` says what one run is; `measure` trains the runs of a group as one
batch and measures each of them before every stage and at the end.
"""

import math
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic import measures as features
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import Plan, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Loop, Task
from hierlearn.statistics import Value, number

__all__ = ["QuadraticConfig", "before", "final", "measure"]

CURVE_POINTS = 56
TOLERANCE = 1e-6


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a group as one batch; one measurement a run, in the order of its runs.

    A measurement holds `before` (one entry a stage that the run begins: the errors just before its
    step), `final` and, where the run asks for it, `curve`, plus the closed-form `plateau`.
    `converged`: the relative test error ends below `TOLERANCE`, or the second half of the steps
    has changed it by less than a fifth.
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
            device=device, readout=first.readout,
        )  # fmt: skip
        self.net.initialize(self.seeds)
        self.truth = teachers.first.repeat_interleave(n_arms, 0)
        self._draw_test()
        self.task = Task(
            teachers, self.seeds, self.amplitudes, self._targets(), first.n_samples,
            self._targets(early=True) if any("then" in arm.target for arm in arms) else None,
        )  # fmt: skip
        self.plan: Plan = compile_plan(
            [c.protocol for c in self.configs], [c.gaps for c in self.configs], first.n_steps
        )

    def _targets(self, *, early: bool = False) -> Tensor:
        """Coefficients of every arm's training target on the basis of `quadratic.training.basis`.

        `early`: those while only level 2 is open.
        """
        n_levels = self.amplitudes.shape[2]
        target = torch.zeros(len(self.seeds), len(self.arms), 2 * n_levels + 1, device=self.device)
        for a, arm in enumerate(self.arms):
            own, other = self.amplitudes[:, a], slice(n_levels + 1, 2 * n_levels + 1)
            if arm.target == "permuted":
                target[:, a, other] = own
                continue
            target[:, a, :n_levels] = own
            if early and arm.target == "debiased, then full":
                target[:, a, n_levels] = -own[:, 1]
        return target

    def _draw_test(self) -> None:
        dim, n_test = self.first.dim, self.first.n_test
        draws = [torch.randn(n_test, dim, generator=stream("test data", s)) for s in self.seeds]
        self.x_test = torch.stack(draws).to(self.device)
        self.sums = self.teachers.level_sums(self.x_test)
        self.y_test = torch.bmm(self.amplitudes, self.sums).flatten(0, 1)

    def run(self) -> list[dict[str, Any]]:
        self.results: list[dict[str, Any]] = [{"before": {}} for _ in self.configs]
        self.half_way: list[dict[str, float | None]] = []
        n_steps = self.first.n_steps
        curve = set(_curve_steps(n_steps)) if any(c.curve for c in self.configs) else set()
        starts = [s for s in self.plan.starts if s > 0]
        self.begun = [set(c.protocol.stage_starts()) - {0} for c in self.configs]
        self.curve_steps = curve
        loop = Loop(
            self.net, self.task, self.plan, self.first.batch, self.first.optimizer,
            at_start=self._install_oracles if any(c.oracle for c in self.configs) else None,
        )  # fmt: skip
        loop.run(self._observe, sorted({*starts, *curve, n_steps // 2, n_steps}))
        self._closed_form()
        return self.results

    def _install_oracles(self, stage: int) -> Tensor | None:
        start = self.plan.starts[stage]
        chosen = torch.tensor(
            [c.oracle and c.opens[c.oracle_level - 2] == start for c in self.configs]
        )
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
            if step == self.first.n_steps // 2:
                self.half_way.append(entry)
            if step == self.first.n_steps:
                result["final"] = entry
                result["converged"] = _settled(self.half_way[r], entry)
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
        if net.readout is not None:
            output = output + net.read_out(self.x_test)
        columns = {"rel": features.unexplained(output, self.y_test)}
        rows = net.level_rows(0)
        first = features.first_level_errors(rows.mT @ rows, self.truth)
        columns |= {"gram2": first.gram, "shape2": first.shape, "sin2": first.rotation}
        for level in range(net.n_levels):
            own = z[:, net.slices[level]].square().sum(1)
            truth = self.sums[:, level].repeat_interleave(n_arms, 0)
            columns[f"fn{level + 2}"] = features.unexplained(own, truth)
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


def _settled(half_way: dict[str, float | None], end: dict[str, float | None]) -> bool:
    """Say whether the test error is small, or hardly moved in the second half of the steps."""
    before, after = half_way["rel"], end["rel"]
    if before is None or after is None:
        return False
    return after < TOLERANCE or 0.8 < after / max(before, TOLERANCE) < 1.25


def _curve_steps(n_steps: int) -> list[int]:
    """Steps at which curves are kept, evenly spaced."""
    return sorted({round(i * n_steps / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)})


def final(name: str) -> Value:
    """Read an error at the end of training."""
    return number("final", name)


def before(stage: int, name: str) -> Value:
    """Read an error just before stage number `stage` (level 3 opens in stage 3)."""

    def value(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
        start = config.protocol.stage_starts()[stage - 2]
        return number("before", str(start), name)(config, measurement)

    return value
