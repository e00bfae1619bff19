r"""Training protocols: which level is open, which is trained, and how fast, at every step.

A protocol of a network with levels 2..L is said by three things: the step at which each level's
output *opens* in the sum $\hat y$ (never, if `None`), how many of the newest open levels are
*trained* (`look_back`; the others are frozen), and the step from which on all levels are trained
again (`thaw`). Joint training opens every level at step 0; staged training opens them one after
the other and freezes none; greedy layerwise training has `look_back = 1`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked, positive

FINAL_RATE = 1e-3
ADAM_BETAS = (0.9, 0.99)


@checked
@dataclass(frozen=True)
class Protocol:
    r"""When levels open, which are trained, and their learning rates.

    Attributes:
        opens: the step at which level 2, 3, .. opens, in ascending order, `None` for never.
        look_back: how many of the newest open levels are trained; `None` for all of them.
        thaw: the step from which on all open levels are trained, `None` for never.
        rate: learning rate of the newest level; a cosine anneals it to a thousandth in each stage.
        lower_rate: exponent p of the factor $(\alpha_s/\alpha_l)^p$ on the rate of a lower level
            l while level s is the newest.
    """

    opens: tuple[int | None, ...]
    look_back: int | None = None
    thaw: int | None = None
    rate: float = 1e-2
    lower_rate: float = 1.0

    def __post_init__(self) -> None:
        positive(rate=self.rate)
        if not abs(self.lower_rate) <= 10:
            raise ValueError(
                f"lower_rate is an exponent and must lie in [-10, 10]; got {self.lower_rate}"
            )
        if self.thaw is not None:
            at_least(0, thaw=self.thaw)
        steps = [step for step in self.opens if step is not None]
        late = None in self.opens and any(
            s is not None for s in self.opens[self.opens.index(None) :]
        )
        if not steps or steps[0] != 0 or steps != sorted(steps) or late:
            raise ValueError(
                "opens must start with 0 and ascend, with None (never) only at the end; "
                f"got {self.opens}"
            )
        if self.look_back is not None and self.look_back < 1:
            raise ValueError(
                f"look_back must be None (all levels) or at least 1; got {self.look_back}"
            )

    def stage_starts(self) -> list[int]:
        """Return the steps at which a stage begins, in ascending order."""
        starts = {step for step in self.opens if step is not None}
        return sorted(starts | ({self.thaw} if self.thaw is not None else set()))

    @checked
    def open_levels(self, step: int) -> list[bool]:
        """Return which levels are open at `step`."""
        at_least(0, step=step)
        return [start is not None and start <= step for start in self.opens]

    @checked
    def trained_levels(self, step: int) -> list[bool]:
        """Return which levels are trained at `step`."""
        is_open = self.open_levels(step)
        if self.look_back is None or (self.thaw is not None and step >= self.thaw):
            return is_open
        newest = sum(is_open)
        oldest = newest - self.look_back
        return [oldest <= level < newest for level in range(len(is_open))]


@checked
@dataclass(frozen=True)
class Plan:
    """Protocols of a batch of runs, compiled to tables.

    Attributes:
        starts: steps at which some run begins a stage.
        gates: per start, which levels are open, `[start, run, level]`.
        trained: per start, which levels move, `[start, run, level]`.
        rates: learning rate of every level at every step, `[step, run, level]`; zero where it is
            frozen.
    """

    starts: list[int]
    gates: Bool[Tensor, "start run level"]
    trained: Bool[Tensor, "start run level"]
    rates: Float[Tensor, "step run level"]

    def __post_init__(self) -> None:
        starts = self.starts
        if len(starts) != len(self.gates) or starts != sorted({0, *starts}):
            raise ValueError(
                f"starts must ascend from 0, one for each of {len(self.gates)} rows of gates; "
                f"got {starts}"
            )


@checked
def compile_plan(
    protocols: Sequence[Protocol], gaps: Sequence[Sequence[float]], n_steps: int
) -> Plan:
    """Compile one protocol a run into the tables that the loop reads.

    Args:
        protocols: one a run.
        gaps: amplitude ratios of the levels, one sequence a run.
        n_steps: total number of steps.

    Raises:
        ValueError: when a stage would begin at or after `n_steps`, and unless there are as many
            gaps as levels for each protocol, those of levels that open positive.
    """
    _check_gaps(protocols, gaps)
    last = max(start for p in protocols for start in p.stage_starts())
    if last >= n_steps:
        raise ValueError(
            f"a stage begins at step {last}, but training has only {n_steps} steps; "
            "raise n_steps or open the level earlier"
        )
    starts = sorted({start for p in protocols for start in p.stage_starts()})
    gates = torch.tensor([[p.open_levels(s) for p in protocols] for s in starts])
    trained = torch.tensor([[p.trained_levels(s) for p in protocols] for s in starts])
    tables = [_rate_table(p, list(g), n_steps) for p, g in zip(protocols, gaps, strict=True)]
    return Plan(starts, gates, trained, torch.stack(tables, 1))


def _check_gaps(protocols: Sequence[Protocol], gaps: Sequence[Sequence[float]]) -> None:
    n_levels = {len(p.opens) for p in protocols}
    if len(n_levels) != 1 or len(gaps) != len(protocols):
        raise ValueError(
            "give protocols of one number of levels, at least one, and one sequence of gaps each; "
            f"got protocols of {[len(p.opens) for p in protocols]} levels and {len(gaps)} sequences"
        )
    for protocol, own in zip(protocols, gaps, strict=True):
        n_open = sum(step is not None for step in protocol.opens)
        if len(own) != len(protocol.opens) or not all(0 < gap < math.inf for gap in own[:n_open]):
            raise ValueError(
                f"gaps must be {len(protocol.opens)} numbers, one a level, positive where it "
                f"opens since rates are their quotients; got {tuple(own)}"
            )


def _rate_table(protocol: Protocol, gaps: list[float], n_steps: int) -> Tensor:
    """Learning rate of every level of one run at every step, `[step, level]`."""
    table = torch.zeros(n_steps, len(gaps))
    bounds = [*protocol.stage_starts(), n_steps]
    for start, end in zip(bounds, bounds[1:], strict=False):
        progress = torch.arange(end - start) / (end - start)
        anneal = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + torch.cos(math.pi * progress))
        newest = sum(protocol.open_levels(start)) - 1
        for level, moves in enumerate(protocol.trained_levels(start)):
            if moves:
                factor = (gaps[newest] / gaps[level]) ** protocol.lower_rate
                if not 1e-30 < protocol.rate * factor < 1e30:
                    raise ValueError(
                        "rates must lie between 1e-30 and 1e30; level "
                        f"{level + 2} has {protocol.rate * factor:g} while level {newest + 2} is "
                        f"the newest: lower_rate = {protocol.lower_rate:g} is too large"
                    )
                table[start:end, level] = protocol.rate * factor * anneal
    return table
