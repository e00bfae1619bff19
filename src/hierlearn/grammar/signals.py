"""Chapter 4: what can be read off a grammar and its labels without training anything."""

from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.config import HierarchyConfig, draw_problem
from hierlearn.grammar.derivations import codes_of
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.grammar.measures import conditions, detectability, detectability_law, label_counts
from hierlearn.grammar.target import RandomHierarchy

ENUMERATED = 1 << 17


def measure_exactness(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Check each grammar: parser, distinct draws, index; and against a corrupted grammar.

    `parsed`, `distinct` and `indexed` are the shares of strings that come out right, and
    `corrupted` the parser's accuracy on strings of a grammar in which class 0 uses a tuple of
    class 1. `latin` and `twins` say how far the top and the second table obey "corr" and "ident".
    """
    return [_exactness(HierarchyConfig(**run.config), run.seed) for run in work.runs]


def _exactness(config: HierarchyConfig, seed: int) -> dict[str, Any]:
    law = DialedHierarchy.draw(
        seed, vocab_size=config.vocab_size, n_classes=config.n_classes,
        n_synonyms=config.n_synonyms, n_levels=config.n_levels, dial=config.dial, t=config.t,
    )  # fmt: skip
    grammar, generator = law.grammar, stream("exactness", seed)
    strings, labels = grammar.sample(config.n_samples, generator)
    guess, choices = grammar.parse(strings)
    right = (guess == labels) & (grammar.derive(guess, choices) == strings).all(1)
    drawn = min(config.n_samples, grammar.n_strings)
    different, _ = grammar.sample_distinct(drawn, generator)
    broken = grammar.rules[0].clone()
    broken[0, 0] = broken[1, 0]
    corrupted = RandomHierarchy((broken, *grammar.rules[1:]), grammar.vocab_size)
    indices: Tensor | list[int]
    if grammar.n_strings <= ENUMERATED:
        indices = torch.arange(grammar.n_strings)
    else:
        share = torch.rand(500, generator=generator, dtype=torch.float64).tolist()
        indices = [int(u * (1 << 53)) * grammar.n_strings >> 53 for u in share]
    written, known = corrupted.data_at(indices)
    return {
        "parsed": float(right.double().mean()),
        "distinct": len(torch.unique(different, dim=0)) / drawn,
        "indexed": _round_trip(grammar, indices),
        "corrupted": float((grammar.parse(written)[0] == known).double().mean()),
        "corrupted_formula": 1 - 1 / (grammar.n_classes * grammar.synonyms[0]),
        "latin": _latin(grammar.rules[0]),
        "twins": _twins(grammar, 4 if config.dial == "ident4" else 2),
    }


def _round_trip(grammar: RandomHierarchy, indices: Tensor | list[int]) -> float:
    given = indices.tolist() if isinstance(indices, Tensor) else indices
    strings, _ = grammar.data_at(indices)
    found = grammar.indices_of(strings)
    same = sum(a == b for a, b in zip(given, found, strict=True)) / len(given)
    distinct = len(torch.unique(strings, dim=0)) / len(set(given))
    return min(same, distinct)


def _latin(rules: Tensor) -> float:
    """Share of classes whose tuples use every symbol once on each side."""
    once = [rules[..., k].sort(1).values.diff(dim=1).gt(0).all(1) for k in range(rules.shape[2])]
    return float(torch.stack(once).all(0).double().mean())


def _twins(grammar: RandomHierarchy, base: int) -> float | None:
    """How far symbols below level 2 fall into groups of `base` with equal parent counts.

    The number of groups that the model has, v over `base`, over the number of different count
    vectors on the worse side: 1 where twins are exact.
    """
    if grammar.n_levels < 2:
        return None
    rules, v = grammar.rules[-2].long(), grammar.vocab_size
    sides = []
    for k in range(2):
        counts = torch.zeros(v, len(rules), dtype=torch.int64)
        parents = torch.arange(len(rules))[:, None].expand(rules.shape[:2])
        counts.index_put_((rules[..., k], parents), torch.tensor(1), accumulate=True)
        sides.append(len(torch.unique(counts, dim=0)))
    return v / base / max(sides)


def _counts(config: HierarchyConfig, seed: int) -> tuple[Tensor, Tensor, RandomHierarchy]:
    """Label counts of the level-1 patches of a training set, and the parents of the types."""
    problem = draw_problem(config, seed)
    grammar = problem.law.grammar
    rules = grammar.rules[-1]
    row_of = torch.full((grammar.vocab_size**2,), -1)
    row_of[codes_of(rules.flatten(0, 1), grammar.vocab_size)] = torch.arange(rules[..., 0].numel())
    patches = problem.train.view(len(problem.train), -1, 2)
    types = row_of[codes_of(patches, grammar.vocab_size)]
    counts = label_counts(
        types, problem.labels, n_types=rules[..., 0].numel(), n_classes=grammar.n_classes
    )
    parents = torch.arange(len(rules)).repeat_interleave(rules.shape[1])
    return counts, parents, grammar


def measure_detectability(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Compute R, its law, and R with shuffled parents for every run; nothing is trained."""
    found = []
    for run in work.runs:
        config = HierarchyConfig(**run.config)
        counts, parents, grammar = _counts(config, run.seed)
        order = torch.randperm(len(parents), generator=stream("shuffled parents", run.seed))
        law = detectability_law(
            config.n_samples, scale=grammar.scale, n_strings=grammar.n_strings
        )  # fmt: skip
        found.append(
            {
                "detectability": detectability(counts, parents),
                "law": law,
                "shuffled_parents": detectability(counts, parents[order]),
            }
        )
    return found


def measure_conditions(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Compute signal S, dirt W and margin G of every run; nothing is trained."""
    found = []
    for run in work.runs:
        counts, parents, _ = _counts(HierarchyConfig(**run.config), run.seed)
        read = conditions(counts, parents)
        found.append({"signal": read.signal, "dirt": read.dirt, "margin": read.margin})
    return found
