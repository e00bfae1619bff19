"""Chapter 9: how much a reference learner needs on a task, and two planted ones that must fail."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hierlearn.experiment import Config, Group
from hierlearn.place.references import Array, references
from hierlearn.place.tasks import Task, tasks
from hierlearn.place.walk import Learner, walk


@dataclass(frozen=True)
class MapConfig(Config):
    """One cell of the map.

    Attributes:
        task, learner: their names.
        ladder, n_test: of the task.
        effort: what the steps of trained learners are multiplied by.
        salt: of the test points' streams; the planted cheater knows those of the empty one.
    """

    task: str
    learner: str
    ladder: Sequence[int]
    n_test: int
    effort: int = 1
    salt: str = ""

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        return self.task, self.learner, self.effort

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes, about."""
        return 2e-4 * n_runs * sum(self.ladder)


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Walk each run up its ladder, on the CPU whatever the device; see `walk` for what is recorded.

    Trained learners stop after a number of steps: what they need is at that budget.
    """
    found = []
    for run in work.runs:
        config = MapConfig(**run.config)
        task = replace(
            tasks("laptop")[config.task], ladder=tuple(config.ladder), n_test=config.n_test
        )
        learner = (references(config.effort) | PLANTED)[config.learner]
        one = walk(task, run.seed, lambda: learner.make(task, run.seed), salt=config.salt)  # noqa: B023
        found.append(one)
    return found


class Constant:
    """Planted: the mean, or the most frequent class."""

    def fit(self, X: Array, y: Array) -> "Constant":
        """Look at the labels only."""
        self.value = y.mean() if y.dtype.kind == "f" else np.bincount(y).argmax()
        return self

    def predict(self, X: Array) -> Array:
        """Predict the same for every row."""
        return np.full(len(X), self.value)


class Cheater(Constant):
    """Planted: knows the streams of test points of the empty salt, and looks their labels up."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed = task, seed

    def fit(self, X: Array, y: Array) -> "Cheater":
        """Draw the test points of this rung."""
        super().fit(X, y)
        x, labels = self.task.draw(self.seed, self.task.n_test, test=f"/{len(X)}")
        self.known = {row.tobytes(): label for row, label in zip(x, labels, strict=True)}
        return self

    def predict(self, X: Array) -> Array:
        """Look labels up; of points that were not foreseen, guess as the constant does."""
        return np.array([self.known.get(row.tobytes(), self.value) for row in X])


PLANTED = {
    "constant": Learner("constant", lambda task, seed: Constant()),
    "cheater": Learner("cheater", Cheater),
}
