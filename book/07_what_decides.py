# %% [markdown]
# # What decides whether layer by layer suffices
#
# [Chapter 3](03_layerwise_failure.ipynb) freezes layers and pays for it; in [chapter 4](04_random_hierarchy.ipynb) layers trained one at a time are the method of proof. What in the target decides it?
# {cite:t}`ren2026` answer in principle. This chapter turns their conditions into numbers that one can compute, or read off data before anything is trained, on three families of targets.
#
# ```{prf:remark} Ren et al., COLT 2026, Informal Principle 2, in our words
# :label: rem-principle
# Training layer by layer works if
# (i) the output is *correlated* with the lower parts, before higher ones are learned;
# (ii) the signal that lower parts receive is *clean*: trained properly, they do not fit what belongs to higher parts;
# (iii) lower parts are *identifiable* by that signal.
#
# The three are sufficient; the paper does not claim that they are necessary. Of Allen-Zhu and Li's class it says that (i) and (iii) hold and (ii) does not.
# ```
#
# ```{prf:remark} Ren et al., Appendix C, in our words
# :label: rem-boolean
# Bits are uniform, and $f=\sum_S\hat f_S\prod_{i\in S}x_i$, where degrees are powers of two from 2 on, the sets of one degree are disjoint, and each set of degree above 2 is the union of two of half its degree.
# A layerwise learner fits, stage by stage, the *residual* by products of two features found so far, by least squares, and keeps as its next features those with a coefficient. Polynomially many samples suffice if no $\hat f_S\ne0$ is small
# (an informal argument). Condition (ii) holds because products of different bits are orthogonal.
# ```

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

from hierlearn.book import pages
from hierlearn.conditions import figures

chapter = pages.open_chapter("07_what_decides", profile=profile, device=device, records=records)

# %% [markdown]
# ## The conditions as numbers
#
# A first stage fits $y$ within its own class of functions $H$ and returns $F=\Pi_Hy$, the projection. Let $Z$ be the hidden features that it should find, and $g$ what the upper level adds to $y$.
#
# | number | what it is | condition |
# |---|---|---|
# | signal | $\mathrm{Var}\,E[F\vert Z]\,/\,\mathrm{Var}\,y$ | (i) |
# | inner dirt $\delta$ | $\lVert\Pi_Hg\rVert^2/\lVert g\rVert^2$: the share of the upper level that the lower class can fit | (ii), for outputs |
# | outer dirt $D$ | $E\,\mathrm{Var}(F\vert Z)\,/\,\mathrm{Var}\,F$: the share of the output that is no function of the right features | (ii), for features |
# | margin | one minus the largest wrong thing over the smallest right thing | (iii) |
#
# The margin compares what the stage must tell apart: coefficients of wrong and right products (bits), eigenvalues of the form $F$ beyond and within the $k_2$ to be kept (Gauss), distances between label laws of synonyms and of different parents (grammars).
# There are two kinds of dirt because there are two things to freeze: the *output* of a stage, on whose residual the next one is trained, or only its *features*, on which everything above is then fitted freely.
#
# ## One angle
#
# ```{prf:proposition} ours; alternating projections
# :label: prp-dial
# Let $y=f+ae$ with $f\in H$, $\lVert e\rVert=1$, and $\delta=\lVert\Pi_He\rVert^2$. Stage 1 fits $H$ to $y$, stage 2 fits the coefficient of $e$ to the rest; a look-back refits both, each to what the other leaves. After $n$ look-backs the squared error is
# $a^2\,\delta^{2n+1}(1-\delta)$; fitted together, both leave 0.
# ```
#
# *Proof.* If the coefficient of $e$ is wrong by $c$, stage 1 returns $f+c\,\Pi_He$, and the next coefficient is wrong by $c\,\langle\Pi_He,e\rangle=c\delta$. At first $c=a$, so before the $n$-th look-back $c=a\delta^n$.
# What is left at the end is $c\,(\delta e-\Pi_He)$, of square $c^2(\delta^2-2\delta^2+\delta)$. $\square$
#
# Condition (ii) *is* $\delta=0$, and backward correction is one number, the angle between $H$ and $e$ with $\cos^2=\delta$. Biased bits turn it. With mean $b$ and variance $v=1-b^2$, products of four have, within $H=\mathrm{span}\{1,x_i,x_ix_j\}$,
# $\delta=b^8+4b^6v+6b^4v^2$: expand $\prod(b+u_i)$ and keep the terms of degree at most two.

# %%
from itertools import product

import torch

