import math

import pytest
import torch

from hierlearn.quadratic.measures import (
    first_level_errors,
    nearest_rotation,
    plateau_gram,
    unexplained,
)
from hierlearn.quadratic.target import QuadraticTeachers


def rows(*values):
    return torch.tensor([values], dtype=torch.float64)


def random_truth(width=3, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(dim, width, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(gaussian).Q.T[None]


def test_errors_do_not_see_a_rotation_of_the_features():
    truth = random_truth()
    rotation = random_truth(3, 3, seed=1)[0]
    features = rotation @ truth[0]
    errors = first_level_errors((features.T @ features)[None], truth)
    assert max(errors.gram[0], errors.shape[0], errors.rotation[0]) < 1e-12


def test_a_scale_shows_in_the_gram_error_only():
    truth = random_truth()
    gram = 1.5 * truth.mT @ truth
    errors = first_level_errors(gram, truth)
    assert errors.gram[0] == pytest.approx(0.5)
    assert max(errors.shape[0], errors.rotation[0]) < 1e-12


def test_the_rotation_error_is_the_sine_of_the_angle():
    angle = 0.3
    truth = rows([1.0, 0.0, 0.0])
    tilted = rows([math.cos(angle), math.sin(angle), 0.0])
    errors = first_level_errors(tilted.mT @ tilted, truth)
    assert errors.rotation[0] == pytest.approx(math.sin(angle))


def test_the_plateau_minimizes_the_level_two_loss_over_all_low_rank_forms():
    teachers = QuadraticTeachers.draw([4], dim=6, widths=(2, 2), skip=0.8, dtype=torch.float64)
    ratio = torch.tensor([0.3], dtype=torch.float64)
    plateau = plateau_gram(teachers.first, teachers.bias_form(), ratio)
    total = teachers.first.mT @ teachers.first + 0.3 * teachers.bias_form()
    best = (plateau - total).norm()
    weights = torch.randn(2, 6, generator=torch.Generator().manual_seed(0)).double()
    weights.requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-12)

    def closure():
        optimizer.zero_grad()
        loss = (weights.T @ weights - total[0]).square().sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert closure().sqrt().item() == pytest.approx(best.item(), rel=1e-6)
    assert torch.allclose((weights.T @ weights).detach(), plateau[0], atol=1e-4)


def test_without_skip_the_plateau_is_inflated_but_not_rotated():
    teachers = QuadraticTeachers.draw([4], dim=8, widths=(3, 2), skip=0.0, dtype=torch.float64)
    ratio = torch.tensor([0.2], dtype=torch.float64)
    plateau = plateau_gram(teachers.first, teachers.bias_form(), ratio)
    errors = first_level_errors(plateau, teachers.first)
    assert errors.rotation[0] < 1e-12 < errors.gram[0]


def test_the_nearest_rotation_beats_random_rotations():
    truth = random_truth()
    weights = truth + 0.2 * random_truth(3, 8, seed=5)
    nearest = nearest_rotation(weights, truth)
    assert torch.allclose(nearest.mT @ nearest, truth.mT @ truth)
    for seed in range(20):
        other = random_truth(3, 3, seed=seed)[0] @ truth
        assert (weights - nearest).norm() <= (weights - other).norm()


def test_fewer_rows_than_features_cannot_be_rotated():
    with pytest.raises(ValueError, match="cannot rotate 3 features into 2 rows"):
        nearest_rotation(random_truth(2), random_truth(3))


def test_unexplained_ignores_offsets():
    target = torch.randn(1, 500, generator=torch.Generator().manual_seed(0))
    assert unexplained(target + 3, target)[0] < 1e-12
    assert unexplained(torch.zeros_like(target), target)[0] == pytest.approx(1)
    assert unexplained(2 * target, target)[0] == pytest.approx(1)
