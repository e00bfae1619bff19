"""What the time of each chapter is made of, and what its floor would be, on this machine.

    python benchmarks/breakdown.py [--profile laptop] [--most 4] [EXPERIMENT[:LEARNER] ...]

For each kind of work of each chapter it measures one group: the heaviest of the frozen records
whose recorded CPU time is at most `--most` seconds. Steps and draws are timed as the group trains;
then the last step is profiled, repeated, to part it into products, other operations and Python.
Groups that do not train in steps are profiled as a whole. One thread, CPU time.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from engines import Machine, counted, profiled, watching

from hierlearn import devices
from hierlearn.experiments import EXPERIMENTS
from hierlearn.experiments.base import Group

RECORDS = Path(__file__).parents[1] / "book" / "records"
CHOSEN = (
    "pool_size", "step_budget", "kernel_samples", "kernel_certificates", "network_samples",
    "look_back", "rhm_deep:cnn", "chain_rescue", "ball_sum:trained", "ball_sum:frozen",
    "simple_learners:kernel", "simple_learners:feature machine", "simple_learners:two-layer",
)  # fmt: skip
KINDS = ("products", "solves", "draws", "other operations")
REPEATS = 50


def recorded_seconds(profile: str, experiment: str) -> dict[str, float]:
    """CPU seconds of every group, from the frozen records."""
    lines = (RECORDS / profile / f"{experiment}.jsonl").read_text().splitlines()
    return {r["group"]: r["provenance"]["cpu_s"] for r in map(json.loads, lines)}


def representative(experiment: str, profile: str, most: float) -> tuple[Group, float]:
    """Return the heaviest group of at most `most` seconds, else the lightest, and its seconds.

    `experiment` may be followed by a colon and the learner of the group; "cnn" is the default one.
    """
    experiment, _, learner = experiment.partition(":")
    cost = recorded_seconds(profile, experiment)
    groups = [
        group
        for group in EXPERIMENTS[experiment].groups(profile)
        if learner in ("", group.runs[0].config.get("learner", "cnn"))
    ]
    groups.sort(key=lambda g: cost[g.key])
    fits = [g for g in groups if cost[g.key] <= most] or groups[:1]
    return fits[-1], cost[fits[-1].key]


def shares(group: Group, machines: dict[torch.dtype, Machine]) -> dict[str, float]:
    """Return the seconds of one group: `whole`, its kinds, `Python`, `rest`, and the `floor`."""
    cpu, measure = torch.device("cpu"), EXPERIMENTS[group.experiment].measure
    with watching() as watch:
        start = time.process_time()
        measure(group, cpu)
        whole = time.process_time() - start - watch.count_s
    if watch.step is None:
        return {"whole": whole, **_of_a_whole(lambda: measure(group, cpu), whole, machines)}
    step = watch.again(cpu)
    parts, profiled_s = profiled(lambda: [step() for _ in range(REPEATS)])
    scale = watch.step_s / profiled_s
    found = {kind: scale * parts.get(kind, 0.0) for kind in KINDS}
    found["Python"] = watch.step_s - sum(found.values())
    found["draws"] += watch.draw_s
    found["rest"] = whole - watch.step_s - watch.draw_s
    floor = watch.floor(machines[torch.float32]) + watch.draw_s
    return {"whole": whole, **found, "floor": floor, "steps": watch.n_steps}


def _of_a_whole(run, whole: float, machines: dict[torch.dtype, Machine]) -> dict[str, float]:  # type: ignore[no-untyped-def]
    parts, profiled_s = profiled(run)
    scale = whole / profiled_s
    found = {kind: scale * parts.get(kind, 0.0) for kind in KINDS}
    found["Python"] = whole - sum(found.values())
    work = counted(run)
    return {**found, "rest": 0.0, "floor": work.floor(machines[work.dtype]), "steps": 0}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a group, by chapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--most", type=float, default=4.0)
    parser.add_argument("--small", action="store_true", help="rough limits, to try the script")
    options = parser.parse_args(arguments)
    cpu = torch.device("cpu")
    devices.prepare(cpu)
    machines = {
        dtype: Machine.measure(cpu, dtype, small=options.small)
        for dtype in (torch.float32, torch.float64)
    }
    print(f"{devices.describe(cpu)}, one thread; torch {torch.__version__}")
    for dtype, machine in machines.items():
        print(f"{dtype}: {machine}")
    columns = (*KINDS, "Python", "rest")
    print(f"{'CPU seconds, then % of them':61s}" + "".join(f"{c[:8]:>9s}" for c in columns), end="")
    print("    floor")
    chapters: dict[str, list[str]] = defaultdict(list)
    for name in options.experiments or CHOSEN:
        chapters[EXPERIMENTS[name.partition(":")[0]].chapter].append(name)
    for chapter, names in sorted(chapters.items()):
        print(chapter)
        for name in names:
            group, _ = representative(name, options.profile, options.most)
            found = shares(group, machines)
            text = f"  {name}, {len(group.runs)} runs, {found['steps']:.0f} steps"
            percents = "".join(f"{100 * found[c] / found['whole']:9.0f}" for c in columns)
            floor = 100 * found["floor"] / found["whole"]
            print(f"{text:52s} {found['whole']:7.2f} {percents} {floor:8.0f}", flush=True)


if __name__ == "__main__":
    main()
