r"""Algorithm 1 of Allen-Zhu & Li, in a variant that runs at finite size: SGD, level by level.

The learner (section 2.1): level 2 sees $\phi_2=z$, level $l\ge3$ sees
$\phi_l=(\sigma(R_{l-1}S_{l-1}),x)$. A narrow copy hands features upwards, $S_l=K_l\phi_l$ of width
$k_l$; a wide one of m rows speaks, $F_l=\sigma(W_l\phi_l)$; the output is
$\sum_l\alpha_l\mathrm{Sum}(F_l)=\sum_l\alpha_l\phi_l^\top M_l\phi_l$ with $M_l=W_l^\top W_l$.

The objective (section 2.2), with blocks $l-1$ (products) and $\lhd$ (input) of $\phi_l$:
$E(y-F)^2+\sum_l\lambda_{3,l}|D_{l-1,\lhd}|^2+\lambda_{4,l}|D_{l-1,l-1}|^2+\lambda_{5,l}|D|^2$,
$D=K_l^\top K_l-M_l$: the *distillation* of wide copies into narrow ones.

Algorithm 1, in its own order, and where it stands here:

- all K, W and rates are 0, R is drawn once: `Learners.__init__`;
- open $W_l$ when the objective is below $\mathrm{Thres}_{l\triangle}$, and when it is below
  $\mathrm{Thres}_{l\triangledown}$ set $\lambda_{3..5}$ and start $K_l$ from a decomposition of
  $W_l$ (Initial-Distill): `Learners.open`;
- a step of SGD on K and W of all open levels, noise on W: `Learners.gradients`, `Learners.step`;
- nothing that is open is frozen again; halving $\epsilon_0$ only lowers the weight decay
  $\lambda_6$, which is left out. `CHANGES` lists what else differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config
from hierlearn.quadratic.original.alternation import products, root
from hierlearn.quadratic.original.target import OriginalTarget

CHECKED = 50  # steps between two looks at the thresholds; the objective is averaged over them
NOISE, START_NOISE = 1e-5, 1e-3  # on W at every step, and when it opens


def written_thresholds(gaps: Sequence[float]) -> list[float]:
    r"""Return the paper's thresholds (section 4) of $K_2,W_3,K_3,\dots,K_L$.

    $\mathrm{Thres}_{l\triangledown}=\alpha_l^2d^{-1/(6C^l)}$ and
    $\mathrm{Thres}_{l+1,\triangle}=\alpha_l^2d^{-1/(3C^l)}$. The gap $\alpha_{l+1}/\alpha_l$ stands
    for $d^{-1/C^l}$, and for the top level the gap below it.
    """
    found = []
    for alpha, ratio in zip(gaps, _ratios(gaps), strict=True):
        found += [alpha**2 * ratio ** (1 / 6), alpha**2 * ratio ** (1 / 3)]
    return found[:-1]


def _ratios(gaps: Sequence[float]) -> list[float]:
    found = [above / below for below, above in zip(gaps, gaps[1:], strict=False)]
    return [*found, found[-1]]


@dataclass(frozen=True)
class AlgorithmConfig(Config):
    r"""One run of Algorithm 1.

    Attributes:
        dim: input dimension d.
        widths: $k_2..k_L$.
        gaps: $\alpha_2=1,\alpha_3..\alpha_L$, known to the learner.
        n_steps: of SGD.
        thresholds: of the objective, below which $K_2,W_3,K_3,\dots,K_L$ open, in this order.
        holds: the steps before which $W_3,\dots,W_L$ stay shut.
        batch: fresh samples a step.
        rate: of level 2; in the last 30 % of the steps it falls to a hundredth along a cosine.
        level_rates: whether level l has the rate $\eta\alpha_2/\alpha_l$ instead of $\eta$.
        clip: bound on the norm of the gradient of a level; 0 for none.
        white: whether $\sigma(RS)$ is multiplied by $(R*R)^{-1}$, once: the same functions.
        start: of $K_l$, $l\ge3$: "eigen" of $W_l^\top W_l$, or "svd" of its cross block.
        flow: "all"; "detached" lets no gradient pass from level l + 1 into $S_l$; "frozen" stops
            $K_2$ when level 3 opens, and lets go of $W_2$, which trains on: $\lambda_{3..5,2}=0$.
        target: "true" or "independent" (levels from 3 on see another input).
    """

    CHOICES = {
        "start": ("eigen", "svd"),
        "flow": ("all", "detached", "frozen"),
        "target": ("true", "independent"),
    }

    dim: int
    widths: Sequence[int]
    gaps: Sequence[float]
    n_steps: int
    thresholds: Sequence[float]
    holds: Sequence[int]
    batch: int = 128
    rate: float = 1e-3
    level_rates: bool = True
    clip: float = 5.0
    white: bool = True
    start: str = "eigen"
    flow: str = "all"
    target: str = "true"

    @property
    def shape(self) -> tuple[object, ...]:
        """What the runs of one group must share."""
        return self.dim, self.widths, self.n_steps, self.batch

    def seconds(self, n_runs: int) -> float:
        """Return the CPU seconds of a group of `n_runs` runs."""
        return self.n_steps * (5e-4 + 4e-5 * n_runs)


class Learners:
    r"""The learners of a group of runs, seed by seed and arm by arm within a seed; float32.

    `wide` and `narrow` hold $W_l$ `[run, m, p]` and $K_l$ `[run, k, p]`; `opened` is the number of
    thresholds passed, `when` says at which steps; `counted` is what the printed rank rule gives
    for $k_2$, with the $\kappa$ of the target.
    """

    def __init__(
        self,
        configs: Sequence[AlgorithmConfig],
        seeds: Sequence[int],
        targets: Sequence[OriginalTarget],
    ) -> None:
        first, n = configs[0], len(configs)
        self.configs, self.k = configs, first.widths
        self.n_levels = len(self.k)
        n_products = [k * (k + 1) // 2 for k in self.k]
        self.inputs = [first.dim, *(m + first.dim for m in n_products[:-1])]
        self.wide = [torch.zeros(n, 2 * first.dim, p) for p in self.inputs]
        self.narrow = [torch.zeros(n, k, p) for k, p in zip(self.k, self.inputs, strict=True)]
        self.weights = [torch.zeros(n, p, p) for p in self.inputs]  # of D, elementwise
        self.alphas = torch.tensor([list(c.gaps) for c in configs])
        self.clip = torch.tensor([c.clip or float("inf") for c in configs])[:, None, None]
        self.flow = torch.tensor([float(c.flow != "detached") for c in configs])[:, None, None]
        thresholds = [[*c.thresholds, -1.0] for c in configs]
        holds = [[h for hold in c.holds for h in (0, hold)] + [0, 0] for c in configs]
        self.thresholds, self.holds = torch.tensor(thresholds), torch.tensor(holds)
        self.opened = torch.zeros(n, dtype=torch.int64)
        self.when: list[list[int]] = [[] for _ in configs]
        self.kappas, self.counted = [_condition(one) for one in targets], [0] * n
        rates = torch.tensor(
            [[c.rate / (a if c.level_rates else 1) for a in c.gaps] for c in configs]
        )
        self.rates = rates[:, :, None, None]
        self.moving = torch.zeros(2, n, self.n_levels, 1, 1)  # W and K
        self.mixing = [_mixing(k, seeds, [c.white for c in configs]) for k in self.k[:-1]]

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        r"""Return $\phi_l$, $RS_l$, $\phi_lM_l$ of all levels, and the output; x is `[run n d]`."""
        inputs, mixed, spoken = [x**2 - 1], [], []
        output = torch.zeros_like(x[:, :, 0])
        for level, wide in enumerate(self.wide):
            spoken.append(inputs[-1] @ (wide.mT @ wide))
            alpha = self.alphas[:, level, None]
            output = output + alpha * (inputs[-1] * spoken[-1]).sum(2)
            if level + 1 < self.n_levels:
                r, white = self.mixing[level]
                mixed.append(inputs[-1] @ self.narrow[level].mT @ r.mT)
                inputs.append(torch.cat([mixed[-1].square() @ white, x], 2))
        return inputs, mixed, spoken, output

    def gradients(self, x: Tensor, y: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return the gradients of the objective in `wide` and `narrow`, and the objective."""
        inputs, mixed, spoken, output = self.forward(x)
        rest = output - y
        objective = rest.square().mean(1)
        slope = (2 / x.shape[1] * rest)[:, :, None]
        of_wide, of_narrow = [], []
        features: Tensor | None = None  # the gradient in S_l, from level l + 1
        for level in reversed(range(self.n_levels)):
            phi, wide, narrow = inputs[level], self.wide[level], self.narrow[level]
            alpha = self.alphas[:, level, None, None]
            apart = narrow.mT @ narrow - wide.mT @ wide
            pull = self.weights[level] * apart
            objective = objective + (pull * apart).sum((1, 2))
            of_wide.append(wide @ (2 * alpha * (phi.mT @ (slope * phi)) - 4 * pull))
            of_narrow.append(4 * narrow @ pull)
            if features is not None:
                of_narrow[-1] += features.mT @ phi
            if level:
                back = 2 * alpha * slope * spoken[level]
                if features is not None:
                    back = back + features @ narrow
                r, white = self.mixing[level - 1]
                through = back[:, :, : white.shape[1]] @ white.mT
                features = self.flow * (2 * mixed[level - 1] * through @ r)
        return of_wide[::-1], of_narrow[::-1], objective

    def step(self, x: Tensor, y: Tensor, noise: list[Tensor], decay: float) -> Tensor:
        """Take a step of SGD on what is open, and return the objective before it."""
        of_wide, of_narrow, objective = self.gradients(x, y)
        for level, (gw, gk) in enumerate(zip(of_wide, of_narrow, strict=True)):
            norm = (gw.square().sum((1, 2)) + gk.square().sum((1, 2))).sqrt()[:, None, None]
            wide, narrow = self.moving[:, :, level]
            size = decay * self.rates[:, level] * (self.clip / norm).clamp(max=1)
            self.wide[level] += wide * (NOISE * noise[level] - size * gw)
            # A narrow copy moves once it is started: before, all its gradients are zero.
            self.narrow[level] -= narrow * size * gk
        return objective

    def open(self, step: int, objective: Tensor, noise: list[Tensor]) -> None:
        """Open, run by run, what the next threshold allows."""
        threshold, hold = (
            table.gather(1, self.opened[:, None])[:, 0] for table in (self.thresholds, self.holds)
        )
        for run in ((objective <= threshold) & (step >= hold)).nonzero()[:, 0].tolist():
            passed = int(self.opened[run])
            self.opened[run] += 1
            self.when[run].append(step)
            if passed % 2:
                self.open_wide(run, (passed + 1) // 2, noise)
            else:
                self.distill(run, passed // 2)

    def open_wide(self, run: int, level: int, noise: list[Tensor]) -> None:
        """Open $W$ of a level, counted from 0, from a little noise."""
        self.wide[level][run] = START_NOISE * noise[level][run]
        self.moving[:, run, level] = 1
        if level == 1 and self.configs[run].flow == "frozen":
            self.moving[1, run, 0] = 0
            self.weights[0][run] = 0

    def distill(self, run: int, level: int) -> None:
        r"""Start $K$ of a level from its $W$, and set $\lambda_{3..5}$ (Initial-Distill).

        Level 2 has no block $\lhd$, so that the printed SVD is of nothing: the eigenvectors of
        $W_2^\top W_2$ take its place. The printed rank rule is counted, not used.
        """
        wide = self.wide[level][run].double()
        form, k, gaps = wide.T @ wide, self.k[level], self.configs[run].gaps
        n = self.inputs[level] - self.configs[run].dim  # the products come first
        if level and self.configs[run].start == "svd":
            u, s, v = torch.linalg.svd(form[n:, :n])
            roots = s[:k].sqrt()[:, None]
            start = torch.cat([roots * v[:k], roots * u[:, :k].T], 1)
        else:
            if not level:
                values = torch.linalg.eigvalsh(form)
                self.counted[run] = int((values >= 1 / (10 * self.kappas[run] ** 2)).sum())
            start = root(form, k)
        self.narrow[level][run] = start.float()
        scale, gap = gaps[level] ** 2, _ratios(gaps)[level]
        weights = self.weights[level][run]
        weights += scale * gap ** (1 / 2)
        if level:
            weights[:n, :n] += scale * gap ** (1 / 3)
            weights[:n, n:] += scale * gap ** (1 / 6) / 2  # the block and its mirror image
            weights[n:, :n] += scale * gap ** (1 / 6) / 2
        else:
            weights += scale * gap ** (1 / 3)


def _condition(target: OriginalTarget) -> float:
    r"""Return the least $\kappa$ whose $[1/\kappa,\kappa]$ holds all singular values of W*."""
    values = torch.cat(
        [torch.linalg.svdvals(w) for w in (target.first, *target.mixing, *target.skips)]
    )
    return float(torch.maximum(values, 1 / values).max())


def _mixing(k: int, seeds: Sequence[int], white: Sequence[bool]) -> tuple[Tensor, Tensor]:
    r"""Draw R of every run, and what $\sigma(RS)$ is multiplied by: $(R*R)^{-1}$, or the identity.

    $(RS)_r^2=\sum_{a\le b}(R*R)_{r,ab}S_aS_b$, the products' factor 2 left to $R*R$.
    """
    rows, inverses = [], []
    for seed, whitened in zip(seeds, white, strict=True):
        n = k * (k + 1) // 2
        r = torch.randn(n, k, generator=stream(f"random squares {k}", seed)).double() / k
        a, b = torch.triu_indices(k, k)
        square = products(r) * (1 + (a != b))
        rows.append(r)
        inverses.append(torch.linalg.inv(square).T if whitened else torch.eye(n).double())
    return torch.stack(rows).float(), torch.stack(inverses).float()


class Stream:
    """Fresh samples of every seed, one batch a step: inputs, level sums, and noise for W."""

    def __init__(
        self,
        config: AlgorithmConfig,
        seeds: Sequence[int],
        targets: Sequence[OriginalTarget],
        inputs: Sequence[int],
    ) -> None:
        self.batch, self.dim = config.batch, config.dim
        self.generators = [stream("algorithm data", seed) for seed in seeds]
        self.first = torch.stack([t.first for t in targets]).float()
        self.upper = [
            [torch.stack(one).float() for one in zip(*parts, strict=True)]
            for parts in zip(*([*zip(t.mixing, t.skips, strict=True)] for t in targets),
                             strict=True)
        ]  # fmt: skip
        self.sizes = [config.batch * config.dim, *(2 * config.dim * p for p in inputs)]
        self.drawn = torch.empty(len(seeds), sum(self.sizes))
        self.inputs = inputs

    def draw(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        r"""Return x `[seed, n, d]`, $\mathrm{Sum}(G^*_l)$ `[seed, level, n]`, and noise."""
        for row, generator in zip(self.drawn, self.generators, strict=True):
            row.normal_(generator=generator)
        parts = self.drawn.split(self.sizes, 1)
        x = parts[0].view(-1, self.batch, self.dim)
        noise = [
            one.view(-1, 2 * self.dim, p) for one, p in zip(parts[1:], self.inputs, strict=True)
        ]
        features = (x**2 - 1) @ self.first.mT
        sums = [features.square().sum(2)]
        for u, v in self.upper:
            features = features.square() @ u.mT + x @ v.mT
            sums.append(features.square().sum(2))
        return x, torch.stack(sums, 1), noise
