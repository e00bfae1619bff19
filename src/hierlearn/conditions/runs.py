"""Chapter 7: signal, dirt and margin of one target of every family, and what layerwise fits leave.

`signal`, `inner` and `outer` dirt and `margin` are those of the chapter's table; errors are
divided by the energy, or the variance, of the upper level alone.
"""

from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, islice
from typing import Any

import torch
from torch import Tensor

from hierlearn.conditions import bits, labels
from hierlearn.cube.target import draw_points
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.grammar.config import HierarchyConfig, draw_problem, over_chance
from hierlearn.grammar.counting import predict_by_clustering, predict_by_ridge
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.grammar.layerwise_theorem.learner import TrainedLevel, fit_stage, kernel_of, read
from hierlearn.grammar.layerwise_theorem.target import draw_identifiable
from hierlearn.grammar.measures import rule_counts
from hierlearn.quadratic.layerwise.floors import target_forms
from hierlearn.quadratic.target import QuadraticTeachers

N_TARGETS, N_LOOK_BACKS = 4, 3
WIDTHS = (3, 2)
THEOREM, MOST_ON_TOP = (8, 4, 3), 2048
"""Theorem 7's learner: (v, m, L), and the most examples of its last stage."""
THEOREM_SCALE = THEOREM[0] * THEOREM[1] ** THEOREM[2]


@dataclass(frozen=True)
class ChainConfig(Config):
    """Appendix C's learner on N uniform points: amplitude of its lowest level, 1 of all others."""

    dim: int
    n_samples: int
    lowest: float = 1.0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes: a least squares fit of d^2 / 2 columns a target."""
        return 1e-10 * N_TARGETS * n_runs * self.n_samples * self.dim**4


def measure_chain(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Learn products of all bits by layers; `recovered` is the share of products found, of all.

    The mean over targets; `whole`: the share of targets of which every product was found.
    """
    results = []
    for run in work.runs:
        config, found = ChainConfig(**run.config), []
        depth = config.dim.bit_length() - 1
        for seed in range(N_TARGETS * run.seed, N_TARGETS * (run.seed + 1)):
            amplitudes = (config.lowest, *[1.0] * (depth - 1))
            target = bits.draw_target(seed, dim=config.dim, amplitudes=amplitudes)
            x = draw_points(config.n_samples, config.dim, stream("chain data", seed)).double()
            true = bits.supports(target.order[0].tolist())
            kept = bits.learn_by_layers(x, target.values(x[None])[0], [len(one) for one in true])
            right = sum(len(a & b) for a, b in zip(kept, true, strict=True))
            found.append(right / sum(map(len, true)))
        whole = sum(one == 1 for one in found)
        results.append({"recovered": sum(found) / N_TARGETS, "whole": whole / N_TARGETS})
    return results


@dataclass(frozen=True)
class MinimizerConfig(Config):
    """Appendix C's learner in the population: products of bits that all have mean `bias`."""

    dim: int
    bias: float = 0.0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes: least squares on all points, a stage at a time."""
        return 1e-9 * n_runs * 2**self.dim * self.dim**4


def measure_minimizer(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Solve each stage on all points: `deviation` from $\hat f_S$ on its products, 0 elsewhere.

    The largest over stages and pairs; the coefficients are random in $\pm[\frac12,\frac32]$, and
    a stage fits what those before it leave, by pairs of the true products of the last one.
    """
    results = []
    for run in work.runs:
        config, draws = MinimizerConfig(**run.config), stream("minimizer", run.seed)
        x, weights = bits.all_points(torch.full((config.dim,), config.bias).double())
        order = torch.randperm(config.dim, generator=draws).tolist()
        levels = [sorted(map(sorted, level)) for level in bits.supports(order)]
        sizes = [torch.rand(len(level), generator=draws).double() + 0.5 for level in levels]
        signs = [2 * torch.randint(2, one.shape, generator=draws) - 1 for one in sizes]
        products = [torch.stack([x[:, s].prod(1) for s in level], 1) for level in levels]
        terms = [p @ (a * e) for p, a, e in zip(products, sizes, signs, strict=True)]
        rest, known, worst = torch.stack(terms).sum(0), x, 0.0
        for own, size, sign in zip(products, sizes, signs, strict=True):
            columns = bits.pair_products(known)
            right = (columns.T @ own == len(x)).double() @ (size * sign)
            found = bits.solve(columns, rest, weights)
            worst = max(worst, float((found - right).abs().max()))
            rest, known = rest - columns @ found, own
        results.append({"deviation": worst})
    return results


