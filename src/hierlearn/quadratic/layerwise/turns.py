r"""Levels trained in turn, again and again, each alone: cyclic layerwise training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.measures import first_level_errors, unexplained
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import FINAL_RATE, Plan, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Loop, Task

TOLERANCE = 1e-6


@dataclass(frozen=True)
class TurnConfig(QuadraticConfig):
    """A run whose levels may take turns.

    Attributes:
        turn: for how many steps a level trains alone, from the opening of the top level on, the
            newest first; its rate is annealed in every turn. None: the protocol alone decides.
        refit: whether the free readout trains in every turn, not in those of level 3 only.
    """

    turn: int | None = None
    refit: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = {"oracle": False, "optimizer": "adam", "target": "full", "n_samples": None,
                 "learner_widths": None}  # fmt: skip
        if odd := [f"{name}={getattr(self, name)!r}" for name in plain
                   if getattr(self, name) != plain[name]]:  # fmt: skip
            raise ValueError(f"turns know no {', '.join(odd)}: leave it out")


def take_turns(plan: Plan, configs: Sequence[TurnConfig]) -> Plan:
    """Return the plan in which the runs that have turns move one level at a time."""
    n_steps, _, n_levels = plan.rates.shape
    rates, starts = plan.rates.clone(), set(plan.starts)
    for run, one in enumerate(configs):
        first = one.opens[-1]
        if one.turn is None or first is None:
            continue
        starts |= set(range(first, n_steps, one.turn))
        turn, step = divmod(torch.arange(n_steps - first).numpy(), one.turn)
        anneal = 0.5 * (1 + torch.cos(math.pi * torch.tensor(step) / one.turn))
        whose = torch.tensor(-1 - turn) % n_levels
        own = torch.nn.functional.one_hot(whose, n_levels)
        rates[first:, run] = rates[first, run] * own
        rates[first:, run] *= (FINAL_RATE + (1 - FINAL_RATE) * anneal)[:, None]
    begin = sorted(starts)
    stage = [sum(start <= step for start in plan.starts) - 1 for step in begin]
    return Plan(begin, plan.gates[stage], rates[begin] > 0, rates)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a group as one batch; one measurement a run, in the order of its runs.

    A measurement holds `curve`, at the ends of the longest turns, and `final`: the relative test
    error (`rel`), the mean squared error in units of the top level's own part of y (`lost`), and
    the errors of level 2 (`gram2`, `sin2`). `converged`: the relative error ends below `TOLERANCE`,
    or what it was at the first of these steps past the half of all is within a fifth of it.
    """
    configs = [TurnConfig(**run.config) for run in work.runs]
    seeds = list(dict.fromkeys(run.seed for run in work.runs))
    first, n_arms = configs[0], len(configs) // len(seeds)
    teachers = QuadraticTeachers.draw(seeds, dim=first.dim, widths=first.widths, skip=first.skip)
    teachers = teachers.to(device)
    gaps = torch.tensor([one.gaps for one in configs[:n_arms]], device=device)
    amplitudes = teachers.amplitudes(gaps.expand(len(seeds), -1, -1))
    net = QuadraticNetworks(
        len(seeds), n_arms, dim=first.dim, widths=first.widths, device=device,
        readout=first.readout,
    )  # fmt: skip
    net.initialize(seeds)
    plan = compile_plan([c.protocol for c in configs], [c.gaps for c in configs], first.n_steps)
    plan = take_turns(plan, configs)
    target = torch.zeros(len(seeds), n_arms, 2 * gaps.shape[1] + 1, device=device)
    target[:, :, : gaps.shape[1]] = amplitudes
    results: list[dict[str, Any]] = [{"curve": {"step": []}} for _ in configs]
    errors = _Errors(teachers, seeds, amplitudes, first.n_test, device)

    def observe(step: int) -> None:
        stage = max(i for i, start in enumerate(plan.starts) if start < step or start == 0)
        found = errors(net, plan.gates[stage].to(device))
        for r, result in enumerate(results):
            result["final"] = {name: values[r] for name, values in found.items()}
            result["curve"]["step"].append(step)
            for name, values in found.items():
                result["curve"].setdefault(name, []).append(values[r])

    def refit(stage: int) -> None:
        """Let the readout belong to the level whose turn it is."""
        for run, one in enumerate(configs):
            if one.refit and net.readout is not None:
                level = (
                    int(plan.trained[stage, run].int().argmax()) if plan.gates[stage, run, 1] else 1
                )
                owner = net.owner[-net.readout.numel() :].view_as(net.readout)
                owner[run] = run * net.n_levels + level

    loop = Loop(
        net, Task(teachers, seeds, amplitudes, target), plan, first.batch,
        at_start=refit if any(one.refit for one in configs) else None,
    )  # fmt: skip
    begin, n_steps = first.opens[-1] or 0, first.n_steps
    turn = max(one.turn or 1 for one in configs)
    steps = [0, begin // 2, *range(begin, n_steps, turn), n_steps]
    loop.run(observe, steps)
    half = next(i for i, step in enumerate(steps) if 2 * step >= n_steps)
    for result in results:
        before, after = (result["curve"]["rel"][i] for i in (half, -1))
        moved = after / max(before, TOLERANCE)
        result["converged"] = after < TOLERANCE or 0.8 < moved < 1.25
    return results


class _Errors:
    """The errors of networks on test points of their seeds."""

    def __init__(
        self,
        teachers: QuadraticTeachers,
        seeds: Sequence[int],
        amplitudes: Tensor,
        n_test: int,
        device: torch.device,
    ) -> None:
        dim, self.n_arms = teachers.first.shape[2], amplitudes.shape[1]
        draws = [torch.randn(n_test, dim, generator=stream("test data", s)) for s in seeds]
        self.x = torch.stack(draws).to(device)
        sums = teachers.level_sums(self.x)
        self.y = torch.bmm(amplitudes, sums).flatten(0, 1)
        top = (amplitudes[:, :, -1:] * sums[:, None, -1]).flatten(0, 1)
        self.share = (top.var(1) / self.y.var(1)).double()
        self.amplitudes = amplitudes.flatten(0, 1)
        self.truth = teachers.first.repeat_interleave(self.n_arms, 0)

    def __call__(self, net: QuadraticNetworks, gates: Tensor) -> dict[str, list[float]]:
        z = net.level_outputs(self.x)
        output = net.head(z, gates * self.amplitudes)
        if net.readout is not None:
            output = output + net.read_out(self.x)
        rows = net.level_rows(0)
        level_2 = first_level_errors(rows.mT @ rows, self.truth)
        error = unexplained(output, self.y)
        columns = {
            "rel": error, "lost": error / self.share, "gram2": level_2.gram,
            "sin2": level_2.rotation,
        }  # fmt: skip
        return {name: column.double().tolist() for name, column in columns.items()}
