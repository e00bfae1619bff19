"""Residual networks: what is counted, what is frozen, and what heads and labels are."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d

from hierlearn.engine.seeds import stream
from hierlearn.images import networks, training
from hierlearn.images.measures import cosine, probe_accuracy, scores
from hierlearn.images.target import shallow_labels, sized, standardized


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(widths=(4, 8, 8), n_blocks=1, seed=0):
    return networks.resnet(3, widths, n_blocks=n_blocks, scale=0.4, generator=generator(seed))


def images(n=24):
    return torch.randn(n, 3, 16, 16, generator=generator()), torch.arange(n) % 10


@pytest.mark.parametrize(("n_blocks", "layers"), [(1, 8), (2, 14), (18, 110)])
def test_n_blocks_a_stage_make_six_n_plus_two_layers(n_blocks, layers):
    assert networks.depth(drawn(n_blocks=n_blocks)) == layers


def test_a_stage_halves_the_maps_and_a_block_starts_as_its_shortcut_where_its_scale_is_zero():
    (x, _), stages = images(), drawn()
    shapes = [tuple(networks.forward(stages[:k], x).shape[1:]) for k in (1, 2, 3)]
    assert shapes == [(4, 8, 8), (8, 4, 4), (8, 2, 2)]
    full = networks.resnet(3, (4, 8, 8), n_blocks=1, scale=0.4, stem=1, generator=generator())
    assert networks.forward(full[:2], x).shape[1:] == (8, 8, 8), "a stem of stride 1 halves nothing"
    block = drawn()[0][3].eval()
    nn.init.zeros_(block.outer.weight)
    z = torch.rand(2, 4, 8, 8, generator=generator())
    assert torch.equal(block(z), z)


@pytest.mark.parametrize(("kind", "size", "n_in"), [("gap", 8, 4), ("pool", 8, 64), ("pool", 2, 4)])
def test_a_head_reads_means_over_all_positions_or_over_two_by_two(kind, size, n_in):
    head = networks.head(kind, 4, size=size, generator=generator())
    maps = torch.rand(3, 4, size, size, generator=generator())
    assert head(maps).shape == (3, 10) and head[2].in_features == n_in
    cells = 1 if kind == "gap" else size // 2
    own = maps.reshape(3, 4, cells, size // cells, cells, size // cells).mean((3, 5)).flatten(1)
    assert torch.allclose(head(maps), head[2](own), atol=1e-6)


def test_the_same_generator_draws_the_same_network_and_takes_nothing_from_the_global_one():
    state = torch.random.get_rng_state()
    one, two, other = drawn(), drawn(), drawn(seed=1)
    networks.head("gap", 4, size=2, generator=generator())
    assert torch.equal(state, torch.random.get_rng_state())
    assert cosine(one, two) == pytest.approx(1) and abs(cosine(one, other)) < 0.2


def test_training_leaves_frozen_stages_alone_with_their_batch_statistics():
    (x, y), stages = images(), drawn()
    head = networks.head("gap", 8, size=2, generator=generator())
    batches = training.order(len(x), 4, 8, generator())
    before = [{k: v.clone() for k, v in stage.state_dict().items()} for stage in stages]
    training.train(list(stages), head, x, y, batches, rate=0.1, decay=0.1, lowest=1)
    after = [stage.state_dict() for stage in stages]
    assert all(torch.equal(before[0][k], after[0][k]) for k in before[0])
    assert all(not torch.equal(before[1][k], after[1][k]) for k in before[1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_images_that_are_not_finite_are_refused_wherever_they_are(bad):
    (x, y), stages = images(), list(drawn())
    head = networks.head("gap", 8, size=2, generator=generator())
    batches = training.order(len(x), 1, 8, generator())
    x[-1, 2, 15, 15] = bad
    with pytest.raises(ValueError, match="x must be finite numbers; got 1 that are not"):
        training.train(stages, head, x, y, batches, rate=0.1, decay=0)
    with pytest.raises(ValueError, match="features must be finite numbers"):
        probe_accuracy(x.flatten(1), y, x.flatten(1)[:2], y[:2])


def test_every_image_comes_once_an_epoch_and_more_steps_only_add_batches():
    short, long = (training.order(20, n, 5, generator(3)) for n in (4, 9))
    assert sorted(short.flatten().tolist()) == [*range(20)]
    assert torch.equal(long[:4], short) and long.shape == (9, 5)


def test_the_rate_rises_then_falls_to_nothing():
    rates = [training.factor(step, 100) for step in range(101)]
    assert rates[14] == max(rates) == 1 and rates[100] < 1e-12
    assert rates[:15] == sorted(rates[:15]) and rates[15:] == sorted(rates[15:], reverse=True)


def test_images_are_framed_and_halved_by_means():
    small = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8, generator=generator()).numpy()
    made = sized(small)
    assert made.shape == (3, 1, 16, 16) and made[:, :, 0].abs().max() == 0
    assert made[1, 0, 1, 1] == pytest.approx(small[1, 0, :2, :2].mean())
    full = sized(small, 32)
    assert torch.equal(full[:, :, 2:-2, 2:-2], torch.from_numpy(small).float())
    assert full.shape == (3, 1, 32, 32) and torch.equal(avg_pool2d(full, 2), made)
    same = small[:, :, :16, :16].copy()
    assert torch.equal(sized(same), torch.from_numpy(same).float())
    x = standardized(made, made)
    assert x.mean().abs() < 1e-5 and float(x.std()) == pytest.approx(1, abs=1e-3)


def test_one_convolution_a_mean_and_a_linear_layer_compute_shallow_labels():
    x, _ = images(200)
    filters = torch.randn(10, 3, 3, 3, generator=stream("shallow filters", 1))
    means = conv2d(x, filters, padding=1).relu().mean((2, 3))
    linear = means / means.std(0) - means.mean(0) / means.std(0)
    assert torch.equal(linear.argmax(1), shallow_labels(x, x))
    assert len(set(shallow_labels(x, x).tolist())) == 10


def test_the_probe_reads_what_is_linear_and_nothing_from_noise():
    y = torch.arange(600) % 10
    noise = torch.randn(600, 12, generator=generator())
    clear = noise.clone()
    clear[torch.arange(600), y] += 6

    def read(features):
        return probe_accuracy(features[:400], y[:400], features[400:], y[400:])

    assert read(clear) > 0.95 and read(noise) < 0.25
    assert read(3 * clear + 5) == read(clear), "it centers and scales"


def test_scores_are_cross_entropy_and_accuracy():
    outputs = torch.zeros(4, 10)
    outputs[:3, 1] = 50
    ce, accuracy = scores(outputs, torch.tensor([1, 1, 2, 3]))
    assert ce == pytest.approx((50 + float(torch.tensor(10.0).log())) / 4, rel=1e-4)
    assert accuracy == 0.5
