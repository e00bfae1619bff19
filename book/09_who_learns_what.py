# %% [markdown]
# # Who learns what
#
# The chapters before this one set each family of targets against the learners that its theory speaks of. Here all of them meet all tasks, at equal data: three kernel methods and a forest know as little of the target as your own learner would, and five orders of training one network are *told its architecture*.
# One picture says who learns what, and from how many samples. A learner of your own gets a row of it by one command:
#
# ~~~bash
# python -m hierlearn place mine.py
# ~~~
#
# ```{prf:definition} what a learner needs; ours
# :label: def-needs
# A task has a ladder of sample sizes, each twice the one before. The error of a predictor $F$ is relative to the best constant: $E(F-y)^2/\mathrm{Var}\,y$, or the share of wrong labels over that of the most frequent one.
# On each seed a learner walks up the ladder from the bottom. It *needs* the first size at which its error, on fresh test points that are drawn when the fit is over, is below a threshold: a share of what the best *yardstick* leaves, a predictor that knows only part of the target (the best constant, the best quadratic, all levels but the top one, half of the string).
# If no rung is enough it needs more than the last one; a learner that fails on a rung has not passed it.
# ```
#
# The unit is that of the task's own law: the number of monomials up to the target's degree, of parities of its degree, or $P_0=n_cm^L$ of a grammar ([chapter 4](04_random_hierarchy.ipynb)).

# %% cellView="form" jupyter={"source_hidden": true} tags=["remove-cell"]
# @title Set up: installs hierlearn where it is missing (Colab), and does nothing elsewhere
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("hierlearn") is None:
    repository = os.environ.get("HIERLEARN_REPOSITORY_URL", "")  # https://host/owner/name
    if not repository:
        raise RuntimeError("hierlearn is missing: set `repository` above to its address, run again")
    if not os.path.isdir("hierlearn-book"):
        clone = ["git", "clone", "--depth=1", repository, "hierlearn-book"]
        own = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}  # no hook's
        subprocess.run(clone, env=own, check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-qe", "./hierlearn-book"], check=True)
    sys.path.insert(0, os.path.abspath("hierlearn-book/src"))
if os.path.isdir("hierlearn-book"):
    os.environ.setdefault("HIERLEARN_PROFILE", "smoke")  # a small machine: the next cell takes it

# %% tags=["parameters", "remove-input"]
import os

profile = os.environ.get("HIERLEARN_PROFILE", "laptop")
device = "auto"
records = "_build/records"

# %% tags=["hide-input"]
from IPython.display import HTML

from hierlearn.book import pages
from hierlearn.place import figures

chapter = pages.open_chapter("09_who_learns_what", profile=profile, device=device, records=records)

# %% [markdown]
# ## A walk up a ladder
#
# A learner is anything with `fit` and `predict`. The recursive feature machine of [chapter 6](06_simpler_algorithms.ipynb) in fifteen lines, on a parity of four of sixteen bits:

# %%
import numpy as np

from hierlearn.place.tasks import tasks


class Machine:
    def fit(self, x, y, degree=4, ridge=1e-2):
        self.x, self.metric = x, np.eye(x.shape[1]) / x.shape[1]
        for _ in range(4):
            inner = x @ self.metric @ x.T
            gram = (1 + inner) ** degree
            self.weights = np.linalg.solve(gram + ridge * gram[0, 0] * np.eye(len(x)), y)
            slopes = degree * (1 + inner) ** (degree - 1) * self.weights
            gradients, before = slopes @ x @ self.metric, self.metric
            self.metric = gradients.T @ gradients / np.trace(gradients.T @ gradients)
        self.metric = before

    def predict(self, x):
        return (1 + x @ self.metric @ self.x.T) ** 4 @ self.weights


task = tasks("laptop")["parity-4"]
for n in task.ladder[1:5]:
    machine = Machine()
    machine.fit(*task.draw(0, n))
    x, y = task.draw(0, 1000, test="mine")
    print(f"{n} samples: error {task.error(machine.predict(x), y):.3f}, {task.threshold(0)} is enough")
    print("   bits that count:", np.flatnonzero(np.diag(machine.metric) > 0.1))

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %% [markdown]
# ## The map

# %%
chapter.show(figures.who_learns_what)
