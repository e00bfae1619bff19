"""The training loop: fresh or pooled batches, squared loss, Adam or plain SGD."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.capture import Drawn, Step, ahead, captured
from hierlearn.engine.doors import at_least, check_indices, checked, plain
from hierlearn.engine.seeds import stream
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import ADAM_BETAS, Plan
from hierlearn.quadratic.target import QuadraticTeachers

ADAM_EPSILON = 1e-10


@checked
@dataclass
class Task:
    """What a batch of runs has to learn.

    Attributes:
        teachers: the targets, one a seed.
        seeds: their seeds, which also name the data streams.
        amplitudes: $a_l$ of the network's head, `[seed, arm, level]`.
        target: coefficients of the training target on `basis`, `[seed, arm, basis]`.
        n_samples: size of the training pool; `None` for fresh batches.
        early_target: the target of a run while only its level 2 is open, where it is another.
    """

    teachers: QuadraticTeachers
    seeds: Sequence[int]
    amplitudes: Float[Tensor, "seed arm level"]
    target: Float[Tensor, "seed arm basis"]
    n_samples: int | None = None
    early_target: Float[Tensor, "seed arm basis"] | None = None

    def __post_init__(self) -> None:
        n_seeds, n_levels = self.teachers.scale.shape
        if len(self.seeds) != n_seeds:
            raise ValueError(f"give one seed a target, {n_seeds}; got {list(self.seeds)}")
        if self.target.shape[2] != 2 * n_levels + 1:
            raise ValueError(
                f"target must have {2 * n_levels + 1} coefficients, those of `basis`; "
                f"got {self.target.shape[2]}"
            )
        if self.n_samples is not None:
            at_least(1, n_samples=self.n_samples)


@checked
def basis(teachers: QuadraticTeachers, x: Float[Tensor, "seed batch dim"]) -> Tensor:
    r"""Compute the functions that targets are combined from, `[seed, 2 * level + 1, batch]`.

    First $\mathrm{Sum}(h_l)$ of every level, then $x^\top B_3x$, then $\mathrm{Sum}(h_l)$ of the
    *previous point* of the batch, which is independent of x: the permuted and independent-level
    controls are targets on these.
    """
    sums = teachers.level_sums(x)
    bias = torch.einsum("sbi,sij,sbj->sb", x, teachers.bias_form(), x)
    return torch.cat([sums, bias[:, None], sums.roll(1, 2)], 1)


_basis = plain(basis)


class Batches:
    """The data streams of the seeds: inputs `[seed, batch, dim]` and their basis functions."""

    @checked
    def __init__(self, task: Task, batch: int, like: Float[Tensor, "..."]) -> None:
        at_least(1, batch=batch)
        self.task, self.like = task, like
        self._teachers = plain(task.teachers)
        dim = task.teachers.first.shape[2]
        self.generators = [stream("training data", seed) for seed in task.seeds]
        self.x = torch.empty(len(task.seeds), batch, dim, dtype=torch.float32)
        n_levels = task.teachers.scale.shape[1]
        targets = [t for t in (task.target, task.early_target) if t is not None]
        self.uses_all = any(bool((t[:, :, n_levels:] != 0).any()) for t in targets)
        self.pool: tuple[Tensor, Tensor] | None = None
        if task.n_samples is not None:
            draws = [
                torch.randn(task.n_samples, dim, generator=stream("pool", s)) for s in task.seeds
            ]
            x = torch.stack(draws).to(like)
            self.pool = x, self._basis(x)
        self.seeds = torch.arange(len(task.seeds), device=like.device)[:, None]

    def _axes(self) -> dict[str, int]:
        return dict(zip(("seed", "batch", "dim"), self.x.shape, strict=True))

    def _basis(self, x: Tensor) -> Tensor:
        if self.uses_all:
            return _basis(self._teachers, x)
        return self._teachers.level_sums(x)

    def draw(self) -> Drawn:
        """Draw a step's numbers on the CPU, in memory that the next call may use again.

        Inputs or, of a pool, their indices.
        """
        batch = self.x.shape[1]
        if self.pool is None:
            for row, generator in zip(self.x, self.generators, strict=True):
                row.normal_(generator=generator)
            drawn = self.x
        else:
            size = self.pool[0].shape[1]
            picks = [torch.randint(size, (batch,), generator=g) for g in self.generators]
            drawn = torch.stack(picks)
        return (drawn,)

    @checked
    def read(
        self, drawn: Float[Tensor, "seed batch dim"] | Int64[Tensor, "seed batch"]
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs of a draw and their basis functions."""
        if (drawn.ndim == 3) != (self.pool is None):
            raise ValueError(
                "read needs what `draw` returned, inputs or, of a pool, indices; got shape "
                f"{list(drawn.shape)}"
            )
        if self.pool is None:
            x = drawn.to(self.like)
            return x, self._basis(x)
        index = drawn.to(self.like.device)
        return self.pool[0][self.seeds, index], self.pool[1].mT[self.seeds, index].mT


