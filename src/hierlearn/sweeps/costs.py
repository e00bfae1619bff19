"""How long computing will take: measured before, scaled from other sizes, or as declared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from hierlearn.experiment import PROFILES, Experiment, Group
from hierlearn.records import Provenance, RecordStore, computed, groups_of


@dataclass(frozen=True)
class Cost:
    """The CPU seconds that some groups will take.

    `known` were measured on these very groups; `scaled` is an estimate for those that were never
    measured (see `seconds`). `machines` is where all that was measured.
    """

    n_known: int = 0
    known: float = 0.0
    n_scaled: int = 0
    scaled: float = 0.0
    machines: frozenset[str] = frozenset()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.n_known + other.n_known,
            self.known + other.known,
            self.n_scaled + other.n_scaled,
            self.scaled + other.scaled,
            self.machines | other.machines,
        )

    @property
    def n_groups(self) -> int:
        """The number of groups to compute."""
        return self.n_known + self.n_scaled

    def __str__(self) -> str:
        parts = []
        if self.n_known or not self.n_groups:
            parts.append(f"{self.known:.1f}" if self.known else "0")
        if self.n_scaled:
            parts.append(f"about {self.scaled:.0f}")
        return " + ".join(parts)

    def sentences(self) -> str:
        """Return the cost in full: what is known, what is an estimate, and of which machine."""
        if not self.n_groups:
            return "to compute: nothing, all records are there"
        lines = [f"to compute: {_groups(self.n_groups)}"]
        if self.n_known:
            lines.append(f"{self.known:.1f} CPU seconds for {self.n_known} measured before")
        if self.n_scaled:
            lines.append(
                f"about {self.scaled:.0f} CPU seconds for {self.n_scaled} never measured: an "
                "estimate, from other groups of the same experiments or, without any, as declared"
            )
        if self.machines:
            machines = "; ".join(sorted(self.machines))
            lines.append(f"measured on {machines}; another machine, or a GPU, takes another time")
        return "\n  ".join(lines)


def cost(
    experiments: Iterable[Experiment], profile: str, store: RecordStore, others: RecordStore
) -> Cost:
    """Return what computing the groups that `store` lacks at `profile` will cost.

    It is read from the provenance of the records in `store`, and in `others` (the committed ones).
    """
    return sum((_cost(one, profile, (store, others)) for one in experiments), Cost())


def seconds(
    experiment: Experiment, profile: str, stores: Sequence[RecordStore]
) -> dict[str, float]:
    """Return the CPU seconds that each group of a profile will take, by its key.

    A group that `stores` hold takes what it took. Another takes its declared weight times the rate,
    seconds per weight, of the experiment's groups that they hold; without any, its weight.
    """
    groups = groups_of(experiment, profile)
    known = _known(experiment, profile, stores)
    fresh = [group for group in groups if group.key not in known]
    rate = _rate(experiment, profile, stores) if fresh else 1.0
    declared = {group.key: rate * group.weight for group in fresh}
    return {key: one.cpu_s for key, (_, one) in known.items()} | declared


def _cost(experiment: Experiment, profile: str, stores: Sequence[RecordStore]) -> Cost:
    states = stores[0].states(experiment, profile)
    needed = {state.group.key for state in states if state.status != "present"}
    if not needed:
        return Cost()
    estimates = seconds(experiment, profile, stores)
    measured = _known(experiment, profile, stores)
    known = needed & set(measured)
    basis = [measured[key] for key in known]
    if known != needed:
        basis += _basis(experiment, profile, stores)
    return Cost(
        n_known=len(known),
        known=fsum(estimates[key] for key in known),
        n_scaled=len(needed - known),
        scaled=fsum(estimates[key] for key in needed - known),
        machines=frozenset(one.hardware for _, one in basis),
    )


def _known(
    experiment: Experiment, profile: str, stores: Sequence[RecordStore]
) -> dict[str, tuple[Group, Provenance]]:
    found = computed(stores, [experiment], profile)
    return {group.key: (group, one) for group, one in found}


def _basis(
    experiment: Experiment, profile: str, stores: Sequence[RecordStore]
) -> list[tuple[Group, Provenance]]:
    """Return the groups to estimate from: of the same profile or, without any, of another.

    The larger of the others comes first, whose overheads weigh less.
    """
    for one in (profile, *(p for p in reversed(PROFILES) if p != profile)):
        found = list(_known(experiment, one, stores).values())
        if sum(group.weight for group, _ in found):
            return found
    return []


def _rate(experiment: Experiment, profile: str, stores: Sequence[RecordStore]) -> float:
    basis = _basis(experiment, profile, stores)
    weight = fsum(group.weight for group, _ in basis)
    return fsum(one.cpu_s for _, one in basis) / weight if weight else 1.0


def _groups(n: int) -> str:
    return f"{n} group" if n == 1 else f"{n} groups"
