"""Algorithm 1 by SGD: the batched step against plain autograd, openings, starts, whitening."""

import math
from dataclasses import replace

import pytest
import torch

from hierlearn.experiment import Group
from hierlearn.quadratic.original import sgd
from hierlearn.quadratic.original.algorithm import (
    NOISE,
    AlgorithmConfig,
    Learners,
    Stream,
    written_thresholds,
)
from hierlearn.quadratic.original.alternation import products
from hierlearn.quadratic.original.sgd import measure
from hierlearn.quadratic.original.target import OriginalTarget

GAPS = (1, 0.3, 0.1)
SMALL = AlgorithmConfig(
    dim=4, widths=(3, 2, 1), gaps=GAPS, n_steps=100, batch=16, thresholds=(9.0,) * 5, holds=(0, 0)
)
ARMS = (
    SMALL, replace(SMALL, white=False, level_rates=False, start="svd"),
    replace(SMALL, flow="detached", clip=0.02), replace(SMALL, flow="frozen"),
)  # fmt: skip


def made(configs=ARMS, seed=3):
    target = OriginalTarget.draw(seed, dim=4, widths=(3, 2, 1))
    n = len(configs)
    learners = Learners(configs, [seed] * n, [target] * n)
    return learners, Stream(SMALL, [seed], [target], learners.inputs), target


def repeated(drawn, n):
    x, sums, noise = drawn
    y = torch.einsum("l,sln->sn", torch.tensor(GAPS), sums)
    return x.repeat(n, 1, 1), y.repeat(n, 1), [one.repeat(n, 1, 1) for one in noise]


def opened():
    """Learners of all arms after every opening, with some weights to tell them apart."""
    learners, data, _ = made()
    _, _, noise = repeated(data.draw(), len(ARMS))
    for run in range(len(ARMS)):
        learners.open_wide(run, 0, noise)
    for step in range(1, 6):
        x, y, noise = repeated(data.draw(), len(ARMS))
        for wide, draws in zip(learners.wide, noise, strict=True):
            wide += 0.3 * learners.moving[0, :, :1].squeeze(1).bool() * draws
        learners.open(step, torch.zeros(len(ARMS)), noise)
    return learners, data


def plain_step(learners, run, x, y, noise):
    """One step of a run, written from the paper's formulas and differentiated by autograd."""
    config, d = ARMS[run], 4
    wide = [w[run].clone().requires_grad_() for w in learners.wide]
    narrow = [k[run].clone().requires_grad_() for k in learners.narrow]
    phi, output, distilled = x**2 - 1, 0.0, 0.0
    for level, (w, k, alpha) in enumerate(zip(wide, narrow, GAPS, strict=True)):
        output = output + alpha * ((phi @ w.T) ** 2).sum(1)
        ratio = (0.3, 1 / 3, 1 / 3)[level]
        third, fourth, fifth = (alpha**2 * ratio**p for p in (1 / 6, 1 / 3, 1 / 2))
        n = w.shape[1] - d if level else d
        (kp, kx), (wp, wx) = ((one[:, :n], one[:, n:]) for one in (k, w))
        if level or config.flow != "frozen":
            distilled = distilled + fifth * (k.T @ k - w.T @ w).square().sum()
            distilled = distilled + fourth * (kp.T @ kp - wp.T @ wp).square().sum()
            distilled = distilled + third * (kp.T @ kx - wp.T @ wx).square().sum()
        if level < 2:
            s = phi @ k.T
            s = s.detach() if config.flow == "detached" else s
            r, white = (one[run] for one in learners.mixing[level])
            phi = torch.cat([((s @ r.T) ** 2) @ white, x], 1)
    objective = (output - y).square().mean() + distilled
    gradients = torch.autograd.grad(objective, [*wide, *narrow])
    after = []
    for level in range(3):
        gw, gk = gradients[level], gradients[3 + level]
        norm = math.sqrt(float(gw.square().sum() + gk.square().sum()))
        rate = config.rate / (GAPS[level] if config.level_rates else 1) * min(1, config.clip / norm)
        moves = level > 0 or config.flow != "frozen"
        after.append((
            wide[level] - rate * gw + NOISE * noise[level],
            narrow[level] - moves * rate * gk,
        ))  # fmt: skip
    return after, objective


@pytest.mark.parametrize("run", range(len(ARMS)))
def test_a_batched_step_is_the_step_of_plain_autograd(run):
    learners, data = opened()
    drawn = repeated(data.draw(), len(ARMS))
    x, y, noise = drawn
    expected, objective = plain_step(learners, run, x[run], y[run], [one[run] for one in noise])
    found = learners.step(*drawn, 1.0)
    assert float(found[run]) == pytest.approx(float(objective), rel=1e-4)
    for level, (wide, narrow) in enumerate(expected):
        assert torch.allclose(learners.wide[level][run], wide, rtol=1e-4, atol=1e-5)
        assert torch.allclose(learners.narrow[level][run], narrow, rtol=1e-4, atol=1e-5)


