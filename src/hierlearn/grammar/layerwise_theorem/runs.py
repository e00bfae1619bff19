"""Chapter 4: runs of Theorem 7's learner, and what its lemmas say at finite size."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.grammar.config import over_chance
from hierlearn.grammar.counting import predict_by_ridge
from hierlearn.grammar.layerwise_theorem.learner import TrainedLevel, fit_stage, kernel_of, read
from hierlearn.grammar.layerwise_theorem.target import (
    Assumption,
    assumption,
    draw_identifiable,
    draw_rules,
)
from hierlearn.grammar.networks import TOLERANCE, PatchNetworks, Shape, TrainingSets
from hierlearn.grammar.target import RandomHierarchy

LEVEL, N_TEST, TRIALS, DELTA = 0.1, 1000, 100, 0.1
"""The error over chance that a size is asked for; test strings; data sets, and their share."""


@dataclass(frozen=True)
class TheoremConfig(Config):
    r"""Theorem 7's learner on a grammar with $n_c=v$, branching 2 and uniform first tokens.

    Attributes:
        vocab_size, n_synonyms, n_levels: v, m, L.
        n_samples: N of the lowest stage, fresh data; each further one has m times fewer.
        bandwidth: $\sigma$ of a stage in units of the least distance of its tokens' laws.
        lowest_bandwidth: $\sigma$ of the lowest stage, whose tokens are one-hot.
        n_below: N of the lowest stage where it is not `n_samples`.
        width: M, frequencies of the random features; 0 is their limit.
        reuse: all stages train on the same `n_samples` data.
        n_stages: how many stages are trained, 0 for all.
        n_draws: grammars, one after the other.
        learner: "theorem", or on one data set of `n_samples` the chapter's own: "ridge" regression,
            "layerwise" SGD, a "network" trained end to end.
        n_steps: cap on the steps of a network, or of its last stage; a lower one has a sixth.
    """

    vocab_size: int
    n_synonyms: int
    n_levels: int
    n_samples: int = 0
    bandwidth: float = 0.5
    lowest_bandwidth: float = 0.35
    n_below: int = 0
    width: int = 0
    reuse: bool = False
    n_stages: int = 0
    n_draws: int = 1
    learner: str = "theorem"
    n_steps: int = 6000

    CHOICES = {"learner": ("theorem", "ridge", "layerwise", "network")}

    @property
    def parameters(self) -> tuple[int, int, int]:
        """Return (v, m, L)."""
        return self.vocab_size, self.n_synonyms, self.n_levels

    @property
    def scale(self) -> int:
        """Return $P_0=vm^L$."""
        return int(self.vocab_size * self.n_synonyms**self.n_levels)

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes, roughly."""
        one = 0.05 if self.learner in ("theorem", "ridge") else 0.6
        return n_runs * self.n_draws * (one if self.n_samples else 2e-4 * self.scale)


