"""The gate on the toy book; one test starts worker processes, the others measure here."""

import json
from pathlib import Path

import pytest
import toy_book
from toy import Inline, provenance
from toy_book import call

from hierlearn.experiment import canonical, digest
from hierlearn.records import Record, RecordError, RecordStore, fingerprint, restamp
from hierlearn.sweeps import replay

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    root = toy_book.make_project(tmp_path_factory.mktemp("computed") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        patch.chdir(root)
        patch.setattr("hierlearn.cli.work.LocalPool.on", lambda *_: Inline())
        assert call("compute", "--profile", "smoke").exit_code == 0
        assert call("freeze", "--profile", "smoke").exit_code == 0
    return root


@pytest.fixture(params=["_build/records", "book/records"])
def records(request, computed, tmp_path, monkeypatch):
    """A copy of the toy book as the current folder, and a working or a frozen folder of it."""
    toy_book.copy(computed, tmp_path, monkeypatch)
    monkeypatch.setattr("hierlearn.cli.work.LocalPool.on", lambda *_: Inline())
    return Path(request.param)


def gate(records, *arguments):
    return call("replay", "--profile", "smoke", "--records", str(records), *arguments)


def rewrite(records, change):
    """Change records and give them right checksums, as a forger would or another machine."""
    for path in [*records.glob("toy/*.jsonl"), *records.glob("smoke/*.jsonl")]:
        lines = []
        for line in path.read_bytes().splitlines():
            content = json.loads(line)
            del content["checksum"]
            change(content)
            lines.append(canonical({**content, "checksum": digest(content)}).encode() + b"\n")
        path.write_bytes(b"".join(lines))
        manifest = records / "manifest.json"
        if manifest.exists():
            from hashlib import sha256

            stated = json.loads(manifest.read_text())
            stated["smoke"]["toy"]["sha256"] = sha256(path.read_bytes()).hexdigest()
            manifest.write_text(json.dumps(stated))


def stored(records):
    return sorted(
        (r.key, r.measurement, r.provenance.fingerprints)
        for r in RecordStore(records).read(toy_book.TOY, "smoke")
    )


def test_stored_groups_come_out_the_same_bit_for_bit(records):
    before = stored(records)
    result = gate(records)
    assert result.exit_code == 0, result.stderr
    assert "2 groups replayed: 2 the same, bit for bit" in result.stdout
    assert stored(records) == before


def test_worker_processes_measure_what_this_process_measures(computed, tmp_path, monkeypatch):
    toy_book.copy(computed, tmp_path, monkeypatch)
    result = gate("book/records", "--workers", "1")
    assert result.exit_code == 0 and "2 the same, bit for bit" in result.stdout, result.stderr


def test_a_forged_measurement_is_found_and_named_with_both_values(records):
    def forge(content):
        content["measurement"]["double"] += 1e-12

    rewrite(records, forge)
    result = gate(records)
    assert result.exit_code == 1
    assert "measurement.double was 2.000000000001, is 2.0" in result.stderr
    assert "toy, group" in result.stderr and "DIFFERS" in result.stdout


@pytest.mark.parametrize(("shift", "passes"), [(1e-9, True), (0.0005, True), (0.2, False)])
def test_on_another_machine_verdicts_and_estimates_are_compared(records, shift, passes):
    def elsewhere(content):
        content["provenance"]["machine"] = "another processor, 2 cores"
        content["measurement"]["double"] += shift * content["config"]["gap"]

    rewrite(records, elsewhere)
    result = gate(records)
    assert "2 other numbers" in result.stdout
    assert result.exit_code == (0 if passes else 1), result.stderr
    assert passes or "bfc.T1" in result.stderr


def test_on_another_machine_a_group_that_no_claim_reads_is_named(records, computed):
    def elsewhere(content):
        content["provenance"]["machine"] = "another processor, 2 cores"
        content["measurement"]["double"] += 1e-9

    rewrite(records, elsewhere)
    assert "in form only" not in gate(records).stderr
    entries = Path("book/claims/01.yml")
    entries.write_text("[]\n")
    result = gate(records)
    assert result.exit_code == 0
    assert result.stderr.count("compared in form only: ") == 2
    assert "no claim reads what moved (measurement.double was" in result.stderr


def age(content):
    content["provenance"]["fingerprints"] = ["0ld"]


def test_stale_records_are_refused_until_they_are_restamped(records):
    measured = [(key, m) for key, m, _ in stored(records)]
    rewrite(records, age)
    refused = gate(records)
    assert refused.exit_code == 1
    assert "refused: 2 groups" in refused.stderr and "replay --restamp" in refused.stderr
    stamped = gate(records, "--restamp")
    assert stamped.exit_code == 0, stamped.stderr
    assert "2 of 2 groups stamped" in stamped.stderr
    assert [(key, m) for key, m, _ in stored(records)] == measured
    assert {tuple(codes) for *_, codes in stored(records)} == {
        ("0ld", fingerprint(toy_book.TOY.measure))
    }
    assert gate(records).exit_code == 0
    assert RecordStore(records).stale(toy_book.TOY, "smoke") is False


def test_a_stale_group_that_comes_out_otherwise_is_not_stamped_and_not_lost(records):
    def forge(content):
        age(content)
        if content["config"]["gap"] == 1.0:
            content["measurement"]["double"] += 1.0

    rewrite(records, forge)
    before = stored(records)
    result = gate(records, "--restamp")
    assert result.exit_code == 1 and "1 of 2 groups stamped" in result.stderr
    after = stored(records)
    assert [(key, m) for key, m, _ in after] == [(key, m) for key, m, _ in before]
    assert sorted(len(codes) for *_, codes in after) == [1, 1, 1, 2, 2, 2]


def test_a_stale_group_that_only_agrees_is_not_stamped(records):
    def elsewhere(content):
        age(content)
        content["provenance"]["machine"] = "another processor, 2 cores"
        content["measurement"]["double"] += 1e-9

    rewrite(records, elsewhere)
    result = gate(records, "--restamp")
    assert result.exit_code == 1 and "0 of 2 groups stamped" in result.stderr


def test_groups_of_a_gpu_are_replayed_on_a_gpu_only(records, monkeypatch):
    def on_gpu(content):
        content["provenance"]["device"] = "cuda: NVIDIA H100, 80 GiB"

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    rewrite(records, on_gpu)
    result = gate(records)
    assert result.exit_code == 2 and "2 of 2 groups were computed on a GPU" in result.stderr


def test_damaged_records_are_named_and_not_replayed(records):
    for path in [*records.glob("toy/*.jsonl"), *records.glob("smoke/*.jsonl")]:
        path.write_bytes(path.read_bytes()[:-5])
    result = gate(records)
    assert result.exit_code == 1 and "damaged records are not replayed" in result.stderr
    assert ".jsonl:" in result.stderr and "Traceback" not in result.stderr


def test_nothing_to_replay_is_an_error_that_says_where(records):
    result = gate(records, "--below", "0")
    assert result.exit_code == 1 and "holds no groups of profile smoke below 0 CPU" in result.stderr


def test_a_seed_draws_the_same_sample_again_and_another_seed_another(records):
    store = RecordStore(records)

    def keys(seed):
        chosen = replay.choose([toy_book.TOY], "smoke", store, n=1, seed=seed)
        return [unit.group.key for unit, _ in chosen]

    assert keys(3) == keys(3)
    assert len({tuple(keys(seed)) for seed in range(20)}) == 2


def test_only_groups_that_took_less_than_the_limit_are_drawn(tmp_path):
    store = RecordStore(tmp_path)
    cheap, dear = toy_book.groups("smoke")
    code = fingerprint(toy_book.TOY.measure)
    for group, cpu_s in ((cheap, 0.1), (dear, 40.0)):
        measured = toy_book.measure(group, None)
        store.write(group, measured, provenance(code, 3, cpu_s=cpu_s))
    chosen = replay.choose([toy_book.TOY], "smoke", store, n=None, below=30.0)
    assert [unit.group for unit, _ in chosen] == [cheap]


def test_restamping_keeps_every_other_byte_of_a_record(records):
    rewrite(records, age)
    before = {r.key: r for r in RecordStore(records).read(toy_book.TOY, "smoke")}
    assert gate(records, "--restamp").exit_code == 0
    for record in RecordStore(records).read(toy_book.TOY, "smoke"):
        hidden = {"provenance": {"fingerprints"}, "checksum": True}
        assert record.model_dump(exclude=hidden) == before[record.key].model_dump(exclude=hidden)
        assert Record.from_line(record.line().rstrip()) == record


def test_a_group_that_another_process_has_stamped_meanwhile_is_left_as_it_is(records):
    rewrite(records, age)
    one = toy_book.TOY
    stores = RecordStore(records), RecordStore(records)
    seen = stores[0].states(one, "smoke")[0]
    for store in stores:
        restamp(store, one, "smoke", seen=seen, code="n0w")
    found = RecordStore(records).states(one, "smoke")[0].records[0].provenance.fingerprints
    assert found[-1] == "n0w" and found.count("n0w") == 1
    with pytest.raises(RecordError, match="was changed while it was replayed"):
        restamp(stores[0], one, "smoke", seen=seen, code="0ther")


def test_a_rerun_is_set_against_what_is_published(computed, tmp_path, monkeypatch):
    toy_book.copy(computed, tmp_path, monkeypatch)
    own = Path("_build/records")
    same = call("compare", "--profile", "smoke")
    assert same.exit_code == 0
    n_groups = len(list(own.glob("toy/*.jsonl")))
    assert f"{n_groups} of {n_groups}" in same.stderr and "1 of 1" in same.stderr

    def shift(record, by):
        record["measurement"]["double"] += by * record["config"]["gap"]
        record["provenance"]["machine"] = "another, 1 core"

    rewrite(own, lambda record: shift(record, 1e-6))
    close = call("compare", "--profile", "smoke")
    assert close.exit_code == 0, "last digits differ, the claim agrees"
    assert f"0 of {n_groups}" in close.stderr and "another, 1 core (published:" in close.stderr
    rewrite(own, lambda record: shift(record, 0.2))
    far = call("compare", "--profile", "smoke")
    assert far.exit_code == 1 and "not as published" in far.stderr
    itself = call("compare", "--records", "book/records")
    assert itself.exit_code == 2 and "valid: a folder of your own" in itself.stderr
    nothing = call("compare", "--profile", "laptop")
    assert nothing.exit_code == 1 and "no group of profile laptop in common" in nothing.stderr


@pytest.mark.parametrize("harm", ["gone", "other numbers"])
def test_what_changes_while_it_is_replayed_is_neither_stamped_nor_lost(records, harm, monkeypatch):
    rewrite(records, age)
    measured = replay.sweep.measured

    def meanwhile(*arguments, **settings):
        for finished in measured(*arguments, **settings):
            if harm == "gone":
                for path in records.glob("*/*.jsonl"):
                    path.write_bytes(b"")
            else:
                rewrite(records, lambda content: content["measurement"].update(double=3.5))
            yield finished

    monkeypatch.setattr(replay.sweep, "measured", meanwhile)
    result = gate(records, "--restamp")
    assert result.exit_code == 1, result.output
    after = {path: path.read_bytes() for path in records.glob("*/*.jsonl")}
    assert all((harm == "gone") == (content == b"") for content in after.values())
    assert not any(b"0ld" not in content for content in after.values() if content)
