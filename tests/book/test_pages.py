import shutil
from dataclasses import replace

import papermill
import pytest
import toy_book
from signatures import doors_alone

from hierlearn import records
from hierlearn.book import pages
from hierlearn.errors import RunError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    toy_book.isolate(monkeypatch)
    root = toy_book.make_project(tmp_path / "project")
    monkeypatch.chdir(root / "book")
    return root


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Records of the toy chapter, computed once."""
    root = toy_book.make_project(tmp_path_factory.mktemp("computed") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        return toy_book.fill(root, "smoke").folder


@pytest.fixture
def chapter(project, computed):
    shutil.copytree(computed, project / "_build" / "records")
    return open_toy()


def open_toy(**settings) -> pages.Page:
    return pages.open_chapter(
        "toy", **{"profile": "smoke", "records": "_build/records", **settings}
    )


def test_relative_records_start_at_the_root_of_the_project(project):
    assert open_toy().store.folder == project / "_build" / "records"


def test_compute_returns_the_records_of_each_experiment(chapter, capfd):
    runs = chapter.compute()
    assert [len(found) for found in runs.values()] == [6]
    assert runs["toy"][0].measurement == {"double": 2.0}
    assert capfd.readouterr().err == ""


def test_a_glued_claim_is_made_of_formatted_strings(chapter):
    chapter.glue_claim("bfc.T1")
    assert chapter.glued["bfc.T1"].startswith("2") and chapter.glued["bfc.T1"].endswith("]")
    assert chapter.glued["bfc.T1.verdict"] == "supported" and chapter.glued["bfc.T1.control"] == "—"
    with pytest.raises(RunError, match="valid: bfc.T1"):
        chapter.glue_claim("bfc.T9")
    with doors_alone(), pytest.raises(RunError, match="str"):
        chapter.glue("x", 3.5)


def shown(monkeypatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(pages, "_show", texts.append)
    return texts


def test_provenance_says_who_computed_what_where_and_how_to_redo_it(chapter, monkeypatch):
    texts = shown(monkeypatch)
    chapter.provenance()
    every = [record.provenance for record in chapter.compute()["toy"]]
    first, finished = every[0], max(one.finished for one in every)
    for part in ("smoke", "3 (0, 1, 2)", first.machine, finished, first.packages["torch"]):
        assert part in texts[0]
    assert "python -m hierlearn run 01_toy_chapter --profile smoke" in texts[0]
    assert "STALE" not in texts[0]


def test_a_figure_names_the_command_that_computes_what_it_draws_and_what_that_took(chapter):
    once = {record.group: record.provenance.cpu_s for record in chapter.compute()["toy"]}
    machine = chapter.compute()["toy"][0].provenance.machine
    assert chapter.recompute("toy") == {
        "command": "python -m hierlearn compute toy --profile smoke",
        "cost": f"{sum(once.values()):.1f} CPU seconds on {machine}",
    }


def test_a_figure_that_draws_no_records_says_so_and_one_that_draws_unknown_ones_is_refused(chapter):
    assert chapter.recompute()["command"] == "" and "No records" in chapter.recompute()["cost"]
    with pytest.raises(RunError, match="'toys' on page 01_toy_chapter; valid: toy"):
        chapter.recompute("toys")


def test_the_cost_counts_each_group_once_and_each_machine_for_itself(chapter):
    states = chapter.store.states(toy_book.TOY, "smoke")
    costs = ({"cpu_s": 20.4}, {"device": "cuda: A GPU, 80 GiB", "wall_s": 1.26})
    moved = []
    for state, changed in zip(states, costs, strict=True):
        there = state.provenance.model_copy(update=changed)
        found = tuple(r.model_copy(update={"provenance": there}) for r in state.records)
        moved.append(replace(state, records=found))
    machine = states[0].provenance.machine
    assert pages.cost_text(moved) == (
        f"20 CPU seconds on {machine}; 1.3 seconds on cuda: A GPU, 80 GiB"
    )


def test_stale_frozen_records_are_kept_and_flagged(chapter, project, monkeypatch):
    records.freeze(chapter.store, project / "book" / "records", "smoke", [toy_book.TOY])
    monkeypatch.setattr("hierlearn.records.store.fingerprint", lambda _: "other code")
    frozen = open_toy(records="book/records")
    assert len(frozen.compute()["toy"]) == 6
    texts = shown(monkeypatch)
    frozen.provenance()
    frozen.verdicts()
    assert "STALE" in texts[0]
    assert "stale" in texts[1]


def test_frozen_records_that_are_missing_are_an_error_and_not_computed(chapter, project):
    records.freeze(chapter.store, project / "book" / "records", "smoke", [toy_book.TOY])
    frozen = open_toy(records="book/records", profile="laptop")
    with pytest.raises(RunError, match="toy: 2 missing of 2 groups"):
        frozen.compute()


def test_an_unrun_page_says_that_nothing_was_computed_yet(monkeypatch):
    texts = shown(monkeypatch)
    open_toy().provenance()
    assert "Nothing has been computed" in texts[0]


def test_the_ledger_shows_all_claims(chapter, monkeypatch):
    texts = shown(monkeypatch)
    pages.open_ledger("smoke").table()
    assert "bfc.T1" in texts[0]


def test_papermill_alone_refuses_a_parameter_that_no_page_knows(project, tmp_path):
    source = project / "book" / f"{toy_book.CHAPTER}.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="valid: profile, device, records"):
        papermill.execute_notebook(
            str(source), str(tmp_path / "out.ipynb"), {"proflie": "smoke"}, progress_bar=False
        )
    assert not (project / "_build").exists()