@dataclass
class _Problem:
    """One grammar, what the assumption says of it, and the streams of one run."""

    config: TheoremConfig
    grammar: RandomHierarchy
    found: Assumption
    violated: int
    seed: int

    def train(self, n_samples: int) -> list[TrainedLevel]:
        config, v, m = self.config, self.config.vocab_size, self.config.n_synonyms
        data, draws = stream("theorem data", self.seed), stream("theorem features", self.seed)
        stages: list[TrainedLevel] = []
        for k in range(config.n_stages or config.n_levels):
            if not (stages and config.reuse):
                fresh = n_samples if k else config.n_below or n_samples
                strings, labels = self.grammar.sample(max(round(fresh / m**k), 1), data)
            patches, place = read(stages, strings[:, : 2 ** (k + 1)], vocab_size=v)
            counts = torch.bincount(place[:, 0] * v + labels, minlength=len(patches) * v)
            least = math.sqrt(self.found.squares[k - 1][0])
            sigma = config.bandwidth * least if k else config.lowest_bandwidth
            kernel = kernel_of(sigma, 2 * v, width=config.width, generator=draws)
            stages.append(
                fit_stage(patches, counts.view(-1, v).double(), kernel, ridge=1 / (m * v))
            )
        return stages

    def error(self, stages: list[TrainedLevel]) -> float:
        strings, labels = self.grammar.sample(N_TEST, stream("theorem test", self.seed))
        patches, place = read(stages[:-1], strings, vocab_size=self.config.vocab_size)
        wrong = stages[-1](patches).argmax(1)[place[:, 0]] != labels
        return over_chance(float(wrong.double().mean()), self.config.vocab_size)

    def deviation(self, stages: list[TrainedLevel], k: int) -> tuple[float, float]:
        """Return the rms of $h-q$ of stage k over the different first tuples, and its law."""
        v, m = self.config.vocab_size, self.config.n_synonyms
        strings, _ = self.grammar.sample(N_TEST, stream("theorem test", self.seed))
        patches, place = read(stages[:k], strings[:, : 2 ** (k + 1)], vocab_size=v)
        owner = torch.empty(len(patches), dtype=torch.int64)
        owner[place[:, 0]] = self.grammar.symbols_at(strings, level=k + 1)[:, 0]
        q = self.found.laws[k]
        rms = (stages[k](patches) - q[owner]).square().sum(1).mean().sqrt()
        spread = float(1 - q.square().sum(1).mean())
        return float(rms), math.sqrt(v * m * spread * m**k / self.config.n_samples)


def _problems(config: TheoremConfig, seed: int) -> list[_Problem]:
    generator = stream("uniform first tokens", seed)
    return [
        _Problem(config, *draw_identifiable(generator, *config.parameters), seed * 1000 + i)
        for i in range(config.n_draws)
    ]


def measure_stages(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Train on `n_samples`: the rms of h - q of every stage, lowest first, its `law`, the error.

    The law is $\sqrt{mv(1-\overline{|q|^2})/N}$ with N the data of the stage (ours: q estimated by
    label frequencies). `error` is over chance, None where stages are left out. `violated` counts
    the draws in which Assumption 6 failed before the one that is used.
    """
    results = []
    for run in work.runs:
        config = TheoremConfig(**run.config)
        (problem,) = _problems(config, run.seed)
        stages = problem.train(config.n_samples)
        rms, law = zip(*(problem.deviation(stages, k) for k in range(len(stages))), strict=True)
        error = None if config.n_stages else problem.error(stages)
        results.append(
            {"rms": list(rms), "law": list(law), "error": error, "violated": problem.violated}
        )
    return results


def measure_sizes(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Raise the N of the lowest stage, $2^{i/2}P_0$ from i = -2 to 16, until the error is < 0.1.

    Every draw has its `sizes`, `errors`, and $K_\rho^2$, by the smallest distances and by the mean
    ones; `violated` counts the draws in which Assumption 6 failed, and whose place it took.
    """
    return [
        {"draws": [_scan(one) for one in _problems(TheoremConfig(**run.config), run.seed)]}
        for run in work.runs
    ]


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
        "mean_strength": problem.found.strength(typical=True),
        "violated": problem.violated,
    }


