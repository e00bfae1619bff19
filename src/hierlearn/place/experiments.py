"""Chapter 9: the map, learners by tasks, and its statistics."""

from dataclasses import replace

from hierlearn.experiment import Arms, Experiment, apart
from hierlearn.place.references import references
from hierlearn.place.runs import PLANTED, MapConfig, measure
from hierlearn.place.tasks import SEEDS, tasks

CHAPTER = "09_who_learns_what"


def arms(profile: str) -> Arms:
    """Every learner on every task that it is for; the cheater also on fresh test points."""
    found = {}
    for task in tasks(profile).values():
        for learner in (references() | PLANTED).values():
            if learner.takes(task):
                one = MapConfig(task.name, learner.name, task.ladder, task.n_test)
                found[f"{learner.name}, {task.name}"] = one
        cheater = found[f"cheater, {task.name}"]
        found[f"cheater caught, {task.name}"] = replace(cheater, salt="fresh")
    return found


EXPERIMENTS = (
    Experiment("map", CHAPTER, apart("map", arms, SEEDS), measure, {}, arms, ("effort",)),
)
