r"""The Random Hierarchy Model: an unambiguous random grammar of fixed depth, with its exact parser.

Each of $n_c$ classes, and each of the v symbols of the levels L-1..1, rewrites to one of m distinct
s-tuples of symbols of the level below; no tuple has two parents (Cagnetta et al., PRX 14, 031001,
section II). Level L rules belong to the classes, level 1 rules write the input of $s^L$ symbols.
Label and rule choices are uniform and independent, and (label, choices) <-> string is a bijection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from hierlearn.engine.doors import at_least, check_indices, checked
from hierlearn.engine.seeds import stream
from hierlearn.grammar.derivations import (
    MAX_INTEGER,
    Block,
    best_cut,
    check_parameters,
    codes_of,
    distinct_integers,
    first_occurrences,
    peel,
    tuples_of,
)


@checked
@dataclass(frozen=True)
class RandomHierarchy:
    """One grammar.

    Attributes:
        rules: from the top, level L first: `[symbol, synonym, branching]`; entry (a, r) is the
            tuple that rule r of symbol a writes. Levels may differ in their number of synonyms.
        vocab_size: v, the number of symbols of every level below the classes.
    """

    rules: tuple[UInt8[Tensor, "_ _ branching"], ...]
    vocab_size: int

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("give the rules of at least one level; got none")
        if any(len(lower) != self.vocab_size for lower in self.rules[1:]):
            raise ValueError(
                f"every level below the classes needs rules for vocab_size = {self.vocab_size} "
                f"symbols; got {[len(lower) for lower in self.rules[1:]]}"
            )
        if any(r.numel() > len(r.flatten(0, 1).unique(dim=0)) * r.shape[2] for r in self.rules):
            raise ValueError(
                "no tuple may have two parents, nor be written by two rules of one; got as many "
                f"different tuples: {[len(r.flatten(0, 1).unique(dim=0)) for r in self.rules]} of "
                f"{[r.shape[0] * r.shape[1] for r in self.rules]} rules, top first"
            )
        for level, rules in enumerate(self.rules):
            check_indices(self.vocab_size, **{f"rules[{level}]": rules})

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
        branching: int = 2,
    ) -> "RandomHierarchy":
        r"""Draw the rules of `seed`: at each level m tuples a symbol, uniform without replacement.

        Args:
            seed: names the stream of the rules.
            vocab_size: v, at most 256.
            n_classes: $n_c$.
            n_synonyms: m.
            n_levels: L.
            branching: s.

        Raises:
            ValueError: for parameters that the model does not allow; it names the inequality.
        """
        check_parameters(vocab_size, n_classes, n_synonyms, n_levels, branching)
        generator = stream("hierarchy rules", seed)
        rules = []
        for level in range(n_levels, 0, -1):
            parents = n_classes if level == n_levels else vocab_size
            codes = distinct_integers(parents * n_synonyms, vocab_size**branching, generator)
            rules.append(tuples_of(codes, vocab_size, branching).view(parents, n_synonyms, -1))
        return cls(tuple(rules), vocab_size)

    @property
    def n_classes(self) -> int:
        """Number of labels, $n_c$."""
        return self.rules[0].shape[0]

    @property
    def n_levels(self) -> int:
        """Depth L."""
        return len(self.rules)

    @property
    def branching(self) -> int:
        """Length s of a tuple."""
        return self.rules[0].shape[2]

    @property
    def dim(self) -> int:
        """Length of a string, $d=s^L$."""
        return self.branching**self.n_levels

    @cached_property
    def synonyms(self) -> tuple[int, ...]:
        """Rules a symbol, from the top level down."""
        return tuple(rules.shape[1] for rules in self.rules)

    @cached_property
    def n_strings(self) -> int:
        r"""Number of grammatical strings, $P_{\max}=n_c\prod_lm_l^{s^{L-l}}$, a Python integer."""
        return self.n_classes * prod(m**self.branching**i for i, m in enumerate(self.synonyms))

    @cached_property
    def scale(self) -> int:
        r"""Return $P_0=n_c\prod_lm_l$, the sample size at which labels reveal the synonyms."""
        return self.n_classes * prod(self.synonyms)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Consecutive levels merged into look-up tables of at most $2^{17}$ rows, top first."""
        return best_cut(self.rules)

    @checked
    def derive(
        self, labels: Int64[Tensor, "n"], choices: Sequence[Int64[Tensor, "n _"]]
    ) -> UInt8[Tensor, "n dim"]:
        """Write the strings with these labels and rule choices, one tensor a level, top first.

        Raises:
            ValueError: for another number of levels or nodes, a label outside $0..n_c-1$, or a
                choice outside 0..m-1 of its level.
        """
        nodes = [self.branching**i for i in range(self.n_levels)]
        if [choice.shape[1] for choice in choices] != nodes:
            raise ValueError(
                f"choices must be one tensor a level, top first, of {nodes} columns; got "
                f"{[choice.shape[1] for choice in choices]}"
            )
        check_indices(self.n_classes, labels=labels)
        for level, (m, choice) in enumerate(zip(self.synonyms, choices, strict=True)):
            check_indices(m, **{f"choices[{level}]": choice})
        symbols = labels[:, None]
        for rules, choice in zip(self.rules, choices, strict=True):
            rows = symbols.long() * rules.shape[1] + choice
            symbols = rules.flatten(0, 1)[rows].flatten(1)
        return symbols

    @checked
    def parse(
        self, strings: UInt8[Tensor, "n dim"]
    ) -> tuple[Int64[Tensor, "n"], tuple[Int64[Tensor, "n _"], ...]]:
        """Return labels and rule choices, exactly: the Bayes classifier of this distribution.

        The label of an ungrammatical string is -1, and so are the choices that no rule explains.
        """
        symbols, choices = self._parse_upwards(strings, self.n_levels)
        return symbols[:, 0], tuple(choices)

    @checked
    def symbols_at(self, strings: UInt8[Tensor, "n dim"], *, level: int) -> Int64[Tensor, "n _"]:
        """Return the hidden symbols that the rules of `level` rewrite; level 0 is the input."""
        if not 0 <= level <= self.n_levels:
            raise ValueError(f"level must be from 0 to {self.n_levels}; got {level}")
        return self._parse_upwards(strings, level)[0]

    def _parse_upwards(self, strings: Tensor, n_levels: int) -> tuple[Tensor, list[Tensor]]:
        if strings.shape[1] != self.dim:
            raise ValueError(f"strings must have {self.dim} symbols; got {strings.shape[1]}")
        check_indices(self.vocab_size, strings=strings)
        symbols = strings.long()
        choices: list[Tensor] = []
        for rules, inverse in list(zip(self.rules, self._inverses, strict=True))[::-1][:n_levels]:
            children = symbols.view(len(symbols), -1, self.branching)
            codes = codes_of(children.clamp(min=0), self.vocab_size)
            rows = inverse(codes).masked_fill_((children < 0).any(2), -1)
            m = rules.shape[1]
            symbols = torch.where(rows < 0, -1, rows // m)
            choices.insert(0, torch.where(rows < 0, -1, rows % m))
        return symbols, choices

    @cached_property
    def _inverses(self) -> tuple["_Inverse", ...]:
        return tuple(_Inverse(rules, self.vocab_size) for rules in self.rules)

    @checked
    def sample(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n dim"], Int64[Tensor, "n"]]:
        """Draw n independent strings with their labels, uniformly; n is at least 0."""
        at_least(0, n=n)
        first, *rest = self.blocks
        rows = torch.randint(first.n_rows, (n,), generator=generator)
        draws = [torch.randint(b.n_choices, (n, b.n_nodes), generator=generator) for b in rest]
        return self._look_up(rows, draws), rows // first.n_choices

    @checked
    def sample_distinct(
        self, n: int, generator: torch.Generator
    ) -> tuple[UInt8[Tensor, "n dim"], Int64[Tensor, "n"]]:
        """Draw n different strings with their labels, uniformly without replacement.

        The first k of them are the draw of size k, if the number of strings is at most $2^{22}$.

        Raises:
            ValueError: when n is negative or exceeds the number of strings.
        """
        at_least(0, n=n)
        if n > self.n_strings:
            raise ValueError(
                f"cannot draw {n} different strings: this grammar has only {self.n_strings}"
            )
        if self.n_strings < MAX_INTEGER:
            return self.data_at(distinct_integers(n, self.n_strings, generator))
        strings, labels = self.sample(n, generator)
        while len(kept := first_occurrences(strings)) < n:
            more, more_labels = self.sample(n - len(kept), generator)
            strings = torch.cat([strings[kept], more])
            labels = torch.cat([labels[kept], more_labels])
        return strings, labels

    @cached_property
    def radices(self) -> list[int]:
        """The mixed radix of an index, the top block with the label first, then block by block."""
        first, *rest = self.blocks
        return [first.n_rows, *(b.n_choices for b in rest for _ in range(b.n_nodes))]

    @checked
    def data_at(
        self, indices: Int64[Tensor, "n"]
    ) -> tuple[UInt8[Tensor, "n dim"], Int64[Tensor, "n"]]:
        r"""Return strings and labels of the data with these indices in $[0,P_{\max})$: a bijection.

        Raises:
            ValueError: for an index outside $[0,P_{\max})$, or $P_{\max}\ge2^{62}$.
        """
        if self.n_strings >= MAX_INTEGER:
            raise ValueError(f"indices need fewer than 2**62 strings; got {self.n_strings}")
        check_indices(self.n_strings, indices=indices)
        digits = peel(indices, self.radices)
        first, *rest = self.blocks
        rows, draws = digits[:, 0], digits[:, 1:].split([b.n_nodes for b in rest], 1)
        return self._look_up(rows, list(draws)), rows // first.n_choices

    @checked
    def swap_synonyms(
        self, strings: UInt8[Tensor, "n dim"], generator: torch.Generator, *, level: int
    ) -> UInt8[Tensor, "n dim"]:
        """Exchange every rule choice of `level` for another rule of the same symbol, uniformly.

        Raises:
            ValueError: for a level without synonyms, or outside 1..L.
        """
        if not 1 <= level <= self.n_levels:
            raise ValueError(f"level must be from 1 to {self.n_levels}; got {level}")
        place = self.n_levels - level
        m = self.synonyms[place]
        if m < 2:
            raise ValueError(f"level {level} has one rule a symbol, so there is nothing to swap")
        labels, choices = self.parse(strings)
        shift = torch.randint(1, m, choices[place].shape, generator=generator)
        swapped = list(choices)
        swapped[place] = (choices[place] + shift) % m
        return self.derive(labels, swapped)

    def _look_up(self, rows: Tensor, draws: Sequence[Tensor]) -> Tensor:
        first, *rest = self.blocks
        symbols = first._take(rows[:, None])
        for block, draw in zip(rest, draws, strict=True):
            symbols = block._take(symbols.long().mul_(block.n_choices).add_(draw))
        return symbols


class _Inverse:
    """Maps the code of a tuple to the row of the rule that writes it, or -1."""

    def __init__(self, rules: Tensor, vocab_size: int) -> None:
        codes = codes_of(rules.flatten(0, 1), vocab_size)
        self.sorted, self.order = codes.sort()
        self.table: Tensor | None = None
        if vocab_size ** rules.shape[2] <= 1 << 20:
            self.table = torch.full((vocab_size ** rules.shape[2],), -1)
            self.table[codes] = torch.arange(len(codes))

    def __call__(self, codes: Tensor) -> Tensor:
        if self.table is not None:
            return self.table[codes]
        place = torch.searchsorted(self.sorted, codes).clamp_(max=len(self.sorted) - 1)
        return torch.where(self.sorted[place] == codes, self.order[place], -1)
