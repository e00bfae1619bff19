r"""Random Hierarchy Models with one condition of the chaining argument taken away by degrees.

Ren et al. (COLT 2026, Informal Principle 2) name three conditions, which are together sufficient:
(i) the label is correlated with the parts of the input, (ii) what reaches a part is clean: given
its parent symbol it is independent of label and rest, (iii) parts are identifiable by their label
statistics. Each dial here breaks one of them as t goes from 0, which is exactly the Random
Hierarchy Model, to 1. The dials are ours; the paper has none.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from hierlearn.engine.doors import at_least, checked
from hierlearn.engine.seeds import stream
from hierlearn.grammar.derivations import check_parameters, first_occurrences
from hierlearn.grammar.target import RandomHierarchy

DIALS = {
    "none": "the Random Hierarchy Model",
    "corr": "(i) top rules from a Latin square: y is independent of either half of the input",
    "corrall": "(i) the same at every level",
    "ident4": "(iii) fours of symbols share their label statistics at level 2",
    "hint": "(ii) lowest rule choices lean towards the parity of the label",
    "shared": "null: lowest rule choices lean towards a fair latent bit",
    "skip": "(ii) the first patch's rule shifts the label past the hierarchy",
    "xor": "(iii) two top classes differ by a parity that no patch shows",
}


@checked
@dataclass(frozen=True)
class DialedHierarchy:
    """A grammar and the law its strings and labels are drawn from.

    Attributes:
        grammar: the rules.
        dial: a key of `DIALS`.
        t: how far it is turned, in [0, 1].
        marks: for "skip" the marked level-1 rules, `[symbol, synonym]`.
    """

    grammar: RandomHierarchy
    dial: str
    t: float
    marks: Bool[Tensor, "symbol synonym"] | None = None

    def __post_init__(self) -> None:
        _check_turn(self.dial, self.t)
        wanted = (self.grammar.vocab_size, self.grammar.synonyms[-1])
        marks = None if self.marks is None else tuple(self.marks.shape)
        if marks != (wanted if self.dial == "skip" else None):
            raise ValueError(
                f"marks must be {wanted} for 'skip' and None for other dials; got {marks} for "
                f"{self.dial!r}"
            )

    @classmethod
    @checked
    def draw(
        cls,
        seed: int,
        *,
        vocab_size: int,
        n_classes: int,
        n_synonyms: int,
        n_levels: int,
        dial: str = "none",
        t: float = 0.0,
    ) -> "DialedHierarchy":
        """Draw the rules of `seed`, branching 2.

        A dial that leaves the rules alone has those of "none", at any t.

        Raises:
            ValueError: for an unknown dial, t outside [0, 1], or parameters that the model or the
                dial does not allow.
        """
        _check_turn(dial, t)
        v, m = vocab_size, n_synonyms
        check_parameters(v, n_classes, 1 if dial == "corr" else m, n_levels, 2)
        _check_dial(dial, v, n_classes, m, n_levels)
        generator = stream("hierarchy rules", seed)
        rules = []
        for level in range(n_levels, 0, -1):
            top = level == n_levels
            parents, own = n_classes if top else v, v if top and dial == "corr" else m
            check_parameters(v, parents, own, 1, 2)
            if top and dial == "xor":
                rules.append(parity_rules(v, parents, own, generator))
                continue
            turn = t
            if dial == "corrall" or top and dial == "corr":
                table = latin_table(v, parents, generator)
            elif dial == "ident4" and level == 2:
                table = twin_table(v, parents, own, TWINS, generator)
            else:
                table, turn = plain_table(v, parents, own, generator), 0.0
            rules.append(_rules_of(blur(table, 1 - turn, generator), parents, own))
        marks = _marks(v, m, t, generator) if dial == "skip" else None
        return cls(RandomHierarchy(tuple(rules), v), dial, t, marks)

    @checked
    def sample_distinct(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n different strings with their labels."""
        at_least(0, n=n)
        if self.dial not in ("hint", "shared") or not self.t:
            strings, _ = self.grammar.sample_distinct(n, generator)
            return strings, self.labels(strings)
        strings = torch.empty(0, self.grammar.dim, dtype=torch.uint8)
        tries = 0
        while len(strings) < n:
            strings = torch.cat([strings, self._tilted(n - len(strings) + n // 8, generator)])
            strings = strings[first_occurrences(strings)][:n]
            tries += 1
            if tries > 200:
                raise ValueError(
                    f"dial {self.dial!r} at t = {self.t} does not reach {n} different strings; "
                    f"only {len(strings)} found"
                )
        return strings, self.labels(strings)

    @checked
    def labels(self, strings: UInt8[Tensor, "n dim"]) -> Int64[Tensor, "n"]:
        """Return the labels of grammatical strings: the root, shifted by the first mark if any."""
        root, choices = self.grammar.parse(strings)
        if self.marks is None:
            return root
        first = self.grammar.symbols_at(strings, level=1)[:, 0]
        return (root + self.marks[first, choices[-1][:, 0]].long()) % self.grammar.n_classes

    def _tilted(self, n: int, generator: torch.Generator) -> Tensor:
        grammar = self.grammar
        labels = torch.randint(grammar.n_classes, (n,), generator=generator)
        choices = [
            torch.randint(m, (n, grammar.branching**i), generator=generator)
            for i, m in enumerate(grammar.synonyms)
        ]
        lowest, m = choices[-1], grammar.synonyms[-1]
        coin = torch.rand(lowest.shape, generator=generator)
        bit = labels % 2
        if self.dial == "shared":
            bit = torch.randint(2, (n,), generator=generator)
        half = torch.where(coin < (1 + self.t) / 2, bit[:, None], 1 - bit[:, None])
        choices[-1] = half * (m // 2) + lowest % (m // 2)
        return grammar.derive(labels, choices)


TWINS = 4
"""How many symbols share their label statistics in "ident4"."""


def _check_turn(dial: str, t: float) -> None:
    if dial not in DIALS:
        raise ValueError(f"unknown dial {dial!r}; valid: {', '.join(DIALS)}")
    if not 0 <= t <= 1:
        raise ValueError(f"t must lie in [0, 1]; got {t}")


def _check_dial(dial: str, v: int, n_classes: int, m: int, n_levels: int) -> None:
    parents = n_classes if n_levels == 2 else v
    required = {
        "corr": (n_classes <= v, "n_classes <= vocab_size"),
        "corrall": (m == v == n_classes, "n_synonyms == vocab_size == n_classes"),
        "ident4": (
            n_levels > 1 and not (m % TWINS or v % TWINS or parents % TWINS),
            f"symbols, classes and n_synonyms in multiples of {TWINS}, and at least two levels",
        ),
        "hint": (m % 2 == 0, "an even n_synonyms"),
        "shared": (m % 2 == 0, "an even n_synonyms"),
        "xor": (v % 2 == m % 2 == n_classes % 2 == 0, "even vocab_size, n_synonyms and n_classes"),
    }
    holds, need = required[dial] if dial in required else (True, "")
    if not holds:
        given = (
            f"vocab_size = {v}, n_classes = {n_classes}, n_synonyms = {m}, n_levels = {n_levels}"
        )
        raise ValueError(f"dial {dial!r} needs {need}; got {given}")


def _shuffle(values: Tensor, generator: torch.Generator) -> Tensor:
    return values[torch.randperm(len(values), generator=generator)]


@checked
def plain_table(v: int, n_parents: int, m: int, generator: torch.Generator) -> Tensor:
    """Return a uniform table `[v, v]` of parents, -1 where no rule writes the pair."""
    at_least(1, v=v, n_parents=n_parents, m=m)
    if n_parents * m > v * v:
        raise ValueError(f"n_parents * m must be at most v * v = {v * v}; got {n_parents} * {m}")
    filled = torch.arange(n_parents).repeat_interleave(m)
    empty = torch.full((v * v - n_parents * m,), -1)
    return _shuffle(torch.cat([filled, empty]), generator).view(v, v)


@checked
def latin_table(v: int, n_parents: int, generator: torch.Generator) -> Tensor:
    r"""Return $\kappa[(\pi(x)+\sigma(z))\bmod v]$: a pair's parent is independent of either part.

    Values from `n_parents` on become -1, "no rule writes this pair".
    """
    at_least(1, v=v, n_parents=n_parents)
    if n_parents > v:
        raise ValueError(f"n_parents must be at most v = {v}; got {n_parents}")
    kappa, pi, sigma = (torch.randperm(v, generator=generator) for _ in range(3))
    table = kappa[(pi[:, None] + sigma[None, :]) % v]
    return torch.where(table < n_parents, table, -1)


@checked
def twin_table(v: int, n_parents: int, m: int, base: int, generator: torch.Generator) -> Tensor:
    r"""Return a table in which a symbol's second coordinate shows only jointly.

    A symbol is $(\alpha,\beta)$ with $\beta\in Z_b$; a pair's parent depends on its two $\alpha$
    and on $\beta_1+\beta_2\bmod b$, and the b residues of one pair of $\alpha$ have b parents.
    """
    at_least(1, v=v, n_parents=n_parents, m=m, base=base)
    if v % base or m % base or n_parents % base or n_parents * m > v * v:
        raise ValueError(
            f"v, m and n_parents must be multiples of base = {base}, and n_parents * m at most "
            f"v * v; got v = {v}, m = {m}, n_parents = {n_parents}"
        )
    code = torch.randperm(v, generator=generator)
    alpha, beta = code // base, code % base
    # Each round gives every parent one residue, so that b neighbours are b different parents.
    rounds = [torch.randperm(n_parents, generator=generator) for _ in range(m // base)]
    parents = torch.cat(rounds).view(-1, base)
    used = torch.randperm((v // base) ** 2, generator=generator)[: len(parents)]
    owner = torch.full(((v // base) ** 2, base), -1)
    owner[used] = parents
    pair = alpha[:, None] * (v // base) + alpha[None, :]
    return owner[pair, (beta[:, None] + beta[None, :]) % base]


@checked
def parity_rules(v: int, n_classes: int, m: int, generator: torch.Generator) -> Tensor:
    r"""Return top rules $2C+z\to(2g_1+b_1,\,2g_2+(b_1\oplus z))$, one for each $C\to(g_1,g_2)$."""
    if v % 2 or n_classes % 2 or m % 2:
        raise ValueError(
            f"v, n_classes and m must be even; got v = {v}, n_classes = {n_classes}, m = {m}"
        )
    base = plain_table(v // 2, n_classes // 2, m // 2, generator)
    pairs = _rules_of(base, n_classes // 2, m // 2).long()
    rules = torch.empty(n_classes, m, 2, dtype=torch.uint8)
    for z in range(2):
        for bit in range(2):
            written = 2 * pairs + torch.tensor([bit, bit ^ z])
            rules[z::2, bit::2] = written.to(torch.uint8)
    return rules


@checked
def blur(table: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Permute the contents of a random share of a table's cells uniformly."""
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1]; got {share}")
    cells = table.flatten().clone()
    chosen = torch.randperm(len(cells), generator=generator)[: round(share * len(cells))]
    cells[chosen] = cells[_shuffle(chosen, generator)]
    return cells.view_as(table)


def _rules_of(table: Tensor, n_parents: int, m: int) -> Tensor:
    """List the cells of each parent, in random order of the table's cells: `[parent, m, 2]`."""
    v = table.shape[1]
    parents, order = table.flatten().sort(stable=True)
    codes = order[parents >= 0].view(n_parents, m)
    return torch.stack([codes // v, codes % v], 2).to(torch.uint8)


def _marks(v: int, m: int, t: float, generator: torch.Generator) -> Tensor:
    """Mark t m / 2 level-1 rules of each symbol, rounding at random."""
    wanted = t * m / 2
    count = int(wanted) + (torch.rand(v, generator=generator) < wanted % 1).long()
    rank = torch.rand(v, m, generator=generator).argsort(1).argsort(1)
    return rank < count[:, None]
