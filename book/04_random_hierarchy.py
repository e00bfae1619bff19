# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,mystnb,jupyter,cellView,-all
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
# # Convolutional networks learn the Random Hierarchy Model
#
# A sentence is a tree of parts, and many different parts mean the same. The Random Hierarchy Model of
# {cite:t}`cagnetta2024` is the simplest data set with this structure: a random grammar of fixed depth.
# They measure that a deep convolutional network learns it from about $n_cm^L$ examples, while shallow
# networks need a share of *all* $n_cm^{(s^L-1)/(s-1)}$ strings. {cite:t}`ren2026` prove that a deep
# network can learn it.
#
# ```{prf:theorem} Ren, Dandi, Krzakala & Lee, COLT 2026, as announced in the abstract
# :label: thm-rhm
# Under mild conditions, a deep convolutional network can be efficiently trained, by gradient-based methods
# on input-label pairs, to learn the Random Hierarchy Model. If intermediate layers can receive clean signal
# from the labels and the relevant features are weakly identifiable, then layerwise training of each individual
# layer suffices.
# ```
#
# So this chapter's theorem works *layer by layer*, the very procedure that the chapter on
# [backward feature correction](01_backward_feature_correction.ipynb) finds wanting. Which property of the
# data decides? The abstract names two; we take them away one at a time, and watch who still learns.
#
# What is left open: that shallow networks *must* pay is a conjecture. The exact learner, the constants and
# the conditions of the theorem were not at hand; the layerwise algorithms below are in its style, and
# nothing here tests its statement. That end-to-end training needs about $n_cm^L$ examples is a measurement
# of {cite:t}`cagnetta2024`, not a theorem.

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
import torch

from hierlearn.book import pages
from hierlearn.drawing import figures, steered
from hierlearn.engine.seeds import stream
from hierlearn.formatting import format_interval
from hierlearn.grammar import experiments as rhm
from hierlearn.grammar import layerwise as layers
from hierlearn.grammar import rescue
from hierlearn.grammar.reading import error, needed, rows, sensitivity_of
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.intervals import interval

chapter = pages.open_chapter("04_random_hierarchy", profile=profile, device=device, records=records)
plt.rcParams.update(figures.RC)
MAIN = rhm.MAIN


def at_parameters(choice, parameters):
    """Choose the runs of one configuration."""
    return lambda c: choice(c) and c.parameters == parameters


def cnn(config):
    """Choose the deep network on the plain grammar."""
    return config.learner == "cnn" and rhm.is_plain(config)


# %% [markdown]
# ## The grammar
#
# There are $n_c$ classes and $v$ symbols a level. Each class, and each symbol above the lowest level,
# rewrites to one of $m$ *synonyms*: tuples of $s=2$ symbols of the level below. The tuples are drawn at
# random, and no tuple has two parents. After $L$ levels a label has become a string of $d=2^L$ symbols.
# Label and rule choices are uniform, and every string has exactly one derivation, so that an exact parser
# exists. We name a grammar by $(v,n_c,m,L)$.

# %% tags=["hide-input"]
grammar = RandomHierarchy.draw(3, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=3)
string, label = grammar.sample(1, stream("picture", 3))
swapped = grammar.swap_synonyms(string, stream("picture", 4), level=1)
levels = [grammar.symbols_at(string, level=k)[0].tolist() for k in range(4)]
fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.6))
x = np.arange(8.0)
places = [x]
for _ in range(3):
    places.append(places[-1].reshape(-1, 2).mean(1))
for k in range(1, 4):
    for i, symbol in enumerate(levels[k]):
        color = figures.INK if k == 3 else figures.COLORS[symbol]
        for child in (2 * i, 2 * i + 1):
            ax.plot(
                [places[k][i], places[k - 1][child]],
                [k, k - 1],
                color=color,
                linewidth=1.4,
                zorder=1,
            )
