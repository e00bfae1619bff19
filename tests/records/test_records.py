import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock, Timeout
from toy import MEAN, TOYS, WALK, contents, fill, provenance, walk_groups

from hierlearn.experiment import Group, Run
from hierlearn.records import (
    Record,
    RecordError,
    RecordStore,
    freeze,
    freezing,
    sole_writer,
)
from hierlearn.records import files as record_files

GROUP = walk_groups("smoke")[0]


@pytest.fixture
def store(tmp_path):
    return fill(tmp_path / "records")


def path_of(store, group=GROUP):
    return store.folder / group.experiment / f"{group.key}.jsonl"


def statuses(store, experiment=WALK, profile="smoke"):
    return [state.status for state in store.states(experiment, profile)]


def test_records_come_back_exactly_in_the_order_of_groups_and_runs(store):
    records = store.read(WALK, "smoke")
    runs = [run for group in walk_groups("smoke") for run in group.runs]
    assert [record.key for record in records] == [run.key for run in runs]
    measured = [m for g in walk_groups("smoke") for m in WALK.measure(g, torch.device("cpu"))]
    assert [record.measurement for record in records] == measured
    assert statuses(store) == ["present", "present"] and not store.stale(WALK, "smoke")
    assert store.states(WALK, "smoke")[0].provenance.cpu_s == 0.5


def test_a_store_that_is_not_there_lacks_everything_and_is_not_created(tmp_path):
    store = RecordStore(tmp_path / "none")
    assert statuses(store) == ["missing", "missing"] and store.read(WALK, "smoke") == []
    assert not store.folder.exists()


def test_the_order_of_the_lines_does_not_matter(store):
    before = contents(store)
    path = path_of(store)
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    assert statuses(store) == ["present", "present"] and contents(store) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[:1], ":2: 1 of 2 records missing"),
        (lambda lines: [lines[0], lines[0]], ":2: the record repeats line 1"),
        (lambda lines: [*lines, lines[0]], ":3: the record repeats line 1"),
        (lambda lines: [lines[0], b"\n", lines[1]], ":2: the line is empty"),
        (lambda lines: [lines[0], lines[1].replace(b",", b", ", 1)], ":2: not in the form"),
        (lambda lines: [lines[0], b'{"a":1,"a":2}\n'], ":2: not in the form"),
        (lambda lines: [lines[0], b"[" * 100_000 + b"\n"], ":2: not a record: "),
        (lambda lines: [lines[0], b"NaN\n"], ":2: "),
    ],
)
def test_lines_that_were_not_written_so_are_damage(store, change, told):
    path = path_of(store)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    state = store.states(WALK, "smoke")[0]
    assert state.status == "damaged" and f"{path}{told}" in state.problem


def test_a_record_with_a_forged_checksum_but_another_seed_is_damage(store):
    path = path_of(store)
    first, second = path.read_bytes().splitlines()
    record = Record.from_line(first)
    forged = Record.of(
        Run("toy_walk", record.config, 77),
        group=record.group,
        measurement=record.measurement,
        provenance=record.provenance,
    )
    wrong_key = forged.model_dump(exclude={"checksum"}) | {"key": record.key}
    from hierlearn.experiment import digest

    line = Record.model_validate(wrong_key | {"checksum": digest(wrong_key)}).line()
    path.write_bytes(line + second + b"\n")
    assert "is not that of its experiment" in store.states(WALK, "smoke")[0].problem
    path.write_bytes(forged.line() + second + b"\n")
    assert "belongs to another group" in store.states(WALK, "smoke")[0].problem


def test_reading_leaves_damaged_groups_out_and_warns(store, caplog):
    path_of(store).write_bytes(b"rubbish\n")
    assert len(store.read(WALK, "smoke")) == 2
    assert f"{path_of(store)}:1: " in caplog.text


def test_a_damaged_file_is_kept_aside_when_its_group_is_written_again(store):
    for number, content in enumerate([b"rubbish\n", b"more rubbish\n"], start=1):
        path_of(store).write_bytes(content)
        fill(store.folder)
        suffix = ".damaged" if number == 1 else ".damaged.2"
        assert path_of(store).with_name(path_of(store).name + suffix).read_bytes() == content
    assert statuses(store) == ["present", "present"]


def test_records_of_other_code_are_stale_and_read_as_such(tmp_path):
    store = fill(tmp_path, code="0ld")
    assert statuses(store) == ["stale", "stale"] and store.stale(WALK, "smoke")
    assert len(store.read(WALK, "smoke")) == 4
    assert "other code (0ld" in store.states(WALK, "smoke")[0].problem


