r"""Rules with uniform first tokens, and Assumption 6 of Ren et al. (COLT 2026) read off a grammar.

The paper counts levels from the label; lists here start with the stage that is trained first,
the paper's level L and the book's level 1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.grammar.derivations import check_parameters
from hierlearn.grammar.target import RandomHierarchy


@checked
def draw_rules(generator: torch.Generator, v: int, m: int, n_levels: int) -> RandomHierarchy:
    """Draw the rules of Proposition 19: each of v symbols begins m tuples, dealt out uniformly.

    Raises:
        ValueError: for m above v, or parameters that the model does not allow.
    """
    check_parameters(v, v, m, n_levels, 2)
    if m > v:
        raise ValueError(f"uniform first tokens need m <= v; got {m} > {v}")
    rules = []
    for _ in range(n_levels):
        tails = torch.stack([torch.randperm(v, generator=generator)[:m] for _ in range(v)])
        pairs = torch.stack([torch.arange(v)[:, None].expand(v, m), tails], 2).view(-1, 2)
        dealt = pairs[torch.randperm(len(pairs), generator=generator)]
        rules.append(dealt.view(v, m, 2).to(torch.uint8))
    return RandomHierarchy(tuple(rules), v)


@checked
@dataclass(frozen=True)
class Assumption:
    r"""What Assumption 6 asks of a grammar with as many classes as symbols; lowest level first.

    Attributes:
        laws: $q^{(l)}$, of the label given the parent of the first level-l tuple; a symbol that is
            never a first token has a law of zeros.
        kappa: (6a) every tuple is the first of its level with probability $1/(\kappa mv)$ or more.
        squares: $|q^{(l)}_\mu-q^{(l)}_{\mu'}|^2$ over pairs of parents: the least, and the mean.
        n_synonyms: m.
    """

    laws: tuple[Float[Tensor, "parent label"], ...]
    kappa: float
    squares: tuple[tuple[float, float], ...]
    n_synonyms: int

    def __post_init__(self) -> None:
        at_least(1, n_synonyms=self.n_synonyms)

    @property
    def holds(self) -> bool:
        r"""Whether $\kappa$ is finite and no two parents of a level have one law."""
        return self.kappa < torch.inf and min(least for least, _ in self.squares) > 1e-12

    @checked
    def strength(self, *, typical: bool = False) -> float:
        r"""Return $K_\rho^2=\min_lm^l\rho_l^2$ of (6b), or, typical, that of mean squares."""
        powers = range(len(self.squares), 0, -1)
        scaled = zip(self.squares, powers, strict=True)
        return min(pair[typical] * self.n_synonyms**power for pair, power in scaled)


@checked
def assumption(grammar: RandomHierarchy) -> Assumption:
    r"""Compute the laws of the label by $q^{(l)}\propto T_1\cdots T_{l-1}$, and what (6) asks.

    $T_k(\nu,\mu)$ is the share of the rules of the level-(k-1) symbol $\nu$ that begin with $\mu$
    (Ren et al., App. B); each column is divided by its sum (Bayes, with uniform labels).
    """
    v = grammar.vocab_size
    if grammar.n_classes != v:
        raise ValueError(f"n_classes must be vocab_size = {v}; got {grammar.n_classes}")
    joint, rarest = torch.eye(v).double(), 1.0
    laws: list[Tensor] = []
    squares: list[tuple[float, float]] = []
    for rules in grammar.rules:
        rarest = min(rarest, float(joint.mean(0).min()))
        laws.insert(0, (joint / joint.sum(0).clamp(min=1e-300)).T)
        apart = torch.pdist(laws[0]).square()
        squares.insert(0, (float(apart.min()), float(apart.mean())))
        joint = joint @ torch.nn.functional.one_hot(rules[:, :, 0].long(), v).double().mean(1)
    kappa = 1 / (v * rarest) if rarest else torch.inf
    return Assumption(tuple(laws), kappa, tuple(squares), grammar.synonyms[0])


@checked
def draw_identifiable(
    generator: torch.Generator, v: int, m: int, n_levels: int
) -> tuple[RandomHierarchy, Assumption, int]:
    """Draw rules until Assumption 6 holds; return how many draws violated it as well."""
    for violated in range(1000):
        grammar = draw_rules(generator, v, m, n_levels)
        if (found := assumption(grammar)).holds:
            return grammar, found, violated
    raise ValueError(
        f"a thousand draws with v = {v}, m = {m}, n_levels = {n_levels} violate Assumption 6; take "
        "more symbols or fewer levels"
    )


@checked
def mean_signal(v: int, m: int, level: int) -> float:
    r"""Return $E|q^{(l)}_\mu-q^{(l)}_{\mu'}|^2=2(\frac{v-1}{mv-1})^{l-1}$ over draws, ours.

    For z of sum 0 a row of T averages m of mv balls drawn without replacement, with variance
    $\frac{|z|^2}{vm}\cdot\frac{mv-m}{mv-1}$; levels are independent (Prop. 19 has a lower bound).
    """
    at_least(2, v=v)
    at_least(1, m=m, level=level)
    return float(2 * ((v - 1) / (m * v - 1)) ** (level - 1))
