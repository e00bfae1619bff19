# %% [markdown]
# # Real networks, real images
#
# {cite:t}`allenzhu2023` open with a question about practice: how does a residual network of 110 layers {cite}`he2016` learn a
# classifier that no shallow one comes near? Their theorems answer it for networks of quadratic units on Gaussian inputs
# (chapters 1 and 3). Their experiments train VGG and wide residual networks on CIFAR; a network of 110 layers is not among
# them. Here is one, on real images, beside the paper's two comparisons, repeated at a size that two processor cores can train.
#
# **What the paper reports** (its numbers, read off its figures):
#
# | figure | comparison | network, data | result |
# |---|---|---|---|
# | 7, 13 | *layerwise* (freeze what is below, open the next layer under a new head) against *all layers* (the same, nothing frozen) | VGG19-x4, CIFAR-10 | 89.5 % against 95.9 % |
# | | | WRN-34-x8, CIFAR-10 | 88.2 % against 96.5 % |
# | | | WRN-34-x8, CIFAR-100 | 65.9 % against 80.8 % |
# | 10 | train the first $\ell$ layers alone; then *fix* them and train the rest, or *train all* from a random start, the first $\ell$ held near their weights of before by a penalty | WRN-34-5, CIFAR-100, $\ell=1$ | 79.4 % against 79.7 % |
# | | | $\ell=9$ | 69.8 % against 79.3 % |
# | | weights of the first $\ell$ layers before and after | all $\ell$ | correlated .93 to .97 (under that penalty): the correction is *local* |
#
# Width does not close the gap of Fig. 7, and in Fig. 10 a correction must reach back eight layers. The paper's reading: lower
# layers that were trained alone are wrong in a way that only training *under* the higher ones repairs, backward feature
# correction.
#
# **What others report.** {cite:t}`belilovsky2019` train layer by layer on ImageNet, under heads with one hidden layer, and exceed
# AlexNet; under heads with two or three hidden layers a VGG-11 becomes as good as trained end to end. (The paper counts such heads
# as hierarchical learning, not as layerwise.) {cite:t}`ma2020` find that layerwise training degrades badly in networks like ResNet and
# blame shallow features that separate the classes poorly. {cite:t}`zhang2022` reset single layers of trained networks to their start:
# some are critical, many may be reset without harm.
#
# Two questions are open between these, and both are about what is compared. Which *head* stands on the lower layers while they are
# trained: a linear layer on the means over 2x2 positions, as in Figs. 7 and 13, or the network's own, on the means over all positions, as,
# it seems, in Fig. 10? And where a stage that was trained alone goes on training under higher ones, how much of what it gains is correction,
# and how much is more training? (In Fig. 10 lower layers get as many epochs fixed as trained with the rest; this is about networks that are
# thawed, or grown without freezing.)

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
from hierlearn.images import figures

chapter = pages.open_chapter("08_real_images", profile=profile, device=device, records=records)

# %% [markdown]
# ## The set-up
#
# **Images.** CIFAR-10 {cite}`krizhevsky2009`, the official bytes, halved to 16x16 pixels (the smoke profile has 8192 images of
# Fashion-MNIST {cite}`xiao2017`, which come with the package). *True* labels are its ten classes. *Shallow* labels are ones that
# need no second layer: the largest of ten mean responses, each to a fixed random 3x3 filter. Where they are learned, there is
# nothing for higher stages to correct; they are the control of this chapter.
#
# **Networks.** Residual networks of $6n+2$ layers in three stages of $n$ blocks, 16, 32 and 64 channels on 8x8, 4x4 and 2x2
# positions; $n=2$ (14 layers), or $n=1$ at smoke. While a lower stage is trained at the top it has a linear head of its own, on the
# means of its channels over all positions (as a residual network's own head has), or on means over 2x2 positions (the *2x2 head*, that of
# the paper's Fig. 7).
#
# **Protocols**, with $T$ steps in all, on the same batches from the same start:
#
# | name | trains | in the paper |
# |---|---|---|
# | greedy | stage after stage, $T/3$ steps each; what is below is frozen, batch statistics too | layerwise |
# | all | the same, nothing frozen | all layers |
# | joint | all stages at once under the last head, one schedule of $T$ steps | usual training; train all (10), without its penalty |
# | alone | stage 1 under its own head, $T$ steps | train only the first $\ell$ (10) |
# | fixed | on the frozen stage *alone*, fresh higher stages, $T$ steps | fix, train the rest (10) |
# | under higher stages | from *alone*: fresh higher stages on top, everything trained, $T$ steps | – |
# | alone, twice as long | from *alone*: $T$ more steps under its own head, on the batches of the row above | – |
#
# **Two readings of stage 1**, in neither of which anything is co-adapted: stage 1 is frozen, and *fresh higher stages* are trained
# on it, the same ones on the same batches whoever trained stage 1; or a *linear head of its own* is fitted (a ridge classifier on the
# means of its channels). Rules read cross-entropy, which scatters less; figures show accuracy where a reader wants it.
#
# ## Freeze or not, in twenty lines
#
# Three stages of one convolution each, on the images of the package:

# %%
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hierlearn.images.data import load
from hierlearn.images.target import sized, standardized

small = load("fashion_small")
raw = sized(small.train_x)
x, x_test = standardized(raw, raw), standardized(sized(small.test_x), raw)
y, y_test = (torch.from_numpy(some).long() for some in (small.train_y, small.test_y))


def stage(n_in, n_out):
    convolution = nn.Conv2d(n_in, n_out, 3, 2, 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())


for freeze in (True, False):
    torch.manual_seed(1)
    stages = [stage(1, 16), stage(16, 32), stage(32, 64)]
    for level, width in enumerate((16, 32, 64), start=1):
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
        net, below = nn.Sequential(*stages[:level], head), level - 1 if freeze else 0
        optimizer = torch.optim.SGD(net[below:].parameters(), 0.1, momentum=0.9)
        for _ in range(150):
            net.train()
            net[:below].eval()  # its batch statistics are frozen, too
            chosen = torch.randint(len(x), (128,))
            optimizer.zero_grad()
            cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
    accuracy = (net.eval()(x_test).argmax(1) == y_test).float().mean()
    print("frozen, stage by stage" if freeze else "nothing frozen", f"{accuracy:.3f}")

# %% [markdown]
# ## The experiments
#
# The next line computes what the records folder lacks and reads the rest. Where CIFAR-10 is not at hand
# (`python -m hierlearn data fetch cifar10`), nothing of this chapter is computed beyond the smoke profile. One group is one seed:
# phases that protocols share are trained once.

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %% [markdown]
# ### The dial: how far down training reaches

# %%
chapter.show(figures.dial)

# %% [markdown]
# As in the paper's Fig. 7, freezing costs: greedy ends {glue:text}`images-freezing` nats above all. That freezing *as such* costs little
# shows where stage 1 of the jointly trained network is frozen: fresh stages on it, after about half of the steps, end
# {glue:text}`images-oracle` nats from the whole network. What matters is under what a
# stage was trained before it was frozen. But not all of the difference is that. Under shallow labels, where there is nothing to correct, greedy ends
# {glue:text}`images-freezing-shallow` nats above all: a stage that is frozen after a third of the steps has trained for a third of
# the steps, and the paper's comparison has this in it as well. What true labels cost beyond that is {glue:text}`images.I1` nats
# ({glue:text}`images.I1.verdict`).
#
# ### The crossing: better for what comes above, worse on its own

# %%
chapter.show(figures.crossing)

# %% [markdown]
# This is the paper's Fig. 10 at equal steps, without its penalty. Trained under the higher stages from the start, stage 1 is worth {glue:text}`images.I3` nats more to fresh higher stages
# ({glue:text}`images.I3.verdict`; shallow labels: {glue:text}`images.I3.control`), and a linear head reads {glue:text}`images.I3p`
# less accuracy off it ({glue:text}`images.I3p.verdict`; shallow labels:
# {glue:text}`images-probe-shallow`). The second half alone would
# show nothing, since joint training never asks for such a head. The pair does: what a head of its own wants from a stage and what
# higher stages want from it are two things.
#
# The second arrow is the chapter's point. Both stages have been trained alone, then for as many steps on the same batches; what
# differs is only what stood above in the second half. With higher stages it gains {glue:text}`images.I4` nats more for fresh ones
# ({glue:text}`images.I4.verdict`; shallow labels: {glue:text}`images.I4.control`) and becomes {glue:text}`images.I4p` worse for a linear
# head ({glue:text}`images.I4p.verdict`; shallow labels: {glue:text}`images.I4p.control`). This is what backward
# feature correction predicts, matched for steps, under this head. But a stage trained alone for as long under the 2x2 head, with nothing
# above it, serves fresh stages better still: those on the corrected one end {glue:text}`images-above-wide` nats above those on it. Here higher
# stages repair what a poor head had done.
#
# ### What the first stage sees

