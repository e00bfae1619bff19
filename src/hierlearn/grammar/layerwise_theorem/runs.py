"""Chapter 4: runs of Theorem 7's learner, and what its assumption and lemmas say at finite size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.grammar.config import over_chance
from hierlearn.grammar.layerwise_theorem.learner import Stage, fit_stage, kernel_of, read
from hierlearn.grammar.layerwise_theorem.target import (
    Assumption,
    assumption,
    draw_identifiable,
    draw_rules,
)
from hierlearn.grammar.target import RandomHierarchy

LEVEL = 0.1
"""The error over chance that a sample size is asked for."""


@dataclass(frozen=True)
class TheoremConfig(Config):
    r"""Theorem 7's learner on a grammar with $n_c=v$, branching 2 and uniform first tokens.

    Attributes:
        vocab_size, n_synonyms, n_levels: v, m, L.
        n_samples: $N^{(L)}$, fresh data of the lowest stage; each further one has m times fewer.
        bandwidth: $\sigma$ of a stage in units of the least distance of its tokens' laws.
        lowest_bandwidth: $\sigma$ of the lowest stage, whose tokens are one-hot.
        width: M, frequencies of the random features; 0 is their limit.
        reuse: all stages train on the same `n_samples` data.
        n_stages: how many stages are trained, 0 for all.
        n_draws: grammars, one after the other.
        n_test: test strings.
    """

    vocab_size: int
    n_synonyms: int
    n_levels: int
    n_samples: int = 0
    bandwidth: float = 0.5
    lowest_bandwidth: float = 0.35
    width: int = 0
    reuse: bool = False
    n_stages: int = 0
    n_draws: int = 1
    n_test: int = 1000

    @property
    def parameters(self) -> tuple[int, int, int]:
        """Return (v, m, L)."""
        return self.vocab_size, self.n_synonyms, self.n_levels

    @property
    def scale(self) -> int:
        """Return $P_0=vm^L$."""
        return int(self.vocab_size * self.n_synonyms**self.n_levels)

    @property
    def sizes(self) -> dict[str, int]:
        """The parameters by name."""
        return dict(zip(("vocab_size", "n_synonyms", "n_levels"), self.parameters, strict=True))

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes, roughly."""
        return n_runs * self.n_draws * (0.05 + 4e-5 * (self.scale if not self.n_samples else 0))


@dataclass
class _Problem:
    """One grammar with its assumption, and the streams of one run."""

    config: TheoremConfig
    grammar: RandomHierarchy
    found: Assumption
    seed: int

    def train(self, n_samples: int) -> list[Stage]:
        """Train the stages, from the lowest."""
        config, v, m = self.config, self.config.vocab_size, self.config.n_synonyms
        data, draws = stream("theorem data", self.seed), stream("theorem features", self.seed)
        stages: list[Stage] = []
        for k in range(config.n_stages or config.n_levels):
            if not (stages and config.reuse):
                n = n_samples if config.reuse else max(round(n_samples / m**k), 1)
                strings, labels = self.grammar.sample(n, data)
            patches, place = read(stages, strings[:, : 2 ** (k + 1)], vocab_size=v)
            cells = place[:, 0] * v + labels
            counts = torch.bincount(cells, minlength=len(patches) * v).view(-1, v).double()
            least = self.found.squares[k - 1][0]
            sigma = config.bandwidth * math.sqrt(least) if k else config.lowest_bandwidth
            kernel = kernel_of(sigma, 2 * v, width=config.width, generator=draws)
            stages.append(fit_stage(patches, counts, kernel, ridge=1 / (m * v)))
        return stages

    def test(self) -> tuple[Tensor, Tensor]:
        """Draw the test strings and their labels."""
        return self.grammar.sample(self.config.n_test, stream("theorem test", self.seed))

    def error(self, stages: Sequence[Stage]) -> float:
        """Return the test error over chance of all stages together."""
        strings, labels = self.test()
        patches, place = read(stages[:-1], strings, vocab_size=self.config.vocab_size)
        guess = stages[-1](patches).argmax(1)[place[:, 0]]
        return over_chance(float((guess != labels).double().mean()), self.config.vocab_size)

    def deviation(self, stages: Sequence[Stage], k: int) -> tuple[float, float]:
        r"""Return the rms of $h-q$ of stage k over different first tuples, and its law.

        The law is $\sqrt{mv(1-\overline{|q|^2})/N}$: q estimated by label frequencies, each tuple
        from a share 1/mv of the N data of the stage (ours; uniform first tokens).
        """
        config = self.config
        strings = self.test()[0]
        parents = self.grammar.symbols_at(strings, level=k + 1)[:, 0]
        first = strings[:, : 2 ** (k + 1)]
        patches, place = read(stages[:k], first, vocab_size=config.vocab_size)
        owner = torch.empty(len(patches), dtype=torch.int64)
        owner[place[:, 0]] = parents
        q = self.found.laws[k]
        rms = (stages[k](patches) - q[owner]).square().sum(1).mean().sqrt()
        n = config.n_samples / (1 if config.reuse else config.n_synonyms**k)
        law = math.sqrt(
            config.vocab_size * config.n_synonyms * float(1 - q.square().sum(1).mean()) / n
        )
        return float(rms), law


