"""Chapter 4: whether a group of networks trains exactly as its members do alone."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.config import HierarchyConfig, draw_problem
from hierlearn.grammar.networks import PatchNetworks, TrainingSets
from hierlearn.grammar.runs import shape_of

Key = Callable[[HierarchyConfig, int, int], torch.Generator]


def measure_grouping(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train a group at once and one by one, on the CPU; the largest difference of parameters.

    `by_slot` is the same when the batch order belongs to a run's place in the group instead of to
    the run: then composition must matter.
    """
    configs = [HierarchyConfig(**run.config) for run in work.runs]
    seeds = [run.seed for run in work.runs]
    found = []
    for key in (_by_run, _by_slot):
        together = _train(configs, seeds, key)
        alone = [_train([c], [s], key) for c, s in zip(configs, seeds, strict=True)]
        found.append([_largest(together, r, one) for r, one in enumerate(alone)])
    return [{"difference": d, "by_slot": s} for d, s in zip(*found, strict=True)]


def _by_run(config: HierarchyConfig, seed: int, slot: int) -> torch.Generator:
    return stream(f"batch order {config.n_samples}", seed)


def _by_slot(config: HierarchyConfig, seed: int, slot: int) -> torch.Generator:
    return stream("batch order of a slot", slot)


def _train(configs: list[HierarchyConfig], seeds: list[int], key: Key) -> list[Tensor]:
    pairs = list(zip(configs, seeds, strict=True))
    problems = [draw_problem(config, seed) for config, seed in pairs]
    sets = TrainingSets(
        torch.cat([p.train for p in problems]).int(),
        torch.cat([p.labels for p in problems]),
        [len(p.train) for p in problems],
        [key(config, seed, slot) for slot, (config, seed) in enumerate(pairs)],
    )
    net = PatchNetworks(shape_of(configs[0]), [stream("initial layers", seed) for seed in seeds])
    head = net.new_head(net.shape.n_layers)
    net.fit(sets, head, lowest=1, n_steps=configs[0].n_steps)
    return [*net.weights, *net.biases, head.weights]


def _largest(together: list[Tensor], run: int, alone: list[Tensor]) -> float:
    return max(float((a[run] - b[0]).abs().max()) for a, b in zip(together, alone, strict=True))
