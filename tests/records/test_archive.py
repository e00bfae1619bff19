import io
import json
import zipfile
from hashlib import sha256

import pytest
from toy import MEAN, TOYS, WALK, contents, fill

from hierlearn.records import RecordError, RecordStore, archive, export_records, import_records

KNOWN = {one.name: one for one in TOYS}


@pytest.fixture
def packed(tmp_path):
    """An archive of the toy records at profile smoke."""
    path = tmp_path / "records.zip"
    export_records(fill(tmp_path / "records"), path, "smoke", TOYS)
    return path


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {info.filename: file.read(info) for info in file.infolist()}


def repack(path, changes) -> None:
    """Write the archive anew with members changed, added, or dropped (None)."""
    every = {**members(path), **changes}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in every.items():
            if content is not None:
                file.writestr(name, content)


def consistent(path, name, content) -> None:
    """Change a member and state its hash: only what it says can then be wrong."""
    manifest = json.loads(members(path)["manifest.json"])
    manifest["smoke"][name]["sha256"] = sha256(content).hexdigest()
    repack(path, {f"smoke/{name}.jsonl": content, "manifest.json": json.dumps(manifest)})


def tree(folder) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_a_file_of_another_kind_is_not_overwritten(tmp_path):
    text, document = tmp_path / "README.md", tmp_path / "paper.docx"
    text.write_text("# Not an archive")
    with zipfile.ZipFile(document, "w") as file:
        file.writestr("word/document.xml", "<w/>")
    store = fill(tmp_path / "records")
    for other in (text, document):
        before = other.read_bytes()
        with pytest.raises(RecordError, match=f"{other.name} is there and is no archive of rec"):
            export_records(store, other, "smoke", TOYS)
        assert other.read_bytes() == before


def test_records_come_home_as_they_were_and_the_archive_is_the_same_bytes_each_time(
    packed, tmp_path
):
    again = tmp_path / "again.zip"
    store = RecordStore(tmp_path / "records")
    export_records(store, again, "smoke", reversed(TOYS))
    assert again.read_bytes() == packed.read_bytes()
    merged = import_records(packed, tmp_path / "frozen", KNOWN)
    assert {p: sorted(found) for p, found in merged.items()} == {"smoke": ["toy_mean", "toy_walk"]}
    frozen = RecordStore(tmp_path / "frozen")
    assert contents(frozen) == contents(store)
    export_records(frozen, again, "smoke", TOYS)
    assert again.read_bytes() == packed.read_bytes()


def test_a_part_is_merged_experiment_by_experiment_and_the_rest_stays(packed, tmp_path):
    frozen, part = tmp_path / "frozen", tmp_path / "part.zip"
    import_records(packed, frozen, KNOWN)
    before = tree(frozen)
    store = fill(tmp_path / "other", [WALK], "laptop")
    export_records(store, part, "laptop", [WALK])
    import_records(part, frozen, KNOWN)
    assert {k: v for k, v in tree(frozen).items() if k in before and k != "manifest.json"} == {
        k: v for k, v in before.items() if k != "manifest.json"
    }
    assert RecordStore(frozen).read(WALK, "laptop") == store.read(WALK, "laptop")
    export_records(fill(tmp_path / "mean", [MEAN], "laptop"), part, "laptop", [MEAN])
    import_records(part, frozen, KNOWN)
    manifest = RecordStore(frozen).manifest
    assert {p: sorted(found) for p, found in manifest.items()} == {
        "smoke": ["toy_mean", "toy_walk"],
        "laptop": ["toy_mean", "toy_walk"],
    }


def test_exporting_refuses_what_is_not_complete_and_writes_nothing(tmp_path):
    store = fill(tmp_path / "records", [WALK])
    with pytest.raises(RecordError, match="missing: "):
        export_records(store, tmp_path / "records.zip", "smoke", TOYS)
    assert not (tmp_path / "records.zip").exists()


def damaged_line(path):
    content = members(path)["smoke/toy_walk.jsonl"]
    consistent(path, "toy_walk", content.replace(b'"seed":1', b'"seed":3', 1))


def other_hash(path):
    manifest = json.loads(members(path)["manifest.json"])
    manifest["smoke"]["toy_walk"]["sha256"] = "0" * 64
    repack(path, {"manifest.json": json.dumps(manifest).encode()})


def group_cut(path):
    content = members(path)["smoke/toy_walk.jsonl"]
    consistent(path, "toy_walk", b"".join(content.splitlines(True)[1:]))


def record_of_another_profile(path):
    store = fill(path.parent / "laptop", [WALK], "laptop")
    more = store.read(WALK, "laptop")[0].line()
    consistent(path, "toy_walk", members(path)["smoke/toy_walk.jsonl"] + more)


