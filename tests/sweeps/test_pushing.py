"""Pushing on a toy: an error that falls with the steps, and one that has a floor."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from toy import Inline
from toy_claims import entry

from hierlearn.claims.declarations import Claim
from hierlearn.claims.verdicts import Evidence
from hierlearn.errors import RunError
from hierlearn.experiment import Config, Experiment, Group, every, pushed
from hierlearn.records import RecordStore
from hierlearn.sweeps import pushing, sweep


@dataclass(frozen=True)
class Descent(Config):
    n_steps: int = 10
    opens: tuple[int | None, ...] = (0, 5, None)
    floor: float = 0.0


ARMS = {"unfinished": Descent(), "stuck": Descent(floor=0.05), "learned": Descent(4000)}


def measure(group, device):
    configs = [Descent(**run.config) for run in group.runs]
    return [
        {"error": (1 + 0.01 * (run.seed % 7)) / c.n_steps + c.floor, "converged": c.n_steps > 40}
        for run, c in zip(group.runs, configs, strict=True)
    ]


def error(arm):
    def statistic(runs):
        return {seed: own[0].measurement["error"] for seed, own in runs.of(arm).items()}

    return statistic


def groups(profile):
    return [Group.of("descent", every(ARMS), range(5))]


DESCENT = Experiment(
    "descent", "01_toy", groups, measure, {arm: error(arm) for arm in ARMS}, lambda profile: ARMS,
    budget=("n_steps", "opens"),
)  # fmt: skip


def claim(arm, **changes):
    made = entry(chapter="01_toy", id=f"bfc.{arm}", statistic={"experiment": "descent", "name": arm,
                 "interval": "t"}, rules={"smoke": "interval above 0.04"}, **changes)  # fmt: skip
    made["control"] |= {"experiment": "descent", "name": "learned"}
    return Claim.model_validate(made)


@pytest.fixture
def outcome(tmp_path):
    """Push these claims and return what came out by id."""

    def push(*claims, experiment=DESCENT, times=8):
        store = RecordStore(tmp_path / "records")
        sweep.compute([experiment], "smoke", store, executor=Inline(), progress=False)
        evidence = Evidence(store, "smoke", {"descent": experiment})
        chosen = pushing.choose(claims, evidence, times=times)
        other = RecordStore(tmp_path / "pushed")
        found = pushing.push(chosen, evidence, into=other, executor=Inline())
        return {one.id: one for one in found}

    return push


def test_a_claim_from_unfinished_runs_falls_and_one_with_a_floor_stands(outcome):
    found = outcome(claim("unfinished"), claim("stuck"))
    assert [one.verdict_before for one in found.values()] == ["supported", "supported"]
    assert (found["bfc.unfinished"].verdict_after, found["bfc.unfinished"].held) == (
        "refuted",
        False,
    )
    assert found["bfc.stuck"].held and found["bfc.stuck"].budget == "n_steps and opens × 8"


def test_a_claim_about_a_named_budget_keeps_it_and_starts_elsewhere(outcome):
    found = outcome(claim("unfinished", budget="named"))["bfc.unfinished"]
    assert found.held and found.times == 1 and found.budget == "named by the claim"
    assert found.after != found.before


def test_an_experiment_without_a_budget_changes_seeds_only(outcome):
    found = outcome(claim("unfinished"), experiment=replace(DESCENT, budget="solved exactly"))
    assert found["bfc.unfinished"].held
    assert found["bfc.unfinished"].budget == "none: solved exactly"


def test_only_the_runs_that_a_claim_reads_are_pushed_each_entry_of_its_budget_times_more():
    keys = {run.key for run in groups("smoke")[0].runs if run.config.get("floor")}
    longer = pushed(DESCENT, 8, keys)
    runs = [run for group in longer.groups("smoke") for run in group.runs]
    assert {run.seed for run in runs} == {5000 + seed for seed in range(5)}
    assert runs[0].config == {"n_steps": 80, "opens": [0, 40, None], "floor": 0.05}
    assert longer.runs("smoke", []).arms["stuck"] == (Descent(80, (0, 40, None), 0.05),)


def test_the_sample_is_random_and_fixed_by_its_seed(tmp_path):
    store = RecordStore(tmp_path / "records")
    sweep.compute([DESCENT], "smoke", store, executor=Inline(), progress=False)
    evidence = Evidence(store, "smoke", {"descent": DESCENT})
    claims = [claim("stuck").model_copy(update={"id": f"bfc.B{i}"}) for i in range(9)]

    def ids(seed):
        chosen = pushing.choose(claims, evidence, times=8, n=3, seed=seed)
        return [one.claim.id for one in chosen]

    assert ids(1) == ids(1) != ids(2)


def test_what_is_published_replaces_the_same_claims_only(tmp_path, outcome):
    found = [*outcome(claim("unfinished"), claim("stuck")).values()]
    path = tmp_path / "book" / "pushed.json"
    path.parent.mkdir()
    pushing.write(path, found)
    changed = found[1].model_copy(update={"after": "1 [0, 2]"})
    pushing.write(path, [changed])
    assert {one.id: one for one in pushing.read(path)} == {
        found[0].id: found[0],
        changed.id: changed,
    }
    assert pushing.read(tmp_path / "none.json") == []
    for bad, told in (("", "EOF"), ("[1]", "0 Input should be"), ('[{"id": 1}]', "0.id Input")):
        path.write_text(bad)
        with pytest.raises(RunError, match=f"pushed.json is not what .*{told}.*restore it"):
            pushing.read(path)


def test_of_pushes_that_end_at_once_all_are_kept(tmp_path, outcome):
    (one,) = outcome(claim("unfinished")).values()
    path = tmp_path / "book" / "pushed.json"
    path.parent.mkdir()
    many = [one.model_copy(update={"id": f"bfc.X{i}"}) for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda each: pushing.write(path, [each]), many))
    assert {each.id for each in pushing.read(path)} == {each.id for each in many}
