import json
import re
import shutil
from dataclasses import replace

import pytest
import toy_book
from click.testing import Result
from toy_book import call

from hierlearn.book import pages
from hierlearn.book.published import chapter_profiles
from hierlearn.errors import RunError
from hierlearn.records import FrozenFile, RecordStore
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

CHAPTERS = (toy_book.CHAPTER, toy_book.TWIN.chapter)


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The toy book with two chapters, computed at two profiles."""
    root = toy_book.make_project(tmp_path_factory.mktemp("computed") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        toy_book.add_twin(root, patch)
        toy_book.fill(root, "smoke", "laptop")
    return root


@pytest.fixture
def project(computed, tmp_path, monkeypatch):
    root = toy_book.copy(computed, tmp_path, monkeypatch)
    monkeypatch.setitem(EXPERIMENTS, "twin", toy_book.TWIN)
    return root


def ok(*arguments: str) -> Result:
    result = call(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def rows_of(text: str) -> dict[str, tuple[str, ...]]:
    """The cells (profile, verdict) of each claim in a table of verdicts."""
    return dict(re.findall(r"\| (bfc\.T\d) \|.*\| (\w+) \| [^|]* \|", text))


def test_each_chapter_shows_the_largest_profile_that_is_frozen_of_it(project):
    ok("freeze", "--profile", "smoke")
    ok("freeze", "2", "--profile", "laptop")
    assert rows_of((project / "README.md").read_text()) == {"bfc.T1": "smoke", "bfc.T2": "laptop"}
    ok("book", "--frozen")
    ran = toy_book.run_file(project)
    assert [ran[name]["profile"] for name in CHAPTERS] == ["smoke", "laptop"]
    built = {p.stem: p.read_text() for p in (project / "_build/html/book").glob("*.html")}
    for name, profile, other in zip(
        CHAPTERS, ("smoke", "laptop"), ("laptop", "smoke"), strict=True
    ):
        assert f"<dt>Profile</dt><dd>{profile}</dd>" in built[name]
        assert f"{other}, commit" not in built[name]
    assert "2 claims, profiles smoke, laptop" in built["ledger"]
    for claim, profile in (("bfc.T1", "smoke"), ("bfc.T2", "laptop")):
        line = built["ledger"].partition(f'id="{claim}" data')[2].partition("hl-cite")[0]
        assert f"<dd>{profile}, commit" in line
        line = built["intro"].partition(f'id="{claim}" data')[2].partition("hl-cite")[0]
        assert f"<dd>{profile}, commit" in line


def test_a_fresh_clone_shows_the_published_book_before_it_computes(project):
    ok("freeze", "--profile", "smoke")
    shutil.rmtree(project / "_build")
    said = ok("book", "--profile", "smoke", "--workers", "1").stderr
    parts = [
        "records book/records", "This is the published book. To read it, open file:///",
        "about 1 min with 1 processes", "Ctrl-C loses nothing", "records _build/records",
        "your records beside the published ones", "To read it, open file:///",
    ]  # fmt: skip
    places = [said.rindex(part) if part == parts[-1] else said.index(part) for part in parts]
    assert places == sorted(places)
    again = ok("book", "--profile", "smoke", "--workers", "1").stderr
    assert "published book" not in again and "To read it" in again


def test_claims_and_status_read_each_chapter_at_the_profile_that_it_shows(project, monkeypatch):
    ok("freeze", "--profile", "smoke")
    ok("freeze", "twin", "--profile", "laptop")
    rows = json.loads(ok("claims", "--records", "book/records", "--json").stdout)
    found = {row["id"]: (row["profile"], row["n_seeds"]) for row in rows}
    assert found == {"bfc.T1": ("smoke", 3), "bfc.T2": ("laptop", 5)}
    texts: list[str] = []
    monkeypatch.setattr(pages, "_show", texts.append)
    ledger = pages.open_ledger("paper", records="book/records")
    ledger.compute()
    ledger.provenance()
    assert "run 01_toy_chapter --profile smoke; python -m hierlearn run 02_toy_twin" in texts[0]
    assert "<dd>smoke, laptop</dd>" in texts[0] and "16 in 4 groups" in texts[0]
    lines = ok("status", "--records", "book/records").stdout.splitlines()[1:3]
    assert [line.split()[:4] for line in lines] == [
        [CHAPTERS[0], "toy", "smoke", "2"],
        [CHAPTERS[1], "twin", "laptop", "2"],
    ]


def test_a_chapter_without_frozen_records_is_named_and_the_others_can_be_shown(project):
    result = call("freeze", "2", "--profile", "laptop")
    assert result.exit_code == 1 and "froze 2 groups" in result.stderr
    result = call("run", "--frozen")
    assert result.exit_code == 1 and f"chapters read: {CHAPTERS[0]}" in result.stderr
    assert not (project / "_build/stage").exists()
    ok("run", "--frozen", "2")
    assert toy_book.run_file(project)[CHAPTERS[1]]["profile"] == "laptop"


def test_records_come_from_a_folder_of_another_machine_and_the_readme_follows(project):
    ok("freeze", "--profile", "smoke")
    there = project / "there"
    shutil.copytree(project / "_build/records", there)
    result = ok("freeze", "2", "--profile", "laptop", "--records", "there")
    assert "froze 2 groups of profile laptop" in result.stderr
    assert rows_of((project / "README.md").read_text()) == {"bfc.T1": "smoke", "bfc.T2": "laptop"}
    before = (project / "book/records/manifest.json").read_bytes()
    path = next((there / "twin").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"seed":1', b'"seed":7'))
    result = call("freeze", "2", "--profile", "laptop", "--records", "there")
    assert result.exit_code == 1 and "damaged" in result.stderr and "checksum" in result.stderr
    assert (project / "book/records/manifest.json").read_bytes() == before


def test_an_experiment_without_groups_at_a_profile_does_not_hold_its_chapter_back(
    tmp_path, monkeypatch
):
    rest = replace(toy_book.TWIN, groups=lambda p: [] if p == "laptop" else toy_book.TWIN.groups(p))
    toy_book.isolate(monkeypatch)
    monkeypatch.setitem(EXPERIMENTS, "twin", replace(rest, chapter=toy_book.CHAPTER))
    store = RecordStore(tmp_path, frozen=True)
    entry = FrozenFile(n_records=1, n_groups=1, sha256="", bytes=1, cpu_s=1.0, wall_s=1.0)
    store.manifest = {"smoke": {"toy": entry}, "laptop": {"toy": entry}}
    assert chapter_profiles(store, []) == {toy_book.CHAPTER: "laptop"}
    with pytest.raises(RunError, match=f"up to profile smoke, .* read: {toy_book.CHAPTER};"):
        chapter_profiles(store, [], "smoke")
    store.manifest["smoke"]["twin"] = entry
    assert chapter_profiles(store, [], "smoke") == {toy_book.CHAPTER: "smoke"}