bias = 0.6
x = torch.tensor(list(product((-1.0, 1.0), repeat=4))).double()  # all points
root = ((1 + bias * x) / 2).prod(1).sqrt()
pairs = torch.stack([x[:, i] * x[:, j] for i in range(4) for j in range(i)], 1)
lower = torch.linalg.qr(root[:, None] * torch.cat([torch.ones(16, 1), x, pairs], 1)).Q
upper = root * x.prod(1)
y = root * (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]) + upper

v = 1 - bias**2
delta = bias**8 + 4 * bias**6 * v + 6 * bias**4 * v**2
coefficient = 0.0
for n in range(4):
    first = lower @ (lower.T @ (y - coefficient * upper))
    coefficient = upper @ (y - first)
    left = (y - first - coefficient * upper).square().sum()
    law = delta ** (2 * n + 1) * (1 - delta)
    print(f"{n} look-backs: {left:.6f} left, law {law:.6f}")

# %% [markdown]
# ## Measured
#
# | family | target | first stage |
# |---|---|---|
# | bits | signed products of 2 and of 4 of eight bits of mean $b$, amplitudes 1 and $a$ | all products of two; population limit, by enumeration |
# | Gauss | [chapter 1](01_backward_feature_correction.ipynb)'s hierarchy, $d=8$, $k=(3,2)$, $\alpha_3=0.2$, skip $\rho$ | all quadratics; exact by Hermite coefficients, outputs also from 20 000 samples |
# | grammars | $(8,8,4,3)$ with [chapter 4](04_random_hierarchy.ipynb)'s dial `hint` at $t$: rule choices lean towards the parity of the label | label statistics of pairs; clustering into $v$ tokens, ridge regression, or Theorem 7's learner (on rules with uniform first tokens) |
#
# Nothing here is trained by steps; chapters 3 and 4 do that.

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %%
from IPython.display import HTML

HTML(figures.table(runs))

# %% [markdown]
# *Medians over seeds. The last column: what is left of the upper level when features are frozen and everything above is fitted freely; for grammars the test error of clustering over chance, at the largest sample. Below $10^{-15}$ it is a rounding error.*
#
# Inner dirt without outer dirt (Gauss, no skip) does no harm to whoever freezes features only; a little outer dirt (skip 0.8) does some. Bits with more dirt of both kinds lose nothing or a lot, though their dirt hardly differs: there the margin tells which.

# %%
chapter.show(figures.what_decides)

# %% [markdown]
# **Frozen outputs: inner dirt decides, on one curve.** Left, the law of {prf:ref}`prp-dial`. Bits of uneven bias keep it up to {glue:text}`decide.D2` (relative; that each look-back multiplies the error by $\delta$ instead of $\delta^2$ would be off by {glue:text}`decide.D2.control`).
# Gaussian hierarchies, fitted to samples, leave {glue:text}`decide.D5` times what it says, over skips; the rival that outer dirt is what is left would be off by a factor of {glue:text}`decide.D5.control`.
#
# **Frozen features: no common curve.** It depends on whether the stage hands on something discrete.
#
# - *Bits.* In stage 1 a right pair has the coefficient $\pm1\pm ab^2$, a wrong pair inside a product of four $\pm ab^2$ (why: last exercise). The right ones are the largest if $|a|b^2<1/2$, and only then where some sign is adverse. The features are then *exactly* right, however much dirt the output has:
#   the free readout leaves at most {glue:text}`decide.D3`. Beyond, it leaves at least {glue:text}`decide.D3.control` (mean over signs), and no amount of data helps. More features do: with eight spare ones it leaves at most {glue:text}`decide.D3w`.
# - *Gauss.* Eigenvectors move continuously, so nothing rounds. What is left grows as $D$ to the power {glue:text}`decide.D6`. Without a skip $D=0$, and {glue:text}`decide.D6.control` is left although $\delta$ is as large as with one (table): **inner dirt breaks condition (ii) as it is written, and layer by layer suffices all the same**, if only features are frozen.
# - *Grammars.* Clustering makes tokens discrete, and has a margin: at $t=0.15$ it errs on {glue:text}`decide.G1` with the largest sample, at $t=0.5$ on {glue:text}`decide.G1.control`. Layerwise ridge regression keeps tokens continuous, so that synonyms remain different tokens; it goes on learning at $t=0.5$ and
#   pays in data, {glue:text}`decide.G2` times as many strings as at $t=0$. The same lean towards a bit that has nothing to do with the label costs {glue:text}`decide.G2.control` times.
#   So does Theorem 7's own learner, with fresh examples at every stage and $\sigma=\rho/4$, half of chapter 4's:
#   {glue:text}`decide.G3c` times the examples, `shared` {glue:text}`decide.G3c.control` times. From $16P_0$ at the lowest stage it errs on {glue:text}`decide.G3.control`, from $256P_0$ on {glue:text}`decide.G3`; its theorem assumes condition (ii) and says nothing of this.
#
# **Steer it.** Turn the bias of the bits past the margin, and notice which of the two errors jumps, and which one look-backs lower.

