# %% [markdown]
# # Kernel lower bounds
#
# A kernel method looks at its samples through features that were fixed beforehand. That makes it
# easy to analyze, and it sets a limit that no choice of kernel lifts: with $N$ samples it can only
# answer with combinations of $N$ functions, and a rich class of targets does not fit into $N$
# dimensions. A learner that chooses its features *after* it has seen the labels is not bound by that.
# This chapter turns the limit into a number that is computed exactly, checks it on a zoo of kernels, and
# asks who gets below it: a deep network, and, with far fewer samples, a search that knows no hierarchy.
#
# ```{prf:theorem} Allen-Zhu & Li, COLT 2023, Theorems H.1 and H.3: kernels and feature maps
# :label: thm-kernel-bfc
# Let $x\sim N(0,I_d)$, $L\le\frac1{100}\log\log d$, $\alpha_L<0.1$ and $p=2^{L-1}$. The target is like those of
# {prf:ref}`thm-bfc` with one unit a level, except that level 2 sees $x$ directly, which that class excludes: $W^*_{\ell,0}$ and $W^*_{\ell,1}$ are uniform among the vectors with $p$ entries
# $1/\sqrt p$ and zeros, the other weights are 1. Take any Mercer kernel and $N\le\frac1{1000}\binom dp$ independent
# samples. Then for at least 99 % of the targets every $g=\sum_{n\le N}v_nK(\cdot,x_n)$, whatever the weights $v$ depend
# on, has
#
# $$E\,(G^*(x)-g(x))^2=\Omega\bigl(\alpha_L^2\log^{-2^{L+2}}d\bigr).$$
#
# The same holds for every linear function $\langle w,\phi(x)\rangle$ of $D\le\frac1{1000}\binom dp$ features that are fixed
# beforehand. The constant in $\Omega$ is universal and not given.
# ```
#
# ```{prf:theorem} Allen-Zhu & Li, COLT 2023, Theorems H.6 and H.7: two-layer polynomial networks
# :label: thm-kernel-two-layer
# Let $x\sim N(0,I_d)$ and $h(x)=\sum_{i\le r}a_i\tilde\sigma_i(\langle w_i,(x,x^2-1)+b_i\rangle)$ with $r\le d^{2^{o(L)}}$ and polynomials
# $\tilde\sigma_i$ of degree at most $2^{L-1}$. On the target with $k_2=d$ and $k_3=\dots=k_L=1$ whose top part is
# $\alpha_L(\lVert x\rVert_4^4/\sqrt d)^{2^{L-2}}$,
#
# $$E\,(G^*(x)-h(x))^2\ \ge\ \alpha_L^2/2^{2^{O(L)}}.$$
#
# H.7 has the same bound for $\tilde\sigma_i(\langle w_i,x+b_i\rangle)$ of degree at most $2^L$ and one unit a level. Both follow
# from Lemma H.5: for some constant $C>1$, on $(\lVert x\rVert_4^4/\sqrt d)^q$ plus terms of degree at most $4q-1$, and
# with $\tilde\sigma_i$ of degree at most $2q$ on $(x,x^2)$, width $\frac1C(d/q)^q$ leaves an error of at least $q^{-Cq}$.
# ```
#
# ```{prf:theorem} Hsu, Sanford, Servedio, Vlatakis-Gkaragkounis, COLT 2021, Theorem 11
# :label: thm-kernel-span
# Let $\varphi_1,\dots,\varphi_M$ be orthonormal in $L_2(\mu)$ and $g^{(1)},\dots,g^{(r)}$ independent,
# identically distributed random functions. Then some $\varphi_i$ has
#
# $$
# E\inf_{g\in\mathrm{Span}(g^{(j)})}\lVert g-\varphi_i\rVert^2\ \ge\ 1-\frac rM.
# $$
# ```
#
# Whose statement is what:
#
# - The proof of {prf:ref}`thm-kernel-bfc` conditions on all $|x_i|$. What is left are signs, uniform on the hypercube, and
#   a target with a single parity of $p$ coordinates: the class of this chapter is that conditional law. The
#   argument on the cube goes back to {cite:t}`allenzhu2019`.
# - {prf:ref}`thm-kernel-two-layer` speaks of polynomial activations. For other two-layer networks, layerwise
#   training, and kernels applied in sequence, the paper proves no lower bound. For two layers of a given width, with
#   any activation and at finite $d$, {prf:ref}`thm-kernel-rank` has one; it is ours.
# - In {prf:ref}`thm-kernel-two-layer` the paper prints $\lVert x\rVert_4^4/d$. With that a *constant* would be too good: it
#   misses $(\lVert x\rVert_4^4/d)^q$ by $O(1/d)$, less than $q^{-Cq}$ for large $d$. The instance's own weights $1/\sqrt d$
#   give the $\sqrt d$ that we print, and the last step of the proof, that $|I-M|_F^2$ is small against $|I|_F^2$, then
#   holds. This reading is ours.
# - That the number of *samples* of a kernel method is at least a dimension as in {prf:ref}`thm-kernel-span` is Theorem 15
#   (p. 8) of {cite:t}`kamath2020`; their Theorem 19 (p. 9), with $\lambda=1$ and $M$ orthonormal targets, reads
#   $N\ge(1-\mathrm{MSE})M$.
# - For rotation-invariant kernels on the sphere, $d^{l+\delta}\le n\le d^{l+1-\delta}$ samples fit at
#   most a polynomial of degree $l$, as $d\to\infty$ ({cite:t}`ghorbani2021`, abstract).
# - The water-filling form, the exact formulas, and all experiments are ours.

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
import math

