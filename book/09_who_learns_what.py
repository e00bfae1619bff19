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

# %% [markdown]
# WINNERS

# %%
from IPython.display import HTML

HTML(figures.winners(runs["map"]))

# %% [markdown]
# *Not told the architecture, median over seeds and range; the lead is over the second, in rungs (factors of two), with a star where a paired t test leaves it after Holm's correction over tasks. The first is chosen on the seeds that are shown; the claims below name theirs beforehand.*
#
# **Steer it.** Move up the ladders together, and notice who falls below the line first, and who never does.

# %%
chapter.show(figures.steer_samples)

# %% [markdown]
# ## What decides
#
# [Chapter 7](07_what_decides.ipynb) turns the three conditions of {cite:t}`ren2026` into numbers. On the tasks of the map:

# %%
HTML(figures.conditions(runs["map_conditions"], runs["map"]))

# %% [markdown]
# CONDITIONS

# %%
chapter.show(figures.dirt)

# %% [markdown]
# DIRT
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **That a learner cannot learn a task.** Each has one setting, a stated budget of steps, and a few hundred to a few thousand samples; `push` trains eight times longer. What is not learned here is not learned *so*.
# - **Equal knowledge.** Who is told the architecture knows widths and amplitudes, or where one symbol ends and which two are neighbors. The rows are apart for that reason.
# - **Equal tuning.** Kernels, neighbors and the feature machine choose on a fifth of their data among the settings that are listed in `place/references.py`; forests, boosting and networks choose nothing.
# - **A law in the size.** One size of each task: nothing here scales.
# - **Images.** They show that the learners work on data that nobody made up, not that images are hierarchical ([chapter 8](08_real_images.ipynb) asks that).
#
# ## Exercises
#
# ```{exercise}
# :label: map-ex-quadratic
# Place a learner of your own: least squares on all monomials of degree at most two. Which of the quadratic tasks can it pass, and why not the others, with any number of samples?
# ```
#
# ```{solution} map-ex-quadratic
# :class: dropdown
# Two levels only. With more levels the threshold is a tenth of what the *best* quadratic leaves.
#
# ~~~python
# import numpy as np
# from hierlearn.place.tasks import tasks
# from hierlearn.place.walk import passed, walk
#
# class Quadratic:
#     def columns(self, x):
#         i, j = np.triu_indices(x.shape[1])
#         return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], 1)
#
#     def fit(self, x, y):
#         self.weights = np.linalg.lstsq(self.columns(x), y, rcond=None)[0]
#
#     def predict(self, x):
#         return self.columns(x) @ self.weights
#
# every = tasks("laptop")
# found = {n: walk(every[f"quadratic-{n}"], 0, Quadratic) for n in (2, 3, 4)}
# print({n: (one["sizes"][-1], one["errors"][-1]) for n, one in found.items()})
# assert [passed(one) for one in found.values()] == [True, False, False]
# ~~~
# ```
#
# ```{exercise}
# :label: map-ex-parity
# On the parity of four bits the signal of chapter 7 is 0, on the staircase it is not. Show that no function of three of the four bits is correlated with their parity, and that on the staircase a pair is.
# ```
#
# ```{solution} map-ex-parity
# :class: dropdown
# A function of three bits is a sum of parities of subsets of them, and different parities are orthogonal.
#
# ~~~python
# from itertools import product
# import numpy as np
#
# x = np.array(list(product((-1, 1), repeat=4)))
# parity = x.prod(1)
# values = np.random.default_rng(0).normal(size=8)  # any function of the first three bits
# some = values[(x[:, :3] > 0) @ (4, 2, 1)]
# stairs = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + parity
# print(np.mean(some * parity), np.mean(x[:, 0] * x[:, 1] * stairs))
# assert abs(np.mean(some * parity)) < 1e-12 and np.mean(x[:, 0] * x[:, 1] * stairs) == 1
# ~~~
# ```
#
# ```{exercise}
# :label: map-ex-cheater
# `place.runs.Cheater` draws the test points of the walk before it is asked. What does it need on the parity? What if the test points are salted?
# ```
#
# ```{solution} map-ex-cheater
# :class: dropdown
# The first rung; and more than there is.
#
# ~~~python
# from hierlearn.place.runs import Cheater
# from hierlearn.place.tasks import tasks
# from hierlearn.place.walk import passed, walk
#
# task = tasks("smoke")["parity-4"]
# found = {salt: walk(task, 0, lambda: Cheater(task, 0), salt=salt) for salt in ("", "pepper")}
# print({salt: (one["sizes"], one["errors"]) for salt, one in found.items()})
# assert passed(found[""]) and not passed(found["pepper"])
# ~~~
# ```
