# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Layerwise failure
#
# Training a deep network one layer at a time, each frozen before the next begins, is the natural
# simpler alternative to training it as a whole. {cite:t}`allenzhu2023` do **not** prove that it fails. They prove
# lower bounds for kernels, and say of layerwise training only that it is not *known* to succeed on their
# class. There is no lower bound to test. What this chapter does is to make the failure visible on one
# target, to measure it, to derive its size, and to find its limits.
#
# ```{prf:remark} Allen-Zhu & Li, COLT 2023, from the abstract, in our words
# :label: rem-layerwise
# No simpler algorithm, layerwise training included, is known to learn the concept class of {prf:ref}`thm-bfc`
# in polynomial time, even to error $d^{-0.01}$.
# ```
#
# Elsewhere layerwise training *is* the method of proof: for the Random Hierarchy Model
# {cite}`ren2026`, and for other hierarchical polynomials {cite}`wang2024`. The difference lies in the target. In ours, what
# the upper level contributes biases the lower level while it is alone ([chapter 1](01_backward_feature_correction.ipynb)).

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
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from hierlearn.book import pages
from hierlearn.drawing import figures, steered
from hierlearn.quadratic.layerwise import experiments as layerwise
from hierlearn.quadratic.layerwise import limits as layerwise_limits
from hierlearn.quadratic.layerwise.experiments import at, looks, mse, rel
from hierlearn.quadratic.reading import is_greedy, is_staged, rows

chapter = pages.open_chapter(
    "03_layerwise_failure", profile=profile, device=device, records=records
)
plt.rcParams.update(figures.RC)

# %% [markdown]
# ## Freezing in twenty lines
#
# Target and network are those of chapter 1: $y=\sum_la_l\,\mathrm{Sum}(h_l)$, learned by
# $\hat y=\sum_la_l\lVert S_l\rVert^2$, each level quadratic in the one below. The only difference between the two runs is one
# learning rate in the second stage: that of level 2, small or zero.

# %%
import torch

from hierlearn.quadratic.target import QuadraticTeachers

teacher = QuadraticTeachers.draw([0], dim=20, widths=(4, 3), skip=0.8)
a2, a3 = teacher.amplitudes(torch.tensor([[[1.0, 0.2]]]))[0, 0]


torch.set_num_threads(1)


def train(K2, K3, rates, level_3_open, generator):
    optimizer = torch.optim.Adam([{"params": [p], "lr": r} for p, r in zip((K2, K3), rates)])
    anneal = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    for _ in range(1200):
        x = torch.randn(1, 256, 20, generator=generator)
        S2 = x[0] @ K2.T
        output = a2 * S2.square().sum(1)
        if level_3_open:
            products = (S2[:, :, None] * S2[:, None, :] - K2 @ K2.T).flatten(1)
            S3 = torch.cat([products, x[0], torch.ones(256, 1)], 1) @ K3.T
            output = output + a3 * S3.square().sum(1)
        level_2, level_3 = teacher.level_sums(x)[0]
        y = a2 * level_2 + a3 * level_3
        optimizer.zero_grad()
        (output - y).var().backward()
        optimizer.step()
        anneal.step()
    return (output - y).var().item() / y.var().item()


generator = torch.Generator().manual_seed(0)
K2 = torch.randn(4, 20, generator=generator).mul_(0.07).requires_grad_()
K3 = torch.randn(3, 16 + 20 + 1, generator=generator).mul_(0.05).requires_grad_()
train(K2, K3, (0.01, 0), False, generator)
for name, rate in (("staged", 0.002), ("frozen", 0)):
    weights = [K.detach().clone().requires_grad_() for K in (K2, K3)]
    error = train(*weights, (rate, 0.01), True, torch.Generator().manual_seed(1))
    print(f"level 2 {name} while level 3 trains: relative error {error:.0e}")

