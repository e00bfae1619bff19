"""What computing will cost: measured before, scaled from other sizes, or unknown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum

from hierlearn.experiments.base import PROFILES, Experiment, Group
from hierlearn.records import Provenance, RecordStore, computed


@dataclass(frozen=True)
class Cost:
    """The CPU seconds that some groups will take, as far as records tell.

    `known` were measured on these very groups. `scaled` is an estimate: the weights of groups that
    were never measured, times the seconds per weight of their experiment's other groups. For
    `n_unknown` groups there is nothing to scale from. `machines` is where all that was measured.
    """

    n_known: int = 0
    known: float = 0.0
    n_scaled: int = 0
    scaled: float = 0.0
    n_unknown: int = 0
    machines: frozenset[str] = frozenset()

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.n_known + other.n_known,
            self.known + other.known,
            self.n_scaled + other.n_scaled,
            self.scaled + other.scaled,
            self.n_unknown + other.n_unknown,
            self.machines | other.machines,
        )

    @property
    def n_groups(self) -> int:
        """The number of groups to compute."""
        return self.n_known + self.n_scaled + self.n_unknown

    def __str__(self) -> str:
        parts = []
        if self.n_known or not self.n_groups:
            parts.append(f"{self.known:.1f}" if self.known else "0")
        if self.n_scaled:
            parts.append(f"about {self.scaled:.0f}")
        if self.n_unknown:
            parts.append(f"no estimate for {_groups(self.n_unknown)}")
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
                "estimate, scaled by weight from other groups of the same experiments"
            )
        if self.n_unknown:
            lines.append(f"no estimate for {self.n_unknown}: nothing to scale from")
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


def _cost(experiment: Experiment, profile: str, stores: Sequence[RecordStore]) -> Cost:
    states = stores[0].states(experiment, profile)
    needed = [state.group for state in states if state.status != "present"]
    if not needed:
        return Cost()
    measured = _by_group(computed(stores, [experiment], profile))
    known = {key: one for key, (_, one) in measured.items() if key in {g.key for g in needed}}
    fresh = [group for group in needed if group.key not in known]
    basis = measured if fresh else {}
    # The same profile tells most; then the larger of the others, whose overheads weigh less.
    for other in [p for p in reversed(PROFILES) if p != profile]:
        if fresh and not sum(group.weight for group, _ in basis.values()):
            basis = _by_group(computed(stores, [experiment], other))
    weight = fsum(group.weight for group, _ in basis.values())
    rate = fsum(one.cpu_s for _, one in basis.values()) / weight if weight else None
    used = [*known.values(), *(one for _, one in basis.values() if rate is not None)]
    return Cost(
        n_known=len(known),
        known=fsum(one.cpu_s for one in known.values()),
        n_scaled=0 if rate is None else len(fresh),
        scaled=0.0 if rate is None else rate * fsum(group.weight for group in fresh),
        n_unknown=len(fresh) if rate is None else 0,
        machines=frozenset(one.hardware for one in used),
    )


def _by_group(each: Sequence[tuple[Group, Provenance]]) -> dict[str, tuple[Group, Provenance]]:
    return {group.key: (group, one) for group, one in each}


def _groups(n: int) -> str:
    return f"{n} group" if n == 1 else f"{n} groups"