# %%
chapter.show(figures.steer_bias)

# %% [markdown]
# **Dirt can be measured beforehand.** The outer dirt of pairs, from $4P_0$ strings with the sampling noise taken off, is {glue:text}`decide.R` times the exact one (drawing without replacement flattens the lean); without, {glue:text}`decide.R.control` times.
#
# ### Not cube against Gauss
#
# Appendix C argues on the cube, Allen-Zhu and Li's inputs are Gaussian. Is it the cube that makes signals clean? What decides is whether the upper level is orthogonal to the class of the lower one, and that depends on law and function together.

# %%
from hierlearn.conditions.experiments import INNER
from hierlearn.drawing.figures import WIDTH, Drawing, over_seeds


def shapes(decide_shapes):
    fig, ax = plt.subplots(figsize=(WIDTH, 2.6))
    forms, said = ("product", "rotated product", "squares"), []
    for i, law in enumerate(("bits", "Gaussian")):
        points = {
            k: decide_shapes.points(lambda c: 0, INNER, f"{f}, {law}")[0]
            for k, f in enumerate(forms)
        }
        line = over_seeds(law, points, index=i, kind="points", geometric=False)
        line.draw(ax)
        said += [f"{form}, {law} {line.at(k)}" for k, form in enumerate(forms)]
    ax.set_xticks(range(3), ["$x_1x_2x_3x_4$", "$s_1s_2s_3s_4$", "$(s_1^2+s_2^2-2)^2$"])
    ax.set(xlim=(-0.5, 2.5), ylabel=r"inner dirt $\delta$")
    ax.legend()
    caption = "Share of a function of degree four that a quadratic explains on held-out data, $d=8$; $s=Wx$ with random orthonormal rows."
    return Drawing(fig, alt="Explained: " + "; ".join(said) + ".", caption=caption)


chapter.show(shapes)

# %% [markdown]
# A product of four orthogonal directions is a Hermite polynomial of degree four on Gaussian inputs, and clean in every rotation ({glue:text}`decide.D4`, below 0 by what fitting costs on fresh data); on bits only along the axes (rotated: {glue:text}`decide.D4.control`). Sums of squares, as in Allen-Zhu and Li's class, are dirty under both laws.
#
# ### Appendix C's learner
#
# On uniform bits the learner of {prf:ref}`rem-boolean` finds products up to the degree $d$. It is told how many there are in each level.
# In the population each stage's minimizer is the one that the appendix names, up to {glue:text}`decide.C`; with bits of mean ½ it is off by {glue:text}`decide.C.control`.

# %%
chapter.show(figures.chain)