# %% [markdown]
# ## What floor does a frozen level 2 imply?
#
# Alone, level 2 settles at $\hat A$, the best rank-$k_2$ form for $A^*+\frac{a_3}{a_2}B_3$, and there it is frozen. Level 3 must now
# repair from above what is wrong below. Write its rows as $s_i=\langle C_i,xx^\top-I\rangle+v_i^\top x+c_i$ with
# $C_i=K_2^\top G_iK_2$. The squares expand in Hermite polynomials, whose degrees are orthogonal, so the population loss is
# exactly
#
# $$\sum_{k=1}^4k!\,\lVert\mathrm{sym}\,\Delta T_k\rVert_F^2,$$
#
# \begin{align*}
# T_4&=a_3\textstyle\sum_iC_i\otimes C_i, & T_2&=a_2\hat A+a_3\textstyle\sum_i(4C_i^2+v_iv_i^\top+2c_iC_i),\\
# T_3&=2a_3\textstyle\sum_iC_i\otimes v_i, & T_1&=a_3\textstyle\sum_i(4C_iv_i+2c_iv_i),
# \end{align*}
#
# where $\Delta$ is network minus target. Degrees 4 and 3 ask level 3 to be the truth. Degree 2 then counts the contribution
# $B_3$ of level 3 *twice*: level 2 has already swallowed it. Every part of $\Delta T$ is of order $a_3$, so the floor is of order $\alpha_3^2$, and a
# fixed share of level 3 is sacrificed. With a free quadratic form $x^\top Qx$ in the output, $\Delta T_2$ costs nothing; what remains is
# the *rotation* of the features, of order $\alpha_3$, times $a_3$: a floor of order $\alpha_3^4$. We minimize this loss numerically for each target; it has no
# free parameter. The derivation is ours. The minimum is searched from the truth, so it is a local one.
#
# ## The experiments

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %% [markdown]
# ### The picture
#
# Four levels, opened one after the other. Each row is a level of the network, each column a moment of training.

# %% tags=["hide-input"]
four = at(lambda c: c.curve and not c.oracle, gaps=(1, layerwise.GAP_3, layerwise.GAP_4))
LEVELS = {2: "gram2", 3: "fn3", 4: "fn4"}
DARKEST, LIGHTEST = 0.0, -8.0


def level_errors(look_back, level):
    """Squared error of a level over time, geometric mean over seeds."""
    chosen = rows(runs["look_back"], lambda c: four(c) and c.look_back == look_back)
    kept = [m["curve"] for group in chosen.values() for _, m in group]
    values = np.array([curve[LEVELS[level]] for curve in kept], dtype=float)
    squared = values**2 if level == 2 else values
    return np.array(kept[0]["step"]), np.exp(np.log(np.maximum(squared, 1e-16)).mean(0)), len(kept)


config = next(c for group in rows(runs["look_back"], four).values() for c, _ in group)
fig, axes = plt.subplots(2, 1, figsize=(figures.WIDTH, 3.9), sharex=True)
parts = []
for ax, (title, look_back) in zip(
    axes, {"greedy: only the newest level trains": 1, "staged: all open levels train": None}.items()
):
    for row_number, level in enumerate(LEVELS):
        steps, errors, n_seeds = level_errors(look_back, level)
        width = steps[1] - steps[0]
        shade = np.clip((np.log10(errors) - LIGHTEST) / (DARKEST - LIGHTEST), 0.02, 1)
        shade = np.round(shade, 2)
        edges = [0, *(np.flatnonzero(np.diff(shade)) + 1), len(shade)]
        for first, last in zip(edges, edges[1:]):  # one rectangle per run of equal shade: no seams
            left, right = steps[first] - width / 2, steps[last - 1] + width / 2
            box = (left, row_number - 0.45), right - left, 0.9
            ax.add_patch(
                Rectangle(*box, facecolor=figures.COLORS[0], alpha=float(shade[first]), linewidth=0, antialiased=False)
            )  # fmt: skip
        parts.append(f"{title.split(':')[0]} level {level} {errors[-1]:.0e} at the end")
        if level < 4:
            before = errors[np.searchsorted(steps, config.opens[level - 1]) - 1]
            parts[-1] += f", after {before:.0e} when level {level + 1} opens"
    for opened in config.opens[1:]:
        ax.axvline(opened, color=figures.INK, linewidth=0.9, linestyle=(0, (3, 2)))
    ax.set(xlim=(-width / 2, steps[-1] + width / 2), ylim=(-0.6, 2.6), title=title)
    ax.set_yticks(range(3), [f"level {level}" for level in LEVELS])
    ax.grid(False)
