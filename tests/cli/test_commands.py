import errno
import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
import toy_book
from toy_book import call

from hierlearn import __main__
from hierlearn.book import pages
from hierlearn.book.project import Project
from hierlearn.cli import commands, status, work
from hierlearn.records import RecordStore

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def toy_registry(monkeypatch):
    toy_book.isolate(monkeypatch)


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = toy_book.make_project(tmp_path / "project")
    monkeypatch.chdir(root)
    return root


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """One executed toy book, copied by the tests that need one."""
    root = toy_book.make_project(tmp_path_factory.mktemp("executed") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        patch.chdir(root / "book")
        result = call("run", "--profile", "smoke", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    return root, result


@pytest.fixture
def ran(executed, tmp_path, monkeypatch):
    """A copy of the executed toy book, as the current folder."""
    return toy_book.copy(executed[0], tmp_path, monkeypatch)


def record_files(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (root / "_build" / "records" / "toy").glob("*.jsonl")
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        (["run", "--profile", "huge"], "smoke', 'laptop', 'paper"),
        (["run", "--device", "tpu"], "auto', 'cpu', 'cuda"),
        (["run", "chapter_nine"], "valid chapters: 01_toy_chapter, ledger"),
        (["run", "2"], "valid chapters: 01_toy_chapter, ledger"),
        (["claims", "nothing"], "valid chapters: 01_toy_chapter, ledger"),
        (
            ["run", "--speed", "9"],
            "--local-workers, --profile, --records, --scheduler, --workers",
        ),
        (["run", "--workers", "0"], "x>=1"),
        (["run", "--records", "README.md"], "valid: a folder"),
        (["run", "--records", ""], "valid: a folder"),
        (["run", "--records", "a\0b"], "valid: a folder"),
        (
            ["fly"],
            "compare, compute, data, figure, freeze, page, pdf, place, push, replay, run, status",
        ),
        (["freeze"], "--profile"),
        (["compute", "toys"], "valid experiments: toy"),
        (["compute", "9" * 5000], "valid experiments: toy"),
        (["compute", "--budget", "nan"], "valid: e.g. 300"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_valid_choices(project, arguments, valid):
    before = sorted(project.rglob("*"))
    result = call(*arguments)
    assert result.exit_code == 2
    assert valid in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert sorted(project.rglob("*")) == before


def test_a_missing_gpu_is_an_error_that_says_what_was_found(project, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = call("run", "--device", "cuda")
    assert result.exit_code == 2
    assert "found torch" in result.stderr
    assert not (project / "_build").exists()


def test_a_package_inside_an_archive_says_that_it_must_be_installed(tmp_path, monkeypatch):
    wheel = tmp_path / "hierlearn.whl"
    wheel.touch()
    monkeypatch.setattr(commands, "__file__", str(wheel / "hierlearn/cli/commands.py"))
    result = call("status")
    assert result.exit_code == 2 and f"runs from inside {wheel}" in result.stderr
    assert f"python -m pip install {wheel}" in result.stderr


def test_a_notebook_without_the_parameters_is_refused_before_anything_runs(project):
    toy_book.write_notebook(project, toy_book.LEDGER, "print(1)", parameters='profile = "smoke"')
    result = call("run", "--profile", "smoke")
    assert result.exit_code == 2
    assert "no parameter device, records; valid: profile" in result.stderr
    assert not (project / "_build").exists()


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"\xff\xfe", b'{"nbformat": 3}'])
def test_what_is_no_notebook_is_named_before_anything_runs(project, content):
    (project / f"book/{toy_book.LEDGER}.ipynb").write_bytes(content)
    result = call("run", "--profile", "smoke")
    assert result.exit_code == 2
    assert f"book/{toy_book.LEDGER}.ipynb is not a notebook" in result.stderr
    assert not (project / "_build").exists()


@pytest.mark.parametrize(
    ("content", "told"), [(b"a: [", "is no YAML"), (b"\xff", "is no YAML"), (b"", "names no page")]
)
def test_a_table_of_contents_that_cannot_be_read_is_named(project, content, told):
    (project / "_toc.yml").write_bytes(content)
    result = call("claims", "1")
    assert result.exit_code == 2 and f"_toc.yml {told}" in result.stderr


def test_run_executes_all_notebooks_and_tells_the_time_of_each_on_stderr(executed):
    root, result = executed
    assert result.stdout == ""
    assert "to compute: 2 groups\n  about 3 CPU seconds for 2 never measured" in result.stderr
    for name in (toy_book.CHAPTER, toy_book.LEDGER):
        assert f"{name}: " in result.stderr
        run = toy_book.run_file(root)[name]
        assert run["status"] == "ok" and run["seconds"] > 0 and run["profile"] == "smoke"


def test_an_executed_notebook_carries_results_and_nothing_volatile(executed):
    path = executed[0] / "_build" / "stage" / "book" / f"{toy_book.CHAPTER}.ipynb"
    text = path.read_text()
    assert "papermill" not in nbformat.read(path, as_version=4).metadata
    for volatile in ("start_time", "iopub", "shell.execute_reply", "groups computed"):
        assert volatile not in text
    assert "bfc.T1.verdict" in text and "hl-provenance" in text


def test_compute_computes_the_named_experiments_and_executes_nothing(project):
    result = call("compute", "toy", "toy", "--profile", "smoke", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "_build/records\n" and "2 groups computed" in result.stderr
    assert len(record_files(project)) == 2 and not (project / "_build" / "stage").exists()
    assert "0 groups computed" in call("compute", "toy", "--profile", "smoke").stderr


def test_claims_are_listed_with_every_key_that_a_program_needs(ran):
    result = call("claims", "--profile", "smoke", "--json")
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)
    needed = "id chapter statement statistic estimate interval rule verdict control n_seeds"
    assert set(needed.split()) | {"profile", "expected"} <= set(row)
    assert row["verdict"] == "supported" and row["n_seeds"] == 3
    assert row["chapter"] == toy_book.CHAPTER
    table = call("claims", "toy", "--profile", "smoke")
    assert "bfc.T1" in table.stdout and "supported" in table.stdout


def test_a_claim_that_comes_out_otherwise_than_declared_is_named_and_exits_1(ran):
    claims = ran / "book" / "claims" / "01.yml"
    claims.write_text(claims.read_text().replace("expected: supported", "expected: refuted"))
    result = call("claims", "--profile", "smoke")
    assert result.exit_code == 1
    assert "not as declared: bfc.T1 at smoke" in result.stderr
    assert "bfc.T1" in result.stdout


def test_claims_tell_what_changed_since_an_earlier_json(ran):
    before = call("claims", "--profile", "smoke", "--json").stdout
    (ran / "same.json").write_text(before, encoding="utf-16")  # as PowerShell redirects
    other = before.replace('"verdict": "supported"', '"verdict": "refuted"')
    (ran / "other.json").write_text(other)
    (ran / "none.json").write_text("[]")
    same, other, none = (
        call("claims", "--profile", "smoke", "--against", f"{name}.json").stdout
        for name in ("same", "other", "none")
    )
    assert same == "Verdicts, smoke → smoke: 0 of 1 differ.\n"
    assert other.startswith("Verdicts, smoke → smoke: 1 of 1 differ.\n\n| claim | before | now |")
    assert "| bfc.T1 | refuted: 2" in other and "| supported: 2" in other
    assert "| bfc.T1 | — | supported: 2" in none


def test_a_redirect_of_another_code_page_gets_utf_8(ran, monkeypatch):
    table = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", table)
    monkeypatch.setattr(sys, "argv", ["hierlearn", "claims", "--profile", "smoke"])
    with pytest.raises(SystemExit, match="0"):
        __main__.main()
    table.flush()
    assert "—" in table.buffer.getvalue().decode("utf-8")


def test_help_is_printed_without_what_computes():
    code = "import sys; from hierlearn.cli import commands; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_status_is_told_again_without_what_computes(project):
    code = (
        "import sys; from hierlearn.cli.commands import cli; "
        "cli(sys.argv[1:], standalone_mode=False); print('torch' in sys.modules, file=sys.stderr)"
    )

    def told() -> list[str]:
        command = [sys.executable, "-c", code, "status", "--profile", "smoke"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [done.stdout, done.stderr.split()[-1]]

    (first, loaded), again = told(), told()
    assert loaded == "True" and again == [first, "False"] and "images_deep" in first
    (outline,) = (project / "_build/outline").iterdir()
    outline.write_text("rubbish")
    assert told() == [first, "True"]


def test_an_outline_of_other_code_is_another(tmp_path, monkeypatch):
    store = RecordStore(tmp_path / "records")
    monkeypatch.setattr(status, "_PACKAGE", tmp_path)
    (tmp_path / "one.py").write_text("1")
    names = [status._name(Project(tmp_path), store, profile) for profile in ("smoke", "laptop")]
    (tmp_path / "one.py").write_text("2")
    other = status._name(Project(tmp_path), store, "smoke")
    assert len({*names, other}) == 3
    assert len({name.partition("-")[0] for name in (*names, other)}) == 2


def test_what_is_published_is_kept_and_the_ledger_says_what_changed(ran, monkeypatch):
    assert call("freeze", "--profile", "smoke").exit_code == 0
    assert call("claims", "7", "--publish").exit_code == 2
    assert call("claims", "--publish").exit_code == 0
    kept = ran / "book/published.json"
    texts: list[str] = []
    monkeypatch.setattr(pages, "_show", texts.append)

    def ledger() -> str:
        pages.open_ledger("smoke").table()
        return texts[-1]

    assert "records until" in ledger() and ": 0 claims<" in ledger()
    said = kept.read_text()
    kept.write_text(said.replace('"verdict":"supported"', '"verdict":"refuted"'))
    assert "bfc.T1</a>: supported: 2" in ledger() and "it was refuted: 2" in ledger()
    kept.write_text(said.replace("bfc.T1", "bfc.T0"))
    assert "Changed since" not in ledger()  # no claim in common: another book
    kept.write_text(said.replace("The measurement doubles", "It doubles"))
    assert "bfc.T1</a>: restated, supported: 2" in ledger()


def test_a_file_that_claims_did_not_write_is_refused(ran):
    (ran / "bad.json").write_text('[{"id": "bfc.T1"}]')
    result = call("claims", "--profile", "smoke", "--against", "bad.json")
    assert result.exit_code == 2 and "claims --json" in result.stderr
    missing = call("claims", "--against", "gone.json")
    assert missing.exit_code == 2 and "gone.json" in missing.stderr


def test_status_counts_the_groups_and_adds_up_what_computing_will_cost(ran):
    assert "CPU seconds to compute" in call("status", "--profile", "smoke").stdout
    assert call("freeze", "--profile", "smoke").exit_code == 0
    next((ran / "_build" / "records" / "toy").glob("*.jsonl")).unlink()
    line = call("status", "--profile", "smoke").stdout.splitlines()[1].split()
    assert line[:8] == [toy_book.CHAPTER, "toy", "smoke", "1", "1", "0", "0", "0"]
    assert float(line[8]) >= 0
    laptop = call("status", "--profile", "laptop").stdout
    assert laptop.splitlines()[1].split()[8] == "about" and "an estimate" in laptop


def test_freezing_writes_the_records_and_the_table_of_the_readme(ran):
    result = call("freeze", "--profile", "smoke")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().endswith("manifest.json")
    assert (ran / "book" / "records" / "smoke" / "toy.jsonl").exists()
    readme = (ran / "README.md").read_text()
    assert "supported" in readme and "old" not in readme and readme.endswith("\nEnd.\n")


def test_frozen_records_are_executed_without_computing(ran):
    assert call("freeze", "--profile", "smoke").exit_code == 0
    shutil.rmtree(ran / "_build")
    result = call("run", "--frozen", "1")
    assert result.exit_code == 0, result.stderr
    assert not (ran / "_build" / "records").exists()
    assert toy_book.run_file(ran)[toy_book.CHAPTER]["records"] == "book/records"


@pytest.mark.parametrize(("profile", "problem"), [("laptop", "missing"), ("smoke", "stale")])
def test_frozen_records_that_are_not_whole_are_listed_and_nothing_runs(
    ran, monkeypatch, profile, problem
):
    assert call("freeze", "--profile", "smoke").exit_code == 0
    shutil.rmtree(ran / "_build")
    if problem == "stale":
        monkeypatch.setattr("hierlearn.records.store.fingerprint", lambda _: "other code")
    result = call("run", "--frozen", "--profile", profile)
    assert result.exit_code == 1
    assert f"toy: 2 {problem} of 2 groups" in result.stderr
    assert not (ran / "_build").exists()


def test_frozen_without_any_frozen_records_says_so(project):
    for arguments in (["run", "--frozen"], ["run", "--frozen", "--profile", "smoke"]):
        result = call(*arguments)
        assert result.exit_code == 1
        assert "holds no frozen records" in result.stderr


# Elsewhere the parent of a kernel is the process that executes the notebook: this one.
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("raise ValueError('the cell failed')", "ValueError: the cell failed"),
        ("import sys; sys.exit(0)", "must not call exit"),
        ("import os; os.kill(os.getpid(), 9)", "Kernel died"),
        pytest.param(
            "import os, time; os.kill(os.getppid(), 9); time.sleep(600)",
            "Kernel died",
            marks=ON_LINUX,
        ),
    ],
)
def test_a_failing_chapter_is_named_and_the_others_still_run(ran, cell, message):
    toy_book.write_notebook(ran, toy_book.CHAPTER, "print('came here')", cell, "print(2)")
    toy_book.write_notebook(ran, toy_book.LEDGER, "print(3)")
    result = call("run", "--profile", "smoke")
    assert result.exit_code == 1
    assert message in result.stderr
    assert f"1 of 2 notebooks failed: {toy_book.CHAPTER}" in result.stderr
    outcomes = {name: run["status"] for name, run in toy_book.run_file(ran).items()}
    assert outcomes == {toy_book.CHAPTER: "failed", toy_book.LEDGER: "ok"}
    partial = ran / "_build" / "stage" / "book" / f"{toy_book.CHAPTER}.ipynb"
    assert "came here" in partial.read_text()
    refused = call("build")
    assert refused.exit_code == 1
    assert f"{toy_book.CHAPTER}: failed" in refused.stderr


@ON_LINUX
def test_a_process_that_dies_with_its_notebook_is_named(ran):
    told = ran / "kernel"
    cells = (
        "import os, pathlib, psutil, time",
        f"pathlib.Path({str(told)!r}).write_text(f'{{os.getpid()}} {{os.getppid()}}')",
        "psutil.Process(os.getppid()).parent().kill()  # beyond the server\ntime.sleep(600)",
    )
    toy_book.write_notebook(ran, toy_book.CHAPTER, *cells)
    result = call("run", "--profile", "smoke", "--workers", "2")  # with one it is this process
    for process in map(int, told.read_text().split()):  # the kernel ends with it, then the server
        with suppress(psutil.NoSuchProcess):
            psutil.Process(process).wait(10)
    assert result.exit_code == 1
    assert f"{toy_book.CHAPTER}: failed\n    the process that executed it died" in result.stderr
    outcomes = {name: run["status"] for name, run in toy_book.run_file(ran).items()}
    assert outcomes == {toy_book.CHAPTER: "failed", toy_book.LEDGER: "ok"}


def test_a_notebook_that_changed_since_it_was_executed_is_not_published(ran):
    toy_book.write_notebook(ran, toy_book.LEDGER, "print('new')")
    result = call("build")
    assert result.exit_code == 1
    assert "ledger: changed since it was executed" in result.stderr


def test_a_broken_claims_file_is_reported_without_a_traceback(ran):
    (ran / "book" / "claims" / "01.yml").write_text("- id: nonsense\n")
    for command in (["run"], ["claims"], ["build"]):
        result = call(*command)
        assert result.exit_code == 1
        assert "01.yml" in result.stderr
        assert "Traceback" not in result.stderr


def test_the_site_is_built_and_its_path_is_the_only_output(ran):
    result = call("build")
    assert result.exit_code == 0, result.stderr
    index = Path(result.stdout.strip())
    assert index == ran / "_build" / "html" / "index.html" and index.exists()
    intro = (ran / "_build" / "html" / "book" / "intro.html").read_text()
    assert "The measurement doubles the gap." in intro and "CPU, s" in intro
    assert "example.org" not in intro


@pytest.mark.parametrize("command", commands.cli.commands)
def test_every_command_explains_itself(command):
    result = call(command, "--help")
    assert result.exit_code == 0 and len(result.stdout) > 100


def test_pilots_run_at_other_seeds_in_a_folder_of_their_own_and_are_judged_there(ran):
    before = record_files(ran)
    done = call("compute", "toy", "--profile", "smoke", "--seeds", "1000-1001", "--workers", "1")
    assert done.exit_code == 0 and done.stdout.strip() == "_build/pilots", done.stderr
    assert record_files(ran) == before
    result = call("claims", "toy", "--profile", "smoke", "--seeds", "1000-1001", "--json")
    (row,) = json.loads(result.stdout)
    assert row["n_seeds"] == 2 and row["estimate"] > 2.9  # 2 + .001 times a seed
    for seeds, words in (("0-9", "the book does not use"), ("9-1", "no range of seeds")):
        refused = call("compute", "toy", "--profile", "smoke", "--seeds", seeds)
        assert refused.exit_code == 2 and words in refused.stderr


def test_one_chapter_is_executed_and_built_as_a_page_without_the_others(ran):
    toy_book.write_notebook(ran, toy_book.LEDGER, "raise ValueError('not asked for')")
    result = call("page", "1", "--profile", "smoke")
    assert result.exit_code == 0, result.stderr
    page = Path(result.stdout.strip())
    assert page == ran / f"_build/page/_build/html/book/{toy_book.CHAPTER}.html"
    assert "The measurement doubles the gap." in page.read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/x"), "system: '/x'; make the folder wri"),
        (OSError(errno.EACCES, "Permission denied", "/x"), "denied: '/x'; make it yours"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; .*ulimit -n"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error$"),
        (MemoryError(), "out of memory; free memory"),
    ],
)
def test_what_the_machine_refuses_is_said_with_what_to_do(project, monkeypatch, error, told):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr(work, "store_at", refuse)
    result = call("compute")
    assert result.exit_code == 1 and re.search(f"^Error: .*{told}", result.stderr, re.MULTILINE)


def test_an_interrupt_while_packages_load_is_one_sentence(monkeypatch, capsys):
    class Interrupts:
        def find_spec(self, name, path, target=None):
            if name == "hierlearn.cli.commands":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "hierlearn.cli.commands")
    monkeypatch.setattr(sys, "meta_path", [Interrupts(), *sys.meta_path])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "Interrupted before anything was done.\n"
