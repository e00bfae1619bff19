from functools import cache

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import PolynomialFeatures

from hierlearn.engine.seeds import stream
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.images.data import load
from hierlearn.place import tasks as table
from hierlearn.place.tasks import tasks, training_half

SEED = 9801
LAPTOP = tasks("laptop")


@pytest.mark.parametrize("name", LAPTOP)
def test_a_task_gives_plain_arrays_and_a_threshold_below_every_yardstick(name):
    task = LAPTOP[name]
    x, y = task.draw(SEED, 500)
    assert x.dtype == np.float64 and x.shape[0] == len(y) == 500
    assert y.dtype == (np.float64 if task.kind == "regression" else np.int64)
    assert task.threshold(SEED) < min(task.yardsticks(SEED).values()) <= 1
    assert all(b == 2 * a for a, b in zip(task.ladder, task.ladder[1:], strict=False))
    again = task.draw(SEED, 500)
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1])


@pytest.mark.parametrize("name", LAPTOP)
def test_training_and_test_points_are_different_points_and_a_salt_gives_others(name):
    task = LAPTOP[name]
    train, one, other = (
        set(map(bytes, task.draw(SEED, n, test=salt)[0]))
        for n, salt in ((task.ladder[-1], None), (500, "a"), (500, "b"))
    )
    assert not train & one and not train & other and one != other


@pytest.mark.parametrize("name", [k for k, t in LAPTOP.items() if t.kind == "regression"])
def test_a_target_has_variance_one_and_its_best_quadratic_the_error_that_is_said(name):
    task = LAPTOP[name]
    features = PolynomialFeatures(2)
    x, y = task.draw(SEED, 8000)
    assert np.var(y) == pytest.approx(1, abs=0.35)  # of degree 8, with heavy tails
    x_test, y_test = task.draw(SEED, 8000, test="yardstick")
    fit = LinearRegression().fit(features.fit_transform(x), y)
    found = task.error(fit.predict(features.transform(x_test)), y_test)
    said = task.yardsticks(SEED).get("best quadratic", 0.0)
    assert found == pytest.approx(said, rel=0.25, abs=1e-9)


@pytest.mark.parametrize("name", ["quadratic-3", "quadratic-4", "original-3", "staircase-3"])
def test_what_a_shut_top_level_leaves_is_what_zeroing_its_amplitude_leaves_at_best(name):
    task = LAPTOP[name]
    law = task.law(SEED)
    level = {"quadratic-4": 4}.get(name, 3)
    said = task.yardsticks(SEED)[f"level {level} shut"]
    x, y = map(torch.from_numpy, task.draw(SEED, 20_000, test="shut"))
    below = y - law.amplitudes[-1] * _top(name, x)
    fit = LinearRegression().fit(below[:, None], y)
    naive, refitted = (
        task.error(below.numpy(), y.numpy()),
        task.error(fit.predict(below[:, None]), y.numpy()),
    )
    assert said <= naive * 1.2  # the best combination of levels leaves no more than theirs
    assert said == pytest.approx(refitted, rel=0.5)


def _top(name, x):
    if name == "staircase-3":
        hierarchy = table.Hierarchies.draw([SEED], dim=16, amplitudes=(0.0, 0.0, 1.0))
        return hierarchy.values(x[None].float())[0].double()
    if name == "original-3":
        dim, widths, _ = table.ORIGINAL.values()
        target = table.OriginalTarget.draw(SEED, dim=dim, widths=widths)
        return target.features(x)[-1].square().sum(1)
    widths = LAPTOP[name].shape["widths"]
    return table.QuadraticTeachers.draw(
        [SEED], dim=table.DIM, widths=widths, skip=table.SKIP, dtype=torch.float64
    ).level_sums(x[None])[0, -1]


@pytest.mark.parametrize("dial", table.GRAMMARS)
def test_half_a_string_leaves_what_a_vote_over_the_symbol_above_it_leaves(dial):
    task = LAPTOP[table.GRAMMARS[dial][0]]
    law = DialedHierarchy.draw(SEED, **table.GRAMMAR, dial=dial, t=float(dial != "none"))
    strings, labels = law.sample_distinct(30_000, stream("vote", SEED))
    symbols = law.grammar.symbols_at(strings, level=2)[:, 0]
    n = law.grammar.n_classes
    counts = torch.zeros(n, n).index_put_((symbols, labels), torch.ones(len(labels)), True)
    wrong = 1 - float(counts.amax(1).sum()) / len(labels)
    assert task.yardsticks(SEED)["half of the string"] == pytest.approx(
        wrong / (1 - 1 / n), abs=0.02
    )


def test_classes_of_a_pair_differ_by_a_parity_alone():
    law = DialedHierarchy.draw(SEED, **table.GRAMMAR, dial="xor", t=1.0)
    halves = [sorted(map(tuple, (rules // 2).tolist())) for rules in law.grammar.rules[0]]
    assert halves[::2] == halves[1::2] and halves[0] != halves[2]
    assert LAPTOP["grammar-xor"].yardsticks(SEED)["all but the parity"] == 0.5 / (5 / 6)


def test_nothing_linear_knows_the_ball_and_the_centroids_know_images_as_said():
    x, y = LAPTOP["ball"].draw(SEED, 4000)
    x_test, y_test = LAPTOP["ball"].draw(SEED, 4000, test="linear")
    linear = LogisticRegression().fit(x, y)
    assert LAPTOP["ball"].error(linear.predict(x_test), y_test) > 0.85
    found = load("fashion_small")
    centroids = NearestCentroid().fit(found.train_x.reshape(8192, -1), found.train_y)
    right = np.mean(centroids.predict(found.test_x.reshape(2048, -1)) == found.test_y)
    said = LAPTOP["images"].yardsticks(SEED)["nearest class mean"]
    assert said == pytest.approx((1 - right) / 0.9, abs=0.005)


@cache
def _cube():
    bits = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
    return torch.from_numpy(2.0 * bits - 1)


def test_the_training_half_of_the_cube_is_half_of_it_and_knows_no_parity():
    x = _cube()
    mine = training_half(x, SEED).double() * 2 - 1
    assert abs(float(mine.mean())) < 0.02
    for degree in (1, 2, 4, 8, 16):
        parity = x[:, torch.randperm(16, generator=stream("sets", degree))[:degree]].prod(1)
        assert abs(float((mine * parity).mean())) < 0.02


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        (np.zeros(9), "shape [10]"),
        (np.zeros((10, 1)), "shape [10, 1]"),
        (np.full(10, np.nan), "10 of 10 values that are not finite"),
        (np.array(["a"] * 10), "must return numbers"),
        (None, "shape [10]"),
    ],
)
def test_what_is_no_prediction_is_refused_with_what_is_expected(prediction, problem):
    task = LAPTOP["quadratic-2"]
    with pytest.raises(ValueError, match="predict") as error:
        task.error(prediction, task.draw(SEED, 10)[1])
    assert problem in str(error.value)


def test_the_best_constant_has_error_one():
    for task in LAPTOP.values():
        _, y = task.draw(SEED, 1000, test="constant")
        best = np.mean(y) if task.kind == "regression" else np.bincount(y).argmax()
        assert task.error(np.full(len(y), best), y) == pytest.approx(1)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="smoke, laptop, paper"):
        tasks("huge")