axes[1].set_xlabel("step")
figures.show(
    fig,
    name="levels-over-time",
    alt=f"Squared feature errors of three levels over {steps[-1]} steps, geometric means of {n_seeds} seeds: " + "; ".join(parts) + ".",
    caption="Feature error of each level (rows) over training (columns): full color is a squared error of 1, blank one of $10^{-8}$. Dashed lines: "
    "level 3 opens, then level 4. Frozen levels keep their error; trained ones are corrected by each newcomer.",
    **chapter.recompute("look_back"),
);  # fmt: skip

# %% [markdown]
# **Steer it.** Choose how many of the newest levels train, and see the same runs as curves. Notice which
# levels fall when the next one opens, which stay where they were frozen, and where the whole ends.

# %% tags=["hide-input"]
FOLLOWED = {
    **{key: f"level {level}" for level, key in LEVELS.items()},
    "rel": "relative test error",
}
moments = {f"level {level} opens": step for level, step in zip((3, 4), config.opens[1:])}
DIAL = {1: "1, greedy (newest)", 2: "2, newest two", 3: "3, staged (all)"}
states = {}
for depth in DIAL:
    look_back = None if depth == len(config.widths) else depth
    chosen = rows(runs["look_back"], lambda c: four(c) and c.look_back == look_back)
    kept = [m["curve"] for group in chosen.values() for _, m in group]
    if not kept:
        continue
    lines = []
    for index, (key, label) in enumerate(FOLLOWED.items()):
        power = 2 if key == "gram2" else 1
        points = {
            t: [curve[key][i] ** power for curve in kept] for i, t in enumerate(kept[0]["step"])
        }
        lines.append(steered.over_seeds(label, points, index=index, floor=1e-16))
    text = f"Look-back {DIAL[depth]}. After {kept[0]['step'][-1]} steps: "
    states[(depth,)] = steered.State(
        lines, text + ", ".join(f"{one.label} {one.at()}" for one in lines) + "."
    )
_ = steered.steer(
    name="steer-look-back", controls={"look-back depth": DIAL}, states=states, start=(1,),
    axes=(steered.Axis("step"), steered.Axis("squared error of the features, relative test error", log=True)),
    steps=moments,
    caption=f"Errors of the levels and of the whole at a look-back depth: geometric mean of {len(kept)} seeds with 95 % interval.",
    **chapter.recompute("look_back"),
)  # fmt: skip

# %% [markdown]
# ### The look-back dial
#
# How many of the newest levels train? One is greedy, all is staged. Target, seeds, data, and budget are the same at every setting.

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, sharey=True)
dials = (
    ("three levels", rows(runs["frozen_features"], at(lambda c: c.target == "full" and not c.oracle and c.thaw is None, gaps=(1, layerwise.GAP_3))), (1, None)),
    ("four levels", rows(runs["look_back"], at(lambda c: not c.oracle, gaps=(1, layerwise.GAP_3, layerwise.GAP_4), dim=20)), (1, 2, None)),
)  # fmt: skip
parts = []
for index, (ax, (title, chosen, settings)) in enumerate(zip(axes, dials)):
    values = [
        [next(rel(c, m) for c, m in chosen[s] if c.look_back == k) for k in settings]
        for s in sorted(chosen)
    ]
    mean, low, high = figures.series(
        ax, range(len(settings)), values, label=title, marker=True, index=index
    )
    ax.set_xticks(
        range(len(settings)),
        ["greedy\n(newest)", "newest two", "staged\n(all)"]
        if len(settings) == 3
        else ["greedy\n(newest)", "staged\n(all)"],
    )
    ax.set_xlim(-0.4, len(settings) - 0.6)
    figures.log_axes(ax, "y")
    ax.set_title(title)
    parts.append(
        f"{title}: "
        + ", ".join(
            f"{'all' if k is None else k} trained {m:.1e} [{a:.1e}, {b:.1e}]"
            for k, m, a, b in zip(settings, mean, low, high)
        )
    )
