"""A toy whose data are missing, beside one that needs none: nothing fails, all is said."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy
import toy_book
from toy_book import call

from hierlearn.book import pages
from hierlearn.cli import work
from hierlearn.engine import devices
from hierlearn.experiment import Group, Run
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import pushing

pytestmark = pytest.mark.slow

WHY = "the data set pictures is not at hand"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A toy book of two chapters with frozen records, computed where the data were at hand."""
    root = toy_book.make_project(tmp_path_factory.mktemp("published") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        patch.setitem(EXPERIMENTS, "toy", toy_book.SEEING)
        toy_book.add_twin(root, patch)
        patch.setenv("TOY_PICTURES", "here")
        patch.chdir(root)
        toy_book.fill(root, "smoke")
        assert call("freeze", "--profile", "smoke").exit_code == 0
    shutil.rmtree(root / "_build")
    return root


@pytest.fixture
def project(published, tmp_path, monkeypatch):
    """A copy of it, on a machine without the data."""
    root = toy_book.copy(published, tmp_path, monkeypatch)
    monkeypatch.setitem(EXPERIMENTS, "toy", toy_book.SEEING)
    monkeypatch.setitem(EXPERIMENTS, "twin", toy_book.TWIN)
    monkeypatch.delenv("TOY_PICTURES", raising=False)
    monkeypatch.setattr(work, "LocalPool", SimpleNamespace(on=lambda *_: toy.Inline()))
    return root


def compute():
    done = call("compute", "--profile", "smoke")
    assert done.exit_code == 0, done.output
    return done


def verdicts():
    done = call("claims", "--profile", "smoke", "--json")
    rows = json.loads(done.stdout)
    return done, {row["id"]: row for row in rows}


def test_all_else_is_computed_and_one_line_says_what_is_not(project):
    done = compute()
    told = [line for line in done.stderr.splitlines() if "not run" in line]
    assert told == [f"smoke: not run, 2 groups (toy): {WHY}"]
    assert "to compute: 2 groups" in done.stderr and "2 groups computed, 0 already" in done.stderr
    again = compute()
    assert "to compute: nothing" in again.stderr and told[0] in again.stderr
    assert [path.name for path in (project / "_build/records").glob("*/")] == ["twin"]


def test_without_published_records_claims_are_not_run_as_expected_and_hide_no_others(project):
    shutil.rmtree(project / "book/records")
    compute()
    done, rows = verdicts()
    assert done.exit_code == 0
    lacking = rows["bfc.T1"]
    assert (lacking["verdict"], lacking["expected"]) == ("not run", "not run")
    assert lacking["reason"] == "needs pictures; python -m hierlearn data fetch pictures"
    assert rows["bfc.T2"]["verdict"] == "supported"
    assert "not run: needs pictures; python -m hierlearn data fetch" in done.stderr
    refused = call("freeze", "--profile", "smoke")
    assert refused.exit_code == 1 and "cannot run: toy needs pictures" in refused.stderr


def test_a_surprise_in_another_claim_stays_one(project):
    shutil.rmtree(project / "book/records")
    claims = project / "book/claims/02.yml"
    claims.write_text(claims.read_text().replace("[1.9, 2.1]", "[3, 4]"))
    compute()
    done, _ = verdicts()
    assert done.exit_code == 1 and "not as declared: bfc.T2 at smoke" in done.stderr


def test_published_records_take_their_place_and_are_not_called_rerun(project):
    compute()
    done, rows = verdicts()
    assert done.exit_code == 0 and rows["bfc.T1"]["verdict"] == "supported"
    compared = call("compare", "--profile", "smoke")
    assert compared.exit_code == 0
    lines = {line.split()[0]: line for line in compared.stderr.splitlines() if line}
    assert "0 of 0; 2 cannot be rerun here" in lines["01_toy_chapter"]
    assert "2 of 2" in lines["02_toy_twin"] and "1 of 1" in lines["02_toy_twin"]
    status = call("status", "--profile", "smoke")
    assert status.exit_code == 0 and f"cannot run: {WHY}" in status.stdout
    head, own, *_ = [line for line in status.stdout.splitlines() if line]
    assert own.split()[2:8] == ["smoke", "0", "0", "0", "0", "2"] and "cannot run" in head
    assert call("freeze", "--profile", "smoke").exit_code == 0, "what was published stays so"


@pytest.mark.parametrize("command", ["replay", "push"])
def test_replay_and_push_leave_it_out_and_say_so(project, command, monkeypatch):
    compute()
    pushed = []
    monkeypatch.setattr(pushing, "push", lambda chosen, *_, **__: pushed.extend(chosen) or [])
    done = call(command, "--profile", "smoke")
    assert done.exit_code == 0, done.output
    assert f"left out: toy: {WHY}" in done.stderr
    assert "toy " not in done.stdout
    assert [one.claim.id for one in pushed] == ["bfc.T2"] * (command == "push")


def page(name, profile="smoke"):
    return pages.open_chapter(name, profile=profile, device="cpu", records="_build/records")


def test_the_page_shows_published_numbers_and_says_that_they_are(project, capsys):
    compute()
    chapter = page("01")
    assert len(chapter.compute()["toy"]) == 6
    html = pages.provenance_html(chapter.states(), profile="smoke", command="")
    assert "Not at hand here: pictures. Of the 2 groups that need it, 2 are the publ" in html
    assert "<dt>Data</dt><dd>pictures, SHA-256 ab12</dd>" in html
    other = page("02")
    assert "Data" not in pages.provenance_html(other.states(), profile="smoke", command="")


def test_a_figure_without_data_says_so_in_its_place(project, monkeypatch):
    shutil.rmtree(project / "book/records")
    shown = []
    monkeypatch.setattr(pages, "_show", shown.append)

    def a_picture(toy):
        raise AssertionError("there is nothing to draw")

    chapter = page("01")
    assert len(chapter.compute()["toy"]) == 0
    chapter.show(a_picture)
    chapter.verdicts()
    chapter.provenance()
    assert "Not run, needs pictures: the figure a-picture, which needs toy." in shown[0]
    assert "needs pictures" in shown[1] and "not run" in shown[1]
    assert "0 are the published ones" in shown[2]


def test_with_the_data_at_hand_it_is_computed_and_carries_their_hash(project, monkeypatch):
    compute()
    monkeypatch.setenv("TOY_PICTURES", "here")
    assert "2 groups computed, 2 already there" in compute().stderr
    for name in ("toy", "twin"):
        lines = [p.read_text() for p in Path(f"_build/records/{name}").glob("*.jsonl")]
        stated = [json.loads(text.splitlines()[0])["provenance"].get("data") for text in lines]
        assert stated == [{"pictures": "ab12"} if name == "toy" else None] * 2
    monkeypatch.delenv("TOY_PICTURES")
    assert "not run" not in call("claims", "--profile", "smoke").stderr, "own records need no data"
    assert "2 of 2" in call("compare", "--profile", "smoke").stderr
    assert "not run" not in compute().stderr


def test_only_the_data_that_a_run_names_are_needed_and_in_its_provenance(project, monkeypatch):
    def groups(profile):
        names = ("pictures", "drawings")
        return [
            Group((Run("toy", {"gap": 1.0, "data": name}, seed),))
            for name, seed in zip(names, range(toy_book.SEEDS[profile]), strict=False)
        ]

    monkeypatch.setitem(EXPERIMENTS, "toy", replace(toy_book.SEEING, groups=groups))
    assert "not run, 1 groups (toy)" in compute().stderr
    lines = [path.read_text() for path in Path("_build/records/toy").glob("*.jsonl")]
    assert [json.loads(line)["config"]["data"] for line in lines] == ["drawings"]
    assert "data" not in json.loads(lines[0])["provenance"]


def test_the_chapter_is_executed_on_published_records(project):
    path = project / "book/01_toy_chapter.ipynb"
    others = "register(toy_book.TWIN, toy_book.SEEING)"
    path.write_text(path.read_text().replace("register(toy_book.TWIN)", others))
    done = call("run", "1", "--profile", "smoke")
    assert done.exit_code == 0, done.stderr
    executed = (project / "_build/stage/book/01_toy_chapter.ipynb").read_text()
    assert "Not at hand here: pictures" in executed and "hl-verdict-supported" in executed


class Machine(devices.GPU):
    """A GPU that is there where the variable TOY_GPU is set."""

    def missing(self):
        return "" if os.environ.get("TOY_GPU") else super().missing()


WANTED = "a GPU is needed, and torch finds none"


@pytest.fixture
def without_gpu(project, monkeypatch):
    """The same book, where the first experiment needs a GPU and nobody ever had one."""
    monkeypatch.setitem(EXPERIMENTS, "toy", replace(toy_book.TOY, resources=(Machine(),)))
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    shutil.rmtree(project / "book/records")
    return project


def test_without_a_gpu_all_else_is_computed_judged_frozen_and_read(without_gpu):
    assert f"smoke: not run, 2 groups (toy): {WANTED}" in compute().stderr
    done, rows = verdicts()
    assert done.exit_code == 0 and "not run: needs a GPU\n" in done.stderr
    told = {key: rows["bfc.T1"][key] for key in ("verdict", "expected", "reason")}
    assert told == {"verdict": "not run", "expected": "not run", "reason": "needs a GPU"}
    assert rows["bfc.T2"]["verdict"] == "supported"
    status = call("status", "--profile", "smoke")
    assert status.exit_code == 0 and f"cannot run: {WANTED}" in status.stdout
    assert "left out: toy: a GPU" in call("replay", "--profile", "smoke").stderr
    assert call("freeze", "--profile", "smoke").exit_code == 0
    (frozen,) = json.loads(Path("book/records/manifest.json").read_text())["smoke"]
    assert frozen == "twin"
    assert call("freeze", "toy", "--profile", "smoke").exit_code == 1, "there is nothing of it"


@pytest.mark.parametrize("there", [True, False])
def test_frozen_records_may_lack_what_needs_a_gpu_whether_or_not_one_is_here(
    without_gpu, there, monkeypatch, capsys
):
    compute()
    assert call("freeze", "--profile", "smoke").exit_code == 0
    if there:
        monkeypatch.setenv("TOY_GPU", "here")
    store = RecordStore("book/records")
    done = call("claims", "--records", "book/records", "--json")
    rows = {row["id"]: (row["verdict"], row["as_expected"]) for row in json.loads(done.stdout)}
    assert rows == {"bfc.T1": ("not run", True), "bfc.T2": ("supported", True)}
    assert [s.status for s in store.states(EXPERIMENTS["toy"], "smoke")] == ["cannot run"] * 2
    chapter = pages.open_chapter("02", profile="smoke", device="cpu", records="book/records")
    assert len(chapter.compute()["twin"]) == 6
    other = pages.open_chapter("01", profile="smoke", device="cpu", records="book/records")
    assert len(other.compute()["toy"]) == 0
    html = pages.provenance_html(other.states(), profile="smoke", command="")
    assert "Not at hand here: a GPU. Of the 2 groups that need it, 0 are" in html


def test_with_a_gpu_it_is_computed_and_no_data_stand_in_its_provenance(without_gpu, monkeypatch):
    monkeypatch.setenv("TOY_GPU", "here")
    assert "4 groups computed" in compute().stderr
    lines = [path.read_text() for path in Path("_build/records/toy").glob("*.jsonl")]
    assert not any("data" in json.loads(text.splitlines()[0])["provenance"] for text in lines)
    monkeypatch.delenv("TOY_GPU")
    _, rows = verdicts()
    assert rows["bfc.T1"]["verdict"] == "supported", "own records need no GPU"
    assert call("freeze", "--profile", "smoke").exit_code == 0
    assert {*json.loads(Path("book/records/manifest.json").read_text())["smoke"]} == {"toy", "twin"}


def test_half_of_what_needs_a_gpu_is_not_frozen_as_if_it_were_nothing(without_gpu, monkeypatch):
    monkeypatch.setenv("TOY_GPU", "here")
    compute()
    next(Path("_build/records/toy").glob("*.jsonl")).unlink()
    monkeypatch.delenv("TOY_GPU")
    refused = call("freeze", "--profile", "smoke")
    assert refused.exit_code == 1 and "cannot run: toy needs a GPU" in refused.stderr


def test_only_data_are_fetched(without_gpu):
    done = call("data", "fetch", "--profile", "smoke")
    assert done.exit_code == 0 and not done.stdout
