import re
from pathlib import Path

import pytest
import torch
from torch import nn

from hierlearn.quadratic.modules import train
from hierlearn.quadratic.protocols import Protocol

LIBRARY = Path(__file__).parents[2] / "book" / "library.md"


class Sums(nn.Module):
    """Three linear levels and an offset that belongs to none."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.levels = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.cat([level(x) for level in self.levels], 1) + self.offset


def batches():
    generator = torch.Generator().manual_seed(1)
    while True:
        x = torch.randn(8, 4, generator=generator)
        yield x, x.sum(1)


def moved(net, start):
    return [
        not torch.equal(level.weight, old.weight)
        for level, old in zip(net.levels, start.levels, strict=True)
    ]


@pytest.mark.parametrize(
    ("protocol", "n_steps", "expected"),
    [
        (Protocol(opens=(0, 0, 0)), 2, [True, True, True]),
        (Protocol(opens=(0, 3, 6)), 5, [True, True, False]),
        (Protocol(opens=(0, 3, 6)), 8, [True, True, True]),
        (Protocol(opens=(0, 3, None)), 8, [True, True, False]),
    ],
)
def test_only_levels_that_are_open_move(protocol, n_steps, expected):
    if max(protocol.stage_starts()) >= n_steps:
        with pytest.raises(ValueError, match="a stage begins at step 6"):
            train(Sums(), protocol, batches=batches(), n_steps=n_steps)
        return
    net = Sums()
    train(net, protocol, batches=batches(), n_steps=n_steps)
    assert moved(net, Sums()) == expected


def after_stages(look_back, thaw=None):
    """Weights of the levels when each stage begins, and at the end."""
    net, seen = Sums(), []

    def watched():
        for step, batch in enumerate(batches()):
            if step in (0, 3, 6, 9):
                seen.append([level.weight.detach().clone() for level in net.levels])
            yield batch

    protocol = Protocol(opens=(0, 3, 6), look_back=look_back, thaw=thaw)
    train(net, protocol, batches=watched(), n_steps=12)
    seen.append([level.weight.detach().clone() for level in net.levels])
    return [
        [not torch.equal(a, b) for a, b in zip(old, new, strict=True)]
        for old, new in zip(seen, seen[1:], strict=False)
    ]


def test_greedy_training_moves_one_level_a_stage_and_look_back_two():
    assert after_stages(1) == [
        [True, False, False],
        [False, True, False],
        *[[False, False, True]] * 2,
    ]
    assert after_stages(2) == [
        [True, False, False],
        [True, True, False],
        *[[False, True, True]] * 2,
    ]


def test_a_thaw_moves_all_levels_again():
    assert after_stages(1, thaw=9)[-1] == [True, True, True]


def test_joint_training_is_plain_adam_on_the_sum_of_the_levels():
    protocol, ours, plain = Protocol(opens=(0, 0, 0), rate=0.1), Sums(), Sums()
    predict = train(ours, protocol, batches=batches(), n_steps=6)
    optimizer = torch.optim.Adam(plain.parameters(), betas=(0.9, 0.99))
    schedule = [
        0.1 * (1e-3 + (1 - 1e-3) * (1 + torch.cos(torch.tensor(torch.pi * s / 6))) / 2)
        for s in range(6)
    ]
    for rate, (x, y) in zip(schedule, batches(), strict=False):
        optimizer.param_groups[0]["lr"] = float(rate)
        optimizer.zero_grad()
        (plain(x).sum(1) - y).square().mean().backward()
        optimizer.step()
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    x = torch.eye(4)
    torch.testing.assert_close(predict(x), plain(x).sum(1).detach())


def test_what_needs_no_gradient_never_moves():
    net = Sums()
    net.levels[0].requires_grad_(False)
    train(net, Protocol(opens=(0, 0, 0)), batches=batches(), n_steps=3)
    assert moved(net, Sums()) == [False, True, True]


def test_a_module_without_fitting_levels_is_refused():
    with pytest.raises(ValueError, match="needs an attribute `levels`"):
        train(nn.Linear(4, 1), Protocol(opens=(0, 0)), batches=batches(), n_steps=1)
    with pytest.raises(ValueError, match="opens 2 levels.*got 3"):
        train(Sums(), Protocol(opens=(0, 0)), batches=batches(), n_steps=1)

    class Flat(Sums):
        def forward(self, x):
            return super().forward(x).sum(1)

    with pytest.raises(ValueError, match=r"\[batch, 3\]; got shape \[8\]"):
        train(Flat(), Protocol(opens=(0, 0, 0)), batches=batches(), n_steps=1)


@pytest.mark.slow
def test_the_listings_of_the_library_page_run_and_judge_three_protocols_in_under_twenty_lines():
    module, usage = re.findall(r"```python\n(.*?)```", LIBRARY.read_text(), re.DOTALL)
    assert len([line for line in usage.splitlines() if line.strip()]) < 20
    names: dict = {}
    exec(module + usage, names)
    errors = names["errors"]
    for seed in (10, 11, 12):
        assert errors[names["greedy"]][seed] > errors[names["staged"]][seed]
    verdict, reason, found = names["verdict"]
    assert verdict == "supported" and reason is None
    assert found.low == min(errors[names["greedy"]].values())