axes[0].set_ylabel("final relative test error")
figures.show(
    fig, name="dial", alt=f"Final error against look-back, geometric means and intervals of {len(values)} seeds. " + "; ".join(parts) + ".",
    caption="Final relative error against how many of the newest levels train: every seed, geometric mean, 95 % interval. Errors below "
    "$10^{-12}$ are float32 noise and are raised to it.",
    **chapter.recompute("frozen_features", "look_back"),
);  # fmt: skip

# %% [markdown]
# With three levels, freezing multiplies the final error by {glue:text}`layerwise.F1`, where errors below $10^{-12}$ count as $10^{-12}$; with four, by {glue:text}`layerwise.F1d`. At four levels each turn of
# the dial counts: training the newest two instead of all multiplies the error by {glue:text}`layerwise.F4`, and only the newest instead of two by {glue:text}`layerwise.F4g` more. Greedy training as a rule does not
# learn level 4: the geometric mean of its error there is {glue:text}`layerwise.F7`, where 1 is the zero function. (A dash means that this profile does not run the
# experiment; the sentence around it then speaks of the laptop profile.)
#
# **It is the bias, not the freezing.** Put the nearest rotation of the true features in place of level 2 when level 3 opens, and freeze *that*: greedy training
# ends at {glue:text}`layerwise.F1.control`. Train level 2 on $y-a_3x^\top B_3x$, with the bias taken out of its target, and freeze it: {glue:text}`layerwise.F1b.control`,
# against {glue:text}`layerwise.F1b` on the full target. What is left there is the noise of level 2's last steps, which freezing keeps as well.
#
# ### Error against the gap


# %% tags=["hide-input"]
def over_gaps(name, choice, value, index):
    chosen = rows(runs[name], choice)
    lines = [
        [value(c, m) for c, m in sorted(chosen[s], key=lambda r: r[0].gaps[index])]
        for s in sorted(chosen)
    ]
    return sorted({c.gaps[index] for group in chosen.values() for c, _ in group}), lines


def floor(part):
    return lambda c, m: m["floor"][part] * m["variance"]


fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.9))
arms = [
    ("greedy", "frozen_features", is_greedy, "rel"),
    ("staged", "frozen_features", is_staged, None),
]
if runs.get("free_readout"):
    arms.insert(1, ("greedy, free readout", "free_readout", lambda c: c.skip > 0, "readout"))
parts = []
for index, (label, name, choice, part) in enumerate(arms):
    gaps, values = over_gaps(name, choice, mse, 1)
    mean, _, _ = figures.series(
        ax, gaps, values, label=label, marker=True, index=index, floor=1e-13
    )
    parts.append(f"{label} {mean[0]:.1e} at gap {gaps[0]:g} and {mean[-1]:.1e} at gap {gaps[-1]:g}")
    if part:
        _, predicted = over_gaps("frozen_features", is_greedy, floor(part), 1)
        level = np.exp(np.log(predicted).mean(0))
        ax.plot(
            gaps,
            level,
            color=figures.INK,
            linestyle="",
            marker="x",
            markersize=9,
            label="predicted floor" if index == 0 else None,
        )
        parts[-1] += f" (predicted {level[0]:.1e} and {level[-1]:.1e})"
figures.log_axes(ax, "xy", x_ticks=gaps)
ax.set(xlabel=r"information gap $\alpha_3$", ylabel="mean squared error")
ax.legend(loc="center right")
figures.show(
    fig, name="gap", alt=f"Mean squared error at three levels, geometric means of {len(values)} seeds: " + "; ".join(parts) + ".",
    caption="Mean squared error at three levels against the gap. Crosses: the floor that the closed-form bias of level 2 implies, without and with "
    "a free quadratic readout.",
    **chapter.recompute("frozen_features", "free_readout"),
);  # fmt: skip