def _draw(config: TheoremConfig, seed: int) -> tuple[list[_Problem], int]:
    generator = stream("uniform first tokens", seed)
    problems, violated = [], 0
    for draw in range(config.n_draws):
        grammar, found, failed = draw_identifiable(generator, **config.sizes)
        problems.append(_Problem(config, grammar, found, seed * 1000 + draw))
        violated += failed
    return problems, violated


def measure_stages(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Train on `n_samples`: rms of every stage and its law, lowest first, and the test error.

    `error` is over chance, None where stages are left out. `violated` counts the draws before this
    one in which Assumption 6 failed; `kappa` and `strength` ($K_\rho^2$) are this one's.
    """
    results = []
    for run in work.runs:
        config = TheoremConfig(**run.config)
        (problem,), violated = _draw(config, run.seed)
        stages = problem.train(config.n_samples)
        rms, law = zip(*(problem.deviation(stages, k) for k in range(len(stages))), strict=True)
        results.append(
            {
                "rms": list(rms),
                "law": list(law),
                "error": None if config.n_stages else problem.error(stages),
                "violated": violated,
                "kappa": problem.found.kappa,
                "strength": problem.found.strength(),
            }  # fmt: skip
        )
    return results


def measure_sizes(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Scan $N^{(L)}=2^{i/2}P_0$, i = -2, -1, .., 16, on every draw until the error is below 0.1.

    Every draw has its `sizes`, `errors`, and $K_\rho^2$, by the smallest distances and by the mean
    ones. `violated` counts draws in which Assumption 6 failed; others took their place.
    """
    results = []
    for run in work.runs:
        config = TheoremConfig(**run.config)
        problems, violated = _draw(config, run.seed)
        results.append({"draws": [_scan(one) for one in problems], "violated": violated})
    return results


def _scan(problem: _Problem) -> dict[str, Any]:
    sizes: list[int] = []
    errors: list[float] = []
    while len(sizes) < 19 and not (errors and errors[-1] < LEVEL):
        sizes.append(round(problem.config.scale * 2 ** (len(sizes) / 2 - 1)))
        errors.append(problem.error(problem.train(sizes[-1])))
    return {
        "sizes": sizes,
        "errors": errors,
        "strength": problem.found.strength(),
        "mean_strength": problem.found.strength(1),
    }


TRIALS, DELTA = 200, 0.1


def measure_lemmas(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Hold label frequencies to Lemma 18 at $\delta=0.1$, and distances to Proposition 19.

    `printed`: the $1-\delta$ quantile, over 200 data sets of `n_samples`, of the largest
    $|\hat q_\mu-q_\mu|$ over the lowest tuples, divided by $\sqrt{2\log(4mv/\delta)/N}$; the lemma
    says at most 1. `corrected`: the same with $N\hat p_\mu$ for N. `signal`: over `n_draws`
    grammars, $|q^{(L)}-q^{(L)}|^2$ of the lowest level, the mean over pairs of parents. `equal`:
    share of these draws in which two parents of a level share a law; `below`: in which a distance
    is below $(20m)^{-(l-1)/2}$; `plain`: share of grammars with uniform rules that violate
    Assumption 6.
    """
    return [_lemmas(TheoremConfig(**run.config), run.seed) for run in work.runs]


def _lemmas(config: TheoremConfig, seed: int) -> dict[str, Any]:
    v, m, n = config.vocab_size, config.n_synonyms, config.n_samples
    generator = stream("uniform first tokens", seed)
    found = draw_identifiable(generator, **config.sizes)[1]
    q = found.laws[0].repeat_interleave(m, 0)
    data = stream("theorem frequencies", seed)
    worst: list[tuple[float, float]] = []
    bound = math.sqrt(2 * math.log(4 * m * v / DELTA))
    for _ in range(TRIALS):
        cells = torch.multinomial(q.flatten(), n, replacement=True, generator=data)
        counts = torch.bincount(cells, minlength=q.numel()).view_as(q).double()
        own = counts.sum(1).clamp(min=1)
        off = (counts / own[:, None] - q).square().sum(1).sqrt()
        worst.append((float(off.max()) * n**0.5 / bound, float((off * own.sqrt()).max()) / bound))
    printed, corrected = torch.tensor(worst).double().quantile(1 - DELTA, 0).tolist()
    others = [
        assumption(draw_rules(generator, **config.sizes)).squares for _ in range(config.n_draws)
    ]
    plain = [
        assumption(RandomHierarchy.draw(1000 * seed + i, n_classes=v, **config.sizes)).holds
        for i in range(config.n_draws)
    ]
    proved = [(20 * m) ** -(config.n_levels - 1 - k) for k in range(config.n_levels)]
    least = torch.tensor([[pair[0] for pair in one] for one in others]).double()
    return {
        "printed": printed,
        "corrected": corrected,
        "signal": sum(one[0][1] for one in others) / len(others),
        "equal": float((least < 1e-12).any(1).double().mean()),
        "below": float((least < torch.tensor(proved)).any(1).double().mean()),
        "plain": 1 - sum(plain) / len(plain),
    }  # fmt: skip
