from dataclasses import replace

import pytest
import toy
from toy import MEAN, WALK, fill, provenance

from hierlearn.records import RecordStore
from hierlearn.sweeps.costs import Cost, cost, estimates


def store_with(folder, profile, seconds, experiment=WALK, only=slice(None), **changes):
    """A store that holds the first groups of a profile, each measured in `seconds`."""
    store = RecordStore(folder)
    for group in experiment.groups(profile)[only]:
        measured = [{"end": 0.0} for _ in group.runs]
        made = provenance("code", len(group.runs), cpu_s=seconds, **changes)
        store.write(group, measured, made)
    return store


@pytest.fixture
def empty(tmp_path):
    return RecordStore(tmp_path / "empty")


def test_without_any_records_the_declared_weights_are_the_seconds(empty):
    found = cost([WALK], "laptop", empty, empty)
    assert found == Cost(n_scaled=2, scaled=7.0) and str(found) == "about 7"
    assert "as declared" in found.sentences()


def test_what_is_present_costs_nothing(tmp_path, empty):
    store = fill(tmp_path / "full", [WALK])
    assert cost([WALK], "smoke", store, empty) == Cost()
    assert "all records are there" in Cost().sentences() and str(Cost()) == "0"


def test_a_group_that_was_measured_elsewhere_is_known(tmp_path, empty):
    committed = store_with(tmp_path / "committed", "laptop", 3.0, machine="big, 8 cores")
    found = cost([WALK], "laptop", empty, committed)
    assert (found.n_known, found.known, found.n_scaled) == (2, 6.0, 0)
    assert "6.0 CPU seconds" in found.sentences() and "big, 8 cores" in found.sentences()


def test_a_group_never_measured_is_scaled_by_its_weight_from_another_profile(tmp_path, empty):
    # Both profiles have groups of weight 2 and 5: 1 second a group is 2 seconds for 7.
    smoke = store_with(tmp_path / "smoke", "smoke", 1.0)
    found = cost([WALK], "laptop", empty, smoke)
    assert (found.n_scaled, found.scaled) == (2, pytest.approx(2.0))
    heavier = replace(
        WALK, groups=lambda p: [replace(g, weight=g.weight * (1 + 9 * (p == "laptop")))
                                for g in toy.walk_groups(p)]
    )  # fmt: skip
    assert cost([heavier], "laptop", empty, smoke).scaled == pytest.approx(20.0)
    assert "an estimate, from other groups" in found.sentences()


def test_the_same_profile_is_scaled_from_before_another(tmp_path):
    store_with(tmp_path / "one", "smoke", 100.0)
    store = store_with(tmp_path / "one", "laptop", 4.0, only=slice(1))
    # What is stored is stale ("code"), so it must be computed too, at its known cost.
    found = cost([WALK], "laptop", store, RecordStore(tmp_path / "none"))
    assert (found.n_known, found.known) == (1, 4.0)
    assert (found.n_scaled, found.scaled) == (1, pytest.approx(4.0 / 2 * 5))


def test_costs_add_up_and_a_gpu_is_named_as_the_machine(tmp_path, empty):
    committed = store_with(tmp_path / "c", "laptop", 2.0, device="cuda: Big GPU, 80 GiB")
    found = cost([WALK, MEAN], "laptop", empty, committed)
    assert (found.n_known, found.n_scaled, found.n_groups) == (2, 1, 3)
    assert found.machines == {"cuda: Big GPU, 80 GiB"}
    assert str(found) == "4.0 + about 1"


def test_the_estimates_of_groups_add_up_to_the_cost(tmp_path):
    store = store_with(tmp_path / "one", "laptop", 4.0, only=slice(1))
    store_with(tmp_path / "one", "smoke", 100.0)
    found = cost([WALK], "laptop", store, store)
    each = estimates(WALK, "laptop", [store])
    assert sum(one.known + one.scaled for one in each.values()) == pytest.approx(
        found.known + found.scaled
    )
    assert set(each) == {group.key for group in WALK.groups("laptop")}
