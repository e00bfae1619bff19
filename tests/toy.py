"""Toy experiments for the tests: tiny, deterministic, importable by worker processes."""

import os
import signal
import time
from pathlib import Path

import torch

from hierlearn.experiment import Experiment, Group, Run
from hierlearn.records import Provenance, RecordStore, fingerprint
from hierlearn.sweeps.executors import measure_unit

N_SEEDS = {"smoke": 2, "laptop": 3, "paper": 0}


def walk_groups(profile):
    seeds = range(N_SEEDS[profile])
    return [
        Group(
            tuple(Run("toy_walk", {"dim": dim, "n_steps": 20}, s) for s in seeds), weight=float(dim)
        )
        for dim in ((2, 5) if seeds else ())
    ]


def measure_walk(group, device):
    return [_walk(run, device) for run in group.runs]


def _walk(run, device):
    generator = torch.Generator().manual_seed(1000 * run.config["dim"] + run.seed)
    steps = torch.randn(run.config["n_steps"], run.config["dim"], generator=generator).to(device)
    path = steps.cumsum(dim=0).norm(dim=1)
    return {"end": path[-1].item(), "curve": path.tolist(), "settled": None, "note": "é"}


def mean_end(records):
    ends = {}
    for record in records:
        ends.setdefault(record.seed, []).append(record.measurement["end"])
    return {seed: sum(values) / len(values) for seed, values in ends.items()}


def mean_groups(profile):
    runs = tuple(Run("toy_mean", {"n_samples": 50}, s) for s in range(N_SEEDS[profile]))
    return [Group(runs)] if runs else []


def measure_mean(group, device):
    means = []
    for run in group.runs:
        generator = torch.Generator().manual_seed(run.seed)
        sample = torch.rand(run.config["n_samples"], generator=generator, dtype=torch.float64)
        means.append({"mean": sample.to(device).mean().item()})
    return means


class Pictures:
    """A data set that is at hand where the variable TOY_PICTURES is set."""

    name, sha256 = "pictures", "ab12"

    def missing(self):
        return "" if os.environ.get("TOY_PICTURES") else "the data set pictures is not at hand"


WALK = Experiment("toy_walk", "00_toy", walk_groups, measure_walk, {"mean_end": mean_end})
MEAN = Experiment("toy_mean", "00_toy", mean_groups, measure_mean)
TOYS = (WALK, MEAN)


class Inline:
    """An executor that measures in this process: for tests that are not about processes."""

    def results(self, units):
        for unit in units:
            yield unit, measure_unit(unit.experiment.measure, unit.group, "cpu")


def measure_trouble(group, device):
    """Do what the configuration says, after leaving a mark of this process."""
    config = group.runs[0].config
    folder = Path(config["folder"])
    mark = folder / f"{config['name']}.{time.time_ns()}.mark"
    mark.write_text(str(os.getpid()))
    n_times = len(list(folder.glob(f"{config['name']}.*.mark")))
    if config["act"] == "die" or (config["act"] == "die once" and n_times == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if config["act"] == "raise":
        raise ZeroDivisionError("on purpose")
    if config["act"] == "sleep":
        time.sleep(config["seconds"])
    value = float("nan") if config["act"] == "nan" else 1.5
    return [{"curve": [0.0, value]} for _ in group.runs]


def trouble(folder, acts, seconds=0.0):
    """Return an experiment of one group for each (name, act), the first the heaviest."""

    def groups(profile):
        return [
            Group((Run("toy_trouble", {**common, "name": name, "act": act}, 0),), weight=9.0 - i)
            for i, (name, act) in enumerate(acts)
        ]

    common = {"folder": str(folder), "seconds": seconds}
    return Experiment("toy_trouble", "00_toy", groups, measure_trouble)


def provenance(code, n_runs=1, **changes):
    fields = {
        "commit": "c0ffee",
        "dirty": False,
        "fingerprints": [code],
        "packages": {"torch": "2"},
        "device": "cpu",
        "machine": "toy, 1 core",
        "dtype": "torch.float32",
        "threads": 1,
        "n_runs": n_runs,
        "wall_s": 0.25,
        "cpu_s": 0.5,
        "peak_mb": 1.0,
        "finished": "2026-01-01T00:00:00+00:00",
    }
    return Provenance(**{**fields, **changes})


def fill(folder, experiments=TOYS, profile="smoke", code=None):
    """Return a working store that holds the groups of a profile, measured in this process."""
    store = RecordStore(folder)
    for one in experiments:
        for group in one.groups(profile):
            measured = one.measure(group, torch.device("cpu"))
            store.write(
                group, measured, provenance(code or fingerprint(one.measure), len(group.runs))
            )
    return store


def contents(store, experiments=TOYS, profile="smoke"):
    """Return all records of a profile without their provenance."""
    return [
        record.model_dump(exclude={"provenance", "checksum"})
        for one in experiments
        for record in store.read(one, profile)
    ]
