"""The command `place`: where a learner of the user's stands beside those of the published map."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import click

from hierlearn.book.project import find_project
from hierlearn.cli import work
from hierlearn.cli.tables import replay_table
from hierlearn.errors import RunError
from hierlearn.experiment import Experiment
from hierlearn.formatting import columns, format_number, say
from hierlearn.place import plugin, score
from hierlearn.place.runs import PLANTED
from hierlearn.place.score import Table
from hierlearn.place.tasks import Task, tasks
from hierlearn.place.walk import rank
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import costs, replay, sweep
from hierlearn.sweeps.replay import Replayed

LONG = 1200  #: CPU seconds, ten minutes on two cores, beyond which less is offered


def place(
    file: Path,
    *,
    profile: str,
    names: str | None,
    seeds: range | None,
    records: str | None,
    limit: float,
    memory: float,
    n_replayed: int | None,
    **where: Any,
) -> None:
    """Place the learner in `file`, or replay its records; the options are those of the command."""
    project = find_project(need_book=False)
    source, chosen = plugin.read_source(file), plugin.choose(names, profile)
    if n_replayed and names is None:
        chosen = tasks(profile)
    store = work.store_at(project, records, pilots=seeds is not None)
    name = plugin.name_of(file)
    tested = None
    if not n_replayed:
        tested = plugin.self_test(source, file.name, chosen.values(), limit, memory)
        say("\n".join(tested.sentences()))
    salt = plugin.stored_salt(store, name, source)
    fields = {"source": source, "salt": salt, "limit": limit, "memory": memory}
    one = plugin.experiment(name, list(chosen.values()), tested, profile, **fields)
    one = work.at_seeds({name: one}, seeds)[name]
    if n_replayed:
        _replay(one, profile, store, n_replayed, where)
        return
    cost = costs.cost([one], profile, store, store)
    say(cost.sentences())
    if cost.known + cost.scaled > LONG:
        say("this is long: --tasks takes fewer; after Ctrl-C the tasks that are done are kept")
    with work.executor_for(device="cpu", **where) as executor:
        sweep.compute([one], profile, store, executor=executor)
    mine, others = score.by_task(store.read(one, profile)), {}
    if not seeds:
        stores = [RecordStore(project.frozen_records), work.store_at(project, None)]
        others = references(stores, profile) | plugin.placed(project.book / "placed", profile)
    click.echo("\n".join([own_table(chosen, mine, others), *notes(mine)]))
    if others:
        told = " (told the architecture)" if tested and tested.holds == "optimiser" else ""
        click.echo("\n" + all_table(mine, others, file.stem + told))
    elif not seeds:
        say("nothing to compare with: no records of the map here (`hierlearn compute map`)")
    say(f"records: {project.relative(store.folder / name)}")


def _replay(
    one: Experiment, profile: str, store: RecordStore, n: int, where: dict[str, Any]
) -> None:
    groups = replay.choose([one], profile, store, n=n, seed=secrets.randbits(32))
    with work.executor_for(device="cpu", **where) as executor:
        replayed = list(replay.replay(groups, executor, None, profile))
    click.echo(replay_table(replayed))
    if bad := [f"{r.unit}: {r.problem}" for r in replayed if not same_rungs(r)]:
        raise RunError("not the same:\n  " + "\n  ".join(bad))


def references(stores: Sequence[RecordStore], profile: str) -> dict[str, Table]:
    """Return the walks of the map's learners by name and task, from the first store with any."""
    if not (of_map := EXPERIMENTS.get("map")):
        return {}
    for store in stores:
        records = [r for r in store.read(of_map, profile) if "salt" not in r.config]
        names = dict.fromkeys(record.config["learner"] for record in records)
        if names:
            return {one: score.by_task(records, one) for one in names if one not in PLANTED}
    return {}


def same_rungs(one: Replayed) -> bool:
    """Return whether a replayed group is the same, or on another build passed the same rungs."""
    if one.outcome != "agrees":
        return one.outcome == "same"
    pairs = zip(one.state.records, one.records(), strict=True)
    return all(rank(a.measurement) == rank(b.measurement) for a, b in pairs)


def own_table(chosen: Mapping[str, Task], mine: Table, others: Mapping[str, Table]) -> str:
    """Return one line a task: what the learner needs, what it leaves, and how it compares."""
    lines = [["task", "needs", "in units of its law", "error left", "to pass", "in a word"]]
    for name, walks in mine.items():
        task, every = chosen[name], walks.values()
        cells = ["—", "—"]
        if not any(one["failure"] for one in every):
            size = score.needed(every)[1]
            law = f"{task.unit} {task.unit_name}" if task.unit > 1 else task.unit_name
            share = score.sided(size, format_number(size / task.unit))
            cells = [score.written(every), f"{share} × {law}"]
        errors = [min(one["errors"]) for one in every if one["errors"]]
        below = mean(one["threshold"] for one in every)
        there = {learner: table[name] for learner, table in others.items() if name in table}
        cells += [format_number(median(errors)) if errors else "—", f"< {format_number(below)}"]
        lines.append([name, *cells, score.word(task, walks, there)])
    return columns(lines)


def all_table(mine: Table, others: Mapping[str, Table], label: str) -> str:
    """Return one line a learner: the median size on each task, and whom Holm's correction leaves.

    The one placed comes first, then who needs least on the whole.
    """
    lines = [["learner", *mine, f"beside {label}"], [label, *_cells(mine, mine), ""]]
    tables = {name: {t: w for t, w in table.items() if t in mine} for name, table in others.items()}
    for name in score.order(tables):
        found = list(score.against(mine, tables[name]).values())
        said = f"needs more on {found.count(1)}, less on {found.count(-1)} of {len(found)}"
        lines.append([name, *_cells(tables[name], mine), said])
    return columns(lines)


def _cells(table: Table, tasks: Table) -> list[str]:
    cells = []
    for task in tasks:
        if task not in table:
            cells.append("—")
        elif any(one["failure"] for one in table[task].values()):
            cells.append("failed")
        else:
            size = score.needed(table[task].values())[1]
            cells.append(score.sided(size, f"{size:.0f}"))
    return cells


def notes(mine: Table) -> list[str]:
    """Return a line for each failure, those with one sentence together, and one for tuning."""
    said: dict[str, dict[str, list[str]]] = {}
    for task, walks in mine.items():
        for seed, one in walks.items():
            if one["failure"]:
                said.setdefault(one["failure"], {}).setdefault(task, []).append(str(seed))
    lines = []
    for text, where in said.items():
        seeds = sorted({seed for own in where.values() for seed in own}, key=int)
        lines.append(f"{', '.join(where)} (seeds {', '.join(seeds)}): {text}")
    every = [one for walks in mine.values() for one in walks.values()]
    fits, sizes = sum(one["fits"] for one in every), sum(len(one["sizes"]) for one in every)
    if fits > sizes:
        lines.append(f"tuning: {fits} fits for {sizes} sample sizes")
    return lines
