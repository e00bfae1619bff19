"""What decides: closed forms against enumeration, regression and counting."""

from itertools import combinations_with_replacement, islice

import pytest
import torch

from hierlearn.conditions import bits, labels
from hierlearn.conditions.runs import (
    THEOREM_SCALE,
    BitsConfig,
    DirtConfig,
    MinimizerConfig,
    QuadraticConfig,
    measure_bits,
    measure_dirt,
    measure_minimizer,
    measure_quadratic,
)
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.grammar.measures import rule_counts
from hierlearn.quadratic.target import QuadraticTeachers

CPU = torch.device("cpu")
MEANS = torch.tensor([0.5, -0.3, 0.7, 0.1]).double()


def test_inner_dirt_is_what_projection_takes_of_a_product_and_the_formula_for_equal_means():
    x, weights = bits.all_points(MEANS)
    root = weights.sqrt()[:, None]
    q = torch.linalg.qr(root * bits.up_to_pairs(x)).Q
    assert bits.inner_dirt(MEANS) == pytest.approx(
        float((q.T @ (root[:, 0] * x.prod(1))).square().sum())
    )
    b = 0.6
    v = 1 - b**2
    assert bits.inner_dirt(torch.full((4,), b).double()) == pytest.approx(
        b**8 + 4 * b**6 * v + 6 * b**4 * v**2
    )
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\]"):
        bits.all_points(2 * MEANS)


def test_look_backs_between_a_plane_and_a_line_leave_what_the_angle_says():
    angle, a = 0.7, 1.7
    lower = torch.eye(3).double()[:, :2]
    e = torch.tensor([torch.tensor(angle).cos(), 0.0, torch.tensor(angle).sin()]).double()
    y, even = torch.tensor([0.3, -2.0, 0.0]).double() + a * e, torch.ones(3).double()
    dirt = float(e[0] ** 2)
    for n, (low, high) in enumerate(islice(bits.alternate(lower, e[:, None], y, even), 4)):
        left = float((y - lower @ low - high * e).square().sum())
        assert left == pytest.approx(a**2 * bits.after_look_backs(dirt, n))


def test_appendix_c_finds_all_products_of_uniform_bits_and_loses_them_beyond_the_margin():
    target = bits.draw_target(2, dim=8, amplitudes=(1.0, 0.5, 2.0))
    x, _ = bits.all_points(torch.zeros(8).double())
    true = bits.supports(target.order[0].tolist())
    assert [len(one) for one in true] == [4, 2, 1] and true[2] == {frozenset(range(8))}
    assert bits.learn_by_layers(x, target.values(x[None])[0], [4, 2, 1]) == true
    kinds = [BitsConfig(8, b) for b in (0.7, 0.71, 0.72)]  # the margin ends at 0.7071
    within, beyond, widened = (
        measure_bits(Group.of("x", [one], [0]), CPU)[0]
        for one in (kinds[0], kinds[1], BitsConfig(8, 0.72, spare=8))
    )
    assert within["margin"] > 0 > beyond["margin"]
    assert within["worst"] < 1e-20 > widened["worst"] and beyond["readout"] > 0.05
    b, a = 0.7, 1.0
    assert within["margin"] == pytest.approx(1 - a * b**2 / (1 - a * b**2))


def test_stages_have_appendix_cs_minimizer_on_uniform_bits_and_another_on_biased_ones():
    arms = [MinimizerConfig(4), MinimizerConfig(4, 0.5)]
    uniform, biased = measure_minimizer(Group.of("x", arms, [0]), CPU)
    assert uniform["deviation"] < 1e-12 and biased["deviation"] > 0.05


def test_what_frozen_features_leave_is_what_regression_on_them_leaves():
    config, n = QuadraticConfig(0.8, gap=0.4, dim=5), 30_000
    (found,) = measure_quadratic(Group.of("x", [config], [1]), CPU)
    teacher = QuadraticTeachers.draw([1], dim=5, widths=(3, 2), skip=0.8, dtype=torch.float64)
    amplitudes = teacher.amplitudes(torch.tensor([[[1, 0.4]]]).double())[0, 0]
    x = torch.randn(n, 5, generator=stream("another sample", 1)).double()
    sums = teacher.level_sums(x[None])[0]
    even = torch.ones(n).double()
    own = torch.cat([bits.up_to_pairs(x), x.square()], 1)
    w = teacher.first[0]
    form = amplitudes[0] * w.T @ w + amplitudes[1] * teacher.bias_form()[0]
    s = x @ torch.linalg.eigh(form).eigenvectors[:, -3:]
    quartic = [
        s[:, list(k)].prod(1) for p in (3, 4) for k in combinations_with_replacement(range(3), p)
    ]
    mixed = [s[:, a] * s[:, b] * x[:, k] for a in range(3) for b in range(a, 3) for k in range(5)]
    columns = torch.cat([own, torch.stack(quartic + mixed, 1)], 1)
    y = sums[1] - sums[1].mean()
    left = y - columns @ bits.solve(columns, y, even)
    assert float(left.square().mean() / y.square().mean()) == pytest.approx(
        found["readout"], rel=0.15
    )
    explained = own @ bits.solve(own, y, even)
    assert float(explained.var() / y.var()) == pytest.approx(found["inner"], abs=0.05)


