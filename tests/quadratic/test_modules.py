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


def after_stages(**changes):
    """Which levels move from the beginning of each stage to that of the next, and to the end."""
    net, seen = Sums(), []

    def watched():
        for step, batch in enumerate(batches()):
            if step in (0, 3, 6, 9):
                seen.append([level.weight.detach().clone() for level in net.levels])
            yield batch

    protocol = Protocol(opens=(0, 3, 6), **changes)
    train(net, protocol, batches=watched(), n_steps=12)
    seen.append([level.weight.detach().clone() for level in net.levels])
    return [
        [not torch.equal(a, b) for a, b in zip(old, new, strict=True)]
        for old, new in zip(seen, seen[1:], strict=False)
    ]


@pytest.mark.parametrize(
    ("changes", "lowest"),
    [
        ({"look_back": 1}, (0, 1, 2, 2)), ({"look_back": 2}, (0, 0, 1, 1)), ({}, (0, 0, 0, 0)),
        ({"look_back": 1, "thaw": 9}, (0, 1, 2, 0)),
    ],
)  # fmt: skip
def test_in_each_stage_the_open_levels_move_that_the_protocol_trains(changes, lowest):
    for newest, first, moved in zip((0, 1, 2, 2), lowest, after_stages(**changes), strict=True):
        assert moved == [first <= level <= newest for level in range(3)]


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
    pairs = zip(net.levels, Sums().levels, strict=True)
    assert [torch.equal(one.weight, old.weight) for one, old in pairs] == [True, False, False]


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