# %%
chapter.show(figures.seen)

# %% [markdown]
# Alone, a stage must answer: its channels come to mean things (in one seed on CIFAR-10, as we see it, a car, a ship on the sea, a horse). Of the images that
# excite a channel most, {glue:text}`images-purity-solo` (as a share) are of one class, after twice the steps {glue:text}`images-purity-more`. Under higher
# stages it is {glue:text}`images-purity-corrected`, trained with them from the start {glue:text}`images-purity-joint`. They leave the
# answer to others and keep more of what the others need.
#
# ### The confound: most of what a stage gains by going on is extra training

# %%
chapter.show(figures.confound)

# %% [markdown]
# **With the 2x2 head**, which only the paper profile runs, fixing a stage that was trained alone costs
# {glue:text}`images.I5.control` nats against training everything from there, an accuracy of
# {glue:text}`images-fixed` against {glue:text}`images-corrected`. But the stage that is not fixed has trained for twice as many steps.
# Give the other one as many, *under its own head*, and what is left is {glue:text}`images.I5` nats
# (that it is below 0.02: {glue:text}`images.I5.verdict`; below zero, going on alone was the better training). As a share of the whole gain extra training alone reaches {glue:text}`images.I7`
# ({glue:text}`images.I7.verdict`: above 0.8); with the poorer head it is {glue:text}`images.I7.control`, and correction has something left to do. Five
# seeds are too few to say so: at five others the poorer head's share reached above its bar, 0.8 ([Pushed](pushed.md)).
#
# So at this size what a stage loses by being trained alone is a statement about its *head*. Our reading: under means over all positions
# it throws away where things are, which higher stages want; under 2x2 means it has no reason to.
#
# **Local, but so is everything.** The paper finds that weights change little under correction (a penalty held them). Ours, which nothing holds, change little, and as little when there is
# nothing to correct them: the cosine with the weights before differs by {glue:text}`images.I8` between the two
# ({glue:text}`images.I8.verdict`), while as many steps from the random start turn them further ({glue:text}`images.I8.control`).
#
# ### 110 layers

# %%
chapter.show(figures.deep)

