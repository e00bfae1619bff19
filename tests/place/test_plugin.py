import sys
import time
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
import torch

from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import Group
from hierlearn.place import plugin
from hierlearn.place.child import LearnerError
from hierlearn.place.plugin import PlaceConfig, Process, Remote, measure, self_test
from hierlearn.place.tasks import tasks

pytestmark = pytest.mark.slow  # each starts processes

TASKS = tasks("smoke")
BALL, PARITY = TASKS["ball"], TASKS["parity-4"]
GOOD = """
import numpy as np
class Mean:
    def fit(self, X, y):
        self.value = y.mean() if y.dtype.kind == "f" else np.bincount(y).argmax()
    def predict(self, X):
        return np.full(len(X), self.value)
"""


def try_out(source, *chosen, limit=30.0, memory=plugin.MEMORY):
    return self_test(dedent(source), "mine.py", chosen or (BALL,), limit, memory)


def test_a_file_with_one_learner_passes_and_its_cost_is_estimated():
    found = try_out(GOOD, BALL, PARITY)
    assert found.holds == "learner" and not found.refused
    assert found.seconds.keys() == {"regression", "classification"}
    assert 0 < found.cost(BALL) < 60


BAD = {
    "no learner": ("x = 1", "mine.py: no learner in it; expected one class with fit(X, y)"),
    "no syntax": ("class A:\n  def fit(self, X y): pass", "mine.py, line 2: SyntaxError"),
    "no fit": ("class A:\n  def predict(self, X): pass", "A lacks fit; expected"),
    "instance": (
        "from sklearn.svm import SVC\nRegressor = SVC()",
        "Regressor of mine.py is an object: give its class",
    ),
    "imported": (
        "from sklearn.svm import SVC", "SVC is imported: call it Regressor or Classifier; expected"
    ),
    "two": (GOOD + "class Other(Mean): pass", "2 learners (Mean, Other); expected"),
    "import": ("import no_such_package", "named 'no_such_package'; the file stands alone"),
    "raises": (
        "class A:\n  def fit(self, X, y):\n    raise KeyError('k')\n  predict = fit",
        "mine.py, line 3: KeyError: 'k'",
    ),
    "arguments": (
        "class A:\n  def __init__(self, k): pass\n  def fit(self, X, y): pass\n  predict = fit",
        "missing 1 required positional argument: 'k'",
    ),
    "exit": ("import sys\nsys.exit(3)", "mine.py, line 2: SystemExit: 3"),
    "exit in fit": (GOOD.replace("self.value =", "raise SystemExit; self.value ="), "SystemExit"),
    "asks": (GOOD.replace("self.value =", "input(); self.value ="), "EOFError"),
    "shape": (GOOD.replace("np.full(len(X)", "np.full(3"), "array of shape [100], one a row"),
    "nan": (GOOD.replace("self.value)", "np.nan)"), "100 of 100 values that are not finite"),
    "strings": (GOOD.replace("self.value)", "'a')"), "must return numbers; got dtype <U1"),
    "complex": (GOOD.replace("self.value)", "1j)"), "must return numbers; got dtype complex128"),
    "no labels": (GOOD.replace("self.value)", "0.5)"), "return labels, as y has them; got 0.5"),
    "none": (GOOD.replace("return ", ""), "got an array of objects"),
    "families": (GOOD + "    families = ('space',)", "has 'space'; valid: ball, cube, grammar"),
    "optimizer": (
        "def optimizer(parameters, n_steps): return 3",
        "must return an object with step() and zero_grad()",
    ),
    "endless": (
        GOOD.replace("def fit(self, X, y):", "def fit(self, X, y):\n        while True: pass"),
        "fit took longer than --limit, 1 s, and was stopped",
    ),
    "killed": (
        "import os\n" + GOOD.replace("return ", "os.abort(); return "),
        "its process died in predict (signal 6: out of memory, or a crash)",
    ),
    "unseeded": (
        GOOD.replace("return ", "return np.random.default_rng().integers(9, size=len(X)) + "),
        "two fits on the same data predict differently",
    ),
    "state": (
        GOOD.replace("np.full(len(X), self.value)", "Mean.n * np.ones(len(X))").replace(
            "def fit(self, X, y):", "n = 0\n    def fit(self, X, y):\n        Mean.n += 1"
        ),
        "a fit changes what a later fit predicts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_placed_ends_in_a_sentence_that_says_why(name):
    source, problem = BAD[name]
    chosen = TASKS["quadratic-2"] if name == "optimizer" else BALL
    with pytest.raises(UsageError) as error:
        try_out(source, chosen, limit=1.0 if name == "endless" else 30.0)
    assert problem in str(error.value) and "\n" not in str(error.value)


def test_memory_beyond_the_limit_is_a_failure_of_the_learner():
    if sys.platform != "linux":
        pytest.skip("limits of memory are those of Linux")
    greedy = GOOD.replace("self.value =", "np.ones((3000, 10**6)); self.value =")
    with pytest.raises(UsageError, match="MemoryError"):
        try_out(greedy, memory=2.0)


FORKS = """
import os, time
class Forks:
    def fit(self, X, y):
        if os.fork() == 0:
            {alone}
            open({path!r}, "w").write(str(os.getpid()))
            time.sleep(100)
        {then}
    def predict(self, X):
        return X[:, 0]
"""


def gone(pid):
    psutil = pytest.importorskip("psutil")
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_a_learner_that_forks_is_stopped_with_what_it_forked(tmp_path):
    told = tmp_path / "pid"
    hangs = FORKS.format(path=str(told), alone="pass", then="time.sleep(100)")
    with Process(hangs, limit=3.0) as process:
        with pytest.raises(LearnerError, match="fit took longer than --limit, 3 s, and"):
            Remote(process, "regression", 0, {}).fit(np.zeros((2, 2)), np.zeros(2))
    assert gone(int(told.read_text()))
    goes_on = FORKS.format(path=str(told), alone="pass", then="time.sleep(2)")
    with Process(goes_on) as process:
        Remote(process, "regression", 0, {}).fit(np.zeros((2, 2)), np.zeros(2))
    assert gone(int(told.read_text()))


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
def test_what_a_learner_forked_does_not_keep_its_death_secret():
    dies = FORKS.format(
        path="pid", alone="os.setsid(); time.sleep(20); os._exit(0)", then="os._exit(7)"
    )
    with Process(dies, limit=15.0) as process:
        with pytest.raises(LearnerError, match=r"its process died in fit \(exit 7\)"):
            Remote(process, "regression", 0, {}).fit(np.zeros((2, 2)), np.zeros(2))


def test_a_file_that_does_not_load_where_it_is_measured_is_no_failure_of_the_learner():
    with pytest.raises(RunError, match="No module named 'no_such_package'; on .* it must load"):
        run("import no_such_package")


def test_what_took_too_long_on_one_seed_is_not_tried_on_the_next():
    slow = GOOD.replace(
        "self.value =", "import time; time.sleep(60 * (len(X) > 300)); self.value ="
    )
    begun = time.monotonic()
    first, second, third = run(slow, seeds=[9801, 9802, 9803], limit=2.0)
    assert time.monotonic() - begun < 20
    assert first["sizes"] == [256] and second["sizes"] == third["sizes"] == []
    for found in (first, second, third):
        assert found["failure"] == "fit took longer than --limit, 2 s, and was stopped"


def test_a_learner_that_overwrites_its_arrays_changes_nothing_but_its_own():
    spoils = GOOD.replace("return ", "X *= 0; return ").replace(
        "def predict", "    X *= 0; y *= 0\n    def predict"
    )
    assert run(spoils) == run(GOOD)


def test_a_prediction_that_is_none_is_a_failure_of_the_learner():
    (found,) = run(GOOD.replace("self.value)", "np.nan)"), seeds=[9801])
    assert found["failure"] == (
        "the learner's file: predict returned 1000 of 1000 values that are not finite"
    )
    assert found["errors"] == [] == found["sizes"]


def test_a_file_may_be_called_as_what_it_imports():
    source = "from colorsys import rgb_to_hsv\n" + GOOD
    assert not self_test(source, "colorsys.py", [BALL], 30.0, plugin.MEMORY).refused


def test_a_signature_of_utf_8_is_no_part_of_the_text(tmp_path):
    (tmp_path / "mine.py").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert plugin.read_source(tmp_path / "mine.py") == GOOD


def test_a_learner_of_one_kind_is_refused_by_the_other_and_goes_on():
    found = try_out(GOOD.replace("class Mean", "class Regressor"), BALL, PARITY)
    assert found.seconds.keys() == {"regression"}
    assert found.refused == {
        "classification": "mine.py has no Classifier: it is not for classification"
    }


def test_what_a_learner_prints_and_global_seeds_that_it_sets_disturb_nothing():
    noisy = GOOD.replace("self.value =", "print('x' * 10**5); np.random.seed(1); self.value =")
    assert not try_out(noisy).refused


def test_generators_are_seeded_before_each_fit_so_that_a_learner_need_not():
    random = GOOD.replace("self.value)", "self.value) + np.random.rand(len(X))")
    assert not try_out(random, PARITY).refused


def run(source, task=BALL, seeds=(9801, 9802), **fields):
    config = PlaceConfig(task.name, task.ladder, task.n_test, dedent(source), "salt", **fields)
    return measure(Group.of("place_x", [config], seeds), torch.device("cpu"))


def test_a_file_measured_again_gives_the_same_numbers():
    source = """
    from sklearn.ensemble import RandomForestClassifier as Classifier
    """
    task = replace(BALL, ladder=(64, 128))
    first, again = run(source, task), run(source, task)
    assert first == again and len(first[0]["errors"]) == 2
    assert first[0]["errors"] != first[1]["errors"]


def test_a_process_that_dies_on_one_seed_is_a_failure_there_and_no_more():
    source = GOOD + dedent("""
    import os
    class Dies(Mean):
        def fit(self, X, y):
            super().fit(X, y)
            if X[0, 0] > 0: os._exit(1)
    Classifier = Dies
    """)
    seeds = range(9800, 9806)
    found = run(source, seeds=seeds)
    died = [bool(BALL.draw(seed, 256)[0][0, 0] > 0) for seed in seeds]
    assert 0 < sum(died) < 6
    for one, dead in zip(found, died, strict=True):
        assert (one["sizes"] == []) == dead
        if dead:
            assert one["failure"] == "its process died in fit (exit 1)"


def test_a_process_does_not_outlive_who_asked():
    with Process("import time\ntime.sleep(0)" + GOOD) as process:
        process.loaded()
        assert process.running
        pid = process.running.pid
        process.running.stdin.close()  # as when the driver is killed
        assert gone(pid)


def test_a_learner_does_not_see_task_seed_or_salt():
    source = GOOD.replace(
        "self.value =",
        "import os, sys; assert 'secret' not in str((sys.argv, dict(os.environ))); self.value =",
    )
    config = PlaceConfig("ball", (64,), 100, source, "secret")
    (found,) = measure(Group.of("place_x", [config], [9801]), torch.device("cpu"))
    assert found["failure"] is None


def test_an_optimiser_gets_the_books_deep_networks():
    source = """
    import torch
    def optimizer(parameters, n_steps):
        return torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99))
    """
    with Process(dedent(source)) as process:
        holds = process.loaded()
    assert holds["is"] == "optimiser" and holds["families"] == ["quadratic", "grammar"]
    (learned,) = run(source, TASKS["quadratic-2"], seeds=[9801])
    assert learned["sizes"] == [256] and learned["failure"] is None


def test_arrays_travel_whole_and_objects_do_not():
    with Process(GOOD) as process:
        learner = Remote(process, "regression", 0, {})
        x, y = np.random.default_rng(0).normal(size=(5000, 300)), np.arange(5000.0)
        learner.fit(x, y)
        assert np.array_equal(learner.predict(x), np.full(5000, 2499.5))
    with Process("class A:\n fit = lambda s, X, y: 0\n predict = lambda s, X: [[1], [1, 2]]") as p:
        learner = Remote(p, "regression", 0, {})
        learner.fit(x[:2], y[:2])
        with pytest.raises(LearnerError):
            learner.predict(x[:2])


def test_tasks_are_chosen_by_name_or_family():
    assert list(plugin.choose("parity-4,quadratic", "smoke")) == [
        "quadratic-2", "quadratic-3", "quadratic-4", "parity-4",
    ]  # fmt: skip
    assert list(plugin.choose(None, "laptop")) == list(TASKS)
    assert set(plugin.choose(None, "smoke")) == set(plugin.SMOKE) < set(TASKS)
    assert list(plugin.choose("grammar", "smoke")) == ["grammar"]
    with pytest.raises(UsageError, match="unknown task 'x'; valid: .*ball"):
        plugin.choose("x", "smoke")


def test_a_file_that_is_none_or_too_long_is_refused(tmp_path):
    for path, problem in ((tmp_path / "none.py", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(UsageError, match=problem):
            plugin.read_source(path)
    (tmp_path / "long.py").write_text("#" * (plugin.LARGEST + 1))
    with pytest.raises(UsageError, match="valid: at most"):
        plugin.read_source(tmp_path / "long.py")
