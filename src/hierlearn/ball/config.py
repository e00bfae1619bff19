r"""What one run on a ball indicator is, and which runs form a group.

A `BallConfig` describes a network trained in all its layers, or one with a frozen hidden layer
under gradient descent.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

from hierlearn.ball import target as balls
from hierlearn.ball.networks import ACTIVATIONS, check_width
from hierlearn.experiment import Config

LEARNERS = ("trained", "frozen")
CLIPS = {"none": (-math.inf, math.inf), "unit": (0.0, 1.0)}
TARGETS = ("ball", "degree 1", "permuted")


@dataclass(frozen=True)
class BallConfig(Config):
    r"""One run on a ball indicator.

    Attributes:
        learner: "trained" in all layers by Adam on fresh batches; "frozen" hidden layer, output
            weights by full-batch gradient descent on a fixed sample.
        distribution, dim, radius: of the target, see `ball.target`; `radius` is $\lambda$.
        width: hidden units r.
        n_steps: T.
        activation: of trained networks; the frozen features are erf.
        clip: of the output: "none", or "unit" [0, 1].
        target: "ball"; "degree 1", the ball's best affine function of $\lVert x\rVert^2$;
            "permuted", the ball's labels of other points. Errors are measured against the ball,
            for "degree 1" against that function.
        batch: fresh samples a step of trained networks.
        n_samples: n of the frozen ones.
        rate: learning rate of Adam; for gradient descent in units of $1/\hat L$.
        momentum: of gradient descent; 0 is the theorem's.
        ridge: whether the best linear output on the same frozen features is measured as well.
        n_test: number of test points.
        curve: whether the error over training and the radial profiles are kept.
    """

    learner: str
    distribution: str
    dim: int
    radius: float
    width: int
    n_steps: int = 0
    activation: str = "erf"
    clip: str = "none"
    target: str = "ball"
    batch: int = 256
    n_samples: int = 0
    rate: float = 5e-3
    momentum: float = 0.0
    ridge: bool = False
    n_test: int = 10_000
    curve: bool = False

    CHOICES = {
        "learner": LEARNERS, "clip": tuple(CLIPS), "target": TARGETS, "activation": ACTIVATIONS,
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        balls.find(self.distribution, self.dim, self.radius)
        check_width(self.width)
        if self.learner == "frozen" and self.n_samples < 1:
            raise ValueError(f"a frozen layer needs n_samples >= 1; got {self.n_samples}")
        if self.target == "degree 1" and self.distribution != "sum":
            raise ValueError("target 'degree 1' is defined for distribution 'sum' only")

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        free = ("radius", "clip", "target", "curve", "ridge")
        return tuple(getattr(self, f.name) for f in fields(self) if f.name not in free)

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes: matrix products of its batches or its sample."""
        work = self.batch * 4e-9 if self.learner == "trained" else self.n_samples * 1.2e-10
        return max(self.n_steps, 10) * work * self.width * n_runs