rows_drawn = [*((k, places[k], levels[k]) for k in range(4)), (-0.75, x, swapped[0].tolist())]
for height, places_k, symbols in rows_drawn:
    for i, (place, symbol) in enumerate(zip(places_k, symbols, strict=True)):
        parent = levels[1][i // 2] if height <= 0 else symbol
        color = figures.INK if height == 3 else figures.COLORS[parent]
        ax.plot(
            place,
            height,
            marker="o",
            markersize=15,
            color=figures.PAPER,
            markeredgecolor=color,
            markeredgewidth=2,
        )
        ax.text(
            place, height, "ABCD"[symbol] if height == 3 else str(symbol), ha="center", va="center"
        )
for height, text in (
    (3, "class"),
    (2, "level 2"),
    (1, "level 1"),
    (0, "input"),
    (-0.75, "a synonym"),
):
    ax.text(-0.75, height, text, ha="right", va="center")
ax.set_xlim(-1.8, 7.4)
ax.set_ylim(-1.15, 3.4)
ax.axis("off")
same = int((string == swapped).all(0).view(-1, 2).all(1).sum())
_ = figures.show(
    fig, name="tree",
    alt=f"Derivation of the string {' '.join(map(str, levels[0]))} from class {'ABCD'[int(label)]} of a grammar with 4 symbols, 2 synonyms and 3 "
    f"levels, by way of {' '.join(map(str, levels[2]))} and {' '.join(map(str, levels[1]))}; pairs have the color of the symbol that wrote them. "
    f"Below it {' '.join(map(str, swapped[0].tolist()))}, with the same parents: {4 - same} of the 4 pairs are exchanged for synonyms.",
    caption="One derivation. Pairs of input symbols have the color of the symbol that wrote them. "
    "The bottom row exchanges every pair for a synonym; the label stays.",
    **chapter.recompute(),
)  # fmt: skip

# %% [markdown]
# ## The mechanism in twenty lines
#
# How can a label, three levels up, teach a network that two pairs are synonyms? By correlation: *given its
# parent, a pair is independent of the label*. So synonyms have the same label statistics, and other pairs
# generically do not. No training is needed to see it; counting suffices.

# %%
grammar = RandomHierarchy.draw(0, vocab_size=8, n_classes=8, n_synonyms=4, n_levels=3)
print(f"P_0 = n_c m^L = {grammar.scale}, of {grammar.n_strings} strings")
for n_samples in (128, 512, 2048, 8192):
    strings, labels = grammar.sample_distinct(n_samples, stream("page", 0))
    pairs = strings[:, 0].long() * 8 + strings[:, 1]  # the first of the four pairs
    counts = torch.bincount(pairs * 8 + labels, minlength=512).view(64, 8).double()
    seen = counts.sum(1) > 1
    frequencies = counts[seen] / counts[seen].sum(1, keepdim=True)

    distance = torch.cdist(frequencies, frequencies).fill_diagonal_(torch.inf)
    nearest = distance.argmin(1)

    every = torch.cartesian_prod(torch.arange(8), torch.arange(8)).to(torch.uint8)
    one_level = RandomHierarchy(grammar.rules[-1:], 8)  # the lowest rules alone: a parser for pairs
    parent = one_level.parse(every)[0][seen]
    share = (parent == parent[nearest]).double().mean()
    print(f"{n_samples:5d} examples: nearest neighbour is a synonym for {share:.0%} of the pairs")

# %% [markdown]
# Merging synonyms turns the strings into strings of half the length with the same kind of grammar, one
# level lower; so the argument repeats. This is what a layerwise learner does.
#
# ## The experiments
#
# Every learner sees the same grammars and data of a seed. In the text below a dash stands for what this
# profile does not run.

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %% [markdown]
# ### When do labels reveal synonyms?
#
# Let $\hat p_{\mu j}$ be the label frequencies of pair $\mu$ at position $j$ in $P$ different examples, and
# $R$ the mean of $|\hat p_{\mu j}-\hat p_{\nu j}|^2$ over non-synonyms, divided by that over synonyms.
# Balancing signal and sampling noise as {cite:t}`cagnetta2024` do gives a law without a free parameter,
#
# $$R(P)=1+\frac{P}{n_cm^L}\cdot\frac{P_{\max}}{P_{\max}-P},$$
#
# whose last factor, ours, accounts for sampling without replacement. So from about $P_0=n_cm^L$ examples on,
# the mean squared distance of non-synonyms is more than twice that of synonyms.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.8))
parts = []
for index, parameters in enumerate(rhm.SEEN[profile]):
    chosen = at_parameters(rhm.is_plain, parameters)
    grid, values = rhm.curve_points(
        runs["rhm_detectability"], chosen, lambda c, m: m["detectability"]
    )
    mean, low, high = figures.series(
        ax, grid, values, label=str(parameters).replace(" ", ""), index=index, marker=True
    )
    parts.append(
        f"{parameters}: {mean[0]:.2f} at {grid[0]:g} and {mean[-1]:.2f} at {grid[-1]:g} P_0"
    )
    _, law = rhm.curve_points(runs["rhm_detectability"], chosen, lambda c, m: m["law"])
    ax.plot(
        grid,
        law[0],
        color=figures.INK,
        linestyle="",
        marker="x",
        markersize=8,
        label="law" if index == 0 else None,
    )
grid, values = rhm.curve_points(
    runs["rhm_detectability"],
    lambda c: c.control == "shuffled labels",
    lambda c, m: m["detectability"],
)
ax.plot(
    grid,
    np.mean(values, 0),
    color=figures.NEUTRAL,
    marker="P",
    linestyle="--",
    label="shuffled labels",
)
figures.log_axes(ax, "xy", x_ticks=[*rhm.SEEN_GRID])
ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
ax.set_xlabel(r"examples $P/n_cm^L$")
ax.set_ylabel("detectability $R$")
ax.legend()
_ = figures.show(
    fig, name="detectability",
    alt=f"Detectability against sample size, {len(values)} seeds: " + "; ".join(parts) + f". With shuffled labels {np.mean(values):.2f}.",
    caption="Detectability of synonyms from labels, without any training: every seed, geometric mean with 95 % interval, and "
    "the law (crosses), which has no free parameter.",
    **chapter.recompute("rhm_detectability"),
)  # fmt: skip

# %% [markdown]
# From $P_0$ on, measured $R$ over the law is {glue:text}`rhm.R2`; with shuffled labels $R$ is
# {glue:text}`rhm.R2.control`. The parser and the generator are exact: {glue:text}`rhm.R1` of all checks
# come out right, and a corrupted grammar is noticed.
#
# ### A deep network, end to end
#
# The network matches the tree: $L$ layers, each turning pairs of neighbours into 64 channels. All layers are
# trained by SGD with momentum on the cross-entropy until the loss is $10^{-3}$. Errors are divided by
# that of guessing. $P^*$ is where the error crosses a tenth.

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(figures.WIDTH, 3.4))
parts = []
for index, parameters in enumerate(rhm.DEEP[profile]):
    chosen = at_parameters(rhm.in_grid, parameters)
    grid, values = rhm.curve_points(runs["rhm_deep"], chosen)
    mean = np.mean(values, 0)
    style = {
        "color": figures.COLORS[index % 6],
        "marker": figures.MARKERS[index % 6],
        "linestyle": figures.DASHES[index % 6],
    }
    scale = parameters[1] * parameters[2] ** parameters[3]
    for ax, unit in zip(axes, (scale, 1), strict=True):
        ax.plot(
            np.array(grid) * unit,
            np.array(values).T,
            color=style["color"],
            linewidth=0.5,
            alpha=0.35,
        )
        ax.plot(np.array(grid) * unit, mean, label=str(parameters).replace(" ", ""), **style)
    parts.append(
        f"{parameters} {mean[grid.index(2)]:.2f} at 2 P_0 and {mean[grid.index(4)]:.3f} at 4 P_0"
    )