def other_code(path):
    store = fill(path.parent / "old", code="0ther")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hierlearn.records.store.fingerprint", lambda one: "0ther")
        export_records(store, path, "smoke", TOYS)


def two_profiles(path):
    manifest = json.loads(members(path)["manifest.json"])
    manifest["laptop"] = manifest["smoke"]
    repack(path, {"manifest.json": json.dumps(manifest)})


def no_member(path):
    repack(path, {"smoke/toy_mean.jsonl": None})


def no_manifest(path):
    repack(path, {"manifest.json": None})


def bad_manifest(path):
    repack(path, {"manifest.json": '{"smoke": 3}'})


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (damaged_line, r"records\.zip: smoke/toy_walk\.jsonl:\d: the checksum is"),
        (other_hash, r"toy_walk\.jsonl: has not the hash"),
        (group_cut, r"toy_walk\.jsonl:\d: 1 of 2 records missing"),
        (record_of_another_profile, r"toy_walk\.jsonl:5: the record belongs to no group"),
        (other_code, "stale: .*comes from other code"),
        (two_profiles, "valid: the same files, of one profile"),
        (no_member, "valid: the same files, of one profile"),
        (no_manifest, "lists nothing"),
        (bad_manifest, r"records\.zip: manifest\.json is not a manifest"),
        (cut, "not a readable archive"),
        (flipped, "not a readable archive"),
        (empty, "not a readable archive"),
    ],
)
def test_what_is_wrong_is_named_by_member_and_line_and_nothing_is_changed(
    packed, tmp_path, spoil, told
):
    frozen = tmp_path / "frozen"
    export_records(fill(tmp_path / "f", [MEAN], "laptop"), tmp_path / "f.zip", "laptop", [MEAN])
    import_records(tmp_path / "f.zip", frozen, KNOWN)
    before = tree(frozen)
    spoil(packed)
    with pytest.raises(RecordError, match=told):
        import_records(packed, frozen, KNOWN)
    assert tree(frozen) == before


@pytest.mark.parametrize(
    "name",
    [
        "../smoke/toy_walk.jsonl",
        "/smoke/toy_walk.jsonl",
        "smoke/../smoke/toy_walk.jsonl",
        "smoke\\toy_walk.jsonl",
        "smoke/unknown.jsonl",
        "huge/toy_walk.jsonl",
        "smoke/",
        "note.txt",
    ],
)
def test_members_with_any_other_name_are_refused_before_anything_is_unpacked(
    packed, tmp_path, name
):
    repack(packed, {name: b"x"})
    with pytest.raises(RecordError, match="valid: once each manifest.json"):
        import_records(packed, tmp_path / "frozen", KNOWN)
    assert not (tmp_path / "frozen").exists()


def test_a_member_given_twice_is_refused(packed, tmp_path):
    with zipfile.ZipFile(packed, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("manifest.json", b"{}")
    with pytest.raises(RecordError, match="'manifest.json', once or more often"):
        import_records(packed, tmp_path / "frozen", KNOWN)


def test_a_link_is_read_as_a_text_that_is_no_record(packed, tmp_path):
    link = zipfile.ZipInfo("smoke/toy_walk.jsonl")
    link.external_attr = 0o120777 << 16
    kept = {k: v for k, v in members(packed).items() if k != link.filename}
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(link, "/etc/passwd")
        for name, content in kept.items():
            file.writestr(name, content)
    with pytest.raises(RecordError, match=r"toy_walk\.jsonl:1: the line does not end"):
        import_records(packed, tmp_path / "frozen", KNOWN)
    assert not (tmp_path / "frozen").exists()


def test_a_bomb_is_refused_by_its_stated_size_and_a_lie_about_the_size_by_its_content(
    packed, tmp_path, monkeypatch
):
    honest = packed.read_bytes()
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(RecordError, match="at most 1000 valid"):
        import_records(packed, tmp_path / "frozen", KNOWN)
    monkeypatch.undo()
    packed.write_bytes(understated(honest, "smoke/toy_walk.jsonl"))
    with pytest.raises(RecordError, match="not a readable archive"):
        import_records(packed, tmp_path / "frozen", KNOWN)
    assert not (tmp_path / "frozen").exists()


def understated(data: bytes, name: str) -> bytes:
    """Return a zip file whose directory says that the member `name` unpacks to 10 bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        size = file.getinfo(name).file_size.to_bytes(4, "little")
    at = data.rindex(name.encode()) - 46 + 24  # the size in the central directory's entry
    assert data[at : at + 4] == size
    return data[:at] + (10).to_bytes(4, "little") + data[at + 4 :]
