"""The dials: at zero the model itself, at one exactly the broken condition."""

import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.grammar.dials import DIALS, DialedHierarchy

SIZES = {"vocab_size": 8, "n_classes": 8, "n_synonyms": 4, "n_levels": 3}
SQUARE = {"vocab_size": 4, "n_classes": 4, "n_synonyms": 4, "n_levels": 3}


def draw(dial, t, seed=0):
    return DialedHierarchy.draw(seed, **(SQUARE if dial == "corrall" else SIZES), dial=dial, t=t)


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dial", DIALS)
def test_every_dial_keeps_the_grammar_unambiguous_and_its_strings_different(dial, t):
    law = draw(dial, t)
    strings, labels = law.sample_distinct(1000, stream("test", 0))
    assert len(torch.unique(strings, dim=0)) == 1000
    assert int(law.grammar.parse(strings)[0].min()) >= 0
    assert torch.equal(labels, law.labels(strings))
    for rules in law.grammar.rules:
        assert len(torch.unique(rules.flatten(0, 1), dim=0)) == rules[..., 0].numel()


def halves(law):
    """Joint counts of label and left half, and of label and right half, over all strings."""
    grammar = law.grammar
    strings, labels = grammar.data_at(torch.arange(grammar.n_strings))
    found = []
    for half in strings.split(grammar.dim // 2, 1):
        _, code = torch.unique(half, dim=0, return_inverse=True)
        n = grammar.n_classes
        cells = torch.bincount(code * n + labels, minlength=(int(code.max()) + 1) * n)
        found.append(cells.view(-1, n))
    return found


def test_without_correlation_at_the_top_the_label_is_independent_of_either_half():
    broken, intact = (
        DialedHierarchy.draw(0, **(SQUARE | {"n_synonyms": 2}), dial="corr", t=t)
        for t in (1.0, 0.0)
    )
    for counts in halves(broken):
        assert bool((counts == counts[:, :1]).all())
    assert any(bool((counts != counts[:, :1]).any()) for counts in halves(intact))


def test_twins_cannot_be_told_apart_by_label_statistics():
    grammar = draw("ident4", 1.0).grammar
    strings, labels = grammar.data_at(torch.arange(grammar.n_strings))
    symbols = grammar.symbols_at(strings, level=1)
    counts = torch.zeros(8, symbols.shape[1], 8)
    for j in range(symbols.shape[1]):
        counts[:, j] = torch.bincount(symbols[:, j] * 8 + labels, minlength=64).view(8, 8)
    signature = counts.flatten(1)
    for row in signature:
        assert int((signature == row).all(1).sum()) == 4


def test_xor_hides_the_parity_from_single_patches():
    grammar = draw("xor", 0.0).grammar
    strings, labels = grammar.data_at(torch.arange(grammar.n_strings))
    pair = grammar.symbols_at(strings, level=2)
    for j in range(2):
        counts = torch.bincount(pair[:, j] * 8 + labels, minlength=64).view(4, 2, 8)
        assert torch.equal(counts[:, 0], counts[:, 1])
    assert torch.equal((pair[:, 0] + pair[:, 1]) % 2, labels % 2)


def test_skip_labels_differ_from_the_root_exactly_by_the_marks():
    law = draw("skip", 1.0)
    assert law.marks.sum(1).tolist() == [2] * 8
    strings, labels = law.sample_distinct(4000, stream("test", 1))
    root, choices = law.grammar.parse(strings)
    mark = law.marks[law.grammar.symbols_at(strings, level=1)[:, 0], choices[-1][:, 0]]
    assert torch.equal(labels, (root + mark) % 8)


@pytest.mark.parametrize("dial", ["hint", "shared", "skip"])
def test_a_dial_that_leaves_rules_alone_has_those_of_the_model_at_any_turn(dial):
    for t in (0.0, 0.5, 1.0):
        pairs = zip(draw(dial, t).grammar.rules, draw("none", 0.0).grammar.rules, strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_hint_tilts_the_lowest_choices_towards_the_parity_of_the_label():
    law = draw("hint", 0.5)
    strings, labels = law.sample_distinct(4000, stream("test", 2))
    _, choices = law.grammar.parse(strings)
    agrees = (choices[-1] // 2 == labels[:, None] % 2).double().mean()
    assert abs(float(agrees) - 0.75) < 0.02


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dial": "spin"}, "unknown dial 'spin'; valid: none, corr"),
        ({"dial": "corr", "t": 1.5}, r"t must lie in \[0, 1\]"),
        ({"dial": "corrall"}, "n_synonyms == vocab_size == n_classes"),
        ({"dial": "ident4", "n_synonyms": 2}, "multiples of 4"),
        ({"dial": "hint", "n_synonyms": 3}, "even n_synonyms"),
    ],
)
def test_an_impossible_dial_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        DialedHierarchy.draw(0, **(SIZES | changes))
