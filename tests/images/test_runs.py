"""Runs on images: phases that protocols share are those that each would train by itself."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from hierlearn.experiment import Group
from hierlearn.images import experiments, networks, runs
from hierlearn.images.runs import LOOK_BACK, PROTOCOLS, ImageConfig, _Seed, measure

CPU = torch.device("cpu")
SMALL = ImageConfig(
    "greedy", "fashion_small", 6, 3, widths=(4, 4, 8), n_blocks=1, n_test=100, seen=True
)


def same(one, two):
    pairs = zip(one, two, strict=True)
    return all(
        torch.equal(value, b.state_dict()[key])
        for a, b in pairs
        for key, value in a.state_dict().items()
    )


@pytest.fixture(scope="module")
def shared():
    """All protocols of one seed, measured in one group."""
    arms = [replace(SMALL, protocol=name) for name in PROTOCOLS]
    return dict(zip(PROTOCOLS, measure(Group.of("g", arms, [3]), CPU), strict=True))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_run_in_a_group_is_bit_for_bit_the_run_alone(name, shared):
    (alone,) = measure(Group.of("g", [replace(SMALL, protocol=name)], [3]), CPU)
    assert alone == shared[name]


def test_protocols_share_their_first_phase_and_seeds_differ():
    one, other = _Seed(SMALL, 0, CPU), _Seed(SMALL, 1, CPU)
    first = [one._first_phase[0]]
    assert same(first, one._trained("greedy")[0][:1]), "greedy freezes what the first phase made"
    assert not same(first, one._trained("all")[0][:1])
    assert not same(first, [other._first_phase[0]])


def test_look_back_one_and_without_end_are_greedy_and_all():
    one = _Seed(SMALL, 0, CPU)
    assert (LOOK_BACK["greedy"], LOOK_BACK["all"]) == (1, None)
    for name, look_back in (("greedy", 1), ("all", 3)):
        assert same(one._trained(name)[0], one._dialed(look_back)[0])


def test_what_trains_on_starts_where_the_stage_alone_ended_and_fixed_stays_there():
    one = _Seed(SMALL, 0, CPU)
    solo = one._trained("solo")[0]
    assert same(solo, one._trained("fixed")[0][:1])
    assert not same(solo, one._trained("more")[0])
    assert not same(solo, one._trained("corrected")[0][:1])
    assert same(solo, one._trained("solo")[0]), "and nothing that came after has changed it"


def test_reading_a_stage_changes_neither_its_weights_nor_its_statistics():
    one = _Seed(SMALL, 0, CPU)
    stage, before = one._trained("solo")[0], one._trained("solo")[0]
    maps = networks.forward(stage, one.test_x)
    one._readings(stage[0], maps, 3)
    one._seen(maps)
    assert same(stage, before)


def test_a_longer_budget_only_adds_batches():
    short, long = (_Seed(replace(SMALL, n_steps=n), 0, CPU) for n in (6, 24))
    assert torch.equal(short.batches, long.batches[: len(short.batches)])


def test_what_is_measured_is_what_the_figures_and_statistics_read(shared):
    for name, found in shared.items():
        assert {"upper_ce", "upper_accuracy", "probe", "seen"} <= found.keys()
        assert 0 <= found["upper_accuracy"] <= 1 and 0.1 <= found["seen"]["purity"] <= 1
        assert {"ce", "accuracy", "train_ce", "converged"} <= found.keys(), name
    turned = {name for name in shared if "cosine" in shared[name]}
    assert turned == {"joint", "solo", "more", "corrected"}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_a_group_is_one_seed_and_smoke_needs_only_what_comes_with_the_package(profile):
    for one in experiments.EXPERIMENTS:
        groups = one.groups(profile)
        assert all(len({run.seed for run in group.runs}) == 1 for group in groups)
        data = {run.config["data"] for group in groups for run in group.runs}
        assert data <= ({"fashion_small"} if profile == "smoke" else {"cifar10"})


def test_the_paper_profile_has_the_groups_of_the_laptop_and_more():
    for one in experiments.EXPERIMENTS[:2]:
        keys = {p: {group.key for group in one.groups(p)} for p in ("laptop", "paper")}
        assert keys["laptop"] < keys["paper"]


def test_at_full_size_110_layers_run_the_same_code_on_the_same_images_unhalved(monkeypatch):
    """On a CPU: one step a phase of the network that needs a GPU, on few images."""
    monkeypatch.setattr(runs, "BATCH", 4)
    arms = experiments.full_arms("paper")
    assert not experiments.full_arms("laptop") and not experiments.full_arms("smoke")
    small = [replace(one, data="fashion_small", n_steps=3, n_test=20) for one in arms.values()]
    seed = _Seed(small[0], 9800, CPU)
    assert seed.x.shape[1:] == (1, 32, 32) and networks.depth(nn.ModuleList(seed._stages())) == 110
    sizes = [seed._head(level)(torch.zeros(2, 16 * level, 32, 32)).shape for level in (1, 2)]
    assert sizes == [(2, 10)] * 2
    found = measure(Group.of("images_full", small, [9800]), CPU)
    assert all({"ce", "accuracy", "train_ce", "converged"} <= one.keys() for one in found)
    assert networks.forward(seed._stages(), seed.test_x[:2]).shape == (2, 64, 8, 8)