@dataclass(frozen=True)
class BitsConfig(Config):
    r"""Products of two and of four biased bits, population limit.

    Attributes:
        dim: d, 4 or 8.
        bias: b, the mean of every bit; with `uneven`, means are drawn uniformly from [b/2, b].
        amplitude: a of the products of four; that of pairs is 1.
        spare: how many more pairs than the target has are kept as features.
    """

    dim: int
    bias: float
    amplitude: float = 1.0
    uneven: bool = False
    spare: int = 0

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes."""
        return 0.003 * N_TARGETS * n_runs


def measure_bits(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Solve stages by enumeration: means over targets of other signs, of `margin` the least.

    `outputs[n]`: left after n look-backs when stage 1's output is frozen, the products of the upper
    level known. `readout`: left when the kept pairs are frozen and everything up to products of two
    of them is fitted; `worst` is its largest. With d = 4, whose $\delta$ is in closed form,
    `deviation` is the largest $|\cdot-1|$ of `outputs` over $\delta^{2n+1}(1-\delta)$, `rival` over
    $\delta^{n+1}(1-\delta)$.
    """
    results = []
    for run in work.runs:
        config = BitsConfig(**run.config)
        seeds = range(N_TARGETS * run.seed, N_TARGETS * (run.seed + 1))
        found = [_bits(config, seed) for seed in seeds]
        laws = {key: [one.pop(key) for one in found] for key in ("deviation", "rival")}
        margins = [float(one.pop("margin")) for one in found]
        mean = {key: (sum(one[key] for one in found) / N_TARGETS) for key in found[0]}
        results.append(
            {key: value.tolist() for key, value in mean.items()}
            | {"worst": max(float(one["readout"]) for one in found), "margin": min(margins)}
            | ({key: max(one) for key, one in laws.items()} if config.dim == 4 else {})
        )
    return results


