"""What an experiment is: named arms, the groups of runs they train in, statistics of their records.

An arm is a configuration, or several that differ in one dial, under the name by which statistics,
figures and notebooks ask for it. The name is not part of what is recorded.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from hierlearn.choices import PROFILES

if TYPE_CHECKING:
    import torch


def canonical(value: Any) -> str:
    """Return `value` as the one JSON text that stands for it; floats round-trip exactly."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of `value` written as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Config:
    """What is run: the fields that decide the numbers, and nothing else.

    A configuration is stored without its defaults, so that a new option does not change the
    identity of the runs that came before it. `CHOICES` lists the valid values of some fields.
    """

    CHOICES: ClassVar[Mapping[str, Sequence[Any]]] = {}

    def __post_init__(self) -> None:
        """Turn lists, as JSON has them, into tuples; ValueError for a value that is no choice."""
        for one in fields(self):
            if isinstance(value := getattr(self, one.name), list):
                object.__setattr__(self, one.name, tuple(value))
        for name, valid in self.CHOICES.items():
            if (value := getattr(self, name)) not in valid:
                known = ", ".join(map(repr, valid))
                raise ValueError(f"{type(self).__name__}.{name} is {value!r}; valid: {known}")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON: those without a default, and those that differ from it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = {
            one.name
            for one in fields(self)
            if one.default is MISSING or values[one.name] != one.default
        }
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if k in kept}

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        return ()

    def seconds(self, n_runs: int) -> float:
        """Return the expected CPU seconds of a group of `n_runs` runs of this shape."""
        return float(n_runs)


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

    `weight` is the cost in CPU seconds as declared: what `costs.estimates`, which order a sweep and
    fill its bar, fall back on where no record tells what a group takes.
    """

    runs: tuple[Run, ...]
    weight: float = 1.0

    @classmethod
    def of(cls, experiment: str, arms: Iterable[Config], seeds: Iterable[int]) -> "Group":
        """Make the group that runs every configuration with every seed; the seed varies slowest.

        Raises ValueError when the configurations do not agree in their shape.
        """
        arms, seeds = list(arms), list(seeds)
        if len({arm.shape for arm in arms}) > 1:
            shapes = ", ".join(dict.fromkeys(str(arm.shape) for arm in arms))
            raise ValueError(
                f"the arms of a group of {experiment} must share a shape; got {shapes}"
            )
        runs = tuple(Run(experiment, arm.as_dict(), seed) for seed in seeds for arm in arms)
        return cls(runs, sum(arm.seconds(len(runs)) for arm in arms) / max(len(arms), 1))

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
    """A record, as far as a statistic is concerned: what was run, its seed, what came out."""

    config: dict[str, Any]
    seed: int
    measurement: dict[str, Any]


class Result(NamedTuple):
    """A run's configuration and what was measured."""

    config: Any
    measurement: dict[str, Any]


Arms = Mapping[str, Any]  # configurations by name: each a `Config`, or several in a list
Groups = Callable[[str], list[Group]]


def every(arms: Arms, *names: str) -> list[Any]:
    """List the configurations of these arms (default: of all), each once, in their order."""
    chosen = [arms[name] for name in names or arms]
    flat = [one for arm in chosen for one in ((arm,) if isinstance(arm, Config) else arm)]
    return list(dict.fromkeys(flat))


def together(name: str, arms: Callable[[str], Arms], seeds: Mapping[str, Iterable[int]]) -> Groups:
    """Make the `groups` of an experiment that trains all its arms as one group."""

    def groups(profile: str) -> list[Group]:
        chosen = every(arms(profile))
        return [Group.of(name, chosen, seeds[profile])] if chosen else []

    return groups


def apart(name: str, arms: Callable[[str], Arms], seeds: Mapping[str, Iterable[int]]) -> Groups:
    """Make the `groups` of an experiment with a group for each configuration."""
    return lambda profile: [Group.of(name, [one], seeds[profile]) for one in every(arms(profile))]


class AbsentArm(LookupError):
    """A profile lacks what a figure would draw; the message says what."""