for ax in axes:
    figures.log_axes(ax, "x")
    ax.axhline(0.1, color=figures.NEUTRAL, linewidth=0.9, linestyle=":")
axes[1].set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
axes[0].set_xlabel("examples $P$")
axes[1].set_xlabel(r"$P/n_cm^L$")
axes[0].set_ylabel("test error over chance")
axes[1].legend()
_ = figures.show(
    fig, name="collapse",
    alt=f"Test error of the deep network against sample size, mean of {len(values)} seeds: " + "; ".join(parts) + ".",
    caption="Test error of the deep network, every seed and the mean, against the number of examples and in units of $n_cm^L$.",
    **chapter.recompute("rhm_deep"),
)  # fmt: skip

# %% tags=["hide-input"]
SOURCES = {
    "deep, end to end": ("rhm_deep", rhm.in_grid),
    "layerwise SGD": ("rhm_layerwise", rhm.is_plain),
    "clustering": ("rhm_closed_form", layers._by("clustered")),
    "ridge": ("rhm_closed_form", layers._by("ridge")),
    "three hidden layers": ("rhm_deep", lambda c: c.learner == "fcn3" and rhm.is_plain(c)),
    "one hidden layer": ("rhm_deep", lambda c: c.learner == "fcn1" and rhm.is_plain(c)),
}
fig, ax = plt.subplots(figsize=(figures.WIDTH, 4))
parts, sizes = [], {}
for index, (name, (source, choice)) in enumerate(SOURCES.items()):
    found = needed(runs[source], choice) if runs.get(source) else {}
    points = {}
    for seed, by_key in found.items():
        for key, size in by_key.items():
            if np.isfinite(size):
                points.setdefault(key, {})[seed] = size
    points = {key: values for key, values in points.items() if len(values) > 1}
    sizes[name] = points
    if not points:
        continue
    keys = sorted(points, key=lambda k: k[1] * k[2] ** k[3])
    scales = np.array([k[1] * k[2] ** k[3] for k in keys]) * 1.03 ** (index - 2)
    summary = [interval(points[k].values(), "log-t") for k in keys]
    middle = np.array([one.estimate for one in summary])
    ends = np.array([[one.estimate - one.low, one.high - one.estimate] for one in summary]).T
    ax.errorbar(scales, middle, ends, color=figures.COLORS[index], marker=figures.MARKERS[index], linestyle=figures.DASHES[index],
                linewidth=1.1, elinewidth=1.2, label=name)  # fmt: skip
    parts.append(
        name + " " + ", ".join(f"{m:.0f} at {k}" for m, k in zip(middle, keys, strict=True))
    )
grid = np.array([100, 3000])
ax.plot(grid, grid, color=figures.INK, linestyle=":", linewidth=1, label="$n_cm^L$")
figures.log_axes(ax, "xy")
ax.set_xlabel("$n_cm^L$")
ax.set_ylabel("sample size $P^*$")
ax.legend(ncols=2, loc="lower right")
_ = figures.show(
    fig, name="sizes", alt="Sample sizes that reach a tenth of the error of guessing: " + "; ".join(parts) + ".",
    caption="Sample size $P^*$ of every learner against $n_cm^L$; geometric mean and 95 % interval over seeds. Marks are moved "
    "sideways a little, so that none hides another. Seeds that do not cross within the grid are left out here.",
    **chapter.recompute("rhm_deep", "rhm_layerwise", "rhm_closed_form"),
)  # fmt: skip

paired = [
    sizes["deep, end to end"][MAIN][s] / sizes["clustering"][MAIN][s]
    for s in sizes["deep, end to end"].get(MAIN, {})
    if s in sizes["clustering"].get(MAIN, {})
]
gain = interval(paired, "log-t") if len(paired) > 1 else None
chapter.glue("gain", format_interval(gain.estimate, (gain.low, gain.high)) if gain else "—")
chapter.glue("gain-seeds", str(len(paired)) if paired else "no")

# %% [markdown]
# $P^*/P_0$ is {glue:text}`rhm.R3`, geometric mean over configurations, and across configurations $P^*$ grows
# with exponent {glue:text}`rhm.R3s` in $n_cm^L$, where {cite:t}`cagnetta2024` report 1. With shuffled labels the error stays at
# {glue:text}`rhm.R3.control`. Without any correlation (Latin squares at every level) the network learns
# nothing even from almost half of all strings: its smallest error is {glue:text}`rhm.R11`.
#
# Layerwise SGD, which freezes each layer before the next begins, needs {glue:text}`rhm.R4` times $P_0$
# ({glue:text}`rhm.R4.verdict`; the note to claim `rhm.R4` below says why). Clustering pairs by label statistics, with
# no network at all, needs {glue:text}`rhm.R6` times $P_0$ where $m<v$; at $m=v$ its seeds scatter widely. Ridge
# regression on the same statistics needs {glue:text}`rhm.R6r` times $P_0$ where $m<v$. {cite:t}`cagnetta2024` report that
# clustering gains about $\sqrt{n_c}$ over the deep network, which is 2.8 at $(8,8,4,3)$. There our deep network needs
# {glue:text}`gain` times the examples of clustering, over {glue:text}`gain-seeds` seeds in which both cross.
#
# ### Layer by layer

