"""How long computing will take: measured before, scaled from other sizes, or as declared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from hierlearn.experiment import PROFILES, Experiment, Group
from hierlearn.records import GroupState, Provenance, RecordStore, computed, groups_of


@dataclass(frozen=True)
class Cost:
    """The CPU seconds that some groups will take.

    `known` were measured on these very groups; `scaled` is an estimate for those that were never
    measured (see `estimates`). `machines` is where all that was measured.
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
        lines = [f"to compute: {self.n_groups} group{'s' if self.n_groups > 1 else ''}"]
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
    return sum(
        (
            of_states(one, profile, store.states(one, profile), (store, others))
            for one in experiments
        ),
        Cost(),
    )


def of_states(
    one: Experiment, profile: str, states: Iterable[GroupState], stores: Sequence[RecordStore]
) -> Cost:
    """Return what computing those groups of an experiment will cost that are not present."""
    needed = [state.group.key for state in states if state.to_compute]
    found = estimates(one, profile, stores) if needed else {}
    return sum((found[key] for key in needed), Cost())


def estimates(
    experiment: Experiment, profile: str, stores: Sequence[RecordStore]
) -> dict[str, Cost]:
    """Return the cost of each group of a profile, by its key.

    A group that `stores` hold takes what it took. Another takes its declared weight times the rate
    of the experiment's groups that they hold, seconds per weight; without any, its weight.
    """

    def known(profile: str) -> dict[str, tuple[Group, Provenance]]:
        return {group.key: (group, one) for group, one in computed(stores, [experiment], profile)}

    found = {
        key: Cost(1, one.cpu_s, machines=frozenset([one.hardware]))
        for key, (_, one) in known(profile).items()
    }
    fresh = [group for group in groups_of(experiment, profile) if group.key not in found]
    rate, machines = 1.0, frozenset[str]()
    # Of other profiles the larger comes first, whose overheads weigh less.
    for other in (profile, *(p for p in reversed(PROFILES) if p != profile)) if fresh else ():
        basis = known(other).values()
        if weight := fsum(group.weight for group, _ in basis):
            rate = fsum(one.cpu_s for _, one in basis) / weight
            machines = frozenset(one.hardware for _, one in basis)
            break
    new = {g.key: Cost(n_scaled=1, scaled=rate * g.weight, machines=machines) for g in fresh}
    return found | new
