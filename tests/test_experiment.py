"""Arms, groups, runs and pilots: what an experiment is, whatever it measures."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from hierlearn.experiment import (
    PROFILES,
    Config,
    Experiment,
    Group,
    Run,
    Runs,
    apart,
    digest,
    every,
    pilot,
    together,
)
from hierlearn.registry import EXPERIMENTS


@dataclass(frozen=True)
class Walk(Config):
    CHOICES = {"kind": ("plain", "lazy")}

    dim: int
    gaps: tuple[float, ...] = (1, 0.5)
    kind: str = "plain"

    @property
    def shape(self):
        return (self.dim,)

    def seconds(self, n_runs):
        return 0.5 * self.dim * n_runs


def arms(profile):
    if profile == "paper":
        return {}
    sweep = [Walk(2, gaps=(1, g)) for g in (0.5, 0.25)]
    lazy = {"lazy": Walk(2, kind="lazy")} if profile == "laptop" else {}
    return {"plain": sweep, "reference": sweep[0], **lazy}


SEEDS = {"smoke": range(2), "laptop": range(3), "paper": range(9)}
WALK = Experiment("walk", "00", together("walk", arms, SEEDS), lambda g, d: [], {}, arms)


def records(profile):
    (group,) = WALK.groups(profile)
    return [
        SimpleNamespace(config=r.config, seed=r.seed, measurement={"end": float(i)})
        for i, r in enumerate(group.runs)
    ]


def test_a_configuration_is_stored_without_its_defaults_and_comes_back_from_json():
    assert Walk(3).as_dict() == {"dim": 3}
    stored = Walk(3, gaps=(1, 0.25), kind="lazy").as_dict()
    assert stored == {"dim": 3, "gaps": [1, 0.25], "kind": "lazy"}
    assert Walk(**stored) == Walk(3, gaps=(1, 0.25), kind="lazy")


def test_whole_numbers_stay_whole_so_that_identities_do():
    assert digest(Walk(3, gaps=[1, 0.25]).as_dict()) != digest(Walk(3, gaps=[1.0, 0.25]).as_dict())


def test_a_value_that_is_no_choice_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match="Walk.kind is 'slow'; valid: 'plain', 'lazy'"):
        Walk(3, kind="slow")


def test_a_group_runs_every_arm_with_every_seed_and_weighs_its_seconds():
    group = Group.of("walk", [Walk(2), Walk(2, kind="lazy")], [5, 7])
    assert [(run.seed, run.config.get("kind")) for run in group.runs] == [
        *((5, None), (5, "lazy")), *((7, None), (7, "lazy")),
    ]  # fmt: skip
    assert group.weight == 4.0


def test_arms_of_other_shapes_do_not_train_together():
    with pytest.raises(ValueError, match=r"share a shape; got \(2,\), \(3,\)"):
        Group.of("walk", [Walk(2), Walk(3)], [0])


def test_a_configuration_under_two_names_is_run_once():
    assert len(every(arms("laptop"))) == 3 and len(every(arms("laptop"), "plain")) == 2
    assert len(WALK.groups("laptop")) == 1 and len(apart("walk", arms, SEEDS)("laptop")) == 3
    assert WALK.groups("paper") == []


def test_runs_are_asked_for_by_the_names_of_their_arms():
    runs = WALK.runs("laptop", records("laptop"))
    assert {seed: len(found) for seed, found in runs.of("plain").items()} == {0: 2, 1: 2, 2: 2}
    assert [c.kind for c, _ in runs.of("lazy")[1]] == ["lazy"]
    assert runs.of("reference", "lazy")[2] == [runs.of("reference")[2][0], runs.of("lazy")[2][0]]
    ends = runs.points(lambda c: c.gaps[1], lambda c, m: m["end"], "plain")
    assert ends == {0.25: [1.0, 4.0, 7.0], 0.5: [0.0, 3.0, 6.0]}


def test_an_arm_that_the_profile_lacks_has_no_runs_and_an_unknown_one_is_an_error():
    runs = WALK.runs("smoke", records("smoke"))
    assert runs.of("lazy") == {}
    with pytest.raises(KeyError, match="walk has no arm 'eager'; valid: plain, reference, lazy"):
        runs.of("eager")


def test_a_record_that_belongs_to_no_arm_is_an_error():
    stray = SimpleNamespace(config={"dim": 9}, seed=0, measurement={})
    with pytest.raises(ValueError, match="'dim': 9.* belongs to no arm"):
        Runs("walk", arms("laptop"), [stray])


def test_pilots_run_the_same_configurations_at_seeds_that_the_book_does_not_use():
    other = pilot(WALK, range(1000, 1004))
    (group,), (own,) = other.groups("laptop"), WALK.groups("laptop")
    assert {run.seed for run in group.runs} == {1000, 1001, 1002, 1003}
    assert [r.config for r in group.runs[:3]] == [r.config for r in own.runs[:3]]
    assert group.weight == pytest.approx(own.weight * 4 / 3)
    assert not {run.key for run in group.runs} & {run.key for run in own.runs}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_pilots_of_an_experiment_run_its_configurations_once_a_seed(name):
    for profile in PROFILES:
        groups = pilot(EXPERIMENTS[name], [1000, 1001]).groups(profile)
        keys = [run.key for group in groups for run in group.runs]
        own = {str(r.config) for g in EXPERIMENTS[name].groups(profile) for r in g.runs}
        assert len(set(keys)) == len(keys) == 2 * len(own)


@pytest.mark.parametrize("seeds", [range(2, 5), [1000, 1000], []])
def test_pilots_at_the_seeds_of_the_book_are_refused(seeds):
    with pytest.raises(ValueError, match=r"the book does not use \(0 to 2 are taken\)"):
        pilot(WALK, seeds)


def test_runs_show_their_arms_in_a_notebook():
    shown = WALK.runs("laptop", records("laptop"))._repr_html_()
    assert "<td>plain</td><td>6</td><td>3</td>" in shown and "walk" in shown


def test_identity_is_experiment_configuration_and_seed():
    assert Run("walk", {"dim": 2}, 0).key == Run("walk", {"dim": 2}, 0).key
    assert len({Run(e, {"dim": d}, s).key for e in "ab" for d in (1, 2) for s in (0, 1)}) == 8