# %% tags=["hide-input"]
if runs.get("rhm_layerwise"):
    fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.4))
    parts = []
    for stage in (1, 2, 3):
        chosen = at_parameters(rhm.is_plain, MAIN)
        grid, values = rhm.curve_points(
            runs["rhm_layerwise"], chosen, lambda c, m, s=stage: m["stages"][s - 1]
        )
        ax.plot(grid, np.array(values).T, color=figures.COLORS[stage - 1], linewidth=0.5, alpha=0.4)
        mean = np.mean(values, 0)
        ax.plot(
            grid,
            mean,
            color=figures.COLORS[stage - 1],
            marker=figures.MARKERS[stage - 1],
            linestyle=figures.DASHES[stage - 1],
            label=f"after stage {stage}",
        )
        parts.append(
            f"stage {stage}: {mean[0]:.2f} at {grid[0]:g} and {mean[-1]:.3f} at {grid[-1]:g} P_0"
        )
    figures.log_axes(ax, "x", x_ticks=grid)
    ax.set_xlabel(r"$P/n_cm^L$")
    ax.set_ylabel("test error over chance")
    ax.legend()
    figures.show(
        fig, name="stages", alt=f"Layerwise SGD on (8,8,4,3), mean of {len(values)} seeds. " + "; ".join(parts) + ".",
        caption="Layerwise SGD on (8,8,4,3): test error of each stage's own head. Lower stages help and cannot finish.",
        **chapter.recompute("rhm_layerwise"),
    )  # fmt: skip

# %% [markdown]
# At $8P_0$ the first stage is left with {glue:text}`rhm.R5` and the last with {glue:text}`rhm.R5b`. The last
# stage over *random* lower layers stays at {glue:text}`rhm.R5b.control`.
#
# ### Learners that do not know the tree

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(figures.WIDTH, 3.3))
parts = []
PANELS = (
    (axes[0], rhm.SMALL, (("deep", "rhm_deep", rhm.in_grid), ("one hidden layer", "rhm_deep", SOURCES["one hidden layer"][1]))),
    (axes[1], MAIN, (
        ("deep", "rhm_deep", rhm.in_grid),
        ("three hidden layers", "rhm_deep", SOURCES["three hidden layers"][1]),
        ("tangent kernel", "rhm_kernel", lambda c: rhm.is_plain(c)),
    )),
)  # fmt: skip
for ax, parameters, lines in PANELS:
    for index, (name, source, choice) in enumerate(lines):
        chosen = at_parameters(choice, parameters)
        if not rows(runs.get(source, []), chosen):
            continue
        grid, values = rhm.curve_points(runs[source], chosen)
        index += index > 0 and parameters == MAIN
        color = figures.COLORS[index]
        ax.plot(grid, np.array(values).T, color=color, linewidth=0.5, alpha=0.35)
        ax.plot(
            grid,
            np.mean(values, 0),
            color=color,
            marker=figures.MARKERS[index],
            linestyle=figures.DASHES[index],
            label=name,
        )
        parts.append(f"{parameters} {name}: {np.mean(values, 0)[-1]:.2f} at {grid[-1]:g} P_0")
    figures.log_axes(ax, "x")
    share = parameters[1] * parameters[2] ** 7 / (parameters[1] * parameters[2] ** 3)
    ax.axvline(share, color=figures.NEUTRAL, linewidth=0.9, linestyle="--")
    ax.set_title(str(parameters).replace(" ", ""))
    ax.set_xlabel(r"$P/n_cm^L$")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    else:
        ax.set_visible(False)
axes[0].set_ylabel("test error over chance")
_ = figures.show(
    fig, name="shallow", alt="Test error against sample size, means over seeds: " + "; ".join(parts) + ".",
    caption="Learners that do not know the tree, beside the deep network: every seed that has all sizes, and the mean. Dashed line: all strings of the grammar.",
    **chapter.recompute("rhm_deep", "rhm_kernel"),
)  # fmt: skip

# %% [markdown]
# Where the deep network has learned, at $6P_0$ of $(4,4,4,3)$, one hidden layer still has an error of
# {glue:text}`rhm.R7`. It needs at least a share of {glue:text}`rhm.R7p` of all strings: seeds that do not get there
# count with the largest size tried. The deep one needs
# {glue:text}`rhm.R7p.control`. Fed the *parsed* tokens below the label, the same network has error
# {glue:text}`rhm.R7.control`: its obstacle is the hierarchy, not its size. The tangent kernel is left with
# {glue:text}`rhm.R8` at $16P_0$ of $(8,8,4,3)$, and three hidden layers without the tree need
# {glue:text}`rhm.R9` times the examples of the convolutional network.
#
# ### What the layers have merged
#
# $S_{k,l}$ compares how far layer $k$ moves when all level-$l$ rules of a string are exchanged for synonyms
# with how far apart two random strings are. At 1, synonyms look as different to the layer as random strings; at 0, they
# look the same.

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(figures.WIDTH, 3.3))
picture = MAIN if MAIN in rhm.DEEP[profile] else rhm.SMALL
parts = []
for ax, level in zip(axes, (1, 2), strict=True):
    for layer in (1, 2, 3):
        chosen = at_parameters(cnn, picture)
        grid, values = rhm.curve_points(runs["rhm_deep"], chosen, sensitivity_of(layer, level))
        index = layer - 1
        ax.plot(grid, np.array(values).T, color=figures.COLORS[index], linewidth=0.5, alpha=0.35)
        mean = np.mean(values, 0)
        ax.plot(
            grid,
            mean,
            color=figures.COLORS[index],
            marker=figures.MARKERS[index],
            linestyle=figures.DASHES[index],
            label=f"layer {layer}",
        )
        parts.append(f"layer {layer}, level {level}: {mean[0]:.2f} to {mean[-1]:.2f}")
    figures.log_axes(ax, "x", x_ticks=[0.5, 1, 2, 4, 8])
    ax.set_title(f"synonyms of level {level}")
    ax.set_xlabel(r"$P/n_cm^L$")
