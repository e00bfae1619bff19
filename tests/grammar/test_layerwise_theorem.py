"""Theorem 7's learner and assumption: two routes to each of their numbers."""

import itertools
import math

import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.layerwise_theorem.learner import fit_stage, kernel_of, read
from hierlearn.grammar.layerwise_theorem.runs import (
    TheoremConfig,
    measure_beside,
    measure_lemmas,
    measure_stages,
)
from hierlearn.grammar.layerwise_theorem.target import (
    assumption,
    draw_identifiable,
    draw_rules,
    mean_signal,
)
from hierlearn.grammar.target import RandomHierarchy

CPU = torch.device("cpu")
DRAWN = RandomHierarchy.draw(0, vocab_size=4, n_classes=2, n_synonyms=2, n_levels=2)


def grammar(seed=0, v=4, m=2, depth=2):
    return draw_rules(stream("test rules", seed), v, m, depth)


def test_each_symbol_comes_first_in_m_tuples_and_no_tuple_has_two_parents():
    for rules in grammar(v=6, m=3, depth=3).rules:
        pairs = rules.view(-1, 2)
        assert pairs[:, 0].bincount(minlength=6).tolist() == [3] * 6
        assert len(torch.unique(pairs, dim=0)) == 18


@pytest.mark.parametrize("plain", [False, True])
def test_label_laws_are_those_of_all_strings(plain):
    found = (
        RandomHierarchy.draw(5, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=3)
        if plain
        else grammar(1, depth=3)
    )
    strings, labels = found.data_at(torch.arange(found.n_strings))
    read_off = assumption(found)
    rarest = 1.0
    for k, law in enumerate(read_off.laws):
        parents = found.symbols_at(strings, level=k + 1)[:, 0]
        counts = torch.bincount(parents * 4 + labels, minlength=16).view(4, 4).double()
        torch.testing.assert_close(law, counts / counts.sum(1, keepdim=True).clamp(min=1))
        rarest = min(rarest, float(counts.sum(1).min()) / len(strings))
    assert read_off.kappa == pytest.approx(1 / (4 * rarest) if rarest else math.inf)
    assert read_off.squares[-1] == pytest.approx((2.0, 2.0))


def test_the_mean_signal_is_that_of_all_ways_to_deal_out_small_rules():
    v, m = 3, 2
    balls = torch.arange(v).repeat_interleave(m)
    total, count = 0.0, 0
    for order in itertools.permutations(range(v * m)):
        first = balls[list(order)].view(v, m)
        step = torch.nn.functional.one_hot(first, v).double().mean(1)
        total += float(torch.pdist(step.T).square().mean())
        count += 1
    assert total / count == pytest.approx(mean_signal(v, m, 2))


def test_different_tuples_with_counts_give_the_ridge_regression_of_all_data():
    generator = stream("test data", 0)
    points = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    place = torch.randint(7, (60,), generator=generator)
    place[:7] = torch.arange(7)
    labels = torch.randint(3, (60,), generator=generator)
    counts = torch.bincount(place * 3 + labels, minlength=21).view(7, 3).double()
    kernel = kernel_of(0.8, 4)
    merged = fit_stage(points, counts, kernel, ridge=0.1)
    every = torch.nn.functional.one_hot(labels, 3).double()
    gram = kernel(points[place], points[place]) + 0.1 * 60 * torch.eye(60)
    out = kernel(points, points[place]) @ torch.linalg.solve(gram, every)
    torch.testing.assert_close(merged(points), out / out.sum(1, keepdim=True))


def test_gradient_descent_on_random_features_tends_to_the_solved_stage():
    generator = stream("test data", 1)
    points = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    counts = torch.randint(1, 5, (5, 3), generator=generator).double()
    stage = fit_stage(
        points, counts, kernel_of(1.0, 2, width=6, generator=stream("features", 0)), ridge=0.2
    )
    omega = torch.randn(2, 6, generator=stream("features", 0), dtype=torch.float64)
    phi = torch.cat([(points @ omega).cos(), (points @ omega).sin()], 1) / math.sqrt(6)
    weights, share = torch.zeros(3, 12).double(), counts / counts.sum()
    for _ in range(2000):
        out = phi @ weights.T
        slope = (share.sum(1, keepdim=True) * out - share).T @ phi + 0.2 * weights
        weights -= slope
    out = phi @ weights.T
    torch.testing.assert_close(stage(points), out / out.sum(1, keepdim=True))


