"""Every reference learner learns what it must, and the same from the same seed."""

from dataclasses import replace

import numpy as np
import pytest

from hierlearn.place.references import TOLD, Hierarchical, references
from hierlearn.place.tasks import tasks

pytest.importorskip("sklearn")
LEARNERS = references()
TASKS = tasks("smoke")
FREE = [name for name, one in LEARNERS.items() if not one.told]
LINEAR = replace(TASKS["quadratic-2"], family="ball", kind="classification")


def halves(n, seed=0):
    """Points whose label is the sign of their first coordinate, with a gap around it."""
    x = np.random.default_rng(seed).normal(size=(n, 3))
    x[:, 0] += 2 * np.sign(x[:, 0])
    return x, (x[:, 0] > 0).astype(int)


@pytest.mark.parametrize("name", [one for one in FREE if one != "dense network"])
def test_a_learner_that_is_told_nothing_tells_two_halves_apart_and_fits_a_line(name):
    x, y = halves(300)
    points, labels = halves(200, seed=1)
    found = LEARNERS[name].make(LINEAR, 5).fit(x, y).predict(points)
    assert found.shape == (200,)
    assert set(np.unique(found)) <= {0, 1}
    assert np.mean(found != labels) < 0.03
    task = replace(LINEAR, kind="regression")
    guess = LEARNERS[name].make(task, 5).fit(x, x[:, 0]).predict(points)
    assert task.error(guess, points[:, 0]) < 0.1


@pytest.mark.parametrize(
    ("name", "task", "n", "enough"),
    [
        *((one, "quadratic-2", 64, 0.02) for one in TOLD),
        ("staged", "quadratic-3", 512, None),
        ("joint", "grammar", TASKS["grammar"].ladder[-1], 0.1),
        ("greedy", "grammar", TASKS["grammar"].ladder[-1], 0.1),
    ],
)
def test_who_is_told_the_architecture_learns_from_few_points(name, task, n, enough):
    task = TASKS[task]
    model = LEARNERS[name].make(task, 9800).fit(*task.draw(9800, n))
    x, y = task.draw(9800, 500, test="a test")
    # Less than a tenth of what a network with its top level shut leaves, or of guessing.
    assert task.error(model.predict(x), y) < (enough or 0.1 * min(task.yardsticks(9800).values()))


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_predictions_and_another_one_may_not(name):
    learner = LEARNERS[name]
    task = next(one for one in TASKS.values() if learner.takes(one))
    x, y = task.draw(9800, 64)
    points, _ = task.draw(9800, 50, test="a test")
    one, again = (learner.make(task, 9800).fit(x, y).predict(points) for _ in range(2))
    assert np.array_equal(one, again)


def test_orders_of_training_differ_where_there_are_two_levels_to_order():
    x, y = TASKS["quadratic-3"].draw(9800, 200)
    shape = {"widths": (4, 3), "gaps": (1, 0.5), "n_steps": 300}
    found = [Hierarchical(1, order=order, **shape).fit(x, y).predict(x) for order in TOLD]
    assert len({guess.tobytes() for guess in found}) == len(TOLD)