axes[0].set_ylabel("sensitivity")
axes[0].legend()
axes[0].set_ylim(0, 1.15)
_ = figures.show(
    fig, name="sensitivity",
    alt=f"Sensitivity of the layers of the trained network on {picture}, {grid[0]:g} to {grid[-1]:g} P_0: " + "; ".join(parts) + ".",
    caption="Sensitivity of each layer to synonyms of level 1, the lowest, and of level 2, after training on $P$ examples. "
    "Layer $l+1$ is the first that can merge level $l$.",
    **chapter.recompute("rhm_deep"),
)  # fmt: skip

# %% [markdown]
# **Steer it.** Choose the number of examples, the level of the exchanged synonyms, and the grammar. Notice
# at how many examples the sensitivity falls, and which layer is the lowest that merges synonyms of the level.

# %% tags=["hide-input"]
found = {}
for group_of in rows(runs["rhm_deep"], rhm.in_grid).values():
    for c, m in group_of:
        found.setdefault(
            (round(c.n_samples / c.scale, 2), str(c.parameters).replace(" ", "")), []
        ).append((c, m))
multiples, grammars = (
    sorted({p for p, _ in found}),
    sorted({g for _, g in found}, key=[str(p).replace(" ", "") for p in rhm.DEEP[profile]].index),
)
levels = range(1, min(p[3] for p in rhm.DEEP[profile]) + 1)
states = {}
for (multiple, grammar), chosen in found.items():
    n_layers = chosen[0][0].n_levels
    errors = interval([error(c, m) for c, m in chosen], "t")
    for level in levels:
        lines = [
            steered.over_seeds(
                label,
                {k: [sensitivity_of(k, level, *where)(c, m) for c, m in chosen] for k in range(1, n_layers + 1)},
                index=index, geometric=False,
            )
            for index, (label, where) in enumerate({"after training": (), "before training": ("sensitivity_at_start",)}.items())
        ]  # fmt: skip
        text = f"{grammar}, {chosen[0][0].n_samples} examples ({multiple:g} P₀), synonyms of level {level}: sensitivity "
        text += ", ".join(f"{lines[0].at(k)} in layer {k + 1}" for k in range(n_layers))
        text += f"; before training {lines[1].at(0)} in layer 1 and {lines[1].at()} in layer {n_layers}. "
        text += f"Test error over chance: {format_interval(errors.estimate, (errors.low, errors.high))}."
        states[multiple, level, grammar] = steered.State(lines, text)
_ = steered.steer(
    name="steer-level",
    controls={
        "examples": {p: f"{p:g} P₀" for p in multiples},
        "synonyms": {level: f"level {level}" + (", the lowest" if level == 1 else "") for level in levels},
        "grammar": {grammar: grammar for grammar in grammars},
    },
    states=states,
    start=(4, 1, str(picture).replace(" ", "")),
    axes=(steered.Axis("layer", ticks=range(1, max(p[3] for p in rhm.DEEP[profile]) + 1)), steered.Axis("sensitivity S", ticks=(0, 0.25, 0.5, 0.75, 1))),
    caption="Sensitivity of the layers to synonyms of a level, after training and before: mean over seeds with 95 % interval. "
    "Grammars are $(v,n_c,m,L)$ and $P_0=n_cm^L$.",
    **chapter.recompute("rhm_deep"),
)  # fmt: skip

# %% [markdown]
# At $4P_0$ the top layer is left with {glue:text}`rhm.R10`, layer 2 with {glue:text}`rhm.R10b` and layer 1,
# which sees each pair but has no second layer to merge them, with {glue:text}`rhm.R10b.control`. Untrained
# networks have {glue:text}`rhm.R10.control`.
#
# ## Taking the conditions away
#
# Layerwise training rests on three conditions. (i) **Correlation**: the label depends on low-level parts.
# (ii) **Clean signal**: given its parent, a part is independent of the label. (iii) **Identifiability**:
# parts of different parents have different label statistics. Each can be read off the data as a number, in
# units of the sampling noise: the *signal* $S$ (how far apart non-synonyms lie beyond synonyms), the *dirt*
# $W$ (how far apart synonyms lie; 1 is clean) and the *margin* $G$ (distance to the nearest other parent;
# 1 is none). And for each we turn a dial $t$ from the intact grammar, $t=0$, to the broken condition:
#
# | dial | breaks | how |
# |---|---|---|
# | `corr` | (i) at the top, and with it (iii) | the top rules, here $v$ a class, become a Latin square: $y$ is independent of either half of the string |
# | `corrall` | (i) at every level | the same at all levels |
# | `ident4` | (iii) at level 2 | fours of symbols share their label statistics, and differ only jointly |
# | `ident` | (iii) at level 2 | the same for pairs of symbols |
# | `hint` | (ii), towards $t=1$ also (i) | lowest-level rule choices lean towards the parity of the label |
# | `skip` | (ii) | the first pair's rule shifts the label past the hierarchy |
# | `skipxor` | (ii), (iii) | the same through the parity of two pairs |
# | `shared` | none | rule choices lean towards a bit that has nothing to do with the label |
#
# On `corr` every class has $v$ instead of $m$ rules at the top, at every $t$, so that there $P_0=n_cvm^{L-1}$.
# At every $t$ labels are determined by the string. The dials are ours; no paper has them.

