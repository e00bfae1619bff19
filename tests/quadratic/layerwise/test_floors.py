"""The population loss in Hermite coefficients, and the floor that it implies."""

import numpy as np
import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.floors import (
    SquaredForms,
    bias_form_of_level_4,
    greedy_floor,
    target_forms,
)
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.measures import plateau_gram
from hierlearn.quadratic.target import QuadraticTeachers


def random_forms(dim: int = 4, terms: int = 3) -> SquaredForms:
    generator = stream("test forms", 0)

    def draw(*shape: int) -> torch.Tensor:
        return 0.5 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    quadratic, form = draw(terms, dim, dim), draw(dim, dim)
    return SquaredForms(
        draw(terms), quadratic + quadratic.mT, draw(terms, dim), draw(terms), form + form.T
    )


def values(forms: SquaredForms, x: torch.Tensor) -> torch.Tensor:
    squares = torch.einsum("ni,aij,nj->na", x, forms.quadratic, x)
    traces = forms.quadratic.diagonal(dim1=1, dim2=2).sum(1)
    s = squares - traces + x @ forms.linear.T + forms.constant
    return s.square() @ forms.weights + torch.einsum("ni,ij,nj->n", x, forms.form, x)


def test_the_variance_from_hermite_coefficients_is_that_of_a_large_sample():
    forms = random_forms()
    x = torch.randn(400_000, 4, generator=stream("test points", 0), dtype=torch.float64)
    assert float(forms.variance()) == pytest.approx(float(values(forms, x).var()), rel=0.03)


def test_the_coefficients_without_degree_two_ignore_any_added_quadratic_form():
    forms = random_forms()
    other = SquaredForms(
        forms.weights, forms.quadratic, forms.linear, forms.constant, 3 * forms.form
    )
    left, right = (f.hermite(up_to_quadratic=True) for f in (forms, other))
    torch.testing.assert_close(left, right)
    assert not torch.allclose(forms.hermite(), other.hermite())


def teacher_parts(gap: float = 0.2):
    teacher = QuadraticTeachers.draw([3], dim=9, widths=(3, 2), skip=0.8, dtype=torch.float64)
    amplitudes = teacher.amplitudes(torch.tensor([[[1, gap]]]).double())[0, 0]
    return teacher, (teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], amplitudes)


def test_the_target_written_as_forms_is_the_target():
    teacher, parts = teacher_parts()
    x = torch.randn(1, 500, 9, generator=stream("test points", 1), dtype=torch.float64)
    y = parts[3] @ teacher.level_sums(x)[0]
    mine = values(target_forms(*parts), x[0])
    torch.testing.assert_close(mine - mine.mean(), y - y.mean())


def test_there_is_no_floor_above_the_true_level_2():
    _, parts = teacher_parts()
    found = greedy_floor(*parts, frozen=parts[0].T @ parts[0], widths=(3, 2))
    assert max(found.rel, found.level, found.with_readout) < 1e-8


def test_other_starts_find_a_lower_minimum_of_a_target_that_has_two():
    teacher = QuadraticTeachers.draw([9704], dim=20, widths=(4, 3), skip=0.8, dtype=torch.float64)
    amplitudes = teacher.amplitudes(torch.tensor([[[1, 0.2]]]).double())[0, 0]
    ratio = amplitudes[1:] / amplitudes[:1]
    frozen = plateau_gram(teacher.first, teacher.bias_form(), ratio)[0]
    parts = teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], amplitudes
    alone, many = (greedy_floor(*parts, frozen=frozen, widths=(4, 3), n_starts=n) for n in (1, 12))
    assert many.rel == pytest.approx(alone.rel, rel=0.01)
    assert many.minima[0] < 0.7 * many.rel and list(many.minima) == sorted(many.minima)
    apart = [min(abs(end / many.rel - one) for one in (0.652, 1)) for end in many.minima]
    assert max(apart) < 0.01


def test_what_a_quadratic_feature_sees_of_level_4_is_that_of_a_quadrature():
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    points = torch.tensor(np.stack(np.meshgrid(nodes, nodes, nodes), -1).reshape(1, -1, 3))
    weight = torch.tensor(np.einsum("i,j,k->ijk", *[weights / weights.sum()] * 3).reshape(-1))
    teacher = QuadraticTeachers.draw([1], dim=3, widths=(3, 2, 2), skip=0.8, dtype=torch.float64)
    top = teacher.level_sums(points)[0, 2] * weight
    x = points[0]
    second = torch.einsum("n,na,nb->ab", top, x, x) - top.sum() * torch.eye(3)
    torch.testing.assert_close(
        bias_form_of_level_4(teacher)[0], second / 2, atol=1e-7, rtol=1e-7, check_dtype=False
    )
    with pytest.raises(ValueError, match="level 4 is missing"):
        bias_form_of_level_4(teacher_parts()[0])


@pytest.mark.slow
def test_the_floor_above_the_biased_level_2_is_that_of_greedy_training():
    teacher, parts = teacher_parts()
    ratio = parts[3][1:] / parts[3][:1]
    frozen = plateau_gram(teacher.first, teacher.bias_form(), ratio)[0]
    found = greedy_floor(*parts, frozen=frozen, widths=(3, 2))
    assert 0 < found.with_readout < found.rel < 0.1
    config = QuadraticConfig(
        dim=9, widths=(3, 2), gaps=(1, 0.2), opens=(0, 1000), n_steps=3000, look_back=1,
        n_test=20_000,
    )  # fmt: skip
    result = measure(Group.of("test", [config], [3]), torch.device("cpu"))[0]
    assert result["floor"]["rel"] == pytest.approx(found.rel, rel=1e-6)
    assert result["final"]["rel"] == pytest.approx(found.rel, rel=0.25)
