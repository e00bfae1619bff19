import pytest
import torch

from hierlearn.engine.adam import step_sizes
from hierlearn.quadratic.protocols import ADAM_BETAS, Protocol, compile_plan

STAGED = Protocol(opens=(0, 10, 20))
GAPS = (1.0, 0.2, 0.04)


def test_staged_training_trains_every_open_level():
    assert STAGED.trained_levels(0) == [True, False, False]
    assert STAGED.trained_levels(15) == [True, True, False]
    assert STAGED.trained_levels(25) == [True, True, True]


def test_greedy_training_trains_the_newest_level_until_the_thaw():
    greedy = Protocol(opens=(0, 10, None), look_back=1, thaw=30)
    assert greedy.trained_levels(12) == [False, True, False]
    assert greedy.trained_levels(30) == [True, True, False]
    assert greedy.stage_starts() == [0, 10, 30]


def test_looking_back_over_all_levels_is_staged_training():
    deep = Protocol(opens=(0, 10, 20), look_back=3)
    steps = range(40)
    assert [deep.trained_levels(s) for s in steps] == [STAGED.trained_levels(s) for s in steps]


def test_rates_are_zero_where_frozen_and_annealed_to_a_thousandth_elsewhere():
    plan = compile_plan([STAGED, Protocol(opens=(0, 10, 20), look_back=1)], [GAPS, GAPS], 30)
    rates = plan.rates
    assert rates[0, 0, 0] == pytest.approx(1e-2)
    assert rates[:10, 0, 1:3].abs().max() == 0
    assert rates[10, 0, 0] == pytest.approx(0.2 * 1e-2)
    assert rates[10:, 1, 0].abs().max() == 0
    assert rates[29, 0, 2] < 0.05 * rates[20, 0, 2]


def test_adams_clock_stands_still_while_a_level_is_frozen():
    thawed = Protocol(opens=(0, 10), look_back=1, thaw=20)
    plan = compile_plan([thawed], [(1.0, 0.2)], 30)
    sizes = step_sizes(plan.rates, ADAM_BETAS)
    ratio = sizes[:, 0, 0] / plan.rates[:, 0, 0]

    def correction(n):
        return (1 - 0.99**n) ** 0.5 / (1 - 0.9**n)

    assert ratio[0] == pytest.approx(correction(1))
    assert ratio[9] == pytest.approx(correction(10))
    assert ratio[20] == pytest.approx(correction(11))


@pytest.mark.parametrize("opens", [(5, 10), (0, 20, 10), (0, None, 10), (None, None)])
def test_impossible_openings_are_refused(opens):
    with pytest.raises(ValueError, match="opens must start with 0 and ascend"):
        Protocol(opens=opens)


def test_looking_back_over_no_level_is_refused():
    with pytest.raises(ValueError, match="look_back must be None .* got 0"):
        Protocol(opens=(0,), look_back=0)


def test_a_stage_that_would_never_be_reached_is_refused():
    with pytest.raises(ValueError, match="begins at step 20, but training has only 20 steps"):
        compile_plan([STAGED], [GAPS], 20)
    assert torch.equal(compile_plan([STAGED], [GAPS], 21).gates[0, 0], torch.tensor([1, 0, 0]) > 0)
