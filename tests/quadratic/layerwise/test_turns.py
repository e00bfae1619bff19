"""Levels that take turns."""

from dataclasses import replace

import pytest
import torch

from hierlearn.experiment import Group
from hierlearn.quadratic.layerwise.turns import TurnConfig, measure, take_turns
from hierlearn.quadratic.protocols import compile_plan

BASE = TurnConfig(
    dim=6, widths=(3, 2), gaps=(1, 0.3), opens=(0, 20), n_steps=60, batch=32, n_test=100
)


def measured(*arms: TurnConfig) -> list[dict]:
    return measure(Group.of("test", arms, [7]), torch.device("cpu"))


def test_one_level_moves_at_a_time_the_newest_first_and_each_turn_is_annealed():
    arms = [BASE, replace(BASE, turn=10)]
    plan = compile_plan([c.protocol for c in arms], [c.gaps for c in arms], 60)
    turns = take_turns(plan, arms)
    torch.testing.assert_close(turns.rates[:, 0], plan.rates[:, 0])
    torch.testing.assert_close(turns.rates[:20], plan.rates[:20])
    moving = turns.rates[20:, 1] > 0
    assert moving.sum(1).tolist() == [1] * 40
    assert moving[::10].tolist() == [[False, True], [True, False]] * 2
    starts = turns.rates[20::10, 1]
    torch.testing.assert_close(starts, plan.rates[20, 1] * moving[::10])
    assert float(turns.rates[29, 1, 1]) < 0.05 * float(turns.rates[20, 1, 1])
    assert turns.trained[turns.starts.index(30)].tolist() == [[True, True], [True, False]]


def test_without_turns_the_levels_train_as_the_protocol_says():
    from hierlearn.quadratic.config import QuadraticConfig
    from hierlearn.quadratic.runs import measure as plain

    fields = {k: v for k, v in BASE.as_dict().items() if k not in ("turn", "refit")}
    other = plain(Group.of("test", [QuadraticConfig(**fields)], [7]), torch.device("cpu"))[0]
    for key in ("rel", "gram2", "sin2"):
        assert measured(BASE)[0]["final"][key] == pytest.approx(other["final"][key], rel=1e-4)


def test_a_head_that_is_refitted_moves_in_the_turns_of_level_2_too():
    head = replace(BASE, readout=True, turn=20, gaps=(1, 0.05))
    own, refitted = measured(head, replace(head, refit=True))
    assert own["curve"]["rel"][:-1] == pytest.approx(refitted["curve"]["rel"][:-1], rel=1e-4)
    assert own["final"]["rel"] != pytest.approx(refitted["final"]["rel"], rel=1e-3)