def test_a_stale_group_that_comes_out_the_same_keeps_both_fingerprints(tmp_path):
    fill(tmp_path, code="0ld")
    store = fill(tmp_path)
    fingerprints = store.read(WALK, "smoke")[0].provenance.fingerprints
    assert fingerprints[0] == "0ld" and len(fingerprints) == 2
    assert statuses(store) == ["present", "present"]
    assert not (tmp_path / "superseded").exists()


def test_a_stale_group_that_comes_out_otherwise_is_kept_in_superseded(tmp_path):
    store = fill(tmp_path, code="0ld")
    old = path_of(store).read_bytes()
    store.write(GROUP, [{"end": 1.0}, {"end": 2.0}], provenance("new", 2))
    assert (tmp_path / "superseded" / "toy_walk" / path_of(store).name).read_bytes() == old
    record = Record.from_line(path_of(store).read_bytes().splitlines()[1])
    assert record.measurement == {"end": 2.0} and record.provenance.fingerprints == ["new"]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"a": {"b": [0.0, float("nan")]}}, r"measurement\.a\.b\[1\] is nan"),
        ({"a": float("-inf")}, r"measurement\.a is -inf"),
        ({"a": torch.tensor(1.0)}, r"measurement\.a is a Tensor; .*\.item\(\)"),
        ({"a": (1, 2)}, r"measurement\.a is a tuple"),
        ({1: 2}, "measurement has the key 1"),
        ([1.0], "measurement is a list; expected a dict"),
    ],
)
def test_what_is_no_finite_json_is_refused_by_run_and_field(tmp_path, bad, told):
    store = RecordStore(tmp_path)
    with pytest.raises(ValueError, match=rf"toy_walk, .*'dim': 2.*, seed 1: {told}"):
        store.write(GROUP, [{"a": 1}, bad], provenance("x", 2))
    assert list(tmp_path.iterdir()) == []


def test_a_group_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    store = RecordStore(tmp_path)
    with pytest.raises(ValueError, match="1 measurements for the 2 runs"):
        store.write(GROUP, [{"a": 1}], provenance("x"))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_files.os, "fsync", full)
    with pytest.raises(RecordError, match="No space left on device; .*make room"):
        fill(tmp_path)
    assert list(tmp_path.rglob("*.*")) == [] and statuses(store) == ["missing", "missing"]