# %% [markdown]
# The floor of greedy training has exponent {glue:text}`layerwise.F2` in $\alpha_3$ (predicted: 2), and its height is {glue:text}`layerwise.F2p` times the predicted one. Of
# the variance of level 3, {glue:text}`layerwise.F2l` (mean over seeds of the smallest share over the gaps) is lost: with a smaller gap the loss weighs less in the whole, but much of level 3 is lost at every gap.
#
# With a free quadratic readout the output can be repaired, and only the features stay wrong. A floor of higher order remains: exponent
# {glue:text}`layerwise.F3` (predicted: 4 in the limit of small gaps), at $\alpha_3=0.2$ it is {glue:text}`layerwise.F3e` of the variance of $y$. Without the skip term, which alone rotates the
# features, it falls to {glue:text}`layerwise.F3.control`.
#
# One level up the same repeats. Looking back two levels at $L=4$ freezes level 2 with an error proportional to $\alpha_4$; the final error has exponent
# {glue:text}`layerwise.F5` in $\alpha_4$, and with the true level 2 put in place when level 4 opens it is {glue:text}`layerwise.F5.control`.
#
# ### Thawing

# %% tags=["hide-input"]
thaw_stuck = "—"
if profile != "smoke":
    fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.6))
    parts = []
    choices = {
        "greedy": is_greedy,
        "greedy, then thawed": lambda c: c.thaw is not None,
        "staged": is_staged,
    }
    for index, (label, choice) in enumerate(choices.items()):
        chosen = rows(runs["frozen_features"], lambda c, choice=choice: choice(c) and c.curve)
        kept = [m["curve"] for group in chosen.values() for _, m in group]
        values = np.array([curve["rel"] for curve in kept], dtype=float)
        mean, _, _ = figures.series(
            ax, kept[0]["step"], values, label=label, index=index, floor=1e-13
        )
        parts.append(f"{label} {mean[-1]:.0e}")
    thawed = next(
        c
        for group in rows(runs["frozen_features"], choices["greedy, then thawed"]).values()
        for c, _ in group
    )
    figures.log_axes(ax, "y")
    figures.mark_steps(ax, {"level 3 opens": thawed.opens[1], "thaw": thawed.thaw})
    ax.set(xlabel="step", ylabel="relative test error")
    ax.legend(loc="lower left")
    gains = layerwise.FROZEN_STATISTICS["thaw_gain"](runs["frozen_features"]).values()
    thaw_stuck = f"{sum(not gain >= 10 for gain in gains)} of {len(gains)}"
    figures.show(
        fig, name="thaw", alt=f"Relative error over {kept[0]['step'][-1]} steps, final geometric means of {len(values)} seeds: " + "; ".join(parts) + ".",
        caption="Thawing level 2 halfway through stage 3 releases the error from its floor in some seeds and not in others; thin lines are seeds, thick ones geometric means.", **chapter.recompute("frozen_features"),
    )  # fmt: skip
chapter.glue("thaw-stuck", thaw_stuck)

# %% [markdown]
# Thawing is the interventional test: level 2 trains again, and the learning rates are annealed anew (those of the control are not). It divides the error by
# {glue:text}`layerwise.T` (staying frozen for as long: {glue:text}`layerwise.T.control`). {glue:text}`thaw-stuck` seeds gain less than tenfold within this budget, which
# makes the interval wide. Chapter 1 thaws with a larger budget.
#
# ### Does it go away in high dimension?