# %% [markdown]
# With four samples a pair of bits it finds a share of {glue:text}`decide.D1`. When the products of two have amplitude 0, and all others are as they were, it finds {glue:text}`decide.D1.control`: nothing correlates with a pair, and the chain has no beginning. That is condition (i).
#
# ## So, what decides?
#
# On these families: layer by layer with a free readout suffices where there is signal and either the outer dirt is zero, or the features are *discrete* and their margin is positive, however large the dirt. Frozen outputs leave $\delta(1-\delta)$ of the upper level (bits, Gaussian hierarchies), after $n$ look-backs $\delta^{2n+1}(1-\delta)$ (bits); so they must not be frozen unless the inner dirt is zero, too.
# Principle 2 asks for more than that, as a sufficient condition may.
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **A theorem.** {prf:ref}`prp-dial` is for one upper direction that is known; the rest is measured on three families.
# - **That these numbers decide elsewhere.** They are defined by the true hidden features, which nobody has on natural data; only inner dirt needs none but the upper level.
# - **Anything about end-to-end training**, or about what look-back does to *features*: see chapters 1 and 3.
# - **That Theorem 7's learner has no floor.** It has none above a twentieth; what $256P_0$ leave may be one, or the 2048 examples that the last stage gets at most.
# - **The same grammars throughout.** Clustering and ridge regression learn grammars without a uniform first token, from strings drawn without replacement, which the exact laws neglect.
# - **A sharp threshold on grammars.** The margin is a worst case over pairs; clustering can still succeed a little beyond it, and its failure at $t=0.5$ is one up to $32P_0$.
#
# ## Exercises
#
# ```{exercise}
# :label: decide-ex-law
# Why does $\delta(b)$ not change when biased bits are replaced by Gaussian variables of mean $b$ and variance $1-b^2$? Check it by sampling at $b=0.5$.
# ```
#
# ```{solution} decide-ex-law
# :class: dropdown
# Only two moments of independent inputs enter the expansion of $\prod(b+u_i)$. (For Gaussian inputs squares belong to $H$ as well; $\prod_ix_i$ is orthogonal to what they add.)
#
# ~~~python
# import torch
# from hierlearn.conditions.bits import inner_dirt, solve, up_to_pairs
#
# x = 0.5 + 0.75**0.5 * torch.randn(200_000, 4, generator=torch.Generator().manual_seed(0)).double()
# columns, e = torch.cat([up_to_pairs(x), x.square()], 1), x.prod(1)
# fitted = columns @ solve(columns, e, torch.ones(len(x)).double())
# share = fitted.square().mean() / e.square().mean()
# exact = inner_dirt(torch.full((4,), 0.5).double())
# print(float(share), exact)
# assert abs(share - exact) < 0.02
# ~~~
# ```
#
# ```{exercise}
# :label: decide-ex-many
# Two upper directions $e_1,e_2$ instead of one: why may look-back be slower than $\delta^2$ a round, with $\delta$ that of $g=e_1+e_2$?
# ```
#
# ```{solution} decide-ex-many
# :class: dropdown
# The error of the coefficients is multiplied by the matrix $\langle\Pi_He_i,e_j\rangle$ (for orthonormal $e_i$); its largest eigenvalue, the smallest angle, rules in the end.
#
# ~~~python
# import torch
#
# e = torch.eye(4).double()[:2]
# h = torch.tensor([[0.9, 0.0, (1 - 0.81) ** 0.5, 0.0], [0.0, 0.1, 0.0, 0.99**0.5]]).double()
# g = e.sum(0) / 2**0.5
# delta = (h @ g).square().sum()
# wrong = torch.ones(2).double()
# for _ in range(20):
#     before, wrong = wrong, e @ h.T @ h @ e.T @ wrong
# print(float(delta), float(wrong.norm() / before.norm()))
# assert wrong.norm() / before.norm() > delta
# ~~~
# ```
#
# ```{exercise}
# :label: decide-ex-margin
# Show that for equal means $b$ the population fit of stage 1 gives a wrong pair inside a product of four the coefficient $\pm ab^2$.
# ```
#
# ```{solution} decide-ex-margin
# :class: dropdown
# In $\prod_i(b+u_i)$ the term $b^2u_1u_2$ is the only one with both $u_1$ and $u_2$ that $\Pi_H$ keeps, and $u_1u_2=x_1x_2-bx_1-bx_2+b^2$.
#
# ~~~python
# import torch
# from hierlearn.conditions.bits import all_points, solve, up_to_pairs
#
# x, weights = all_points(torch.full((4,), 0.5).double())
# y = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + 0.8 * x.prod(1)
# found = solve(up_to_pairs(x), y, weights)[5:]  # after 1 and the bits: 12, 13, 14, 23, 24, 34
# print(found.tolist())
# assert torch.allclose(found, torch.tensor([1.2, 0.2, 0.2, 0.2, 0.2, 1.2]).double())
# ~~~
# ```
#
# ```{exercise}
# :label: decide-ex-rerun
# Rerun an experiment with a change: give Appendix C's learner as many samples as there are pairs of bits, and twice as many, instead of four times. Which share of the products does it find?
# ```
#
# ```{solution} decide-ex-rerun
# :class: dropdown
# With as many samples as columns the fit of stage 1 interpolates, and its noise is largest; with twice as many it finds most.
#
# ~~~python
# import torch
# from hierlearn.conditions.runs import ChainConfig, measure_chain
# from hierlearn.experiment import Group
#
# shares = []
# for times in (1, 2, 4):
#     group = Group.of("exercise", [ChainConfig(16, times * 120)], [1000, 1001])
#     found = measure_chain(group, torch.device("cpu"))
#     shares.append(sum(one["recovered"] for one in found) / 2)
# print(shares)
# assert shares[0] < 0.3 and 0.6 < shares[1] <= shares[2] == 1
# ~~~
# ```