def _bits(config: BitsConfig, seed: int) -> dict[str, Any]:
    a, d = config.amplitude, config.dim
    means = torch.full((d,), config.bias, dtype=torch.float64)
    if config.uneven:
        means *= 1 - torch.rand(d, generator=stream("means of bits", seed)) / 2
    x, weights = bits.all_points(means)
    amplitudes = (1.0, a) if d == 4 else (1.0, a, 0.0)
    target = bits.draw_target(seed, dim=d, amplitudes=amplitudes)
    y = target.values(x[None])[0]
    order = target.order[0]
    pairs = x[:, order].unflatten(1, (-1, 2)).prod(2) * target.signs
    upper = a * pairs.unflatten(1, (-1, 2)).prod(2)
    own, level = bits.up_to_pairs(x), upper.sum(1)

    def energy(f: Tensor) -> Tensor:
        return (weights * f.square()).sum()

    def variance(f: Tensor) -> Tensor:
        return energy(f - (weights * f).sum())

    first = bits.solve(own, y, weights)
    output = own @ first
    _, cell = torch.unique(pairs, dim=0, return_inverse=True)
    mass, sums = (torch.zeros(2 ** (d // 2)).double().index_add_(0, cell, w) for w in
                  (weights, weights * output))  # fmt: skip
    clean = (sums / mass)[cell]
    true = bits.supports(order.tolist())[0]
    right = torch.tensor([frozenset(pair) in true for pair in combinations(range(d), 2)])
    size = first[1 + d :].abs()
    kept = bits.pair_products(x)[:, size.topk(d // 2 + config.spare).indices]
    readout = bits.up_to_pairs(kept)
    inner = energy(own @ bits.solve(own, level, weights)) / energy(level)
    fits = islice(bits.alternate(own, upper, y, weights), N_LOOK_BACKS + 1)
    outputs = torch.stack([energy(y - own @ b - upper @ c) for b, c in fits]) / energy(level)
    dirt, n = bits.inner_dirt(means[order[:4]]), range(len(outputs))
    law = means.new_tensor([bits.after_look_backs(dirt, k) for k in n])
    rival = means.new_tensor([dirt ** (k + 1) * (1 - dirt) for k in n])
    return {
        "signal": variance(clean) / variance(y),
        "inner": inner,
        "outer": variance(output - clean) / variance(output),
        "margin": 1 - size[~right].max() / size[right].min(),
        "outputs": outputs,
        "readout": energy(y - readout @ bits.solve(readout, y, weights)) / energy(level),
        "deviation": float((outputs / law - 1).abs().max()),
        "rival": float((outputs / rival - 1).abs().max()),
    }


@dataclass(frozen=True)
class ShapeConfig(Config):
    """How much of a function of degree four is of degree two, under one law of the inputs."""

    law: str
    form: str
    n_samples: int = 10_000
    dim: int = 8

    CHOICES = {"law": ("bits", "Gaussian"), "form": ("product", "rotated product", "squares")}

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes."""
        return 5e-6 * self.n_samples * n_runs


def measure_shapes(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Read `inner` dirt off data: explained on N fresh points, by a quadratic fitted to N points.

    "product" is $x_1x_2x_3x_4$, "rotated product" $s_1s_2s_3s_4$ and "squares"
    $(s_1^2+s_2^2-2)^2$, with $s=Wx$ and W random, of orthonormal rows.
    """
    results = []
    for run in work.runs:
        config = ShapeConfig(**run.config)
        n, d, data = config.n_samples, config.dim, stream("shapes", run.seed)
        x = draw_points(2 * n, d, data).double()
        if config.law == "Gaussian":
            x = torch.randn(2 * n, d, generator=data).double()
        w = torch.linalg.qr(torch.randn(d, d, generator=data).double()).Q
        s = x if config.form == "product" else x @ w
        e = s[:, :4].prod(1)
        if config.form == "squares":
            e = (s[:, :2].square().sum(1) - 2).square()
        own = _quadratics(x) if config.law == "Gaussian" else bits.up_to_pairs(x)
        e = e - e[:n].mean()
        rest = e[n:] - own[n:] @ bits.solve(own[:n], e[:n], torch.ones(n).double())
        results.append({"inner": float(1 - rest.square().mean() / e[n:].square().mean())})
    return results


def _quadratics(x: Tensor) -> Tensor:
    return torch.cat([bits.up_to_pairs(x), x.square() - 1], 1)


@dataclass(frozen=True)
class QuadraticConfig(Config):
    r"""A Gaussian hierarchy of three levels, $k=(3,2)$, d = 8: skip $\rho$, gap $\alpha_3$."""

    skip: float
    gap: float = 0.2
    dim: int = 8
    n_samples: int = 20_000

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes."""
        return 5e-6 * self.n_samples * n_runs


def measure_quadratic(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Compute the conditions exactly, by Hermite coefficients, and what layerwise fits leave.

    Stage 1's population fit is $x^\top Ax$ with $A=a_2W^\top W+a_3B_3$. `outputs`: left on fresh
    points when a quadratic fitted to N points is frozen and the coefficient of $\mathrm{Sum}(h_3)$
    is then fitted; `law`: $\delta(1-\delta)$. `readout`: left, exactly, when the leading
    eigenvectors of A are frozen and all of degree 2, of degree 4 in the features $\hat S$, and
    $\hat S_i\hat S_jx_k$ is fitted.
    """
    return [_quadratic(QuadraticConfig(**run.config), run.seed) for run in work.runs]


def _quadratic(config: QuadraticConfig, seed: int) -> dict[str, Any]:
    d, (k, _), n = config.dim, WIDTHS, config.n_samples
    teacher = QuadraticTeachers.draw(
        [seed], dim=d, widths=WIDTHS, skip=config.skip, dtype=torch.float64
    )
    first, mixing, skips = teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0]
    amplitudes = teacher.amplitudes(torch.tensor([[[1, config.gap]]]).double())[0, 0]
    form = amplitudes[0] * first.T @ first + amplitudes[1] * teacher.bias_form()[0]
    values, vectors = torch.linalg.eigh(form)
    values = values.flip(0)
    clean = first @ form @ first.T
    alone = torch.tensor([0.0, 1.0]).double()
    places = [torch.tensor([*combinations_with_replacement(range(d), p)]) for p in (4, 3)]
    sizes = [len(one) for one in places]

    def left(basis: Tensor) -> float:
        """Return the share of level 3 that no function of the readout class explains."""
        turned = target_forms(first @ basis, mixing, skips @ basis, alone).hermite()
        outside = [(one >= k).sum(1) for one in places]
        four, three = (part.square() for part in turned[: sum(sizes)].split(sizes))
        lost = four[outside[0] > 0].sum() + three[outside[1] > 1].sum()
        return float(lost / turned.square().sum())

    upper = target_forms(first, mixing, skips, alone).hermite().square()
    inner = float(upper[sum(sizes) :].sum() / upper.sum())
    x = torch.randn(2 * n, d, generator=stream("quadratic data", seed)).double()
    sums = teacher.level_sums(x[None])[0]
    y, own, level = amplitudes @ sums, _quadratics(x), amplitudes[1] * sums[1]
    weights = torch.ones(n).double()
    low, high = next(bits.alternate(own[:n], level[:n, None], y[:n], weights))
    rest = y[n:] - own[n:] @ low - level[n:] * high
    outer = 1 - float(clean.square().sum() / form.square().sum())
    variance = float(target_forms(first, mixing, skips, amplitudes).variance())
    return {
        "signal": 2 * float(clean.square().sum()) / variance,
        "inner": inner,
        "outer": max(outer, 0.0),
        "margin": 1 - float(values[k] / values[k - 1]),
        "outputs": float(rest.square().mean() / level[n:].square().mean()),
        "law": bits.after_look_backs(inner, 0),
        "readout": left(vectors.flip(1)),
    }


LEARNERS = {"clustered": predict_by_clustering, "ridge": predict_by_ridge}


def measure_grammar(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a layerwise learner of chapter 4; compute signal, outer dirt and margin of pairs.

    `read_signal`, `read_outer`: read off the label counts of the same data; `naive_outer`: without
    taking off what the sampling adds. `error` is the test error over chance.
    """
    return [_grammar(HierarchyConfig(**run.config), run.seed) for run in work.runs]


def _grammar(config: HierarchyConfig, seed: int) -> dict[str, Any]:
    problem = draw_problem(config, seed)
    grammar, n = problem.law.grammar, config.n_samples
    v, m = config.vocab_size, config.n_synonyms
    guess = LEARNERS[config.learner](
        problem.train, problem.labels, problem.test, vocab_size=v, n_classes=config.n_classes,
        generator=stream(f"{config.learner} learner", seed),
    )  # fmt: skip
    counted = rule_counts(grammar, problem.train, problem.labels) / n
    law = labels.joint_law(problem.law)
    signal, outer = labels.shares(law, m)
    read_signal, read_outer = labels.shares(counted, m, n_samples=n)
    return {
        "error": over_chance(
            float((guess != problem.test_labels).double().mean()), config.n_classes
        ),
        "signal": signal,
        "outer": max(outer, 0.0),
        "margin": labels.margin(law, m),
        "read_signal": read_signal,
        "read_outer": read_outer,
        "naive_outer": labels.shares(counted, m)[1],
    }


@dataclass(frozen=True)
class DirtConfig(Config):
    r"""Theorem 7's learner on (8,8,4,3), with uniform first tokens, under a dial.

    N fresh examples of the lowest stage, m times fewer of each further one, at most `MOST_ON_TOP`
    of the last; $\sigma$ of a stage in units of the least distance of its tokens' laws, which the
    dials leave as they are.
    """

    n_samples: int
    dial: str
    t: float
    bandwidth: float = 0.25

    def seconds(self, n_runs: int) -> float:
        """Return what a group takes: little, but for the last stage."""
        return 0.4 * n_runs


def measure_dirt(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train the stages of Theorem 7's learner on data under a dial; `error` is over chance."""
    return [{"error": _dirty(DirtConfig(**run.config), run.seed)} for run in work.runs]


def _dirty(config: DirtConfig, seed: int) -> float:
    v, m, depth = THEOREM
    grammar, found, _ = draw_identifiable(stream("uniform first tokens", seed), v, m, depth)
    law = DialedHierarchy(grammar, config.dial, config.t)
    data, stages = stream("dirt data", seed), list[TrainedLevel]()
    for k in range(depth):
        n = round(config.n_samples / m**k)
        strings = law._tilted(n if k < depth - 1 else min(n, MOST_ON_TOP), data)
        patches, place = read(stages, strings[:, : 2 ** (k + 1)], vocab_size=v)
        cells = place[:, 0] * v + law.labels(strings)
        counts = torch.bincount(cells, minlength=len(patches) * v).view(-1, v)
        sigma = config.bandwidth * found.squares[k - 1][0] ** 0.5 if k else 0.35
        kernel = kernel_of(sigma, 2 * v)
        stages.append(fit_stage(patches, counts.double(), kernel, ridge=1 / (m * v)))
    strings = law._tilted(1000, stream("dirt test", seed))
    patches, place = read(stages[:-1], strings, vocab_size=v)
    wrong = stages[-1](patches).argmax(1)[place[:, 0]] != law.labels(strings)
    return over_chance(float(wrong.double().mean()), v)