# %% tags=["hide-input"]
if profile != "smoke":
    fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.6))
    dims = (10, 20, 40) if profile == "laptop" else (10, 20, 40, 80)
    parts = []
    for index, (label, k) in enumerate({"greedy": 1, "newest two": 2, "staged": None}.items()):
        chosen = rows(runs["look_back"], at(looks(k), gaps=(1, layerwise.GAP_3, layerwise.GAP_4)))
        values = [
            [next(rel(c, m) for c, m in chosen[s] if c.dim == d) for d in dims]
            for s in sorted(chosen)
        ]
        mean, _, _ = figures.series(ax, dims, values, label=label, marker=True, index=index)
        parts.append(
            f"{label} {mean[0]:.1e} at dimension {dims[0]} and {mean[-1]:.1e} at {dims[-1]}"
        )
    figures.log_axes(ax, "xy", x_ticks=dims)
    ax.set(xlabel="input dimension $d$", ylabel="final relative test error")
    ax.legend()
    figures.show(
        fig, name="dimension", alt=f"Four levels, geometric means of {len(values)} seeds: " + "; ".join(parts) + ".",
        caption="Four levels: the floors of greedy and look-back-two training against the input dimension.", **chapter.recompute("look_back"),
    )  # fmt: skip

# %% [markdown]
# The exponent of the greedy floor in $d$ is {glue:text}`layerwise.F6`: no fall of the floor is seen, and with three dimensions we say no more.
#
# ## Where the failure softens
#
# The network so far has exactly the target's widths $k=(4,3)$. Real networks are wider. How does the failure fare from $m=k$ towards $m=d$?

# %% tags=["hide-input"]
widths = layerwise_limits.WIDTHS[profile]
fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.6))
parts = []
for index, (label, k) in enumerate({"greedy": 1, "staged": None}.items()):
    chosen = rows(runs["width"], looks(k))
    values = [
        [next(rel(c, m) for c, m in chosen[s] if c.learner_widths == w) for w in widths]
        for s in sorted(chosen)
    ]
    mean, _, _ = figures.series(
        ax, range(len(widths)), values, label=label, marker=True, index=index
    )
    parts.append(f"{label} " + ", ".join(f"{v:.1e} at widths {w}" for v, w in zip(mean, widths)))
ax.set_xticks(range(len(widths)), [f"{a}, {b}" for a, b in widths])
figures.log_axes(ax, "y")
ax.set(
    xlabel="widths $m_2, m_3$ of the network",
    ylabel="final relative test error",
)
ax.legend()
figures.show(
    fig, name="width", alt=f"Three levels, geometric means of {len(values)} seeds: " + "; ".join(parts) + ".",
    caption="Overparametrized levels ($d=20$; the target has widths 4, 3) soften the failure: the greedy error falls, the staged one rises, and their ratio shrinks from narrow to wide.", **chapter.recompute("width"),
);  # fmt: skip

