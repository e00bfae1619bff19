"""Every engine's step can be recorded as a CUDA graph; the graph is played on the CPU."""

import importlib
from dataclasses import replace

import pytest
import recorded
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hierlearn.ball import runs as ball_runs
from hierlearn.ball.config import BallConfig
from hierlearn.cube import runs as parity_networks
from hierlearn.engine import capture
from hierlearn.experiment import Group
from hierlearn.grammar import config as hierarchy
from hierlearn.grammar import runs as hierarchy_networks
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.simpler import runs as simple_learners

CPU = torch.device("cpu")
ENGINES = (
    "hierlearn.quadratic.training",
    "hierlearn.cube.training",
    "hierlearn.ball.training",
    "hierlearn.quadratic.simpler.two_layer",
    "hierlearn.grammar.networks",
    "hierlearn.ball.runs",
)

SMALL = QuadraticConfig(
    dim=8, widths=(3, 2), gaps=(1, 0.2), opens=(0, 8), n_steps=24, n_test=50, batch=32
)
STRINGS = hierarchy.HierarchyConfig(4, 4, 4, 3, 64, width=8, n_test=50)


def quadratic_group(*arms):
    return quadratic.measure, Group.of("test", arms, (1, 2))


def parity_group(**fields):
    arm = parity_networks.NetworkConfig(8, (1.0, 0.5), 40, 20, width=4, batch=16, n_test=50)
    arms = [replace(arm, rate=rate, **fields) for rate in (1e-3, 1e-2)]
    return parity_networks.measure, Group.of("test", arms, (1, 2))


def string_group(**fields):
    arms = [replace(STRINGS, n_samples=n, **fields) for n in (40, 200)]
    return hierarchy_networks.measure_networks, Group.of("test", arms, (1, 2))


def ball_group(activation):
    arm = BallConfig(
        "trained", "sum", 4, 1.4, width=6, n_steps=70, activation=activation, batch=16, n_test=60,
        rate=1e-2, curve=True,
    )  # fmt: skip
    return ball_runs.measure, Group.of("test", [arm, replace(arm, clip="unit")], (1, 2))


def two_layer_group(**fields):
    arm = simple_learners.SimpleConfig(
        "two-layer", 40, dim=6, widths=(2, 2), width=5, rate=1e-2, n_steps=24, **fields
    )
    return simple_learners.measure, Group.of("test", [arm], (1, 2))


CASES = {
    "quadratic, staged and greedy": lambda: quadratic_group(SMALL, replace(SMALL, look_back=1)),
    "quadratic, plain SGD": lambda: quadratic_group(replace(SMALL, optimizer="sgd")),
    "quadratic, pool": lambda: quadratic_group(replace(SMALL, n_samples=40)),
    "quadratic, other targets": lambda: quadratic_group(
        replace(SMALL, target="debiased, then full"), replace(SMALL, target="permuted"),
    ),
    "quadratic, readout": lambda: quadratic_group(replace(SMALL, readout=True)),
    "quadratic, oracle": lambda: quadratic_group(replace(SMALL, oracle=True)),
    "parity, deep": parity_group,
    "parity, two-layer": lambda: parity_group(network="two-layer"),
    "strings, runs that end early": lambda: string_group(n_steps=1500),
    "strings, layer by layer": lambda: string_group(n_steps=50, lower_steps=100, window=1),
    "strings, dense": lambda: string_group(n_steps=50, learner="fcn3"),
    "ball, relu": lambda: ball_group("relu"),
    "ball, erf": lambda: ball_group("erf"),
    "two-layer, GELU": two_layer_group,
    "two-layer, powers": lambda: two_layer_group(powers=(1, 2, 4)),
}  # fmt: skip


def play_graphs(monkeypatch):
    """Record and replay every engine's step, with data drawn in a thread; count the replays."""
    made = []

    def counted(step, device):
        made.append(recorded.recorded(step, device))
        return made[-1]

    for name in ENGINES:
        module = importlib.import_module(name)
        for old, new in (("captured", counted), ("ahead", recorded.ahead)):
            if hasattr(module, old):
                monkeypatch.setattr(module, old, new)
    return made