def test_the_true_weights_are_a_fixed_point():
    learners, data, target = made([SMALL])
    x, y, _ = repeated(data.draw(), 1)
    levels = [target.first]
    for u, v in zip(target.mixing, target.skips, strict=True):
        k = u.shape[1]
        a, b = torch.triu_indices(k, k)
        of_products = torch.zeros(len(u), len(a)).double()
        of_products[:, a == b] = u
        levels.append(torch.cat([of_products, v], 1))
    for level, weights in enumerate(levels):
        learners.wide[level][0, : len(weights)] = weights.float()
        learners.narrow[level][0] = weights.float()
        learners.weights[level] += 1
    of_wide, of_narrow, objective = learners.gradients(x, y)
    assert float(objective) < 1e-6 * float(y.square().mean())
    assert max(float(g.abs().max()) for g in of_wide + of_narrow) < 0.02


def test_a_level_opens_below_its_threshold_after_its_hold_and_one_at_a_time():
    config = replace(SMALL, thresholds=(1.0, 0.5, 0.1, 0.1, 0.1), holds=(100, 0))
    learners, data, _ = made([config, config])
    _, _, noise = repeated(data.draw(), 2)
    for run in range(2):
        learners.open_wide(run, 0, noise)
    learners.open(50, torch.tensor([1.1, 0.05]), noise)
    assert learners.when == [[], [50]] and not learners.narrow[0][0].any()
    learners.open(99, torch.tensor([float("nan"), 0.05]), noise)
    assert learners.when == [[], [50]]
    learners.open(100, torch.tensor([0.9, 0.45]), noise)
    assert learners.when == [[100], [50, 100]]
    assert learners.moving[0, :, 1, 0, 0].tolist() == [0, 1]


def test_whitening_leaves_the_products_and_hence_the_functions():
    learners, _, _ = made([SMALL])
    s = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    r, white = (one[0].double() for one in learners.mixing[0])
    assert torch.allclose((s @ r.T).square() @ white, products(s), atol=1e-3)


@pytest.mark.parametrize("start", ["eigen", "svd"])
def test_a_start_of_full_rank_reproduces_what_it_is_taken_from(start):
    learners, _, _ = made([replace(SMALL, start=start)])
    draws = torch.Generator().manual_seed(1)
    learners.wide[1][0, :2] = torch.randn(2, learners.inputs[1], generator=draws)
    learners.distill(0, 1)
    wide, narrow = learners.wide[1][0], learners.narrow[1][0]
    apart = narrow.T @ narrow - wide.T @ wide
    n = learners.inputs[1] - 4
    assert float((apart[:n, n:] if start == "svd" else apart).abs().max()) < 1e-4


def test_thresholds_fall_from_opening_to_opening_and_meet_without_a_gap():
    found = written_thresholds((1, 0.2, 0.04))
    assert found == sorted(found, reverse=True) and len(found) == 5
    assert written_thresholds((1, 1.0)) == [1.0, 1.0, 1.0]


def test_a_run_does_not_depend_on_the_arms_beside_it():
    alone = measure(Group.of("x", [ARMS[0]], [5]), torch.device("cpu"))
    beside = measure(Group.of("x", ARMS, [5]), torch.device("cpu"))
    ends = [one[0]["path"]["loss"][-1] for one in (alone, beside)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-3)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_exponent_of_the_loss_is_that_of_the_root(exponent):
    losses = [0.5 * 0.7**point for point in range(sgd.POINTS + 1)]
    errors = [[3 * loss ** (exponent / 2), 1.0] for loss in losses]
    found = sgd.exponent_of_loss(SMALL, {"path": {"loss": losses, "errors": errors}})
    assert found == pytest.approx(exponent)


def test_the_constant_of_theorem_2_is_the_largest_since_its_level_is_open():
    errors = [[1 / (1 + point), 0.2] for point in range(sgd.POINTS + 1)]
    path = {"step": [*range(len(errors))], "errors": errors, "loss": [0.25] * len(errors)}
    run = {"path": path, "norms": [2.0, 1.0], "opened": [1, sgd.HELD, 9]}
    assert sgd.constant(2)(SMALL, run) == pytest.approx(2 / (1 + sgd.HELD) / 0.5)
    assert sgd.constant(3)(SMALL, run) == pytest.approx(0.3 * 0.2 / 0.5)
    assert math.isnan(sgd.constant(3)(SMALL, {**run, "opened": [1, sgd.HELD]}))


def test_every_change_that_is_undone_has_its_arm_and_differs_in_nothing_else():
    arms = sgd.arms("laptop")
    plain = arms["as run"].as_dict()
    for written, _, arm in sgd.CHANGES:
        if arm:
            own = arms[arm].as_dict()
            assert sum(own.get(key) != plain.get(key) for key in own | plain) == 1, written
