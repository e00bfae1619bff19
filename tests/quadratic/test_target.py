import pytest
import torch

from hierlearn.quadratic.target import QuadraticTeachers


def draw(seeds=(0, 1), **changes):
    shape = {"dim": 12, "widths": (4, 3, 2), "skip": 0.8} | changes
    return QuadraticTeachers.draw(list(seeds), dtype=torch.float64, **shape)


def test_first_level_rows_are_orthonormal_and_skip_rows_have_the_skip_norm():
    teachers = draw()
    eye = torch.eye(4, dtype=torch.float64)
    assert torch.allclose(teachers.first @ teachers.first.mT, eye.expand(2, 4, 4), atol=1e-12)
    for skip in teachers.skips:
        gram = skip @ skip.mT
        identity = torch.eye(len(gram[0]), dtype=torch.float64)
        assert torch.allclose(gram, 0.64 * identity.expand_as(gram), atol=1e-12)


def test_a_seed_means_the_same_target_whatever_seeds_stand_beside_it():
    alone, beside = draw([3]), draw([7, 3])
    assert torch.equal(alone.first[0], beside.first[1])
    assert torch.equal(alone.mixing[1][0], beside.mixing[1][1])
    assert torch.equal(alone.scale[0], beside.scale[1])


def test_adding_a_level_leaves_the_lower_ones_as_they_were():
    three, four = draw(widths=(4, 3)), draw(widths=(4, 3, 2))
    assert torch.equal(three.first, four.first)
    assert torch.equal(three.mixing[0], four.mixing[0])
    assert torch.equal(three.skips[0], four.skips[0])


def test_level_sums_agree_with_the_recursion_written_out_point_by_point():
    teachers = draw()
    x = torch.randn(2, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums = teachers.level_sums(x)
    for s in range(2):
        for b in range(5):
            h = (teachers.first[s] @ x[s, b]) ** 2 - 1
            expected = [h.sum()]
            for mixing, skip in zip(teachers.mixing, teachers.skips, strict=True):
                h = (mixing[s] @ h + skip[s] @ x[s, b]) ** 2 - 1
                expected.append(h.sum())
            assert torch.allclose(sums[s, :, b], torch.stack(expected))


def test_levels_have_the_amplitude_ratios_that_were_asked_for():
    teachers = draw([5])
    gaps = torch.tensor([[[1.0, 0.2, 0.04]]], dtype=torch.float64)
    x = torch.randn(1, 100_000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spread = (teachers.amplitudes(gaps)[0, 0, :, None] * teachers.level_sums(x)[0]).std(1)
    assert torch.allclose(spread / spread[0], gaps[0, 0], rtol=0.05)


def test_every_level_is_standardized_before_squaring():
    teachers = draw([5], widths=(4, 3))
    x = torch.randn(100_000, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    h = (x @ teachers.first[0].T) ** 2 - 1
    level_3 = h @ teachers.mixing[0][0].T + x @ teachers.skips[0][0].T
    assert torch.allclose(level_3.std(0), torch.ones(3, dtype=torch.float64), atol=0.03)


def test_the_bias_form_is_the_degree_two_hermite_part_of_level_three():
    teachers = draw([2], dim=5, widths=(3, 2))
    generator = torch.Generator().manual_seed(3)
    total, n = torch.zeros(5, 5, dtype=torch.float64), 12
    for _ in range(n):
        x = torch.randn(1, 50_000, 5, dtype=torch.float64, generator=generator)
        y = teachers.level_sums(x)[0, 1]
        moment = torch.einsum("b,bi,bj->ij", y - y.mean(), x[0], x[0]) / len(y)
        total += moment - torch.eye(5) * (y - y.mean()).mean()
    assert torch.allclose(total / n / 2, teachers.bias_form()[0], atol=0.08)


def test_two_levels_have_no_bias_form():
    assert draw(widths=(4,)).bias_form().abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": (13, 2)}, r"from 1 to dim=12.*\[13, 2\]"),
        ({"widths": ()}, "non-empty"),
        ({"skip": 1.0}, r"skip must lie in \[0, 1\); got 1.0"),
    ],
)
def test_impossible_shapes_are_refused_with_the_value_and_the_valid_range(changes, words):
    with pytest.raises(ValueError, match=words):
        draw(**changes)