# %% [markdown]
# Width softens it: from the target's own widths to the widest network tried, the greedy error falls by a factor {glue:text}`layerwise.F8w`. We read this as
# follows, untested: a wider level 3 has spare rows with which to offset what level 2 swallowed, and a wider level 2 keeps directions that a narrow one has to drop. The smallest ratio of greedy to staged error over the widths is {glue:text}`layerwise.F8`. Our
# statement about layerwise training is therefore about *narrow* levels; whether it would survive in the paper's much wider network, nobody has proved, and our curve does not tell.
#
# What might remove the floor, but does not where it was run: a budget four times as large (error over the plain run: {glue:text}`layerwise.F8b`), smaller steps ({glue:text}`layerwise.F8s`), restarts
# (the best of three: {glue:text}`layerwise.F8r`). A floor that is a property of the population loss does not depend on them.
#
# With **five levels** staged training is at its own limit: the error of its level 5 is {glue:text}`layerwise.L5` (median and range; 1 is the zero function).
# Greedy over staged error is {glue:text}`layerwise.L5g` there.
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **A lower bound.** Greedy training fails here on one family of small targets, with one optimizer and fixed opening times. Cleverer layerwise schemes, with retraining, other losses, or
#   wider levels, are not excluded; some provably learn other hierarchical polynomials.
# - **That layerwise training of real networks fails.** The network knows the widths and the amplitudes of its target.
# - **A global optimum.** The predicted floor is a minimum of the population loss near the truth.
# - **The limit of small gaps.** Exponents are fitted to a factor 8 in $\alpha_3$ and in $\alpha_4$.
# - **Asymptotics in $d$.** Three dimensions do not make a limit.
#
# ## Exercises
#
# ```{exercise}
# :label: layerwise-ex-floor
# Compute the predicted floor for the gaps 0.1 and 0.05 and check that the mean squared error falls by about 4.
# ```
#
# ```{solution} layerwise-ex-floor
# :class: dropdown
# ~~~python
# import torch
# from hierlearn.quadratic.measures import plateau_gram
# from hierlearn.quadratic.layerwise.floors import greedy_floor, target_forms
# from hierlearn.quadratic.target import QuadraticTeachers
#
# teacher = QuadraticTeachers.draw([1], dim=20, widths=(4, 3), skip=0.8, dtype=torch.float64)
# floors = []
# for gap in (0.1, 0.05):
#     a = teacher.amplitudes(torch.tensor([[[1, gap]]]).double())[0, 0]
#     parts = teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], a
#     frozen = plateau_gram(teacher.first, teacher.bias_form(), a[1:] / a[:1])[0]
#     found = greedy_floor(*parts, frozen=frozen, widths=(4, 3))
#     floors.append(found.rel * float(target_forms(*parts).variance()))
# print(floors)
# assert 3.5 < floors[0] / floors[1] < 4.5
# ~~~
# ```
#
# ```{exercise}
# :label: layerwise-ex-readout
# Why does a free readout change the exponent from 2 to 4? Which of the four $\Delta T_k$ does it remove, and how large are the others when level 2 is rotated by an angle of order $\alpha_3$?
# ```
#
# ```{solution} layerwise-ex-readout
# :class: dropdown
# It removes $\Delta T_2$. Level 3 can then be the truth up to the rotation: the other $\Delta T_k$ are $a_3$ times the angle, and their squares are of order $\alpha_3^4$.
#
# ~~~python
# import torch
# from hierlearn.quadratic.layerwise.floors import target_forms
# from hierlearn.quadratic.target import QuadraticTeachers
#
# teacher = QuadraticTeachers.draw([1], dim=20, widths=(4, 3), skip=0.8, dtype=torch.float64)
# losses = []
# for gap in (0.1, 0.05):
#     a = teacher.amplitudes(torch.tensor([[[1, gap]]]).double())[0, 0]
#     tilt = teacher.first[0] + gap * 0.1 * torch.eye(4, 20).double()
#     rotated = torch.linalg.qr(tilt.T).Q.T
#     left, _, right = torch.linalg.svd(rotated @ teacher.first[0].T)
#     aligned = (left @ right).T @ rotated
#     true, wrong = (
#         target_forms(w, teacher.mixing[0][0], teacher.skips[0][0], a) for w in (teacher.first[0], aligned)
#     )
#     losses.append(float(wrong.minus(true).hermite(up_to_quadratic=True).square().sum()))
# assert 12 < losses[0] / losses[1] < 20
# ~~~
# ```
#
# ```{exercise}
# :label: layerwise-ex-dial
# At $L=3$, which settings of the look-back dial are there? Predict which two of `look_back = 1, 2, None` give the same run, then check.
# ```
#
# ```{solution} layerwise-ex-dial
# :class: dropdown
# ~~~python
# import torch
# from dataclasses import replace
# from hierlearn.quadratic.runs import QuadraticConfig, group, measure
#
# base = QuadraticConfig(dim=10, widths=(3, 2), gaps=(1, 0.2), opens=(0, 200), n_steps=600, batch=64)
# arms = [replace(base, look_back=k) for k in (1, 2, None)]
# one, two, everything = (r["final"]["rel"] for r in measure(group("ex", arms, [1]), torch.device("cpu")))
# print(one, two, everything)
# assert abs(two / everything - 1) < 0.1 and one > everything
# ~~~
# ```
