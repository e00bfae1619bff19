r"""Derivations as integers: mixed radix, distinct draws, and levels merged into look-up tables.

A block merges consecutive levels of a grammar into one table of
$n_{\mathrm{sym}}\prod_im_i^{s^i}$ rows, so that writing a string costs one look-up a block node
instead of one a tree node.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

import torch
from jaxtyping import Int64, Integer, Shaped, UInt8
from torch import Tensor

from hierlearn.engine.doors import at_least, check_indices, checked

MAX_ROWS = 1 << 17  # of a merged table: 2 MiB at 16 symbols a row
MAX_VOCAB = 256  # symbols are stored as uint8
MAX_INTEGER = 1 << 62  # data are indexed below it
PERMUTED = 1 << 22  # below this bound distinct integers are the head of one permutation
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@checked
@dataclass(frozen=True)
class Block:
    """Consecutive levels as one table.

    Attributes:
        table: `[symbol * n_choices, symbols written]`; row a * n_choices + c is choice c of a.
        n_choices: joint rule choices under one symbol.
        n_nodes: nodes that the block rewrites.
        top: index of its first level, 0 being the classes'.
        n_levels: how many levels it merges.
        radices: synonyms of each of its tree nodes, level by level, left to right.
    """

    table: UInt8[Tensor, "row written"]
    n_choices: int
    n_nodes: int
    top: int
    n_levels: int
    radices: tuple[int, ...]

    def __post_init__(self) -> None:
        at_least(1, n_choices=self.n_choices, n_nodes=self.n_nodes, n_levels=self.n_levels)
        at_least(0, top=self.top)
        _check_radices(self.radices)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return len(self.table)

    @checked
    def take(self, rows: Int64[Tensor, "n nodes"]) -> Tensor:
        """Return the symbols of `rows [n, nodes]`, as `[n, nodes * symbols written]`."""
        check_indices(self.n_rows, rows=rows)
        return self._take(rows)

    def _take(self, rows: Tensor) -> Tensor:
        length = self.table.shape[1]
        word = _WORDS.get(length)
        if word is None:
            taken = self.table.index_select(0, rows.flatten())
        else:
            taken = self.table.view(word).flatten().take(rows.flatten()).view(torch.uint8)
        return taken.view(len(rows), rows.shape[1] * length)


@checked
def best_cut(rules: Sequence[UInt8[Tensor, "_ _ branching"]]) -> tuple[Block, ...]:
    """Cut the levels into blocks of at most `MAX_ROWS` rows with the fewest look-ups a string."""
    if not rules:
        raise ValueError("give the rules of at least one level; got none")
    n_levels, branching = len(rules), rules[0].shape[2]

    def n_rows(start: int, stop: int) -> int:
        choices = prod(
            rules[i].shape[1] ** branching ** (i - start) for i in range(start, stop)
        )  # fmt: skip
        return int(rules[start].shape[0] * choices)

    @cache
    def best(start: int) -> tuple[int, tuple[int, ...]]:
        if start == n_levels:
            return 0, ()
        found = []
        for stop in range(start + 1, n_levels + 1):
            if stop > start + 1 and n_rows(start, stop) > MAX_ROWS:
                break
            cost, stops = best(stop)
            found.append((branching**start + cost, (stop, *stops)))
        return min(found)

    stops = best(0)[1]
    return tuple(
        _merge(rules, start, stop) for start, stop in zip((0, *stops), stops, strict=False)
    )


def _merge(rules: Sequence[Tensor], start: int, stop: int) -> Block:
    branching = rules[0].shape[2]
    radices = tuple(
        rules[i].shape[1] for i in range(start, stop) for _ in range(branching ** (i - start))
    )
    n_choices = prod(radices)
    digits = peel(torch.arange(n_choices), radices)
    n_symbols = rules[start].shape[0]
    symbols = torch.arange(n_symbols).repeat_interleave(n_choices)[:, None]
    place = 0
    for i in range(start, stop):
        width = branching ** (i - start)
        choice = digits[:, place : place + width].repeat(n_symbols, 1)
        rows = symbols.long() * rules[i].shape[1] + choice
        symbols = rules[i].flatten(0, 1)[rows].flatten(1)
        place += width
    return Block(symbols.contiguous(), n_choices, branching**start, start, stop - start, radices)


@checked
def peel(numbers: Int64[Tensor, "n"], radices: Sequence[int]) -> Int64[Tensor, "n digits"]:
    """Write non-negative numbers in a mixed radix, most significant digit first: `[n, digits]`."""
    _check_radices(radices)
    check_indices(prod(radices), numbers=numbers)
    digits = torch.empty(len(numbers), len(radices), dtype=torch.int64)
    rest = numbers
    for place in range(len(radices) - 1, 0, -1):
        radix = radices[place]
        if radix & (radix - 1) == 0:  # shifts are several times faster than divisions
            digits[:, place] = rest & (radix - 1)
            rest = rest >> (radix.bit_length() - 1)
        else:
            quotient = rest // radix
            digits[:, place] = rest - quotient * radix
            rest = quotient
    if radices:
        digits[:, 0] = rest
    return digits


def _check_radices(radices: Sequence[int]) -> None:
    if any(radix < 1 for radix in radices):
        raise ValueError(f"every radix must be at least 1; got {list(radices)}")


@checked
def distinct_integers(n: int, bound: int, generator: torch.Generator) -> Tensor:
    """Draw n different integers below `bound`, uniformly, in random order.

    Up to `PERMUTED` they are the head of a permutation; above, draws without their repetitions.
    """
    if not 0 <= n <= bound:
        raise ValueError(f"n must lie in 0..bound={bound}, for n different integers; got {n}")
    if bound <= PERMUTED:
        return torch.randperm(bound, generator=generator)[:n]
    kept = torch.empty(0, dtype=torch.int64)
    while len(kept) < n:
        drawn = torch.randint(bound, (n - len(kept),), generator=generator)
        joined = torch.cat([kept, drawn])
        values, group = torch.unique(joined, return_inverse=True)
        first = torch.full((len(values),), len(joined))
        first.scatter_reduce_(0, group, torch.arange(len(joined)), "amin")
        kept = joined[first.sort().values]
    return kept


@checked
def check_parameters(
    vocab_size: int, n_classes: int, n_synonyms: int, n_levels: int, branching: int
) -> None:
    """Raise ValueError, naming the broken inequality, unless the model allows the parameters."""
    v, s, room = vocab_size, branching, vocab_size**branching
    required = (
        (2 <= v <= MAX_VOCAB, f"2 <= vocab_size <= {MAX_VOCAB}", f"vocab_size = {v}"),
        (n_classes >= 2, "n_classes >= 2", f"n_classes = {n_classes}"),
        (n_synonyms >= 1, "n_synonyms >= 1", f"n_synonyms = {n_synonyms}"),
        (n_levels >= 1, "n_levels >= 1", f"n_levels = {n_levels}"),
        (s >= 2, "branching >= 2", f"branching = {s}"),
        (room < MAX_INTEGER, "vocab_size**branching < 2**62", f"{v}**{s}"),
        (
            n_levels == 1 or n_synonyms * v <= room,
            "n_synonyms * vocab_size <= vocab_size**branching",
            f"{n_synonyms} * {v} > {v}**{s}",
        ),
        (
            n_classes * n_synonyms <= room,
            "n_classes * n_synonyms <= vocab_size**branching",
            f"{n_classes} * {n_synonyms} > {v}**{s}",
        ),
    )
    for holds, inequality, given in required:
        if not holds:
            raise ValueError(f"a Random Hierarchy Model needs {inequality}; got {given}")


@checked
def codes_of(tuples: Integer[Tensor, "*shape branching"], vocab_size: int) -> Tensor:
    """Read tuples along the last axis as numbers in base v, big end first."""
    if not tuples.shape[-1]:
        raise ValueError("give tuples of at least one symbol; got shape " + f"{list(tuples.shape)}")
    check_indices(vocab_size, tuples=tuples)
    if tuples.shape[-1] * math.log2(vocab_size) > 62:
        raise ValueError(
            "vocab_size**branching must be at most 2**62, for codes to be int64; got "
            f"{vocab_size}**{tuples.shape[-1]}"
        )
    code = tuples[..., 0].long()
    for k in range(1, tuples.shape[-1]):
        code = code * vocab_size + tuples[..., k]
    return code


@checked
def tuples_of(codes: Int64[Tensor, "n"], vocab_size: int, branching: int) -> Tensor:
    """Write codes as tuples of s symbols, the inverse of `codes_of`."""
    at_least(1, vocab_size=vocab_size, branching=branching)
    if vocab_size > MAX_VOCAB:
        raise ValueError(f"vocab_size must be at most {MAX_VOCAB}, for uint8; got {vocab_size}")
    return peel(codes, [vocab_size] * branching).to(torch.uint8)


@checked
def first_occurrences(strings: Shaped[Tensor, "n dim"]) -> Tensor:
    """Return the indices of the first occurrence of every string, in order."""
    if not len(strings):
        return torch.empty(0, dtype=torch.int64)
    _, group = torch.unique(strings, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(group))
    first.scatter_reduce_(0, group, torch.arange(len(group)), "amin")
    return first.sort().values
