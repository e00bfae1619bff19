r"""What the proof of Ren et al., Theorem 7, says of one stage, with its constants.

Lemmas 14 to 16 speak of one ridge regression: P tuples, each of which shows in several
representations x of norm 1, $\lambda=1/P$. In the sample a tuple's label and its representation
are taken to be independent (Eq. 8). Lemma 26 is about the rules of Proposition 19.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from hierlearn.engine.doors import at_least, checked, positive
from hierlearn.engine.kernels import rbf_kernel
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.grammar.layerwise_theorem.target import draw_identifiable, draw_rules

BANDWIDTH, N_TUPLES, N_DRAWS = 0.25, 8000, 400
"""The bandwidth over the least distance of tokens; tuples in the sample; draws of rules."""


@dataclass(frozen=True)
class ProofConfig(Config):
    r"""The second stage of a grammar with $n_c=v$ and uniform first tokens.

    Attributes:
        vocab_size, n_synonyms, n_levels: v, m, L.
        noise: how far the m tokens of a symbol lie from its law, in units of the bandwidth; 0 is
            the largest for which Lemma 10 gives the spread $\lambda/4$ that Lemma 16 asks for.
        step: of gradient descent, in units of Lemma 15's $2P/(P+1)$.
    """

    vocab_size: int
    n_synonyms: int
    n_levels: int
    noise: float = 0.0
    step: float = 1.0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes: eigenvectors of as many rows as there are representations."""
        return 2e-9 * n_runs * (self.vocab_size * self.n_synonyms**3) ** 3