def draw(dial: str, t: float, vocab_size: int = 4, n_synonyms: int = 2) -> DialedHierarchy:
    return DialedHierarchy.draw(
        0, vocab_size=vocab_size, n_classes=vocab_size, n_synonyms=n_synonyms, n_levels=3,
        dial=dial, t=t,
    )  # fmt: skip


def test_label_laws_are_those_of_all_strings_and_of_samples_of_a_turned_dial():
    law = draw("none", 0.0)
    strings, truth = law.grammar.data_at(torch.arange(law.grammar.n_strings))
    joint = labels.joint_law(law)
    assert torch.allclose(joint, rule_counts(law.grammar, strings, truth) / len(strings))
    assert labels.shares(joint, 2)[1] == pytest.approx(0, abs=1e-12)
    assert labels.margin(joint, 2) == pytest.approx(1)
    law = draw("hint", 0.5, 8, 4)
    strings, truth = law.sample_distinct(4000, stream("strings", 0))
    joint, seen = labels.joint_law(law), rule_counts(law.grammar, strings, truth) / len(strings)
    assert float((joint - seen).abs().max()) < 5 * (float(joint.max()) / 4000) ** 0.5
    signal, outer = labels.shares(joint, 4)
    clean = labels.shares(labels.joint_law(draw("none", 0.0, 8, 4)), 4)
    assert signal == pytest.approx(clean[0]) and outer > 0.2 > clean[1]
    with pytest.raises(ValueError, match="'hint' or 'shared'"):
        labels.joint_law(draw("skip", 0.5))


def test_label_laws_are_alike_exactly_where_there_are_no_shares_of_them():
    mass = torch.tensor([0.125, 0.125, 0.25, 0.5]).double()[:, None, None]
    same = mass * torch.tensor([[0.3, 0.7], [0.6, 0.4]]).double()  # two positions, two labels
    assert labels.alike(same)
    with pytest.raises(ValueError, match="are alike"):
        labels.shares(same, 2)
    other = same.clone()
    other[0, 1] += torch.tensor([0.001, -0.001]).double()
    assert not labels.alike(other) and labels.shares(other, 2)[1] > 0
    assert not labels.alike(labels.joint_law(draw("none", 0.0)))


def test_shares_of_counts_are_unbiased_where_plain_frequencies_are_not():
    joint = labels.joint_law(draw("hint", 0.5, 8, 4))
    n, found = 2000, []
    for seed in range(20):
        cells = [
            torch.multinomial(
                one.flatten(), n, replacement=True, generator=stream("cells", seed * 4 + j)
            )
            for j, one in enumerate(joint.unbind(1))
        ]
        counts = [torch.bincount(one, minlength=256).view(32, 8) for one in cells]
        seen = torch.stack(counts, 1).double() / n
        found.append([labels.shares(seen, 4, n_samples=n)[1], labels.shares(seen, 4)[1]])
    read, naive = torch.tensor(found).mean(0).tolist()
    exact = labels.shares(joint, 4)[1]
    assert read == pytest.approx(exact, abs=0.03) and abs(naive - exact) > abs(read - exact)


def test_theorem_7s_learner_needs_data_and_is_not_misled_by_a_bit_that_the_label_does_not_know():
    cases = [(64, "hint", 0.0), (64, "shared", 1.0), (4, "hint", 0.0)]
    few = [DirtConfig(n * THEOREM_SCALE, dial, t) for n, dial, t in cases]
    clean, leaning, starved = (
        one["error"] for one in measure_dirt(Group.of("test", few, [0]), CPU)
    )
    assert clean < 0.02 and leaning < 0.1 and starved > 0.3