import matplotlib.pyplot as plt

from hierlearn.book import pages
from hierlearn.cube import figures
from hierlearn.cube.measures import n_samples, network_floor, relative_error
from hierlearn.drawing.figures import INK, RC, Drawing, log_axes, over_seeds

chapter = pages.open_chapter(
    "02_kernel_lower_bounds", profile=profile, device=device, records=records
)
plt.rcParams.update(RC)

# %% [markdown]
# ## The certificate, with its proof
#
# Given samples $X$, let $V$ be a space that contains every predictor the learner may return. For a
# kernel it is $\mathrm{span}\{K(\cdot,x_1),\dots,K(\cdot,x_N)\}$, whatever the ridge, the loss, and the
# labels: $\dim V\le N$, and $V$ does not depend on the target. Draw the target $f$ from any prior with
# second moment $C=E[f\otimes f]$ and eigenvalues $\lambda_1\ge\lambda_2\ge\dots$ Then for every $X$
#
# \begin{align*}
# E_f\lVert f-\hat f\rVert^2&\ge E_f\lVert(I-P_V)f\rVert^2\\
# &=\mathrm{tr}\,C-\mathrm{tr}(P_VC)\ge\sum_{i>N}\lambda_i,\tag{2.2}
# \end{align*}
#
# because a projection of rank $N$ collects at most the $N$ largest eigenvalues (Ky Fan). We call this
# **water-filling**: the space fills the $N$ largest, the rest is lost. For $M$ orthonormal targets, all
# equally likely, $\lambda_i=1/M$ and
#
# $$E_f\lVert f-\hat f\rVert^2\ \ge\ 1-\frac NM.\tag{2.1}$$
#
# On the hypercube, $x$ uniform on $\{\pm1\}^d$, the parities $\chi_S(x)=\prod_{j\in S}x_j$ with $|S|=k$
# are $M=\binom dk$ orthonormal targets. Brute force, for all 45 parities of two coordinates in dimension
# 10, each fitted on its own and tested on the whole cube:

# %%
from itertools import combinations

import torch

d, N = 10, 20
cube = 1 - 2 * ((torch.arange(2**d)[:, None] >> torch.arange(d)) & 1).double()
generator = torch.Generator().manual_seed(0)
x = cube[torch.randint(2**d, (N,), generator=generator)]
sets = list(combinations(range(d), 2))
parities = torch.stack([cube[:, s].prod(1) for s in sets], 1)
labels = torch.stack([x[:, s].prod(1) for s in sets], 1)

kernels = {
    "Gaussian": lambda t: torch.exp(-2 * (1 - t)),
    "quadratic": lambda t: ((1 + t) / 2) ** 2,
    "harmonic": lambda t: (d * t**2 - 1) / (d - 1),  # only degree 2
}
print(f"no kernel goes below {1 - N / len(sets):.3f}")
for name, h in kernels.items():
    best = math.inf
    for ridge in 10.0 ** torch.arange(-8, 2):
        gram = h(x @ x.T / d) + ridge * torch.eye(N, dtype=torch.float64)
        prediction = h(cube @ x.T / d) @ torch.linalg.solve(gram, labels)
        best = min(best, float((prediction - parities).square().mean()))
    print(f"{name:10} {best:.3f}")