def measure_proof(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Hold one stage, and the rules, to the lemmas; one measurement a run.

    `rate`: the largest $\lVert W_T-W_*\rVert_F/(e^{-T/P}\lVert W_*\rVert_F)$, T = 1 to 8P
    (Lemma 15: at most 1). `factor`: the least $4(\hat p_\mu+\lambda)a_\mu$, where
    $Wx_\mu=\hat p_\mu a_\mu\hat q_\mu$ up to what other tuples add (Lemma 16: at least 1). `cross`:
    the largest such rest over $6P^2\varepsilon_O$ (Lemma 14: at most 1). `overlap`, `spread`:
    $\varepsilon_O$ and $\varepsilon_S$ as they are. `moment`: $\sum_\nu\tau_\nu^2$ of random z over
    the sum of its conditional expectations, over draws of rules (Lemma 26: 1 on average);
    `replaced`: the same with balls put back.
    """
    return [_one(ProofConfig(**run.config), run.seed) for run in work.runs]


def _one(config: ProofConfig, seed: int) -> dict[str, Any]:
    v, m = config.vocab_size, config.n_synonyms
    grammar, found, _ = draw_identifiable(
        stream("uniform first tokens", seed), v, m, config.n_levels
    )
    draws, n_tuples = stream("theorem proof", seed), v * m
    sigma = BANDWIDTH * math.sqrt(found.squares[0][0])
    noise = config.noise or 1 / (8 * math.sqrt(2) * n_tuples)
    aside = torch.randn(v, m, v, generator=draws, dtype=torch.float64)
    tokens = found.laws[0][:, None] + noise * sigma * aside / aside.norm(dim=2, keepdim=True)
    pairs = grammar.rules[-2].long().flatten(0, 1)
    first = tokens[pairs[:, 0]][:, :, None].expand(-1, m, m, v)
    second = tokens[pairs[:, 1]][:, None].expand(-1, m, m, v)
    inputs = torch.cat([first, second], 3).reshape(n_tuples * m * m, 2 * v)
    gram = rbf_kernel(inputs, inputs, bandwidth=sigma / math.sqrt(2 * v))
    laws = found.laws[1].repeat_interleave(m, 0)
    cells = torch.multinomial(laws.flatten(), N_TUPLES, replacement=True, generator=draws)
    counts = torch.bincount(cells, minlength=laws.numel()).view_as(laws).double()
    rules = stream("theorem rules", seed)
    moment, replaced = second_moments(rules, v, m, N_DRAWS)
    stage = stage_bounds(gram, counts, step=config.step)
    return {**stage, "moment": moment, "replaced": replaced}


@checked
def stage_bounds(
    gram: Float64[Tensor, "n n"], counts: Float64[Tensor, "tuple label"], *, step: float = 1.0
) -> dict[str, float]:
    """Compare one ridge regression with Lemmas 14 to 16; see `measure_proof`.

    Args:
        gram: inner products of representations, those of a tuple next to each other, all tuples
            with equally many, each as frequent as the others of its tuple.
        counts: labels of each tuple in the sample.
        step: of gradient descent, over that of Lemma 15.
    """
    positive(step=step)
    n_tuples, each = len(counts), len(gram) // len(counts)
    if len(gram) != n_tuples * each or not bool((counts.sum(1) > 0).all()):
        raise ValueError(
            f"give every tuple as many representations, and a label; got {len(gram)} of "
            f"{n_tuples} tuples and {int((counts.sum(1) == 0).sum())} without a label"
        )
    ridge, blocks = 1 / n_tuples, gram.view(n_tuples, each, n_tuples, each)
    own = torch.stack([blocks[i, :, i] for i in range(n_tuples)])
    share = (counts.sum(1) / counts.sum())[:, None]
    frequencies = counts / counts.sum(1, keepdim=True)
    values, vectors = torch.linalg.eigh(gram)
    x = vectors * values.clamp_min(0).sqrt()
    mean = x.view(n_tuples, each, -1).mean(1)
    second = (x * share.repeat_interleave(each, 0) / each).T @ x
    curvature, basis = torch.linalg.eigh(second)
    curvature = curvature.clamp_min(0) + ridge
    weights = (share * frequencies).T @ mean @ basis / curvature

    left = share[:, :, None] / each * own + ridge * torch.eye(each, dtype=torch.float64)
    a = torch.linalg.solve(left, own).mean(1)
    rest = (x @ basis) @ weights.T - ((share * a)[:, :, None] * frequencies[:, None]).flatten(0, 1)
    other = blocks.abs() * (1 - torch.eye(n_tuples, dtype=torch.float64))[:, None, :, None]
    overlap = float(other.max())

    times = torch.arange(1, 8 * n_tuples + 1, dtype=torch.float64)[:, None]
    kept = (1 - step * 2 * n_tuples / (n_tuples + 1) * curvature).abs() ** times
    far = (weights.norm(dim=0) * kept).norm(dim=1) / weights.norm()
    return {
        "rate": float((far * (times[:, 0] / n_tuples).exp()).max()),
        "factor": float((4 * (share + ridge) * a).min()),
        "cross": float(rest.norm(dim=1).max()) / (6 * n_tuples**2 * max(overlap, 1e-300)),
        "overlap": overlap,
        "spread": math.sqrt(max(float((2 - 2 * own).max()), 0.0)),
    }


@checked
def second_moments(generator: torch.Generator, v: int, m: int, n_draws: int) -> tuple[float, float]:
    r"""Hold $\tau=Pz$ of drawn rules to Lemma 26, and to drawing with replacement.

    Bin $\nu$ draws m of the $n=m(V-\nu+1)$ balls that are left, with mean $\bar z$ and variance
    $\sigma^2$: $E[\tau_\nu^2\mid\nu-1\text{ bins}]=\frac{\sigma^2}m(1-\frac{m-1}{n-1})+\bar z^2$.

    Returns:
        The sum of $\tau_\nu^2$ over bins and draws, over that of the expectations; the same
        without the factor.
    """
    at_least(2, v=v, m=m)
    at_least(1, n_draws=n_draws)
    seen, expected, independent = 0.0, 0.0, 0.0
    for _ in range(n_draws):
        (rules,) = draw_rules(generator, v, m, 1).rules
        filled = torch.nn.functional.one_hot(rules[:, :, 0].long(), v).double().sum(1)
        z = torch.randn(v, generator=generator, dtype=torch.float64)
        z -= z.mean()
        balls = m - filled.cumsum(0) + filled
        n = balls.sum(1)
        mean = balls @ z / n
        variance = balls @ z.square() / n - mean.square()
        seen += float((filled @ z / m).square().sum())
        expected += float((variance / m * (1 - (m - 1) / (n - 1)) + mean.square()).sum())
        independent += float((variance / m + mean.square()).sum())
    return seen / expected, seen / independent
