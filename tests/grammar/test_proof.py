"""One stage of Theorem 7's proof: the lemmas' quantities by a second route, and who breaks them."""

import math
from itertools import permutations

import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.grammar.layerwise_theorem.proof import second_moments, stage_bounds
from hierlearn.grammar.layerwise_theorem.target import draw_rules


def stage(spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Three tuples with two representations each in six dimensions, and their label counts."""
    draws = stream("test proof", 0)
    x = torch.eye(6, dtype=torch.float64)[[0, 0, 1, 1, 2, 2]]
    x = x + spread * torch.randn(6, 6, generator=draws, dtype=torch.float64)
    counts = torch.tensor([[5.0, 1.0], [2.0, 4.0], [3.0, 6.0]]).double()
    return x / x.norm(dim=1, keepdim=True), counts


@pytest.mark.parametrize("spread", [0.01, 0.3])
def test_bounds_are_those_of_gradient_descent_and_of_ridge_regression_on_every_example(spread):
    x, counts = stage(spread)
    ridge, n = 1 / 3, counts.sum()
    weight = (counts[:, None] / n / 2).expand(-1, 2, -1).flatten(0, 1)
    gram, cross = (x.T * weight.sum(1)) @ x + ridge * torch.eye(6), weight.T @ x
    solved = cross @ torch.linalg.inv(gram)
    w, far = torch.zeros(2, 6).double(), []
    for step in range(1, 25):
        w = w - 6 / 4 * (w @ gram - cross)
        far.append(float((w - solved).norm() / solved.norm()) * math.exp(step / 3))

    rests, factors = [], []
    for i, tuple_counts in enumerate(counts):
        own, share = x[2 * i : 2 * i + 2], tuple_counts.sum() / n
        alone = torch.linalg.inv(share * own.T @ own / 2 + ridge * torch.eye(6))
        for one in own:
            a = own.mean(0) @ alone @ one
            rests.append(solved @ one - share * a * tuple_counts / tuple_counts.sum())
            factors.append(float(4 * (share + ridge) * a))
    overlap = max(
        float((x[i] @ x[j]).abs()) for i in range(6) for j in range(6) if i // 2 != j // 2
    )

    found = stage_bounds(x @ x.T, counts)
    assert found["rate"] == pytest.approx(max(far))
    assert found["factor"] == pytest.approx(min(factors))
    assert found["overlap"] == pytest.approx(overlap)
    worst = max(float(rest.norm()) for rest in rests)
    assert found["cross"] == pytest.approx(worst / (54 * overlap), rel=1e-6)


def test_the_lemmas_hold_near_and_fail_with_a_small_step_and_with_tokens_far_apart():
    near, counts = stage(0.01)
    found = stage_bounds(near @ near.T, counts)
    assert found["rate"] < 1 < found["factor"] and found["cross"] < 1
    assert stage_bounds(near @ near.T, counts, step=0.1)["rate"] > 1
    tuples, each = 20, 20  # every representation orthogonal to every other
    far = stage_bounds(torch.eye(tuples * each).double(), torch.ones(tuples, 3).double())
    assert far["factor"] < 1


def test_representations_that_do_not_belong_to_tuples_are_refused():
    with pytest.raises(ValueError, match="as many representations, and a label; got 5 of 3"):
        stage_bounds(torch.eye(5).double(), torch.ones(3, 2).double())


def test_the_first_symbol_has_lemma_26s_mean_square_over_all_ways_to_deal():
    v, m, z = 3, 2, torch.tensor([1.0, -0.3, -0.7]).double()
    balls = z.repeat_interleave(m)
    dealt = torch.tensor([[float(balls[i]) for i in one[:m]] for one in permutations(range(v * m))])
    exact = float(dealt.mean(1).square().mean())
    variance = float(z.square().mean())
    assert exact == pytest.approx(variance / m * (1 - (m - 1) / (v * m - 1)), rel=1e-5)


def test_drawn_rules_agree_with_lemma_26_and_not_with_replacement():
    right, replaced = second_moments(stream("test proof", 1), 6, 3, 1500)
    assert right == pytest.approx(1, abs=0.03)
    assert replaced < 0.9


def test_what_is_left_for_the_last_symbol_decides_it():
    (rules,) = draw_rules(stream("test proof", 2), 5, 3, 1).rules
    first = torch.nn.functional.one_hot(rules[:, :, 0].long(), 5).sum(1)
    assert torch.equal(3 - first[:-1].sum(0), first[-1])
