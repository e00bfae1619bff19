"""What an experiment is: runs, the groups they train in, and statistics of their records."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch

PROFILES = ("smoke", "laptop", "paper")


def digest(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of `value` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One measured run; its identity is (experiment, config, seed) and nothing else."""

    experiment: str
    config: dict[str, Any]
    seed: int

    @cached_property
    def key(self) -> str:
        """The identity hash."""
        return digest([self.experiment, self.config, self.seed])


@dataclass(frozen=True)
class Group:
    """The runs of one shape that train together; recorded whole or not at all.

    `weight` is the expected cost relative to other groups: the scheduler starts the heaviest first.
    """

    runs: tuple[Run, ...]
    weight: float = 1.0

    @property
    def experiment(self) -> str:
        """The experiment that all runs of the group belong to."""
        return self.runs[0].experiment

    @cached_property
    def key(self) -> str:
        """The hash of the runs' identities, in order."""
        return digest([run.key for run in self.runs])


@runtime_checkable
class Measured(Protocol):
    """A record, as far as a statistic is concerned."""

    @property
    def config(self) -> dict[str, Any]:
        """What was run."""

    @property
    def seed(self) -> int:
        """The seed it was run with."""

    @property
    def measurement(self) -> dict[str, Any]:
        """What came out."""


Statistic = Callable[[Sequence[Measured]], dict[int, float]]
"""Maps the records of one experiment and profile to one value a seed."""


@dataclass(frozen=True)
class Experiment:
    """One experiment of one chapter.

    `groups(profile)` lists the runs of a profile (empty where the experiment is not part of it);
    `measure(group, device)` computes one JSON-able measurement a run, in the order of the runs;
    `statistics` are the functions that `book/claims/` refers to by name.
    """

    name: str
    chapter: str
    groups: Callable[[str], list[Group]]
    measure: Callable[[Group, torch.device], list[dict[str, Any]]]
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