# %% [markdown]
# The network of the paper's question, {glue:text}`images-depth` layers, on 16x16 pixels and for {glue:text}`images-deep-steps` steps.
# Stage by stage it reaches an accuracy of {glue:text}`images-deep-greedy`, jointly {glue:text}`images-deep-joint`; greedy ends
# {glue:text}`images.I9` nats above ({glue:text}`images.I9.verdict`).
#
# **At its full size,** 16, 32 and 64 channels on images that are not halved, one step takes a core seconds. `images_full` is this network
# at the paper profile, for 900 steps; it needs a GPU, on which we guess it takes less than five minutes, and has no records until one has been
# there (I11: {glue:text}`images.I11.verdict`). With CIFAR-10 at hand, this runs it:
#
# ```bash
# python -m hierlearn compute images_full --profile paper
# ```
#
# One trap is worth knowing. With the usual start of batch normalization (scale 1 at the end of every block) so short a training of 110
# layers got less far in a pilot, jointly and stage by stage; {cite:t}`he2016` warm this network up at a tenth of the rate. Ours starts its
# blocks at 0.2, so that at first it is nearly shallow. A comparison of protocols on a network that hardly trains compares nothing.
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **The paper's regime.** 16x16 pixels and about one pass over the data; the paper trains for 120 epochs, to 95 %. No run here has
#   fitted its data; claims that hold for this budget only say so. Whether a difference that is nothing here (I5) opens when training is long, or
#   when the lower stage is narrow, is open.
# - **That the paper is wrong.** Its theorems are untouched. Its Fig. 10 freezes up to 21 layers and finds up to 9.5 points, with as many epochs for the
#   lower layers in both arms; nothing here says that these are not correction. Ours freezes the first stage of three.
# - **That more steps do not help.** Greedy training with three times as many catches up (see the exercises); every comparison names its steps.
# - **What makes labels shallow.** Shallow labels need no depth, and means over all positions are just the right head for them: the control cannot tell
#   "nothing to correct" from "the head suffices". They are also easier, and are read after fewer steps.
# - **Other cuts, other heads.** One cut, after stage 1. Two heads. Between them the effect goes from clear to none: a head that is deeper still is
#   {cite:t}`belilovsky2019`'s, and theirs scales to ImageNet.
# - **Best settings for every protocol.** One learning rate, one schedule, no augmentation.
# - **110 layers, trained to the end.** At full size, too, 900 steps are two passes; where the paper's networks stop, a hundred later, we do not
#   know what is left of the difference. The readings of stage 1 were not made at this depth.
#
# ## Exercises
#
# ```{exercise}
# :label: images-ex-depth
# How many blocks a stage has a network of 110 layers, and what share of its weights lies in its last stage?
# ```
#
# ```{solution} images-ex-depth
# :class: dropdown
# Two convolutions a block, three stages, the stem and the head: $6n+2=110$, $n=18$. Channels double from stage to stage, and weights
# go with their square: nearly $\frac{16}{21}$.
#
# ~~~python
# import torch
# from hierlearn.images.networks import depth, resnet
#
# generator = torch.Generator().manual_seed(0)
# stages = resnet(3, (16, 32, 64), n_blocks=18, scale=0.2, generator=generator)
# weights = [sum(p.numel() for p in stage.parameters()) for stage in stages]
# print(depth(stages), sum(weights), weights[-1] / sum(weights))
# assert depth(stages) == 110 and 0.74 < weights[-1] / sum(weights) < 16 / 21
# ~~~
# ```
#
# ```{exercise}
# :label: images-ex-shallow
# Write down the network of one convolution, a mean over positions and one linear layer that gets every shallow label right.
# ```
#
# ```{solution} images-ex-shallow
# :class: dropdown
# The label is the largest of the standardized means $(m_k-\mu_k)/s_k$: the filters are those of the labels, and the linear layer has
# $1/s_k$ on its diagonal and constants $-\mu_k/s_k$.
#
# ~~~python
# import torch
# from torch.nn.functional import conv2d
# from hierlearn.engine.seeds import stream
# from hierlearn.images.target import shallow_labels
#
# x = torch.randn(500, 3, 16, 16, generator=torch.Generator().manual_seed(0))
# filters = torch.randn(10, 3, 3, 3, generator=stream("shallow filters", 1))
# m = conv2d(x, filters, padding=1).relu().mean((2, 3))
# weight, constant = torch.diag(1 / m.std(0)), -m.mean(0) / m.std(0)
# assert torch.equal((m @ weight + constant).argmax(1), shallow_labels(x, x))
# ~~~
# ```
#
# ```{exercise}
# :label: images-ex-rerun
# Rerun an experiment with a change: at smoke, give every phase three times the steps. Does greedy training get as far as training all stages did, and does its gap close?
# ```
#
# ```{solution} images-ex-rerun
# :class: dropdown
# It gets further than all stages did in a third of the steps: steps buy what freezing costs. Given the same steps, training all stages stays ahead.
#
# ~~~python
# import torch
# from dataclasses import replace
# from hierlearn.experiment import Group
# from hierlearn.images.experiments import stages_arms
# from hierlearn.images.runs import measure
#
# arms, found = stages_arms("smoke"), {}
# for steps in (162, 486):
#     some = [replace(arms[name], n_steps=steps, upper_steps=0) for name in ("greedy", "all")]
#     runs = measure(Group.of("exercise", some, [1000]), torch.device("cpu"))
#     found[steps] = [one["accuracy"] for one in runs]
# print(found)
# assert found[162][0] < found[162][1] < found[486][0] < found[486][1]
# ~~~
# ```
#
# ```{exercise}
# :label: images-ex-frozen
# A frozen stage is left in training mode: its weights stand still, its batch normalization uses each batch's own statistics. What is
# not frozen?
# ```
#
# ```{solution} images-ex-frozen
# :class: dropdown
# What it makes of one image depends on the others in the batch, and the statistics that it will be tested with move on: one and the same frozen
# stage is another function in every batch.
#
# ~~~python
# import torch
# from hierlearn.images.networks import resnet
#
# generator = torch.Generator().manual_seed(0)
# stage = resnet(3, (16,), n_blocks=1, scale=0.4, generator=generator)[0].requires_grad_(False)
# x = torch.randn(64, 3, 16, 16, generator=generator)
# outputs = {mode: [stage.train(mode)(x[:n])[0] for n in (32, 64)] for mode in (False, True)}
# before = stage[1].running_mean.clone()
# stage.train()(x)
# assert torch.allclose(*outputs[False], atol=1e-5) and not torch.allclose(*outputs[True], atol=1e-2)
# assert not torch.equal(before, stage[1].running_mean)
# ~~~
# ```