# %% tags=["hide-input"]
fig, axes = plt.subplots(3, 1, figsize=(figures.WIDTH, 6.4), sharex=True)
dials = sorted(
    {c.dial for runs_of in rows(runs["chain_conditions"]).values() for c, _ in runs_of},
    key=list(rescue.READ).index,
)
parts = []
for index, dial in enumerate(dials):
    for ax, name in zip(axes, ("signal", "dirt", "margin"), strict=True):
        chosen = {
            s: sorted(r, key=lambda run: run[0].t)
            for s, r in rows(runs["chain_conditions"], rescue.on_dial(dial)).items()
        }
        turns = [c.t for c, _ in next(iter(chosen.values()))]
        values = np.array([[m[name] for _, m in line] for line in chosen.values()])
        ax.plot(
            turns,
            values.mean(0),
            color=figures.COLORS[index],
            marker=figures.MARKERS[index],
            linestyle=figures.DASHES[index],
            label=f"{dial}, {rescue.READ[dial]} $P_0$",
        )
        parts.append(f"{dial} {name} {values.mean(0)[0]:z.1f} to {values.mean(0)[-1]:z.1f}")
t = np.linspace(0, 1, 40)
axes[0].plot(
    t,
    16 * (1 - t**2),
    color=figures.INK,
    linewidth=1,
    linestyle=":",
    label=r"law for corr, $16(1-t^2)$",
)
axes[0].set_title("signal $S$: correlation (i)")
axes[1].set_title("dirt $W$: clean is 1 (ii)")
axes[2].set_title("margin $G$: 1 is none (iii)")
for ax in axes[1:]:
    figures.log_axes(ax, "y")
axes[2].set_xlabel("turn of the dial $t$")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
_ = figures.show(
    fig, name="conditions", alt=f"Signal, dirt and margin from t = 0 to 1, mean of {len(values)} seeds: " + "; ".join(parts) + ".",
    caption="The three conditions, read off the data of (8,8,4,3) without training, mean over seeds. Read them jointly: corr takes the signal to 0 while the dirt stays at 1, and the margin with it; ident takes the margin to 1 while the signal stays; hint and skip raise the dirt and lower the signal; the null dial, shared, moves none by much.",
    **chapter.recompute("chain_conditions"),
)  # fmt: skip

# %% [markdown]
# The signal that `corr` leaves follows a law without a free parameter, $S(t)=(P/P_0)(1-t^2)$: measured over
# predicted is {glue:text}`rhm.C2`, and at $t=1$ the signal is {glue:text}`rhm.C2.control`. `ident4` takes the
# margin to {glue:text}`rhm.C3`, `hint` raises the dirt to {glue:text}`rhm.C3w`.
#
# ### No correlation at the top: greedy fails, and a thaw rescues
#
# At $t=1$ of `corr` the label is independent of the left half of the string, and of the right half. Whatever
# a lower layer computes from within one half, no head that adds up the halves, as ours do, can learn from it; only the *last* stage combines
# both in one unit. All learners get $16P_0$ examples.

# %% tags=["hide-input"]
PROTOCOLS = {
    "layerwise": ("chain_rescue", rescue.thawed, rescue.frozen_error),
    "layerwise, then thawed": ("chain_rescue", rescue.thawed, error),
    "end to end": ("chain_rescue", rescue.end_to_end, error),
    "look-back 2": ("chain_rescue", rescue.look_back, error),
    "clustering": ("chain_closed_form", lambda c: c.learner == "clustered", error),
    "ridge": ("chain_closed_form", lambda c: c.learner == "ridge", error),
}


def on_turns(dial, protocol):
    """Turns of a dial and errors [seed, turn] of a protocol; None where the profile has no such runs."""
    source, choice, value = PROTOCOLS[protocol]
    multiple = rescue.MULTIPLE.get(dial, 16)
    found = rows(
        runs.get(source, []),
        lambda c: c.dial == dial and choice(c) and c.n_samples == multiple * c.scale,
    )
    if not found:
        return None
    ordered = [sorted(found[s], key=lambda run: run[0].t) for s in sorted(found)]
    return [c.t for c, _ in ordered[0]], np.array(
        [[value(c, m) for c, m in line] for line in ordered]
    )


curves = {}
for name, choice in (
    ("thaw", rescue.on("corr", 1.0, rescue.thawed)),
    ("over random layers", rescue.on("corr", 1.0, rescue._over_random)),
    ("last layer only", rescue.on("corr", 1.0, rescue._goes_on)),
):
    kept = [m["curve"] for line in rows(runs["chain_rescue"], choice).values() for _, m in line]
    if kept:
        curves[name] = kept
