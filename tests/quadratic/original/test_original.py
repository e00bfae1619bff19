"""The paper's own class: closed forms against brute force, features read back from monomials."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic.original.alternation import (
    Learner,
    _upper_level,
    columns,
    distance,
    least_squares,
    products,
    refit,
    root,
    turned,
)
from hierlearn.quadratic.original.example import LAWS, best_features
from hierlearn.quadratic.original.runs import (
    AlternationConfig,
    _sample,
    measure,
    measure_without_gap,
    n_columns,
)
from hierlearn.quadratic.original.target import (
    N_CALIBRATION,
    OriginalTarget,
    plateau,
    squared_form_moment,
)

CUMULANTS = {1: 0, 2: 2, 3: 8, 4: 48, 5: 384, 6: 3840}
SMALL = AlternationConfig(dim=6, widths=(2, 2), gaps=(1, 0.1), n_samples=600, rounds=(3,))


def moments() -> list[int]:
    """E z^n of z = x^2 - 1, from its cumulants."""
    found = [1]
    for n in range(1, 7):
        terms = range(1, n + 1)
        found.append(sum(math.comb(n - 1, k - 1) * CUMULANTS[k] * found[n - k] for k in terms))
    return found


def run(config: AlternationConfig, seed: int = 0) -> dict:
    return measure(Group.of("x", [config], [seed]), torch.device("cpu"))[0]


def test_the_cumulants_are_those_of_a_centred_square():
    double = [1, 1, 3, 15, 105, 945, 10395]  # E x^(2n)
    direct = [sum(math.comb(n, k) * (-1) ** (n - k) * double[k] for k in range(n + 1))
              for n in range(7)]  # fmt: skip
    assert moments() == direct


def test_the_moment_of_a_squared_form_is_that_of_all_index_tuples():
    c = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c, m = c + c.T, moments()
    expected = torch.zeros(3, 3, dtype=torch.float64)
    for index in itertools.product(range(3), repeat=6):
        value = math.prod(m[index.count(i)] for i in range(3))
        a, b, i, j, k, n = index
        expected[a, b] += value * c[i, j] * c[k, n]
    assert torch.allclose(squared_form_moment(c), expected, rtol=1e-12)


@given(st.integers(0, 30), st.sampled_from([0.0, 1.0]))
def test_the_closed_plateau_is_what_least_squares_finds_under_exact_quadrature(seed, skip):
    target = OriginalTarget.draw(seed, dim=3, widths=(3, 2), skip=skip)
    nodes, weights = map(torch.from_numpy, hermegauss(7))  # exact to degree 13; 12 is needed
    x = torch.cartesian_prod(nodes, nodes, nodes)
    w = torch.cartesian_prod(weights, weights, weights).prod(1).sqrt()
    third = target.features(x)[1].square().sum(1)
    found = least_squares(w[:, None] * products(x**2 - 1), w * third)
    form, pairs = plateau(target), torch.triu_indices(3, 3)
    expected = form[pairs[0], pairs[1]] * (1 + (pairs[0] != pairs[1]))
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("law", LAWS)
def test_the_best_features_of_equation_1_tilt_by_the_third_moment(law):
    nodes, weights = LAWS[law]
    moment = [float(weights @ nodes**n) for n in range(7)]
    assert moment[:3] == pytest.approx([1, 0, 1], abs=1e-12)
    # The normal equations, moment by moment: squares among each other, mixed products alone.
    a, c, m3, m4 = torch.tensor([1.0, 2.0, 0.0]).double(), 0.1, moment[3], moment[4]
    of_squares = torch.ones(3, 3).double() + (m4 - 1) * torch.eye(3).double()
    total = torch.zeros(3).double()
    for i, j, k in itertools.product(range(3), repeat=3):
        value = math.prod(moment[2 * (i, j, k).count(n)] for n in range(3))
        total[k] += c * a[i] * a[j] * value
    total += of_squares @ (a + torch.tensor([0, 0, c]))
    total[2] += 2 * c * float(a.sum()) * m3
    form = torch.diag(torch.linalg.solve(of_squares, total))
    for (i, j), value in {(0, 2): c * m3, (1, 2): 2 * c * m3, (0, 1): 2 * c * m3**2}.items():
        form[i, j] = form[j, i] = value
    found, expected = best_features(law), root(form, 2)
    assert torch.allclose(found.T @ found, expected.T @ expected, atol=1e-12)
    tilted = float(found[:, 2].norm()) > 1e-8
    assert tilted == (abs(m3) > 1e-8)


def test_the_closed_form_of_the_inflation_is_where_the_averaged_loss_is_least():
    v, mean = 16.0, 0.5
    t = torch.linspace(-3, 3, 240_001).double()

    def slope(f: float, g: float) -> float:
        y, density = (t - f + g).sign(), torch.exp(-((t - f + mean) ** 2) / 2)
        return float((y * density * torch.sigmoid(-y * v * t)).sum())

    for g in (-0.5, 1.5, 2.5):
        off = math.pi**2 / (6 * v**2) * (g - mean)
        assert slope(g + 0.97 * off, g) * slope(g + 1.03 * off, g) < 0


@given(st.integers(0, 30), st.sampled_from([(2, 1), (2, 2), (3, 2), (3, 3)]))
def test_a_level_is_read_off_the_monomials_of_its_square(seed, widths):
    target = OriginalTarget.draw(seed, dim=5, widths=widths)
    x = torch.randn(600, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    below, above = target.features(x)
    _, shared, own = columns(x, [below])
    fit = least_squares(torch.cat([shared, own], 1), above.square().sum(1))
    level = _upper_level(fit[shared.shape[1] :], widths[0], 5, widths[1])
    found = products(below) @ level.products.T + x @ level.inputs.T
    assert distance(found, above) < 1e-8


def test_the_true_features_are_a_fixed_point_of_the_joint_fit():
    target = OriginalTarget.draw(3, dim=6, widths=(2, 2))
    x = torch.randn(600, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    truth = target.features(x)
    y = truth[0].square().sum(1) + 0.1 * truth[1].square().sum(1)
    start = Learner(target.first, [], torch.zeros(21, dtype=torch.float64))
    learner, _ = refit(start, x, y, widths=[2, 2], alphas=[1, 0.1])
    assert max(distance(s, t) for s, t in zip(learner.features(x), truth, strict=True)) < 1e-9


def test_each_joint_round_gains_and_frozen_features_stay():
    joint, frozen = run(SMALL), run(replace(SMALL, form="frozen"))
    errors = [one[0] for one in joint["errors"]]
    assert all(after < 0.3 * before for before, after in itertools.pairwise(errors))
    assert {one[0] for one in frozen["errors"]} == {errors[0]}
    assert frozen["converged"] and joint["rel"][-1] < 1e-4 * frozen["rel"][-1]


def test_the_factor_next_to_the_truth_is_the_spectral_radius_of_a_round():
    config, step = replace(SMALL, gaps=(1, 1), rounds=(1,)), 1e-6
    target = OriginalTarget.draw(0, dim=6, widths=(2, 2))
    x, y, truth = _sample(config, target, config.n_samples, stream("original data", 0))
    moved = []
    for off in torch.eye(12, dtype=torch.float64).reshape(12, 2, 6):
        start = Learner(target.first + step * off, [], torch.zeros(21, dtype=torch.float64))
        learner, _ = refit(start, x, y, widths=[2, 2], alphas=[1, 1])
        onto = turned(learner.features(x)[0], truth[0])
        moved.append((onto.T @ learner.first - target.first).flatten() / step)
    radius = float(torch.linalg.eigvals(torch.stack(moved, 1)).abs().max())
    found = measure_without_gap(Group.of("x", [config], [0]), torch.device("cpu"))[0]
    assert found["factor"] == pytest.approx(radius, rel=0.02)


def test_columns_are_counted_without_repeats():
    x = torch.randn(7, 5, dtype=torch.float64)
    features = [torch.randn(7, k, dtype=torch.float64) for k in (3, 2)]
    assert torch.cat(columns(x, features), 1).shape[1] == n_columns(5, (3, 2, 1))


def test_least_squares_has_the_least_norm_where_there_are_fewer_samples_than_columns():
    a = torch.randn(4, 9, dtype=torch.float64)
    a = a / a.norm(dim=0)
    y = torch.randn(4, dtype=torch.float64)
    found = least_squares(a, y)
    assert torch.allclose(found, torch.linalg.pinv(a) @ y)


@pytest.mark.parametrize(("widths", "says"), [((2, 3), "must not grow"), ((7,), "1..6")])
def test_widths_that_the_paper_does_not_allow_are_refused(widths, says):
    with pytest.raises(ValueError, match=says):
        OriginalTarget.draw(0, dim=6, widths=widths)


def test_the_levels_are_equal_in_amplitude_on_the_points_that_calibrate_them():
    target = OriginalTarget.draw(0, dim=8, widths=(3, 2, 1))
    draws = stream("original target", 0)
    x = torch.randn(N_CALIBRATION, 8, generator=draws, dtype=torch.float64)
    deviations = [float(s.square().sum(1).std()) for s in target.features(x)]
    assert deviations == pytest.approx([deviations[0]] * 3)