# %% [markdown]
# The last kernel contains nothing but the class, and meets the bound. (When a sample repeats another
# one, or is its negative, $V$ has fewer than $N$ dimensions and the error is a little larger.)
#
# ## Exact, without the cube and without a loop over targets
#
# For a kernel $h(t)$ of the inner product $t=\langle x,z\rangle/d$ every matrix in the error is a
# function of the Hamming distance: a table of $d+1$ numbers. With the Krawtchouk polynomials
# $\kappa_j(i)=[z^j](1+z)^{d-i}(1-z)^i$, the eigenvalue of $h$ on parities of degree $j$ is
#
# $$\mu_j=\frac1{2^d\binom dj}\sum_{i=0}^d\binom di\,h(1-2i/d)\,\kappa_j(i),$$
#
# and with $G=(K+\lambda I)^{-1}$, $K_k=\kappa_k[H]$ and $K_2=(\sum_j\mu_j^2\kappa_j)[H]$, looked up in the
# matrix $H$ of Hamming distances of the samples, the error averaged over the class is
#
# $$e(\lambda)=1-\frac{2\mu_k}M\,\mathrm{tr}(GK_k)+\frac1M\,\mathrm{tr}(GK_2GK_k).$$
#
# One eigendecomposition of $K$ serves all ridges and all targets; the cost does not depend on $M$. Any
# kernel of your own goes through the same certificate in one call:

# %%
from hierlearn.cube.exact_error import CubeKernel, class_average_errors
from hierlearn.cube.target import ParityClass, draw_points, hamming

target = ParityClass(dim=16, degrees=(2,), amplitudes=(1.0,))
samples = draw_points(60, 16, torch.Generator().manual_seed(0))
mine = CubeKernel.of(lambda t: torch.cosh(2 * t) / math.cosh(2), 16)
own = class_average_errors(mine, target, hamming(samples, samples), ridges=[1e-6, 1e-3, 1e-1])
print(f"h(t) = cosh(2t): {own.min():.4f}, bound {target.floor(len(samples)):.4f}")

# %% [markdown]
# ## The experiments
#
# The next line computes what the records folder lacks and reads the rest.

# %%
runs = chapter.compute()

# %% tags=["hide-input"]
chapter.provenance()
for row in chapter.rows:
    chapter.glue_claim(row.id)

# %% [markdown]
# ### No kernel goes below
#
# The zoo: Gaussian, Laplace, polynomial, the arc-cosine kernel {cite}`cho2009`, neural tangent kernels of
# one to three hidden layers {cite}`jacot2018`, a composed kernel, and the harmonic kernel of the class. In figures they
# are called rbf, laplace, poly4 (of degree 4), arccos1, ntk1 to ntk3, comp2, and harmonic.
# The ridge is the best of a grid, chosen on the true error, which favors the kernel.

# %%
chapter.show(figures.certificate)

# %% [markdown]
# **Steer it.** Choose the dimension and the kernel, and look for a kernel that gets below its dotted bound.
# How far do errors and bounds move when the dimension grows, and does the degree matter for that? What do
# arccos1 and ntk1 do at degree 3?

# %%
chapter.show(figures.steer_kernel)

# %% [markdown]
# Of {glue:text}`kernel-checked` exact errors, {glue:text}`kernel-violations` lie below their bound by more
# than $10^{-7}$. The smallest quotient of error and bound is {glue:text}`kernel.K1`, that of the harmonic
# kernel: its error is $1-\mathrm{rank}/M$ up to {glue:text}`kernel-rank`. Every other kernel stays at least
# {glue:text}`kernel-apart` above the bound.
#
# ({prf:ref}`thm-kernel-span` proves that of the mean over samples; for each sample, (2.1).) On staircases the
# quotient to (2.2) is at least {glue:text}`kernel.K1w`. Features that depend on the labels are another matter: the
# deep network below has {glue:text}`kernel.K1.control` of the bound.
#
# The bound is about *classes*. For one fixed target, $K(x,z)=f(x)f(z)$ is perfect after one sample. And it
# is void for $N\ge M$: there the best kernel has error {glue:text}`kernel.K1w.control`.
#
# **In the theorem's regime**, $N=M/1000$, the parities are missed by at least $1-N/M=0.999$ on average: the squared norm
# of the projection of $\chi_S$ on the span has a mean of at most $1/1000$, so by Markov's inequality at most 1 in 100 parities are missed by
# less than $0.9$. That is the theorem's 99 %, for any weights. We compute the distance of random
# parities from the span exactly: the first percentile is {glue:text}`kernel.K0`, and with $N=M/2$ it is
# {glue:text}`kernel.K0.control`.
#
# ### How many samples a kernel needs
#
# Let $N_{50}$ be the smallest $N$ with class-averaged error ½. The certificate says
# $N_{50}\ge\frac12\binom dk$. How far above are real kernels?