def measure_beside(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a learner on `n_samples` of the draws of Theorem 7's: `error` is over chance.

    Ridge regression, layerwise SGD and the network trained end to end are those of the rest of the
    chapter. `converged`, of the last two: the smoothed training loss ended below 0.001.
    """
    problems = [
        one for run in work.runs for one in _problems(TheoremConfig(**run.config), run.seed)
    ]
    learner = problems[0].config.learner
    if learner in ("network", "layerwise"):
        return _networks(problems, device)
    return [
        {
            "error": one.error(one.train(one.config.n_samples))
            if learner == "theorem"
            else _ridge(one)
        }
        for one in problems
    ]


def _data(one: _Problem) -> list[Tensor]:
    """Return strings and labels, to train on and to test with, as `train` and `error` draw them."""
    train = one.grammar.sample(one.config.n_samples, stream("theorem data", one.seed))
    return [*train, *one.grammar.sample(N_TEST, stream("theorem test", one.seed))]


def _ridge(one: _Problem) -> float:
    train, labels, test, truth = _data(one)
    v = one.config.vocab_size
    guess = predict_by_ridge(
        train, labels, test, vocab_size=v, n_classes=v,
        generator=stream("theorem features", one.seed),
    )  # fmt: skip
    return over_chance(float((guess != truth).double().mean()), v)


def _networks(problems: list[_Problem], device: torch.device) -> list[dict[str, Any]]:
    """Train 64 channels a layer on all problems at once, all layers or each over frozen ones."""
    first, n = problems[0].config, len(problems)
    v, _, depth = first.parameters
    train, labels, test, truth = zip(*map(_data, problems), strict=True)
    sets = TrainingSets(
        torch.cat(train).to(device, torch.int32), torch.cat(labels).to(device),
        [len(one) for one in train], [stream("theorem batches", one.seed) for one in problems],
    )  # fmt: skip
    starts = [stream("theorem layers", one.seed) for one in problems]
    net = PatchNetworks(Shape(v, v, 64, (2,) * depth, v), starts, device=device)
    for stage in range(1 if first.learner == "layerwise" else depth, depth + 1):
        head = net.new_head(stage)
        lowest = stage if first.learner == "layerwise" else 1
        steps = first.n_steps if stage == depth else first.n_steps // 6
        found = net.fit(sets, head, lowest=lowest, n_steps=steps)
    seen = torch.stack(test).to(device, torch.int32)
    errors = net.errors(seen, torch.stack(truth).to(device), head)
    return [{"error": errors[i], "converged": found[i]["loss"] < TOLERANCE} for i in range(n)]


def measure_lemmas(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Hold label frequencies to Lemma 18 at $\delta=0.1$, and count what violates Assumption 6.

    `printed`: the $1-\delta$ quantile, over 100 data sets of `n_samples`, of the largest
    $|\hat q_\mu-q_\mu|$ of lowest tuples over $\sqrt{2\log(4mv/\delta)/N}$, of which the lemma says
    at most 1; `corrected`: with $N\hat p_\mu$ for N. Over `n_draws` grammars, `signal`: the mean
    squared distance at the lowest level; `equal`: share in which two parents of a level have one
    law; `plain`: share of grammars with uniform rules that violate Assumption 6.
    """
    return [_lemmas(TheoremConfig(**run.config), run.seed) for run in work.runs]


def _lemmas(config: TheoremConfig, seed: int) -> dict[str, Any]:
    (v, m, depth), n = config.parameters, config.n_samples
    generator = stream("uniform first tokens", seed)
    q = draw_identifiable(generator, v, m, depth)[1].laws[0].repeat_interleave(m, 0)
    data, worst = stream("theorem frequencies", seed), torch.empty(TRIALS, 2).double()
    for trial in worst:
        cells = torch.multinomial(q.flatten(), n, replacement=True, generator=data)
        counts = torch.bincount(cells, minlength=q.numel()).view_as(q).double()
        own = counts.sum(1, keepdim=True).clamp(min=1)
        off = (counts / own - q).square().sum(1, keepdim=True).sqrt()
        trial.copy_((off * torch.cat([torch.full_like(own, n), own], 1).sqrt()).amax(0))
    worst /= math.sqrt(2 * math.log(4 * m * v / DELTA))
    printed, corrected = worst.quantile(1 - DELTA, 0).tolist()
    draws = range(config.n_draws)
    found = [assumption(draw_rules(generator, v, m, depth)) for _ in draws]
    plain = [
        RandomHierarchy.draw(
            1000 * seed + i, vocab_size=v, n_classes=v, n_synonyms=m, n_levels=depth
        )
        for i in draws
    ]
    return {
        "printed": printed,
        "corrected": corrected,
        "signal": sum(one.squares[0][1] for one in found) / len(found),
        "equal": 1 - sum(one.holds for one in found) / len(found),
        "plain": 1 - sum(assumption(one).holds for one in plain) / len(plain),
    }
