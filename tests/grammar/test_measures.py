"""Detectability, the three conditions, sensitivity; clustering and kernels against brute force."""

import torch

from hierlearn.engine.seeds import stream
from hierlearn.grammar.counting import predict_by_clustering, predict_by_ridge, weighted_k_means
from hierlearn.grammar.measures import (
    conditions,
    detectability,
    detectability_law,
    label_counts,
    sensitivity,
)
from hierlearn.grammar.target import RandomHierarchy


def counts_of(grammar, n, seed):
    strings, labels = grammar.sample_distinct(n, stream("test", seed))
    symbols = grammar.symbols_at(strings, level=1)
    m = grammar.synonyms[-1]
    types = symbols * m + grammar.parse(strings)[1][-1]
    n_types = grammar.vocab_size * m
    counts = label_counts(types, labels, n_types=n_types, n_classes=grammar.n_classes)
    return counts, torch.arange(n_types) // m


def test_pair_sums_agree_with_a_loop_over_pairs():
    grammar = RandomHierarchy.draw(0, vocab_size=4, n_classes=3, n_synonyms=2, n_levels=2)
    counts, parents = counts_of(grammar, 20, 0)
    within, between = [], []
    for j in range(counts.shape[1]):
        for a in range(len(parents)):
            for b in range(len(parents)):
                pair = counts[[a, b], j]
                if a != b and int(pair.sum(1).min()) >= 2:
                    p = pair / pair.sum(1, keepdim=True)
                    group = within if parents[a] == parents[b] else between
                    group.append(float((p[0] - p[1]).square().sum()))
    brute = (sum(between) / len(between)) / (sum(within) / len(within))
    assert abs(detectability(counts, parents) - brute) < 1e-9 * brute


def test_detectability_follows_its_law_without_any_training():
    ratios = []
    for seed in range(4):
        grammar = RandomHierarchy.draw(
            seed, vocab_size=16, n_classes=16, n_synonyms=8, n_levels=3
        )  # fmt: skip
        counts, parents = counts_of(grammar, 2 * grammar.scale, seed)
        law = detectability_law(
            2 * grammar.scale, scale=grammar.scale, n_strings=grammar.n_strings
        )  # fmt: skip
        ratios.append(detectability(counts, parents) / law)
    assert abs(sum(ratios) / 4 - 1) < 0.15


def test_signal_is_that_of_detectability_where_the_signal_is_clean():
    grammar = RandomHierarchy.draw(1, vocab_size=8, n_classes=8, n_synonyms=4, n_levels=3)
    counts, parents = counts_of(grammar, 8 * grammar.scale, 1)
    read = conditions(counts, parents)
    unclean = (detectability(counts, parents, least=3) - 1) * read.dirt
    assert abs(read.signal / unclean - 1) < 0.05
    assert 0.6 < read.dirt < 1.4 and read.margin > 5


def test_dirt_does_not_enter_the_signal():
    """The laws of parents stay; those of synonyms move apart in pairs around them."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(6, 1, 8, generator=generator, dtype=torch.float64).repeat_interleave(2, 0)
    shift = 0.3 * torch.tensor([1.0, -1.0]).double().repeat(6)[:, None, None]
    moved = clean + shift * torch.tensor([1.0, -1.0] * 4).double() * clean.amin((0, 2))
    parents = torch.arange(12) // 2
    before, after = (
        conditions((1e5 * p / clean.sum(2, keepdim=True)).round(), parents) for p in (clean, moved)
    )
    assert after.dirt > 10 * before.dirt + 1
    assert abs(after.signal / before.signal - 1) < 0.02


def test_sensitivity_is_zero_for_invariant_features_and_one_for_unrelated_data():
    x, z = torch.randn(2, 4000, 5, generator=torch.Generator().manual_seed(0))
    assert sensitivity(x, x) == 0
    assert abs(sensitivity(x, z) - 1) < 0.05
    assert sensitivity(torch.ones(10, 2), torch.zeros(10, 2)) is None


def test_weighted_k_means_finds_separated_groups_and_heeds_weights():
    generator = torch.Generator().manual_seed(1)
    centers = torch.tensor([[0.0, 0], [5, 0], [0, 5]])
    group = torch.arange(60) % 3
    points = centers[group] + 0.1 * torch.randn(60, 2, generator=generator)
    found = weighted_k_means(points, torch.ones(60), 3, generator)
    assert len(torch.unique(torch.stack([group, found], 1), dim=0)) == 3
    line = torch.tensor([[0.0], [1.0], [2.0]])
    heavy = weighted_k_means(line, torch.tensor([1.0, 1.0, 100.0]), 2, generator)
    assert heavy[0] == heavy[1] != heavy[2]


def test_closed_form_learners_solve_an_easy_grammar():
    grammar = RandomHierarchy.draw(2, vocab_size=8, n_classes=8, n_synonyms=2, n_levels=2)
    strings, labels = grammar.sample_distinct(64, stream("test", 9))
    train, test = strings[:50], strings[50:]
    sizes = {"vocab_size": 8, "n_classes": 8}
    for learner in (predict_by_clustering, predict_by_ridge):
        guess = learner(train, labels[:50], test, generator=stream("test", 10), **sizes)
        assert float((guess == labels[50:]).double().mean()) >= 0.8