# %%
chapter.show(figures.half_error)

# %% [markdown]
# For kernels that are fit for the degree the quotient is at most {glue:text}`kernel.K3r`, and it falls with the
# dimension towards ½, which it cannot pass; for laplace it is at least {glue:text}`kernel.K3r.control`. Where it falls,
# the exponent of $N_{50}$ in $d$ lies below that of $\binom dk$ in the same dimensions, and approaches it from below
# ({glue:text}`kernel-exponents`; a dash means that this profile does not run it). In such small dimensions the
# exponent of $\binom dk$ itself is above $k$.
#
# **Odd degrees.** A ReLU unit without bias satisfies
# $\mathrm{relu}(z)-\mathrm{relu}(-z)=z$: the odd part of every predictor of a wide one-hidden-layer network
# is *linear* in $x$. (Its gradient features $x_j\mathbf 1[w\cdot x>0]$ have odd part $x_j/2$.) So arccos1 and ntk1
# have $\mu_j=0$ for odd $j\ge3$, and no number of samples helps: with twice as many samples as targets the
# smallest error on degree 3 is {glue:text}`kernel.K3o` (1 is the zero function), that of poly4 at most
# {glue:text}`kernel.K3o.control`.
#
# ## A deep network on the same task
#
# The target is a parity of $2^L$ coordinates. It is a composition: multiply pairs, then pairs of products,
# and so on; and $xy=\frac14((x+y)^2-(x-y)^2)$ makes each product from squares. The network has that shape,
# $h_l=\mathrm{BN}((h_{l-1}W_l)^2)$ with batch normalization and a linear readout of all layers, and is
# trained by AdamW {cite}`loshchilov2019`. In plain PyTorch, on 1000 samples of a parity of degree 4 in dimension 16:

# %%
generator = torch.Generator().manual_seed(0)
d, N = 16, 1000
x, x_test = (draw_points(n, d, generator) for n in (N, 4000))
y, y_test = (points[:, [2, 5, 7, 11]].prod(1) for points in (x, x_test))
W = [torch.randn(n, 32, generator=generator) * n**-0.5 for n in (d, 32)]
a, b = torch.zeros(2, 32), torch.zeros(1)
parameters = [p.requires_grad_() for p in (*W, a, b)]


def predict(x):
    output, h = b, x
    for weight, readout in zip(W, a, strict=True):
        h = (h @ weight) ** 2
        h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-4).sqrt()
        output = output + h @ readout
    return output