def test_what_an_interrupted_write_left_is_ignored_and_tidied(store):
    left = path_of(store).with_name(f".{path_of(store).name}.123.tmp")
    left.write_bytes(b"half a rec")
    assert statuses(store) == ["present", "present"]
    store.tidy()
    assert not left.exists() and statuses(store) == ["present", "present"]


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "superseded"])
def test_an_experiment_name_cannot_lead_out_of_the_folder(tmp_path, name):
    with pytest.raises(RecordError, match="cannot be a name|is taken"):
        RecordStore(tmp_path / "records").write(Group((Run(name, {}, 0),)), [{}], provenance("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_two_groups_is_an_error(store):
    twice = replace(WALK, groups=lambda profile: walk_groups(profile) + walk_groups(profile))
    with pytest.raises(ValueError, match="two groups"):
        store.read(twice, "smoke")


def test_frozen_records_read_as_the_working_ones_and_freezing_twice_changes_no_byte(
    store, tmp_path
):
    frozen = tmp_path / "frozen"
    manifest = freeze(store, frozen, "smoke", TOYS)
    files = {path: path.read_bytes() for path in frozen.rglob("*.json*")}
    assert {path.relative_to(frozen).as_posix() for path in files} == {
        "manifest.json",
        "smoke/toy_mean.jsonl",
        "smoke/toy_walk.jsonl",
    }
    assert contents(RecordStore(frozen)) == contents(store)
    assert [s.provenance for s in RecordStore(frozen).states(WALK, "smoke")] == [
        s.provenance for s in store.states(WALK, "smoke")
    ]
    entry = manifest["smoke"]["toy_walk"]
    assert (entry.n_records, entry.n_groups, entry.cpu_s, entry.wall_s) == (4, 2, 1.0, 0.5)
    keys = [json.loads(x)["key"] for x in (frozen / "smoke/toy_walk.jsonl").open()]
    assert keys == sorted(keys)
    freeze(store, frozen, "smoke", TOYS)
    assert {path: path.read_bytes() for path in frozen.rglob("*.json*")} == files


def test_what_others_left_in_folders_of_records_stays(store, tmp_path):
    frozen = tmp_path / "frozen"
    freeze(store, frozen, "smoke", TOYS)
    notes, folder = frozen / "smoke/notes.txt", frozen / "smoke/.ipynb_checkpoints"
    deep = store.folder / "mine/deep/.draft.tmp"
    deep.parent.mkdir(parents=True)
    folder.mkdir()
    for path in (notes, deep):
        path.write_text("mine")
    freeze(store, frozen, "smoke", TOYS)
    store.tidy()
    assert notes.exists() and folder.exists() and deep.exists()


def test_freezing_touches_only_its_profile_and_its_experiments(store, tmp_path):
    frozen = tmp_path / "frozen"
    freeze(store, frozen, "smoke", TOYS)
    fill(store.folder, profile="laptop")
    smoke = (frozen / "smoke/toy_walk.jsonl").read_bytes()
    freeze(store, frozen, "laptop", [WALK])
    freeze(store, frozen, "laptop", [MEAN])
    manifest = RecordStore(frozen).manifest
    assert {p: sorted(found) for p, found in manifest.items()} == {
        "smoke": ["toy_mean", "toy_walk"],
        "laptop": ["toy_mean", "toy_walk"],
    }
    assert (frozen / "smoke/toy_walk.jsonl").read_bytes() == smoke
    assert contents(RecordStore(frozen), profile="laptop") == contents(store, profile="laptop")


def test_freezing_refuses_missing_stale_and_damaged_groups_and_lists_them(store, tmp_path):
    first, second = walk_groups("smoke")
    path_of(store, first).write_bytes(b"rubbish\n")
    path_of(store, second).unlink()
    store.write(MEAN.groups("smoke")[0], [{"mean": 0.0}, {"mean": 1.0}], provenance("0ld", 2))
    with pytest.raises(RecordError) as error:
        freeze(store, tmp_path / "frozen", "smoke", TOYS)
    for told in ("damaged: ", "missing: ", "stale: ", first.key, second.key):
        assert told in str(error.value)
    assert not (tmp_path / "frozen").exists()


def test_a_frozen_file_that_is_not_the_manifests_is_reported_and_not_used(store, tmp_path):
    freeze(store, tmp_path / "frozen", "smoke", TOYS)
    path = tmp_path / "frozen/smoke/toy_walk.jsonl"
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"seed":1', b'"seed":3', 1))
    damaged = RecordStore(tmp_path / "frozen")
    assert statuses(damaged) == ["damaged", "damaged"] and statuses(damaged, MEAN) == ["present"]
    problem = damaged.states(WALK, "smoke")[0].problem
    assert f"{path}:" in problem and "the checksum is" in problem and "manifest.json" in problem
    path.write_bytes(b"".join(good.splitlines(keepends=True)[1:]))
    assert statuses(RecordStore(tmp_path / "frozen")) == ["damaged", "damaged"]
    path.unlink()
    assert "not there" in RecordStore(tmp_path / "frozen").states(WALK, "smoke")[0].problem


def test_a_frozen_folder_is_never_written_and_its_manifest_must_be_one(store, tmp_path):
    freeze(store, tmp_path / "frozen", "smoke", TOYS)
    with pytest.raises(RecordError, match="frozen"):
        fill(tmp_path / "frozen")
    with pytest.raises(RecordError, match="into another folder"):
        freeze(store, store.folder, "smoke", TOYS)
    path = tmp_path / "frozen/manifest.json"
    path.write_text('{"smoke": 3}')
    with pytest.raises(RecordError, match=r"manifest\.json is not a manifest.*: restore it"):
        RecordStore(tmp_path / "frozen").read(WALK, "smoke")
    path.unlink()
    path.mkdir()  # not a folder of working records, in which something could be computed
    with pytest.raises(RecordError, match=r"manifest\.json is not a manifest.*: Is a directory"):
        RecordStore(tmp_path / "frozen").read(WALK, "smoke")


def test_a_folder_asked_for_as_frozen_is_frozen_even_when_empty(tmp_path):
    store = RecordStore(tmp_path, frozen=True)
    assert statuses(store) == ["missing", "missing"]
    with pytest.raises(RecordError, match="frozen"):
        store.write(GROUP, [{}, {}], provenance("x"))


def test_files_are_readable_by_others_as_the_umask_says(store):
    old = os.umask(0o022)
    os.umask(old)
    assert path_of(store).stat().st_mode & 0o777 == 0o666 & ~old


def test_a_disk_without_locks_is_said_to_be_one_and_nobody_waits(tmp_path, monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", flock)
    with pytest.raises(RecordError, match="No locks available"), sole_writer(tmp_path):
        pass


@pytest.mark.parametrize("write", [sole_writer, freezing._writing_frozen])
def test_the_lock_of_a_folder_lies_in_it_and_is_for_whoever_may_write_there(tmp_path, write):
    """Not in a temporary directory, of which two processes may have two."""
    tmp_path.chmod(0o777)
    with write(tmp_path):
        with pytest.raises(Timeout):
            FileLock(tmp_path / ".lock").acquire(timeout=0)
    assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o666
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
    assert "book/records/.lock" in ignored
