"""The Random Hierarchy Model: bijection, distinctness, parser, unambiguous rules."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hierlearn.engine.seeds import stream
from hierlearn.grammar.derivations import codes_of, peel
from hierlearn.grammar.target import RandomHierarchy

settings.register_profile(
    "hierarchy", max_examples=60, deadline=None, derandomize=True, database=None
)
settings.load_profile("hierarchy")


@st.composite
def parameters(draw):
    """Any parameters that the model allows, at small sizes."""
    branching = draw(st.integers(2, 3))
    v = draw(st.integers(2, 9))
    m = draw(st.integers(1, min(6, v ** (branching - 1))))
    n_classes = draw(st.integers(2, min(12, v**branching // m)))
    n_levels = draw(st.integers(1, 5 if branching == 2 else 3))
    seed = draw(st.integers(0, 1000))
    return seed, {
        "vocab_size": v, "n_classes": n_classes, "n_synonyms": m, "n_levels": n_levels,
        "branching": branching,
    }  # fmt: skip


def build(drawn):
    return RandomHierarchy.draw(drawn[0], **drawn[1])


@given(parameters())
def test_no_tuple_has_two_parents(drawn):
    grammar = build(drawn)
    for rules in grammar.rules:
        codes = codes_of(rules.flatten(0, 1), grammar.vocab_size)
        assert len(codes.unique()) == len(codes)
        assert int(rules.max()) < grammar.vocab_size


@given(parameters())
def test_the_parser_recovers_every_label_and_every_choice(drawn):
    grammar = build(drawn)
    strings, labels = grammar.sample(200, stream("test", 0))
    found, choices = grammar.parse(strings)
    assert torch.equal(found, labels)
    assert torch.equal(grammar.derive(found, choices), strings)


@given(parameters())
def test_index_to_datum_is_a_bijection(drawn):
    grammar = build(drawn)
    assume(grammar.n_strings <= 1 << 14)
    strings, labels = grammar.data_at(torch.arange(grammar.n_strings))
    assert len(torch.unique(strings, dim=0)) == grammar.n_strings
    assert torch.equal(grammar.parse(strings)[0], labels)
    assert set(labels.bincount().tolist()) == {grammar.n_strings // grammar.n_classes}


@given(parameters(), st.data())
def test_distinct_draws_are_distinct_and_grammatical(drawn, data):
    grammar = build(drawn)
    n = data.draw(st.integers(1, min(500, grammar.n_strings)))
    strings, labels = grammar.sample_distinct(n, stream("test", 1))
    assert len(torch.unique(strings, dim=0)) == n
    assert torch.equal(grammar.parse(strings)[0], labels)


@given(parameters(), st.data())
def test_a_synonym_swap_keeps_the_label_and_changes_every_choice_of_its_level(drawn, data):
    grammar = build(drawn)
    level = data.draw(st.integers(1, grammar.n_levels))
    place = grammar.n_levels - level
    strings, labels = grammar.sample(50, stream("test", 2))
    if grammar.synonyms[place] == 1:
        with pytest.raises(ValueError, match="nothing to swap"):
            grammar.swap_synonyms(strings, stream("test", 3), level=level)
        return
    swapped = grammar.swap_synonyms(strings, stream("test", 3), level=level)
    before, after = grammar.parse(strings)[1], grammar.parse(swapped)[1]
    assert torch.equal(grammar.parse(swapped)[0], labels)
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        assert bool((old != new).all()) if i == place else torch.equal(old, new)


def test_strings_of_a_grammar_too_large_to_index_are_distinct():
    grammar = RandomHierarchy.draw(5, vocab_size=32, n_classes=32, n_synonyms=8, n_levels=5)
    assert grammar.n_strings == 32 * 8**31 > 2**63
    distinct, _ = grammar.sample_distinct(3000, stream("test", 4))
    assert len(torch.unique(distinct, dim=0)) == 3000
    with pytest.raises(ValueError, match="fewer than 2\\*\\*62"):
        grammar.data_at(torch.tensor([0]))


def test_merged_tables_write_what_the_rules_write():
    grammar = RandomHierarchy.draw(6, vocab_size=16, n_classes=16, n_synonyms=8, n_levels=4)
    assert len(grammar.blocks) == 2
    strings, labels = grammar.sample(500, stream("test", 5))
    assert torch.equal(grammar.derive(labels, grammar.parse(strings)[1]), strings)


def test_every_string_is_equally_likely():
    grammar = RandomHierarchy.draw(7, vocab_size=2, n_classes=2, n_synonyms=2, n_levels=2)
    strings, _ = grammar.sample(16000, stream("test", 6))
    counts = torch.unique(strings, dim=0, return_counts=True)[1]
    assert len(counts) == 16
    chi_square = float(((counts - 1000.0) ** 2 / 1000).sum())
    assert chi_square < 37.7  # 0.1 % of chi-square with 15 degrees of freedom


def test_an_ungrammatical_string_has_no_label():
    grammar = RandomHierarchy.draw(8, vocab_size=8, n_classes=2, n_synonyms=2, n_levels=1)
    every = torch.cartesian_prod(torch.arange(8), torch.arange(8)).to(torch.uint8)
    labels, _ = grammar.parse(every)
    assert sorted(labels.unique().tolist()) == [-1, 0, 1]
    assert int((labels >= 0).sum()) == 4


@pytest.mark.parametrize(
    ("changes", "inequality"),
    [
        ({"n_synonyms": 9}, r"n_synonyms \* vocab_size <= vocab_size\*\*branching"),
        ({"n_classes": 17}, r"n_classes \* n_synonyms <= vocab_size\*\*branching"),
        ({"vocab_size": 257}, "vocab_size <= 256"),
        ({"n_classes": 1}, "n_classes >= 2"),
        ({"n_levels": 0}, "n_levels >= 1"),
        ({"branching": 1}, "branching >= 2"),
        ({"branching": 30, "n_levels": 1}, r"< 2\*\*62"),
    ],
)
def test_impossible_parameters_are_refused_with_the_inequality_they_break(changes, inequality):
    valid = {"vocab_size": 8, "n_classes": 8, "n_synonyms": 4, "n_levels": 3, "branching": 2}
    with pytest.raises(ValueError, match=inequality):
        RandomHierarchy.draw(0, **(valid | changes))


def test_more_distinct_strings_than_there_are_is_an_error():
    grammar = RandomHierarchy.draw(9, vocab_size=4, n_classes=2, n_synonyms=2, n_levels=2)
    assert grammar.n_strings == 16 and grammar.scale == 8
    with pytest.raises(ValueError, match="only 16"):
        grammar.sample_distinct(17, stream("test", 7))
    with pytest.raises(ValueError, match="must lie in"):
        grammar.data_at(torch.tensor([16]))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_mixed_radix_digits_are_those_of_the_number(radices):
    places = torch.tensor([*radices[1:], 1]).flip(0).cumprod(0).flip(0)
    numbers = torch.arange(min(int(torch.tensor(radices).prod()), 500))
    digits = peel(numbers, radices)
    assert torch.equal((digits * places).sum(1), numbers)
    assert bool((digits < torch.tensor(radices)).all())