def test_random_features_tend_to_their_kernel():
    points = torch.randn(6, 4, generator=stream("test data", 2), dtype=torch.float64)
    limit = kernel_of(1.5, 4)(points, points)
    errors = []
    for width in (100, 10_000):
        found = kernel_of(1.5, 4, width=width, generator=stream("features", 1))(points, points)
        errors.append(float((found - limit).abs().max()))
    assert errors[0] < 0.3 and errors[1] < 0.03


def test_what_is_read_at_a_place_is_the_token_of_the_string_there():
    found = grammar(2)
    strings, _ = found.sample(50, stream("test data", 3))
    patches, place = read([], strings, vocab_size=4)
    doubled = torch.nn.functional.one_hot(strings.long(), 4).double().view(50, 2, 8)
    torch.testing.assert_close(patches[place], doubled)
    stage = fit_stage(patches, torch.ones(len(patches), 4).double(), kernel_of(0.5, 8), ridge=0.1)
    above, there = read([stage], strings, vocab_size=4)
    alone = stage(doubled.view(-1, 8)).view(50, 8)
    torch.testing.assert_close(above[there[:, 0]], alone)


def test_the_lowest_stage_errs_as_its_law_says():
    config = TheoremConfig(6, 3, 2, n_samples=3000, n_stages=1, lowest_bandwidth=0.2)
    found = measure_stages(Group.of("test", [config], range(40)), CPU)
    squares = torch.tensor([(one["rms"][0] / one["law"][0]) ** 2 for one in found])
    assert abs(float(squares.mean()) - 1) < 4 * float(squares.std()) / len(squares) ** 0.5
    assert float(squares.std()) < 0.4


def test_enough_examples_make_the_learner_right_and_a_draw_that_violates_is_replaced():
    config = TheoremConfig(8, 4, 2, n_samples=16 * 128)
    (found,) = measure_stages(Group.of("test", [config], [3]), CPU)
    assert found["error"] < 0.02
    generator = stream("test rules", 7)
    _, found, violated = draw_identifiable(generator, 4, 2, 4)
    assert found.holds and found.kappa == pytest.approx(1) and violated > 0


@pytest.mark.parametrize("learner", ["theorem", "ridge", "layerwise", "network"])
def test_every_learner_is_right_on_many_examples_of_the_same_draw(learner):
    config = TheoremConfig(4, 2, 2, n_samples=1600, learner=learner, n_steps=1800)
    found = measure_beside(Group.of("test", [config], [1, 2]), CPU)
    assert max(one["error"] for one in found) < 0.05
    assert all(one.get("converged", True) for one in found)


def test_noise_of_the_stage_below_reaches_the_next_one_and_not_its_data():
    config = TheoremConfig(8, 4, 2, n_samples=64 * 128)
    few = TheoremConfig(8, 4, 2, n_samples=64 * 128, n_below=2 * 128)
    rich, poor = measure_stages(Group.of("test", [config, few], [4]), CPU)
    assert poor["rms"][0] > 3 * rich["rms"][0] and poor["rms"][1] > 1.3 * rich["rms"][1]


def test_up_to_twenty_synonyms_different_laws_are_as_far_apart_as_proposition_19_says():
    for seed in range(20):
        found = assumption(grammar(seed, v=6, m=3, depth=3))
        for k, law in enumerate(found.laws):
            apart = torch.pdist(law).square()
            least = float(apart[apart > 1e-12].min())
            assert least > (1 - 1e-9) * 2 * 3.0 ** (-2 * (2 - k))


def test_a_symbol_that_is_never_first_violates_the_assumption():
    rules = torch.tensor([[[0, 0], [0, 1]], [[1, 0], [1, 1]]], dtype=torch.uint8)
    never = torch.tensor([[[0, 0]], [[0, 1]]], dtype=torch.uint8)
    assert assumption(RandomHierarchy((rules, rules), 2)).holds
    assert assumption(RandomHierarchy((never, rules), 2)).kappa == math.inf


def test_the_repaired_lemma_holds_and_the_printed_one_does_not():
    config = TheoremConfig(8, 4, 3, n_samples=2048, n_draws=1)
    (found,) = measure_lemmas(Group.of("test", [config], [0]), CPU)
    assert found["corrected"] < 1 < found["printed"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: grammar(v=2, m=3),
        lambda: assumption(DRAWN),
        lambda: kernel_of(0.0, 4),
        lambda: mean_signal(4, 2, 0),
    ],
)  # fmt: skip
def test_what_the_theorem_does_not_speak_of_is_refused(call):
    with pytest.raises(ValueError, match="vocab_size|sigma|level|m <= v"):
        call()
