"""How much a learner needs: up the ladder of a task from the bottom, to the first rung it passes.

A learner is anything with `fit(X, y)` and `predict(X)`, as scikit-learn has them; one that says
how many fits it tried, in `n_fits_` or as scikit-learn's searches do, has them counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hierlearn.place.child import LearnerError, n_fits
from hierlearn.place.tasks import Task


@dataclass(frozen=True)
class Learner:
    """A learner of the map.

    Attributes:
        name: as the map shows it.
        make: from a task and a seed to an object with `fit` and `predict`; of the task a learner
            that is not told the architecture reads its `kind`, and nothing else.
        told: whether it is told the architecture.
        families: those it is for; empty: all.
    """

    name: str
    make: Callable[[Task, int], Any]
    told: bool = False
    families: tuple[str, ...] = ()

    def takes(self, task: Task) -> bool:
        """Return whether the learner is for this task."""
        return not self.families or task.family in self.families


def walk(task: Task, seed: int, make: Callable[[], Any], *, salt: str = "") -> dict[str, Any]:
    """Fit new learners from `make` on growing samples until one passes; return what came out.

    Test points are drawn when the fit is over, in a stream of their own for each salt and rung.
    `sizes` were tried, with these `errors`; the last one passed where it is below `threshold`.
    `failure` says why the learner failed or refused on the next rung, if it did; `fits` counts the
    fits that it says it needed, one a rung where it says nothing; `rungs` is the ladder's length.

    A learner fails or refuses with a LearnerError, as all that a user's file raises arrives here.
    Any other error is a mistake of the book or of this machine, and is raised.
    """
    sizes: list[int] = []
    errors: list[float] = []
    failure, fits, threshold = None, 0, task.threshold(seed)
    for n in task.ladder:
        x, y = task.draw(seed, n)
        try:
            model = make()
            model.fit(x, y)
        except LearnerError as error:
            failure = str(error)
            break
        x_test, y_test = task.draw(seed, task.n_test, test=f"{salt}/{n}")
        try:
            prediction = model.predict(x_test)
        except LearnerError as error:
            failure = str(error)
            break
        fits += n_fits(model)
        errors.append(task.error(prediction, y_test))
        sizes.append(n)
        if errors[-1] < threshold:
            break
    return {
        "sizes": sizes, "errors": errors, "threshold": threshold, "failure": failure, "fits": fits,
        "rungs": len(task.ladder),
    }  # fmt: skip


def passed(found: dict[str, Any]) -> bool:
    """Return whether a walk ended on a rung that the learner passed."""
    return bool(found["errors"]) and found["errors"][-1] < found["threshold"]


def rank(found: dict[str, Any]) -> int:
    """Return the rung that was passed, from 0; who passed none comes after, who failed last."""
    if passed(found):
        return len(found["sizes"]) - 1
    return found["rungs"] + bool(found["failure"])