fig, axes = plt.subplots(2, 1, figsize=(figures.WIDTH, 5.6), sharex=True)
parts = []
for index, (name, kept) in enumerate(curves.items()):
    steps = np.array(kept[0]["step"])
    errors = np.array([k["error"] for k in kept])
    axes[0].plot(steps, errors.T, color=figures.COLORS[index], linewidth=0.5, alpha=0.4)
    axes[0].plot(
        steps,
        errors.mean(0),
        color=figures.COLORS[index],
        linestyle=figures.DASHES[index],
        label={
            "thaw": "thaw of all layers",
            "over random layers": "thaw over random lower layers",
            "last layer only": "last layer goes on alone",
        }[name],
    )
    parts.append(f"{name}: error {errors.mean(0)[0]:.2f} to {errors.mean(0)[-1]:.3f}")
    if name == "thaw":
        for layer in range(3):
            values = np.array([[s[layer] for s in k["sensitivity"]] for k in kept])
            axes[1].plot(steps, values.T, color=figures.COLORS[layer + 3], linewidth=0.5, alpha=0.4)
            axes[1].plot(
                steps,
                values.mean(0),
                color=figures.COLORS[layer + 3],
                linestyle=figures.DASHES[layer],
                label=f"layer {layer + 1}",
            )
            parts.append(
                f"sensitivity of layer {layer + 1} {values.mean(0)[0]:.2f} to {values.mean(0)[-1]:.2f}"
            )
axes[0].set_title("test error over chance")
axes[1].set_title("sensitivity to synonyms of level 1")
axes[1].set_xlabel("steps after layerwise training ended")
axes[0].legend()
axes[1].legend()
axes[1].set_ylim(0, 1.2)
_ = figures.show(
    fig, name="thaw",
    alt=f"After layerwise training on corr at t = 1, {len(curves['thaw'])} seeds over {steps[-1]} steps: " + "; ".join(parts) + ".",
    caption="What the thaw does. Layerwise training has ended near chance; at step 0 all layers begin to train, with the head that is "
    "there. Top: test error. Bottom, during the thaw of all layers: the lower layers, which had learned nothing of synonymy, learn it now. Every seed and the mean.",
    **chapter.recompute("chain_rescue"),
)  # fmt: skip

# %% [markdown]
# Layerwise SGD is left at {glue:text}`rhm.C4`, clustering at {glue:text}`rhm.C4c` and ridge at
# {glue:text}`rhm.C4r`: nothing that is trained from below can begin. End-to-end training from scratch
# reaches {glue:text}`rhm.C4e`. And **thawing the stuck network** reaches {glue:text}`rhm.C4t`, where going
# on with the last layer alone stays at {glue:text}`rhm.C4t.control`.
#
# Is this backward *correction*, or does the top layer simply learn more? The lower layers change. Layerwise
# training had left layer 2 with a sensitivity of {glue:text}`rhm.C13b`, that of an untrained network; the thaw
# multiplies it by {glue:text}`rhm.C13`, and that of layer 1 by {glue:text}`rhm.C13c`. A thaw that rescues
# nothing, on `corrall`, leaves {glue:text}`rhm.C13.control` of layer 2's. So the lower layers learn
# which pairs are synonyms only once a higher layer sends them a signal that needs both halves.
#
# It does not *need* what layerwise training left: over random lower layers the thaw reaches
# {glue:text}`rhm.C14`, somewhat later (dashed). From layerwise training, its steps are {glue:text}`rhm.C14s` times those of end-to-end training.