class Runs(Sequence[Any]):
    """The records of an experiment at a profile; `runs.of("staged")` are those of an arm.

    `arms` has the configurations of every arm that the experiment has at any profile, none where
    this profile lacks it. `taken` are the places of the records that were asked for since it was
    last emptied. Raises ValueError for a record that belongs to no arm.
    """

    def __init__(self, name: str, arms: Arms, records: Iterable[Measured]) -> None:
        self.name, self._records = name, tuple(records)
        self.taken: set[int] = set()
        self.arms = {k: (v,) if isinstance(v, Config) else tuple(v) for k, v in arms.items()}
        known: dict[str, tuple[Config, set[str]]] = {}
        for arm, configs in self.arms.items():
            for config in configs:
                known.setdefault(digest(config.as_dict()), (config, set()))[1].add(arm)
        self._known = [known.get(digest(record.config)) for record in self._records]
        if arms and None in self._known:
            stray = self._records[self._known.index(None)]
            raise ValueError(f"{name}: the run {stray.config} belongs to no arm")

    def __getitem__(self, place: Any) -> Any:
        every = range(len(self._records))[place]
        self.taken |= {every} if isinstance(every, int) else set(every)
        return self._records[place]

    def __len__(self) -> int:
        return len(self._records)

    def of(self, *names: str) -> dict[int, list[Result]]:
        """Return, for each seed, the runs of these arms, in the order of the records.

        There are none where the profile lacks the arms. KeyError lists the valid names.
        """
        if unknown := set(names) - set(self.arms):
            valid = ", ".join(self.arms)
            raise KeyError(f"{self.name} has no arm {unknown.pop()!r}; valid: {valid}")
        found: dict[int, list[Result]] = {}
        for place, (record, known) in enumerate(zip(self._records, self._known, strict=True)):
            if known and not known[1].isdisjoint(names):
                self.taken.add(place)
                found.setdefault(record.seed, []).append(Result(known[0], record.measurement))
        return found

    def first(self, name: str) -> Any:
        """Return the first configuration of an arm; AbsentArm where the profile has none."""
        if not self.of(name):
            raise AbsentArm(f"{self.name}: {name}")
        return self.arms[name][0]

    def points(
        self, x: Callable[[Any], Any], value: Callable[[Any, dict[str, Any]], float], *names: str
    ) -> dict[Any, list[float]]:
        """Return `value` of the runs of these arms at each `x(config)`, sorted: one a seed.

        Raises AbsentArm where the profile has none of the arms.
        """
        found: dict[Any, list[float]] = {}
        for results in self.of(*names).values():
            for config, measurement in results:
                found.setdefault(x(config), []).append(value(config, measurement))
        if not found:
            raise AbsentArm(f"{self.name}: {', '.join(names)}")
        return dict(sorted(found.items()))

    def _repr_html_(self) -> str:
        """Show the arms: how many runs they have, and what the first of them is."""
        lines = ["<tr><th>arm</th><th>runs</th><th>seeds</th><th>configuration</th></tr>"]
        for name, arm in self.arms.items():
            if found := self.of(name):
                cells = name, sum(map(len, found.values())), len(found), arm[0].as_dict()
                lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        return f"<table><caption>{self.name}</caption>{''.join(lines)}</table>"


@runtime_checkable
class Resource(Protocol):
    """What not every machine has, as far as an experiment is concerned: a data set, or a GPU."""

    @property
    def name(self) -> str:
        """What a data set is called in configurations, and on the command line."""

    @property
    def sha256(self) -> str:
        """The hash of a data set's bytes, for provenance; nothing for what cannot be fetched."""

    def missing(self) -> str:
        """Return why it cannot be used on this machine; nothing where it can."""


Statistic = Callable[[Runs], dict[int, float]]  #: from the runs of a profile to a value a seed


