r"""What the labels say about synonyms, and how far a network's layers have merged them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from hierlearn.engine.doors import at_least, check_indices, checked
from hierlearn.grammar.derivations import codes_of
from hierlearn.grammar.target import RandomHierarchy


@checked
def label_counts(
    types: Int64[Tensor, "n position"], labels: Int64[Tensor, "n"], *, n_types: int, n_classes: int
) -> Float[Tensor, "type position label"]:
    """Count data by the type of the patch at each position and by label."""
    check_indices(n_types, types=types)
    check_indices(n_classes, labels=labels)
    n_positions = types.shape[1]
    cell = (types * n_positions + torch.arange(n_positions)) * n_classes + labels[:, None]
    counts = torch.bincount(cell.flatten(), minlength=n_types * n_positions * n_classes)
    return counts.view(n_types, n_positions, n_classes).double()


@checked
def rule_counts(
    grammar: RandomHierarchy, strings: Integer[Tensor, "n dim"], labels: Int64[Tensor, "n"]
) -> Float[Tensor, "rule position label"]:
    """Count data by the lowest rule at each position, in the order of parents, and by label."""
    rules, v, s = grammar.rules[-1], grammar.vocab_size, grammar.branching
    row_of = torch.full((v**s,), -1)
    row_of[codes_of(rules.flatten(0, 1), v)] = torch.arange(rules[..., 0].numel())
    types = row_of[codes_of(strings.view(len(strings), -1, s), v)]
    return label_counts(types, labels, n_types=rules[..., 0].numel(), n_classes=grammar.n_classes)


def _pair_sums(
    values: Tensor, kept: Tensor, parents: Tensor, n_parents: int
) -> tuple[float, float, float, float]:
    r"""Sum |difference|^2 over ordered pairs at equal position, and count them: within, between.

    Within a parent and in total, by $2n\sum|F|^2-2|\sum F|^2$ over n values F.
    """
    values = values * kept[:, :, None]
    squares = (values * values).sum(2)
    groups = [torch.zeros(n_parents, *t.shape[1:]).double() for t in (kept, squares, values)]
    for group, source in zip(groups, (kept.double(), squares, values), strict=True):
        group.index_add_(0, parents, source)
    n, total, vector = groups
    within = (2 * n * total - 2 * vector.square().sum(2)).sum()
    within_pairs = (n * (n - 1)).sum()
    n, total, vector = n.sum(0), total.sum(0), vector.sum(0)
    every = (2 * n * total - 2 * vector.square().sum(1)).sum()
    every_pairs = (n * (n - 1)).sum()
    return (
        float(within), float(within_pairs), float(every - within),
        float(every_pairs - within_pairs),
    )  # fmt: skip


def _n_parents(parents: Tensor) -> int:
    if not len(parents) or int(parents.min()) < 0:
        raise ValueError(f"parents must be at least 0, and at least one; got {parents.tolist()}")
    return int(parents.max()) + 1


def _check_pairs(n_within: float, n_between: float, least: int) -> None:
    if not n_within or not n_between:
        raise ValueError(
            f"counts must have, at some position, two types of one parent and two of different "
            f"parents with {least} data or more each; got {n_within:g} and {n_between:g} pairs"
        )


@checked
def detectability(
    counts: Float[Tensor, "type position label"], parents: Int64[Tensor, "type"], *, least: int = 2
) -> float:
    r"""Compute R: how much more the labels tell non-synonyms apart than synonyms.

    $$R=\frac{E|\hat p_{\mu j}-\hat p_{\nu j}|^2_{\text{different parents}}}
    {E|\hat p_{\mu j}-\hat p_{\nu j}|^2_{\text{same parent}}}$$
    over ordered pairs of types at equal position, positions pooled, with $\hat p_{\mu j}$ the label
    frequencies of type mu at position j. Cells with fewer than `least` data are left out.
    """
    frequencies, _, kept = _frequencies(counts.double(), least)
    within, n_within, between, n_between = _pair_sums(
        frequencies, kept, parents, _n_parents(parents)
    )
    _check_pairs(n_within, n_between, least)
    if not within:
        raise ValueError("R needs synonyms whose label frequencies differ; all of them are equal")
    return (between / n_between) / (within / n_within)


@checked
def detectability_law(n_samples: int, *, scale: int, n_strings: int) -> float:
    r"""Return $1+\frac{P}{n_cm^L}\cdot\frac{P_{\max}}{P_{\max}-P}$, our law for R.

    It balances the signal $v/(n_cm^{L-1})$ and the noise mv/P a type in Cagnetta et al., Eq. 10;
    the last factor is that of sampling without replacement.
    """
    at_least(1, scale=scale)
    if not 0 <= n_samples < n_strings:
        raise ValueError(f"n_samples must lie in 0..{n_strings - 1}; got {n_samples}")
    return 1 + n_samples / scale * n_strings / (n_strings - n_samples)


@checked
@dataclass(frozen=True)
class Conditions:
    r"""The three conditions of chaining as numbers at level 1, in units of the sampling noise.

    With $\hat p_{\mu j}$ the label frequencies given type mu at position j, $\hat p_{aj}$ those
    given its parent a, and u the noise of either, an estimate of $E|\hat p-p|^2$:

    Attributes:
        signal: $S=(A/B-1)/m$, how far apart the label laws of parents lie, debiased, with
            $A=E_{a\ne b,j}|\hat p_{aj}-\hat p_{bj}|^2$ and $B=E(u_{aj}+u_{bj})$. Correlation,
            condition (i): $P/P_0$ for random rules, 0 without. What synonyms do does not enter.
        dirt: $W=E|\hat p_{\mu j}-\hat p_{\nu j}|^2/2E(u_{\mu j})$ over synonyms. Clean signal,
            condition (ii): 1 when clean.
        margin: $G=E_a\min_b A_{ab}/B_{ab}$, the sums over j of the same. Identifiability,
            condition (iii): 1 or less when two parents cannot be told apart.
    """

    signal: float
    dirt: float
    margin: float


@checked
def conditions(
    counts: Float[Tensor, "type position label"], parents: Int64[Tensor, "type"], *, least: int = 3
) -> Conditions:
    r"""Compute signal, dirt and margin from label counts, cells with `least` data or more.

    $u=(1-\sum_c\hat p_c^2)/(N-1)$ is an unbiased estimate of the noise of a cell of N data.
    """
    n = _n_parents(parents)
    counts = counts.double()
    p, noise, kept = _frequencies(counts, least)
    within, n_within, _, n_between = _pair_sums(p, kept, parents, n)
    _check_pairs(n_within, n_between, least)
    floor = 2 * float(noise[kept].mean())
    if not floor > 0:
        raise ValueError("conditions need sampling noise; every cell has data of one label only")
    law, blur, known = _frequencies(
        torch.zeros(n, *counts.shape[1:]).double().index_add_(0, parents, counts), least
    )
    both = (known[:, None] & known[None, :]).double() * (1 - torch.eye(n).double())[:, :, None]
    apart = (law[:, None] - law[None, :]).square().sum(3) * both
    chance = (blur[:, None] + blur[None, :]) * both
    ratio = apart.sum(2) / chance.sum(2).clamp(min=1e-300)
    return Conditions(
        float(apart.sum() / chance.sum() - 1) * n / len(parents),
        within / n_within / floor,
        float(ratio.fill_diagonal_(torch.inf).min(1).values.mean()),
    )


def _frequencies(counts: Tensor, least: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the frequencies of cells, their noise, and which have `least` data or more."""
    total = counts.sum(2)
    p = counts / total.clamp(min=1)[:, :, None]
    return p, (1 - p.square().sum(2)) / (total - 1).clamp(min=1), total >= least


@checked
def sensitivity(
    activations: Float[Tensor, "n feature"], swapped: Float[Tensor, "n feature"]
) -> float | None:
    r"""Compute how much features move when synonyms are exchanged, relative to other data.

    $S=E|f(x)-f(x')|^2/(2E|f(x)-\bar f|^2)$: 0 when f ignores the choice among synonyms, 1 when
    the exchange moves it as far as an independent string would (Cagnetta et al., section IV).
    `None` when the features are constant; where they are so up to rounding, S is a quotient of
    rounding errors.
    """
    spread = 2 * (activations - activations.mean(0)).square().sum(1).mean()
    if float(spread) == 0:
        return None
    return float((activations - swapped).square().sum(1).mean() / spread)
