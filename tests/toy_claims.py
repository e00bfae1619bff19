"""A toy registry, store and claim, shared by the tests of claims, declarations and cards."""

import copy
from types import SimpleNamespace

import yaml

from hierlearn.claims.declarations import Claim, load_claims
from hierlearn.claims.verdicts import Evidence, Row, judged
from hierlearn.experiment import Experiment, Group, Run

SEEDS = range(5)


def toy_experiment(name: str, profiles: tuple[str, ...] = ("smoke", "laptop")) -> Experiment:
    """An experiment of one group, whose measurement at a seed is a number x."""
    runs = tuple(Run(name, {}, seed) for seed in SEEDS)
    return Experiment(
        name=name,
        chapter="01_toy",
        groups=lambda profile: [Group(runs)] if profile in profiles else [],
        measure=lambda group, device: [],
        statistics={"x": lambda records: {r.seed: r.measurement["x"] for r in records}},
    )


EXPERIMENTS = {name: toy_experiment(name) for name in ("effect", "ablation")}
PROVENANCE = SimpleNamespace(
    commit="0123456789abcdef", dirty=False, hardware="Toy, 2 cores", finished="2024"
)


class ToyStore:
    """A store whose experiments measured the given values, one a seed."""

    def __init__(self, stale: str | None = None, **values: list):
        self.values, self.stale_name, self.n_reads = values, stale, 0

    def read(self, experiment, profile):
        self.n_reads += 1
        return [
            SimpleNamespace(
                key=Run(experiment.name, {}, seed).key,
                config={},
                seed=seed,
                measurement={"x": value},
                provenance=PROVENANCE,
            )
            for seed, value in enumerate(self.values.get(experiment.name, []))
        ]

    def stale(self, experiment, profile) -> bool:
        return experiment.name == self.stale_name


ENTRY = {
    "id": "bfc.B1",
    "headline": True,
    "paper": "toy2020",
    "locus": "Theorem 1",
    "source": "proved",
    "statement": "The effect is $1$.",
    "statistic": {"experiment": "effect", "name": "x", "interval": "t"},
    "predicted": 1,
    "rules": {"smoke": "interval above 0", "laptop": "interval within [0.9, 1.1]"},
    "expected": "supported",
    "control": {
        "experiment": "ablation",
        "name": "x",
        "interval": "t",
        "same_quantity": True,
        "description": "without the cause",
        "rule": "interval below 0.1",
    },
}
ONES = [0.99, 1.0, 1.0, 1.0, 1.01]
ZEROS = [0.0, 0.01, -0.01, 0.0, 0.0]


def entry(**changes) -> dict:
    """The example entry with fields changed, or dropped where the new value is ...."""
    made = copy.deepcopy(ENTRY) | changes
    return {name: value for name, value in made.items() if value is not ...}


def row_of(store: ToyStore, profile: str = "laptop", experiments=EXPERIMENTS, **changes) -> Row:
    claim = Claim.model_validate(entry(**{"chapter": "01_toy"} | changes))
    return judged(claim, Evidence(store, profile, experiments)).row


def load(folder, *entries) -> list[Claim]:
    """Load entries from a chapter's file in `folder`, with a bibliography beside."""
    (folder / "references.bib").write_text("@article{toy2020,\n title={Toy}}\n")
    (folder / "claims").mkdir(exist_ok=True)
    (folder / "claims" / "01.yml").write_text(yaml.safe_dump(list(entries), sort_keys=False))
    return load_claims(folder / "claims", EXPERIMENTS)