# %% tags=["hide-input"]
drawn = [d for d in ("corr", "ident4", "hint", "skip") if on_turns(d, "layerwise") is not None]
fig, axes = plt.subplots(
    (len(drawn) + 1) // 2,
    2 if len(drawn) > 1 else 1,
    figsize=(figures.WIDTH, 2.9 * ((len(drawn) + 1) // 2)),
    sharey=True,
    squeeze=False,
)
parts = []
for ax, dial in zip(axes.flat, drawn, strict=False):
    for index, protocol in enumerate(PROTOCOLS):
        found = on_turns(dial, protocol)
        if found is None:
            continue
        turns, values = found
        ax.plot(
            turns,
            values.mean(0),
            color=figures.COLORS[index],
            marker=figures.MARKERS[index],
            linestyle=figures.DASHES[index],
            linewidth=1.4,
            label=protocol,
        )
        ax.plot(turns, values.T, color=figures.COLORS[index], linewidth=0.4, alpha=0.3)
        parts.append(f"{dial} {protocol} {values.mean(0)[-1]:.2f}")
    ax.set_title(f"{dial}, {rescue.MULTIPLE[dial]} $P_0$")
    ax.set_xlabel("turn of the dial $t$")
axes[0, 0].set_ylabel("test error over chance")
axes[0, 0].legend(fontsize=7.5, loc="center left")
_ = figures.show(
    fig, name="dials", alt="Test error over chance at t = 1, means over seeds: " + "; ".join(parts) + ".",
    caption="Who still learns as a dial is turned: test error over chance, mean and every seed, (8,8,4,3). "
    "Look-back 2 trains the newest layer together with the one below it. Where marks cover each other at the bottom, all of these learn.",
    **chapter.recompute("chain_rescue", "chain_closed_form"),
)  # fmt: skip

# %% [markdown]
# **(i) Correlation is needed by whoever learns from below.** With none left at *any* level (`corrall`) nobody
# learns: end-to-end training stays at {glue:text}`rhm.C4e.control`, and a thaw at {glue:text}`rhm.C5`. Breaking it at
# the top only costs end-to-end training data: {glue:text}`rhm.C6` times more.
#
# **(iii) Identifiability is needed by those who see only label statistics.** On `ident4` clustering is left with
# {glue:text}`rhm.C7` and ridge with {glue:text}`rhm.C7r`; from $3P_0$ to $8P_0$ the floor of clustering falls by
# {glue:text}`rhm.C7f`. Layerwise SGD, perhaps because its random features tell the symbols apart, is only slowed
# (its error falls by a factor {glue:text}`rhm.C8` between the same sizes), and end-to-end training
# passes ({glue:text}`rhm.C7e`).
#
# **(ii) A clean signal is not necessary.** (Nor is it enough by itself: at $t=1$ `corr` and `ident4` are clean.)
# `hint` raises the dirt, towards $t=1$ at the cost of the signal as well, and misleads clustering ({glue:text}`rhm.C9.control`), yet the errors of layerwise SGD and
# of end-to-end training, the largest over $t$, differ by {glue:text}`rhm.C9`. `skip`, where
# part of the label bypasses the hierarchy, makes layerwise training {glue:text}`rhm.C11` times as wrong as
# end-to-end training ({glue:text}`rhm.C11.verdict`), and `skipxor` {glue:text}`rhm.C11x` times. The null dial harms nobody
# ({glue:text}`rhm.C10`).
#
# On the *intact* grammar joint training brings little: at $2P_0$ look-back lowers the error of layerwise training by
# {glue:text}`rhm.C12`, and opening all layers in the last stage by {glue:text}`rhm.C12l`. A thaw after the training
# set is fitted comes too late to matter ({glue:text}`rhm.C12.control`).
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **The theorem.** Learner, loss and constants of {cite:t}`ren2026` were not at hand. Our layerwise algorithms
#   follow the sourced description, and the three numbers $S$, $W$, $G$ are our reading of its conditions.
# - **A scaling law.** $P^*\propto n_cm^L$ is fitted to grammars of depth 3 and 4 with at most eight symbols.
# - **That layerwise training cannot be mended.** "Near chance" holds for the steps, width and head stated;
#   budgets are steps, not operations. At $L=3$ look-back of two layers trains two of three layers in the
#   last stage, so that its success says nothing about deeper trees.
# - **Backward feature correction in Allen-Zhu and Li's sense.** There a lower level that is *almost* right is
#   corrected. Here it is useless before the thaw and learns from scratch afterwards.
# - **That shallow networks must pay.** They pay here; the lower bound is a conjecture. The sample size of the
#   one-hidden-layer network is rough: training is cut at a fixed number of steps, which raises it, and seeds that
#   never get there count with the largest size tried, which lowers it.
# - **Natural data.** Rules of one level are shared by all positions, all trees have one shape, and no string is
#   ambiguous.
#
# ## Exercises
#
# ```{exercise}
# :label: rhm-ex-count
# How many strings does the grammar (32,32,8,5) write, and which is the first datum of its last class? Check
# that its index survives the round trip.
# ```
#
# ```{solution} rhm-ex-count
# :class: dropdown
# There are $2^5-1=31$ rule choices, so $32\cdot8^{31}$ strings, far beyond $2^{63}$.
#
# ~~~python
# from hierlearn.grammar.target import RandomHierarchy
#
# grammar = RandomHierarchy.draw(0, vocab_size=32, n_classes=32, n_synonyms=8, n_levels=5)
# index = grammar.n_strings // 32 * 31
# strings, labels = grammar.data_at([index])
# assert grammar.n_strings == 32 * 8**31
# assert labels.tolist() == [31] and grammar.indices_of(strings) == [index]
# ~~~
# ```
#
# ```{exercise}
# :label: rhm-ex-half
# Show by enumeration that on `corr` at $t=1$ the label is independent of the left half of the string, but not of
# the two hidden symbols just below the label taken together.
# ```
#
# ```{solution} rhm-ex-half
# :class: dropdown
# Given the left symbol, a Latin square offers each class exactly one right symbol.
#
# ~~~python
# import torch
# from hierlearn.grammar.dials import DialedHierarchy
#
# law = DialedHierarchy.draw(
#     0, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=2, dial="corr", t=1.0
# )
# strings, labels = law.grammar.data_at(torch.arange(law.grammar.n_strings))
# pair = law.grammar.symbols_at(strings, level=1)
# left = torch.bincount(pair[:, 0] * 4 + labels, minlength=16).view(4, 4)
# both = torch.bincount((pair[:, 0] * 4 + pair[:, 1]) * 4 + labels, minlength=64).view(16, 4)
# assert bool((left == left[:, :1]).all())
# assert bool(((both > 0).sum(1) <= 1).all())
# ~~~
# ```
#
# ```{exercise}
# :label: rhm-ex-balance
# With replacement, what does the law say $R$ is at $P=P_0$? Sampling without replacement adds the factor
# $P_{\max}/(P_{\max}-P)$. Why must it diverge as $P\to P_{\max}$?
# ```
#
# ```{solution} rhm-ex-balance
# :class: dropdown
# $R=2$. When every string has been drawn, the label frequencies of synonyms are *exactly* equal, because their
# strings correspond one to one; the noise between synonyms is gone and only the signal is left.
#
# ~~~python
# import torch
# from hierlearn.grammar.target import RandomHierarchy
#
# grammar = RandomHierarchy.draw(1, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=3)
# strings, labels = grammar.data_at(torch.arange(grammar.n_strings))
# parents, choices = grammar.symbols_at(strings, level=1)[:, 0], grammar.parse(strings)[1][-1][:, 0]
# counts = torch.bincount((parents * 2 + choices) * 4 + labels, minlength=32).view(4, 2, 4)
# assert torch.equal(counts[:, 0], counts[:, 1])
# ~~~
# ```