@checked
@dataclass
class Loop:
    """Train a batch of networks by `plan` and call `observe(step)` at the steps it asks for.

    Attributes:
        net: the networks, trained in place.
        task: what to learn.
        plan: the compiled protocols.
        batch: samples a step and seed.
        optimizer: "adam" or "sgd" (no momentum, no clipping).
        at_start: called with the index of a stage before it begins; it may change `net` and freeze
            levels by returning a mask `[run, level]` of those that stay frozen from then on.
    """

    net: QuadraticNetworks
    task: Task
    plan: Plan
    batch: int
    optimizer: str = "adam"
    at_start: Callable[[int], Tensor | None] | None = None
    _net: QuadraticNetworks = field(init=False)
    _frozen: Tensor = field(init=False)

    def __post_init__(self) -> None:
        at_least(1, batch=self.batch)
        net, plan, arms = self.net, self.plan, self.task.amplitudes.shape
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be 'adam' or 'sgd'; got {self.optimizer!r}")
        if arms != (net.n_seeds, net.n_arms, net.n_levels):
            raise ValueError(
                f"the networks need amplitudes of shape {[net.n_seeds, net.n_arms, net.n_levels]}, "
                f"[seed, arm, level]; the task has {list(arms)}"
            )
        if plan.rates.shape[1:] != (net.n_runs, net.n_levels):
            raise ValueError(
                f"the plan must be of {net.n_runs} runs and {net.n_levels} levels; "
                f"got {plan.rates.shape[1]} and {plan.rates.shape[2]}"
            )

    @checked
    def run(self, observe: Callable[[int], None], observed: Sequence[int]) -> None:
        """Train through all steps of the plan.

        `observe(step)` sees the networks *before* step `step` is taken; `observed` may contain the
        number of steps itself, for the end.
        """
        self._net = net = plain(self.net)
        plan, n_steps = self.plan, len(self.plan.rates)
        check_indices(n_steps + 1, observed=observed)
        adam = self.optimizer == "adam"
        sizes = step_sizes(plan.rates, ADAM_BETAS) if adam else plan.rates
        self.sizes = sizes.flatten(1).to(net.theta)
        self._frozen = torch.zeros_like(plan.trained[0])
        self._amplitudes = self.task.amplitudes.flatten(0, 1).to(net.theta)
        self._target = self.task.target.to(net.theta)
        self._adam = Adam(net.theta, net.grad, ADAM_BETAS, ADAM_EPSILON)
        self._batches = plain(Batches(self.task, self.batch, net.theta))
        wanted, stages = set(observed), {start: i for i, start in enumerate(plan.starts)}
        draws = ahead(self._batches.draw, n_steps, net.theta.device)
        for step, (size, drawn) in enumerate(zip(self.sizes, draws, strict=True)):
            if step in wanted:
                observe(step)
            if step in stages:
                self._begin(stages[step])
            self._run(size, *drawn)
        if n_steps in wanted:
            observe(n_steps)

    def _begin(self, stage: int) -> None:
        """Set the tables that stay the same until some run begins its next stage."""
        net = self._net
        frozen = self.at_start(stage) if self.at_start else None
        if frozen is not None:
            self._frozen |= frozen
        moving = (self.plan.trained[stage] & ~self._frozen).to(net.theta)
        self._moving = moving.flatten()
        self._adam.hold(self._moving[net.owner])
        if self.task.early_target is not None:
            opened = self.plan.gates[stage][:, 1].view(net.n_seeds, net.n_arms, 1)
            targets = self.task.target, self.task.early_target
            self._target = torch.where(opened.to(net.theta.device), *targets).to(net.theta)
        gates = self.plan.gates[stage].to(net.theta)
        self._n_open = int(gates.any(0).sum())
        self._head = gates * self._amplitudes
        self._run: Step = captured(self._step, net.theta.device)

    def _step(self, size: Tensor, drawn: Tensor) -> None:
        """Take one step of sizes `size`, one an owner, with what `Batches.draw` returned."""
        net = self._net
        x, functions = self._batches.read(drawn)
        n_basis = functions.shape[1]
        y = torch.bmm(self._target[:, :, :n_basis], functions)
        z = net.level_outputs(x, self._n_open)
        raw = net.head(z, self._head)
        reads = net.readout is not None and self._n_open > 1
        if reads:
            raw.add_(net.read_out(x))
        slope = raw.sub_(y.flatten(0, 1))
        slope.sub_(slope.mean(1, keepdim=True)).mul_(2 / self.batch)
        net.backward(x, z, slope, head_weights=self._head, n_open=self._n_open)
        if reads:
            net.backward_readout(x, slope)
        size = (size * self._moving)[net.owner]
        if self.optimizer == "adam":
            self._adam.step(size)
        else:
            net.theta.addcmul_(net.grad, size, value=-1)
