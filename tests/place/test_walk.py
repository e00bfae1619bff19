import math
from dataclasses import replace

import numpy as np
import pytest

from hierlearn.place import score
from hierlearn.place.child import LearnerError, n_fits
from hierlearn.place.runs import Cheater, Constant
from hierlearn.place.tasks import tasks
from hierlearn.place.walk import Learner, passed, rank, walk

SEED = 9802
SMOKE = tasks("smoke")


class Oracle:
    """Knows the ball."""

    def fit(self, X, y):
        pass

    def predict(self, X):
        return (np.linalg.norm(X, axis=1) <= math.sqrt(2)).astype(int)


class Fails(Oracle):
    def fit(self, X, y):
        if len(X) > 300:
            raise LearnerError("enough is enough")


@pytest.mark.parametrize("name", SMOKE)
def test_a_constant_passes_nowhere(name):
    found = walk(SMOKE[name], SEED, Constant)
    assert found["sizes"] == list(SMOKE[name].ladder) and not passed(found)
    assert score.written([found]) == f">{SMOKE[name].ladder[-1]}"
    assert rank(found) == len(SMOKE[name].ladder)


def test_an_oracle_passes_on_the_first_rung():
    found = walk(SMOKE["ball"], SEED, Oracle)
    assert found["sizes"] == [256] and found["errors"] == [0.0] and found["failure"] is None
    assert score.written([found]) == "≤256"
    assert rank(found) == 0


@pytest.mark.parametrize("name", SMOKE)
def test_a_cheater_that_knows_the_test_stream_is_caught_by_fresh_draws(name):
    task = SMOKE[name]

    def cheater():
        return Cheater(task, SEED)

    assert walk(task, SEED, cheater)["errors"] == [0.0]
    caught = walk(task, SEED, cheater, salt="drawn after the fit")
    # Of images there are only 2048 for tests, and half of them were foreseen.
    assert min(caught["errors"]) > (0.4 if name == "images" else 0.9)


def test_the_test_points_of_a_rung_are_not_those_of_another():
    task, seen = SMOKE["ball"], []

    class Watches(Constant):
        def predict(self, X):
            seen.append(X.tobytes())
            return super().predict(X)

    walk(task, SEED, Watches)
    assert len(set(seen)) == len(seen) == len(task.ladder)


def test_a_learner_that_fails_is_recorded_with_its_sentence_and_ranked_last():
    task = SMOKE["parity-4"]
    found = walk(task, SEED, Fails)
    assert found["sizes"] == [256] and found["failure"] == "enough is enough"
    assert rank(found) > rank(walk(task, SEED, Constant))
    refuses = Fails()
    refuses.fit = lambda X, y: Fails().fit(np.zeros(301), y)
    assert walk(task, SEED, lambda: refuses)["sizes"] == []


def test_a_learner_that_fails_to_predict_has_no_error_on_that_rung():
    class Silent(Constant):
        n_fits_ = 3

        def predict(self, X):
            if self.late:
                raise LearnerError("I do not say")
            return super().predict(X)

        def fit(self, X, y):
            super().fit(X, y)
            self.late = len(X) > 300

    found = walk(SMOKE["ball"], SEED, Silent)
    assert found["failure"] == "I do not say"
    assert found["sizes"] == [256] and len(found["errors"]) == 1 and found["fits"] == 3


@pytest.mark.parametrize(
    "error", [OSError("cannot start"), ValueError("a guard"), MemoryError("none"), KeyError("k")]
)
def test_what_is_no_refusal_of_a_learner_is_raised(error):
    class Broken(Constant):
        def fit(self, X, y):
            raise error

    with pytest.raises(type(error), match=str(error.args[0])):
        walk(SMOKE["ball"], SEED, Broken)


def test_a_prediction_of_our_own_that_is_none_is_a_mistake_and_no_failure():
    class Nan(Constant):
        def predict(self, X):
            return super().predict(X) * np.nan

    with pytest.raises(ValueError, match="values that are not finite"):
        walk(SMOKE["ball"], SEED, Nan)


def test_fits_that_cannot_be_read_leave_no_error_without_its_size():
    class Odd(Oracle):
        n_fits_ = "many"

    with pytest.raises(ValueError, match="many"):
        walk(SMOKE["ball"], SEED, Odd)


