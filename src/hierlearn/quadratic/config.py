"""What one run on a hierarchical quadratic target is, and which runs train as one batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hierlearn.experiment import Config
from hierlearn.quadratic.protocols import Protocol

TARGETS = ("full", "debiased, then full", "permuted")


@dataclass(frozen=True)
class QuadraticConfig(Config):
    r"""One run on a hierarchical quadratic target.

    Attributes:
        dim: input dimension d.
        widths: $k_2..k_L$ of the target.
        gaps: amplitude ratios $\alpha_2=1,\alpha_3..\alpha_L$; zero removes a level.
        skip: $\rho$.
        opens, look_back, rate, lower_rate: see `Protocol`.
        n_steps, batch, optimizer: of the training loop.
        target: what is fitted: "full" y; "debiased, then full", which is $y-a_3x^\top B_3x$ until
            level 3 opens; "permuted" y of another input. Errors are measured against the full y.
        n_samples: size of the training pool, `None` for fresh batches.
        oracle: whether level 2 is replaced by its nearest rotation of the truth, and frozen, when
            level `oracle_level` opens.
        readout: whether a free quadratic form $x^\top Qx$ joins the output with level 3, starting
            from zero and trained whenever level 3 is.
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
    rate: float = 1e-2
    lower_rate: float = 1.0
    batch: int = 256
    optimizer: str = "adam"
    target: str = "full"
    n_samples: int | None = None
    oracle: bool = False
    oracle_level: int = 3
    readout: bool = False
    learner_widths: Sequence[int] | None = None
    n_test: int = 2000
    curve: bool = False

    CHOICES = {"target": TARGETS, "optimizer": ("adam", "sgd")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.widths) == len(self.gaps) == len(self.opens):
            raise ValueError(
                "widths, gaps and opens need one entry a level; got "
                f"{len(self.widths)}, {len(self.gaps)} and {len(self.opens)}"
            )

    @property
    def protocol(self) -> Protocol:
        """The training protocol of the run."""
        return Protocol(
            tuple(self.opens), self.look_back, rate=self.rate, lower_rate=self.lower_rate
        )

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        return (
            self.dim, self.widths, self.skip, self.n_steps, self.batch, self.optimizer,
            self.n_samples, self.learner_widths, self.n_test, self.readout,
        )  # fmt: skip

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes: a step has its own cost, and one for each run."""
        size = sum(self.learner_widths or self.widths) * (self.dim + 40)
        return self.n_steps * (4e-4 + 5e-11 * n_runs * self.batch * size)