@dataclass(frozen=True)
class Experiment:
    """One experiment of one chapter.

    `groups(profile)` lists the runs of a profile (empty where the experiment is not part of it);
    `measure(group, device)` computes one JSON-able measurement a run, in their order; claims refer
    to `statistics` by name; `arms(profile)` has the configurations of that profile by name.
    `budget` names the fields of a configuration that say how long it is trained, or is the reason
    why nothing does. `resources` are the data sets on which it is measured, and what else it needs.
    """

    name: str
    chapter: str
    groups: Groups
    measure: Callable[[Group, "torch.device"], list[dict[str, Any]]]
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    arms: Callable[[str], Arms] = lambda profile: {}
    budget: tuple[str, ...] | str = ()
    resources: tuple[Resource, ...] = ()

    @property
    def optional(self) -> bool:
        """True where records may lack it as a whole, because it needs what cannot be fetched."""
        return not all(one.sha256 for one in self.resources)

    def needs(self, groups: Iterable[Group]) -> list[Resource]:
        """Return what groups need; of the data sets those that runs name as `data`, else all."""
        named = {run.config.get("data") for group in groups for run in group.runs}
        return [one for one in self.resources if not one.sha256 or named & {one.name, None}]

    def lacks(self, groups: Iterable[Group], *, here: bool = True) -> dict[str, str]:
        """Return what of this is not at hand, by name, and why; if not `here`, what is nowhere."""
        return {
            one.name: why
            for one in self.needs(groups)
            if (why := one.missing() if here else f"needs {one.name}" * (not one.sha256))
        }

    def awaits(self, groups: Sequence[Group]) -> str:
        """Say what groups need that are not there, and how to get it; nothing where all can be."""
        lacking = self.lacks(groups) | self.lacks(groups, here=False)
        data = [one.name for one in self.resources if one.sha256 and one.name in lacking]
        told = f"needs {' and '.join(lacking)}" * bool(lacking)
        return told + f"; python -m hierlearn data fetch {' '.join(data)}" * bool(data)

    def runs(self, profile: str, records: Iterable[Measured]) -> Runs:
        """Return the records of `profile`, with the names of its arms."""
        here = self.arms(profile)
        elsewhere = {name: () for one in PROFILES for name in self.arms(one) if name not in here}
        return Runs(self.name, {**here, **elsewhere}, records)


def pilot(experiment: Experiment, seeds: Sequence[int]) -> Experiment:
    """Return the same experiment at other seeds, to try a rule on numbers that the book never uses.

    Every group runs its configurations with `seeds`; those that have a group for each seed still
    do. Raises ValueError when one of them is a seed of the book, at any profile, or comes twice.
    """
    own = {r.seed for p in PROFILES for group in experiment.groups(p) for r in group.runs}
    if len(set(seeds)) < len(seeds) or not seeds or own & set(seeds):
        raise ValueError(
            f"the pilot seeds of {experiment.name} are {list(seeds)}; valid: different ones that "
            f"the book does not use ({min(own, default=0)} to {max(own, default=0)} are taken)"
        )

    def groups(profile: str) -> list[Group]:
        found: dict[str, Group] = {}
        for group in experiment.groups(profile):
            first = [run for run in group.runs if run.seed == group.runs[0].seed]
            alone = len(first) == len(group.runs)
            for some in [[seed] for seed in seeds] if alone else [seeds]:
                runs = tuple(replace(run, seed=seed) for seed in some for run in first)
                other = Group(runs, group.weight * len(runs) / len(group.runs))
                found[other.key] = other
        return list(found.values())

    return replace(experiment, groups=groups)


PUSHED_SEEDS = 5000  #: what pushing adds to a seed, so that the start and the data are others


def pushed(
    experiment: Experiment, times: int, keys: Container[str], *, seconds: float = 1.0
) -> Experiment:
    """Return the experiment's runs of these keys at other seeds, with `times` the budget of each.

    A budget that is a tuple (when levels open) grows entry by entry; None and 0 stay. `seconds` is
    what one of the runs took.
    """
    names = experiment.budget if isinstance(experiment.budget, tuple) else ()

    def longer(config: Config) -> Config:
        return replace(config, **{name: _times(getattr(config, name), times) for name in names})

    def arms(profile: str) -> Arms:
        return {
            name: longer(one) if isinstance(one, Config) else [longer(each) for each in one]
            for name, one in experiment.arms(profile).items()
        }

    def groups(profile: str) -> list[Group]:
        known = {digest(one.as_dict()): longer(one) for one in every(experiment.arms(profile))}
        found = []
        for group in experiment.groups(profile):
            made = tuple(
                Run(run.experiment, known[digest(run.config)].as_dict(), run.seed + PUSHED_SEEDS)
                for run in group.runs
                if run.key in keys
            )
            found += [Group(made, seconds * len(made) * (times if names else 1))] if made else []
        return found

    return replace(experiment, groups=groups, arms=arms)


def _times(value: Any, times: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_times(one, times) for one in value)
    return None if value is None else value * times