@pytest.mark.parametrize("name", CASES)
def test_a_replayed_step_measures_the_same_to_the_bit(name, monkeypatch):
    measure, group = CASES[name]()
    plain = measure(group, CPU)
    made = play_graphs(monkeypatch)
    assert measure(group, CPU) == plain
    assert any(one.n_calls > capture.WARM_UP + 1 for one in made)


BAD_STEPS = {
    "reads a value": lambda x: x.mul_(float(x.sum())),
    "size depends on values": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0].sum(),
    "Python numbers": lambda x: x.add_(torch.tensor([1.0, 2.0])),
    "draws random numbers": lambda x: x.normal_(generator=torch.Generator()),
    "return nothing": lambda x: x.add_(1),
}


@pytest.mark.parametrize("why", BAD_STEPS)
def test_a_step_that_cannot_be_recorded_is_refused(why):
    step = recorded.recorded(BAD_STEPS[why], CPU)
    with pytest.raises(recorded.NotRecordable, match=why):
        for _ in range(capture.WARM_UP + 1):
            step(torch.ones(2))


def test_a_replay_shows_a_number_that_is_frozen():
    class Bad:
        def __init__(self):
            self.total, self.count = torch.zeros(1), 0

        def frozen(self, x):
            self.count += 1
            self.total.add_(x, alpha=self.count)

        def good(self, x):
            self.total.add_(x)

    for name, total in (("frozen", 1 + 2 + 3 + 4 + 4 + 4), ("good", 6)):
        bad = Bad()
        step = recorded.recorded(getattr(bad, name), CPU)
        for _ in range(6):
            step(torch.ones(1))
        assert float(bad.total) == total, name  # eagerly: 21, and 6


def test_a_state_that_is_rebound_is_noticed():
    state = {"total": torch.zeros(1)}

    def step(x):
        state["total"] = state["total"] + x

    run = recorded.recorded(step, CPU)
    with pytest.raises(recorded.NotRecordable, match="given up"):
        for _ in range(capture.WARM_UP + 2):
            run(torch.ones(1))


def test_work_space_that_is_given_up_while_a_graph_uses_it_is_noticed():
    work = {"space": torch.zeros(3)}

    def step(x):
        torch.mul(x, 2, out=work["space"])

    run = recorded.recorded(step, CPU)
    for _ in range(capture.WARM_UP + 3):
        run(torch.ones(3))
    work["space"] = torch.zeros(3)
    with pytest.raises(recorded.NotRecordable, match="given up"):
        run(torch.ones(3))


def test_on_the_cpu_a_step_is_itself_and_data_are_drawn_when_asked_for():
    def step() -> None:
        pass

    assert capture.captured(step, CPU) is step
    drawn = []
    feed = capture.ahead(lambda: (drawn.append(1) or torch.zeros(1),), 3, CPU)
    next(feed)
    assert len(drawn) == 1 and len(list(feed)) == 2


def test_data_drawn_ahead_keep_their_order_and_none_is_drawn_in_excess():
    generator, other = (torch.Generator().manual_seed(3) for _ in range(2))
    feed = capture.in_thread(lambda: (torch.randn(5, generator=generator),), 9)
    assert all(torch.equal(x, torch.randn(5, generator=other)) for (x,) in feed)
    assert torch.equal(generator.get_state(), other.get_state())


def test_a_consumer_that_stops_early_leaves_no_thread_drawing():
    count = []
    feed = capture.in_thread(lambda: (count.append(1) or torch.zeros(1),), 1000)
    next(feed)
    feed.close()
    assert len(count) <= capture.DEPTH + 1


def test_an_error_while_drawing_reaches_the_training_loop():
    def draw():
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        next(capture.in_thread(draw, 3))


def test_eagerly_on_a_gpu_what_lies_on_the_cpu_is_moved_there_as_in_a_graph(monkeypatch):
    monkeypatch.setenv(capture.EAGER, "1")
    with FakeTensorMode():  # no GPU is needed to see which device a tensor would be on
        weights = torch.zeros(3, device="cuda")
        capture.captured(lambda x: weights.add_(x), weights.device)(torch.ones(3))