def test_fits_are_counted_where_the_learner_says_them():
    class Tunes(Oracle):
        n_fits_ = 7

    class Search(Oracle):
        cv_results_, n_splits_, refit = {"params": [{}, {}, {}]}, 5, True

    assert walk(SMOKE["ball"], SEED, Tunes)["fits"] == 7
    assert n_fits(Search()) == 16 and n_fits(Oracle()) == 1


def test_a_learner_is_for_its_families_only():
    told = Learner("told", lambda task, seed: Oracle(), told=True, families=("ball",))
    assert [name for name, task in SMOKE.items() if told.takes(task)] == ["ball"]


# --- scores -----------------------------------------------------------------------------------


def walks(*rungs, failure=None, errors=0.5):
    """Walks on a ladder of four rungs that passed these, 4 for none."""
    return {
        seed: {
            "sizes": [64 * 2**i for i in range(min(rung + 1, 4))],
            "errors": [errors] * min(rung, 4) + [0.01] * (rung < 4),
            "threshold": 0.1, "failure": failure, "fits": 1, "rungs": 4,
        }
        for seed, rung in enumerate(rungs)
    }  # fmt: skip


def test_of_sizes_the_median_is_shown_with_least_and_most():
    assert score.written(walks(4, 1, 3).values()) == "512 [128, >512]"
    assert score.written(walks(0, 1, 1).values()) == "128 [≤64, 128]"
    assert score.written(walks(2, 2, 2).values()) == "256"


def test_paired_differences_of_rungs_are_those_of_students_test():
    from scipy import stats

    mine, other = walks(0, 1, 1, 0, 2), walks(3, 3, 2, 4, 3)
    found = score.paired(mine, other)
    theirs = stats.ttest_rel([3, 3, 2, 4, 3], [0, 1, 1, 0, 2])
    assert found.rungs == pytest.approx(2.2)
    assert found.p == pytest.approx(theirs.pvalue)
    assert score.paired(walks(*[1] * 5), walks(*[1] * 5)) == (0, 1.0)
    assert 0.001 < score.paired(walks(*[1] * 5), walks(*[2] * 5)).p < 0.01  # not zero


def test_rounding_to_rungs_has_the_spread_that_is_said():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, 100_000), rng.uniform(0, 1, 100_000)  # log sizes above a rung
    assert np.std(a - b) == pytest.approx(score.ROUNDING, rel=0.02)


def test_holm_over_tasks_takes_back_what_one_task_alone_would_show():
    mine = {f"task {i}": walks(*[1] * 5) for i in range(11)}
    other = {**{name: walks(*[1] * 5) for name in mine}, "task 3": walks(*[2] * 5)}
    assert score.against({"task 3": mine["task 3"]}, other) == {"task 3": 1}
    assert score.against(mine, other)["task 3"] == 0
    far = {**other, "task 3": walks(*[4] * 5)}
    assert score.against(mine, far)["task 3"] == 1 and score.against(far, mine)["task 3"] == -1


def test_words_follow_the_rules():
    task = replace(SMOKE["quadratic-3"], share=0.5)  # of the least yardstick: that is 0.2
    others = {"joint": walks(0, 0), "greedy": walks(2, 2), "kernel ridge": walks(3, 3)}
    assert score.word(task, walks(0, 0), others) == "like end-to-end"
    assert score.word(task, walks(2, 2), others) == "like layerwise"
    assert score.word(task, walks(3, 3), others) == "like a kernel"
    assert score.word(task, walks(2, 3), others) == "like layerwise or a kernel"
    assert score.word(task, walks(1, 1), others) == "between end-to-end and layerwise"
    assert score.word(task, walks(4, 4), others) == "below the yardstick"
    assert score.word(task, walks(4, 4, errors=0.15), others) == "does not pass"
    assert score.word(task, walks(4, 4, errors=0.15), {"joint": walks(4, 4)}) == "does not pass"
    assert score.word(task, walks(0, 0), others | {"joint": walks(3, 3)}) == "ahead of layerwise"
    assert score.word(task, walks(3, 3), {"greedy": walks(2, 2)}) == "behind layerwise"
    assert score.word(task, walks(0, 0, failure="no"), others) == "failed"
    assert score.word(task, walks(0, 4, errors=0.15), {}) == "passes"


def test_the_order_on_a_task_has_failures_last():
    table = {
        "fails": {"t": walks(4, 4, failure="no")}, "constant": {"t": walks(4, 4)},
        "good": {"t": walks(0, 1)}, "elsewhere": {},
    }  # fmt: skip
    assert score.order(table) == ["good", "constant", "fails"]
