"""Chapter 9: how much a reference learner needs on a task, and two planted ones that must fail."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from hierlearn.conditions import labels
from hierlearn.engine.seeds import stream
from hierlearn.errors import RunError
from hierlearn.experiment import Config, Group
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.place.references import Array, references
from hierlearn.place.tasks import DIM, GRAMMAR, GRAMMARS, SKIP, Task, tasks
from hierlearn.place.walk import Learner, walk
from hierlearn.quadratic.layerwise.floors import bias_form_of_level_4
from hierlearn.quadratic.target import QuadraticTeachers


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

    Trained learners stop after a number of steps: what they need is at that budget. RunError
    without scikit-learn, which would otherwise count as a failure of its learners.
    """
    if find_spec("sklearn") is None:
        raise RunError("the map needs scikit-learn: in a clone, python -m pip install -e .")
    found = []
    for run in work.runs:
        config = MapConfig(**run.config)
        task = replace(
            tasks("laptop")[config.task], ladder=tuple(config.ladder), n_test=config.n_test
        )
        learner = (references(config.effort) | PLANTED)[config.learner]
        make = partial(learner.make, task, run.seed)
        found.append(walk(task, run.seed, make, salt=config.salt))
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


@dataclass(frozen=True)
class ConditionsConfig(Config):
    """The conditions of chapter 7 on one task."""

    task: str

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes, about."""
        return 0.1 * n_runs


N_CONDITIONS = 20_000


def measure_conditions(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Compute signal, inner and outer dirt and margin of a task, as chapter 7 defines them.

    Quadratic targets: of the population fit $x^\top Ax$, $A=a_2W^\top W+a_3B_3+a_4B_4$. Cube: of
    all quadratics, from the orthogonality of parities. Grammars: from the label laws of pairs,
    signal at the lowest level, dirt the largest and margin the least over levels. Ball: signal is
    what $\lVert x\rVert^2$ explains of fresh points. None where there is nothing to measure.
    """
    every = tasks("laptop")
    found = []
    for run in work.runs:
        task = every[run.config["task"]]
        found.append(MEASURED[task.family](task, run.seed))
    return found


def _of_quadratic(task: Task, seed: int) -> dict[str, float | None]:
    widths, dim = task.shape["widths"], DIM
    teacher = QuadraticTeachers.draw([seed], dim=dim, widths=widths, skip=SKIP, dtype=torch.float64)
    a = torch.tensor(task.law(seed).amplitudes).double()
    first, k = teacher.first[0], widths[0]
    upper = torch.zeros(dim, dim).double()
    if len(widths) > 1:
        upper += a[1] * teacher.bias_form()[0]
    if len(widths) > 2:
        upper += a[2] * bias_form_of_level_4(teacher)[0]
    form = a[0] * first.T @ first + upper
    clean = first @ form @ first.T
    values = torch.linalg.eigvalsh(form).flip(0)
    x = torch.randn(N_CONDITIONS, dim, generator=stream("place conditions", seed)).double()
    above = float((a[1:] @ teacher.level_sums(x[None])[0, 1:]).var()) if len(widths) > 1 else 0.0
    return {
        "signal": 2 * float(clean.square().sum()),
        "inner": 2 * float(upper.square().sum()) / above if above else None,
        "outer": max(1 - float(clean.square().sum() / form.square().sum()), 0.0),
        "margin": 1 - float(values[k] / values[k - 1]),
    }


def _of_cube(task: Task, seed: int) -> dict[str, float | None]:
    pairs = task.law(seed).amplitudes[0] ** 2
    clean = {"inner": 0.0, "outer": 0.0, "margin": 1.0}
    return {"signal": pairs, **(clean if pairs else {"inner": 0.0, "outer": None, "margin": None})}


def _of_grammar(task: Task, seed: int) -> dict[str, float | None]:
    dial = next(key for key, (name, _) in GRAMMARS.items() if name == task.name)
    law = DialedHierarchy.draw(seed, **GRAMMAR, dial=dial, t=float(dial != "none"))
    signals, outers, margins = [], [], []
    for n in range(len(law.grammar.rules), 1, -1):  # from the lowest pairs up
        part = RandomHierarchy(law.grammar.rules[:n], law.grammar.vocab_size)
        joint = labels.joint_law(DialedHierarchy(part, "none", 0.0))
        m = part.synonyms[-1]
        if labels.alike(joint):
            return {"signal": 0.0, "inner": None, "outer": None, "margin": None}
        signal, outer = labels.shares(joint, m)
        signals.append(signal)
        outers.append(outer)
        margins.append(labels.margin(joint, m))
    least = min(margins)
    return {
        "signal": signals[0], "inner": None, "outer": max(*outers, 0.0),
        "margin": least if math.isfinite(least) else None,
    }  # fmt: skip


def _of_ball(task: Task, seed: int) -> dict[str, float | None]:
    x, y = task.draw(seed, N_CONDITIONS, test="conditions")
    explained = float(np.corrcoef(np.square(x).sum(1), y)[0, 1] ** 2)
    return {"signal": explained, "inner": None, "outer": 0.0, "margin": None}


MEASURED = {
    "quadratic": _of_quadratic, "cube": _of_cube, "grammar": _of_grammar, "ball": _of_ball,
}  # fmt: skip