optimizer = torch.optim.AdamW(parameters, weight_decay=1e-4)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=800, pct_start=0.1)
for _ in range(800):
    batch = torch.randint(N, (256,), generator=generator)
    loss = (predict(x[batch]) - y[batch]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
with torch.no_grad():
    error = (predict(x_test) - y_test).square().mean()
print(f"network {error:.4f}, no kernel below {1 - N / math.comb(d, 4):.4f}")

# %% [markdown]
# Is the comparison fair? The certificate bounds the mean over all parities of the degree. The network faces
# one random parity a seed, and any other would do: permuting coordinates changes neither the law of the inputs
# nor that of the initial weights.


# %%
def network(network_samples):
    fig, ax = plt.subplots()
    runs, arm = network_samples, "parity of degree 4, largest d"
    line = over_seeds("deep network", runs.points(n_samples, relative_error, arm))
    bound = over_seeds("bound", runs.points(n_samples, network_floor, arm), kind="bound")
    line.draw(ax)
    bound.draw(ax, color=INK)
    log_axes(ax, x_ticks=line.x)
    title = f"one parity of degree 4, $d={runs.first(arm).dim}$"
    ax.set(title=title, xlabel="samples $N$", ylabel="relative error")
    ax.legend(loc="lower left")
    said = (
        f"{line.at(0)} at N = {line.x[0]} to {line.at()} at {line.x[-1]}, bound {bound.y[-1]:.2g}"
    )
    return Drawing(fig, alt=f"Relative error, {title.replace('$', '')}: {said}.")


chapter.show(network)

# %% [markdown]
# At the largest dimension and sample, the error is {glue:text}`kernel.K5` of what the certificate allows any
# kernel. Noise in the labels leaves the certificate as it is, and the network below it: with variance ¼ the error is
# {glue:text}`kernel.K5n` of the bound (on the sum of all parities, {glue:text}`kernel.K5n.control`).
#
# ## Hierarchy, or sparsity?
#
# One parity has no hierarchy to lose: it is a single monomial. Between it and the dense end lie sums of $s$ random
# monomials, $f=\sum_{S\in\mathcal S}\pm\chi_S/\sqrt s$, which share nothing. Averaged over such sums $C=I/M$ whatever $s$ is: for
# kernels all of them are equally hard. And there is a trivial learner that needs no network: look through all $M$
# monomials, take the one that is most correlated with the residual, refit, and go on (orthogonal matching
# pursuit, {cite}`tropp2007`). For $s=1$ a wrong parity fits $N$ labels, up to sign, with probability $2^{1-N}$: some
# $1+\log_2(M-1)$ samples suffice. On the samples of the network above:

# %%
from itertools import islice

from hierlearn.cube.search import samples_to_search
from hierlearn.cube.target import monomials

few = math.ceil(samples_to_search(math.comb(d, 4))) + 4
best = int((y[:few] @ monomials(x[:few], degree=4)).abs().argmax())
print(f"{few} samples: {next(islice(combinations(range(d), 4), best, None))}")

# %%
chapter.show(figures.sparsity)

# %% [markdown]
# On four parities, which have no hierarchy, the network is at {glue:text}`kernel.K5m` of the bound; on 64 at no
# sample size below {glue:text}`kernel.K5m.control` of it, on all of them {glue:text}`kernel.K5.control`. All these runs fit
# their samples to 2 %. The search takes {glue:text}`kernel-search` samples for 64 parities, {glue:text}`kernel.K5t` of what any
# kernel needs; on all parities, where nothing is sparse, {glue:text}`kernel.K5t.control`. So what a kernel cannot use, and
# the network can use up to a point, is *sparsity*. A parity alone shows nothing about hierarchies; what the
# network adds to the search is that it was never told the dictionary.
#
# ## A hierarchy of all levels
#
# The **staircase** keeps the lower levels in the target:
# $z_i=s_ix_{\pi(2i-1)}x_{\pi(2i)}$ with random signs and a random permutation, every further level multiplies
# neighbors, and $y=\sum_l\alpha_l\cdot(\text{sum of level }l)/\sqrt{\text{its count}}$. The signs make $C$ diagonal
# in the parities, with eigenvalue $\alpha_l^2/\binom d{2^l}$ on every parity of degree $2^l$, so that (2.2) is a
# number. $N_{10}$ is the number of samples for relative error 0.1, read off per seed; for kernels it is the $N$ at
# which the *bound* reaches 0.1.

# %%
chapter.show(figures.growth)

# %% [markdown]
# On one parity of degree 4 the network's exponent is {glue:text}`kernel.K6`; to error ½, the kernel poly4 has
# {glue:text}`kernel.K6.control`. The search needs {glue:text}`kernel-search-measured` samples in the largest dimension (computed:
# {glue:text}`kernel-search-computed`), the network {glue:text}`kernel-network-over-search` times as many; its numbers are those of
# one length of training. On the staircase the certificate's exponent exceeds the network's by
# {glue:text}`kernel.K6b`, on the parity by {glue:text}`kernel.K6b.control`.
#
# ## Two layers
#
# {prf:ref}`thm-kernel-two-layer` is about $d\to\infty$, with constants that are not given, and about polynomials. Its
# idea, the rank of an unfolded tensor, says more on Gaussian inputs. Write $f=\sum_q\langle T_q,H_q(x)\rangle$ with
# symmetric tensors $T_q$ and the Hermite tensors $H_q$, for which
# $\langle u^{\otimes q},H_q(x)\rangle=\mathrm{He}_q(\langle u,x\rangle)$ if $|u|=1$. Then
# $E\langle T,H_q\rangle^2=q!\,|T|^2$, and for a polynomial of degree $q$ the tensor $T_q$ holds its top coefficients. Unfold it:
# the first $\lfloor q/2\rfloor$ indices are the row, the others the column; $s_1\ge s_2\ge\dots$ are the singular values.
#
# ```{prf:theorem} Two layers of $r$ units, any activation (ours)
# :label: thm-kernel-rank
# Let $x\sim N(0,I_d)$ and $N(x)=b_0+\sum_{i\le r}\sigma_i(\langle w_i,x\rangle+b_i)$ with any square-integrable $\sigma_i$. Then
#
# $$E\,(f-N)^2\ \ge\ \sum_{q\ge1}q!\sum_{i>r}s_i(T_q)^2.\tag{2.3}$$
# ```
#
# *Proof.* A unit is a function of $z=\langle w_i,x\rangle/|w_i|\sim N(0,1)$ alone, so its part of degree $q$ is
# $c_{iq}\mathrm{He}_q(z)$, whose tensor $c_{iq}(w_i/|w_i|)^{\otimes q}$ unfolds into a matrix of rank one. So $N$ has rank at most $r$ in
# every degree, and a matrix of rank $r$ misses at least $\sum_{i>r}s_i^2$ (Eckart and Young). $\square$
#
# It is exact at every $d$ and names no constant. It is **void** from the rank on: $r\ge d$ for $\sum_ix_i^4$, the paper's
# instance at $L=2$, and $r\ge\binom{k+\lfloor q/2\rfloor-1}{\lfloor q/2\rfloor}$ for degree $q$ of any function of $k$
# directions (in odd degrees the smaller side of the unfolding). What a network of $r$ units must
# leave of the top part, for two targets of degree 4:

# %%
d, eye = 6, torch.eye(6).double()
fourth_powers = torch.einsum("ia,ib,ic,id->abcd", eye, eye, eye, eye)
pairs = torch.einsum("ab,cd->abcd", eye, eye)
norm = (pairs + pairs.transpose(1, 2) + pairs.transpose(1, 3)) / 3
for name, tensor in {"fourth powers": fourth_powers, "norm, to the fourth": norm}.items():
    s = torch.linalg.svdvals(tensor.reshape(d**2, d**2))
    left = (1 - s.square().cumsum(0) / s.square().sum()).abs()
    print(f"{name:20}", [f"r = {r}: {left[r - 1]:.2f}" for r in (1, 3, 6, 20, 21)])

# %% [markdown]
# Three layers compute $\lVert x\rVert^4$ with $d$ units and then one; two layers need at least a unit for every pair. Networks
# that are trained against (2.3) are in [chapter 6](06_simpler_algorithms.ipynb).
#
# On the cube the argument is weaker: $x_i^2=1$ mixes the degrees, so that it needs polynomials of degree at most $q$ and
# rows and columns with disjoint sets of coordinates. A single parity is then a single entry, of rank one. Of a staircase, split
# each of the $d/2^L$ monomials of its top level into two halves, a row and a column: the target's matrix is diagonal, and
# $r$ units miss at least the share $1-r2^L/d$ of that level. In dimension {glue:text}`kernel-two-dim` with three levels this is void
# from {glue:text}`kernel-void` units on, and our networks have {glue:text}`kernel-units`. So what they do there is an experiment:
# $\hat y=b+\sum_pa_p^\top\mathrm{BN}((xW)^p)$ with powers $p=2,4,\dots,2^L$.

# %%
chapter.show(figures.two_layer)

# %% [markdown]
# With two levels the two-layer network learns too: {glue:text}`kernel.K7.control` with 500 samples. With three it learns the
# lower levels and misses the third: {glue:text}`kernel.K7` at the best rate and length, where the deep network is at
# {glue:text}`kernel-deep`. At the largest rate, longer training lowers the training error and raises the test error: it
# overfits. That is one architecture and this budget, no lower bound.
#
# ## Verdicts

# %% tags=["hide-input"]
chapter.verdicts()

# %% [markdown]
# ## What this does not show
#
# - **The paper's theorems.** They hold for *their* class and Gaussian inputs as $d\to\infty$, with constants that are vacuous
#   here. Ours is the cube that is left when $|x|$ is given, in small dimensions, with bounds that are exact there.
#   Not tested, because $L\ge2$ and $L\le\frac1{100}\log\log d$ take $d\ge e^{e^{200}}$: Theorems H.1 and H.3 as they stand.
#   Not tested, because $d^{2^{o(L)}}$ has no value at one $d$: widths that grow with $d$ as in Theorems H.6 and H.7.
#   Not tested, because its $C$ is not given: Lemma H.5, whose rank argument {prf:ref}`thm-kernel-rank` makes exact.
# - **Anything about one fixed target.** The bounds average over a class; a kernel built for one target is
#   perfect on it. A kernel chosen from $q$ candidates *by looking at the labels* has up to $qN$ dimensions;
#   one with learned features is not covered at all.
# - **That depth is needed.** The search is a rival without any. On the staircase we did not run it: its third level
#   has $\binom d8$ monomials to look through.
# - **Anything about generic networks.** The deep network is polynomial, has exactly the right depth, and needs
#   batch normalization and warm-up. Its learning rate was not tuned for each case. Being even in $x$, it could not
#   learn an odd degree either.
# - **Smooth interpolation.** Just below its threshold the network's seeds scatter widely; a mean there says
#   little. $N_{10}$ is read off seed by seed.
# - **Speed of kernels.** `benchmarks/kernel_averaging.py` compares the exact averages with refitting
#   scikit-learn's `KernelRidge`; no verdict depends on time.
#
# ## Exercises
#
# ```{exercise}
# :label: kernel-ex-own
# Which kernel would *you* take for the staircase with two levels? Find one that beats poly4 at
# $d=16$, $N=500$, and check that it does not beat (2.2).
# ```
#
# ```{solution} kernel-ex-own
# :class: dropdown
# The kernel of $C$ itself: it spends its eigenvalues as the class spends its energy.
#
# ~~~python
# import torch
# from hierlearn.cube.exact_error import CubeKernel, class_average_errors, harmonic
# from hierlearn.engine.kernels import power
# from hierlearn.cube.target import draw_points, hamming, hierarchy_class
#
# target = hierarchy_class(16, (1.0, 0.7))
# x = draw_points(500, 16, torch.Generator().manual_seed(1))
# ridges = [10.0**p for p in range(-6, 2)]
# errors = [
#     float(class_average_errors(kernel, target, hamming(x, x), ridges=ridges).min())
#     for kernel in (harmonic(target), CubeKernel.of(power(4), 16))
# ]
# bound = target.floor(500) * target.energy
# print(bound, errors)
# assert bound < errors[0] < errors[1]
# ~~~
# ```
#
# ```{exercise}
# :label: kernel-ex-search
# Rerun an experiment with a change: how many samples does the search need for *two* parities in dimension
# 12, instead of one? Guess first.
# ```
#
# ```{solution} kernel-ex-search
# :class: dropdown
# Half as many again, not twice as many: once the first parity is found, the second is a search for one
# among the same samples.
#
# ~~~python
# import torch
# from hierlearn.cube.search import SearchConfig, measure_search
# from hierlearn.experiment import Group
#
# cpu, seeds = torch.device("cpu"), range(20)
# one, two = (
#     [m["n_samples"] for m in measure_search(Group.of("x", [SearchConfig(12, 4, s)], seeds), cpu)]
#     for s in (1, 2)
# )
# print(sum(one) / 20, sum(two) / 20)
# assert 1.2 * sum(one) < sum(two) < 4 * sum(one)
# ~~~
# ```
#
# ```{exercise}
# :label: kernel-ex-wall
# From which dimension on does relative error 0.1 on the three-level staircase cost any kernel more than
# $10^{12}$ samples?
# ```
#
# ```{solution} kernel-ex-wall
# :class: dropdown
# ~~~python
# from hierlearn.cube.target import hierarchy_class
#
# def needed(d):
#     return hierarchy_class(d, (1.0, 0.8, 0.64)).samples_for(0.1)
#
# first = next(d for d in range(8, 1000) if needed(d) > 1e12)
# print(first)
# assert needed(first - 1) <= 1e12 < needed(first)
# ~~~
# ```
