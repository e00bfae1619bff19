import importlib
import os
import threading
import time

import nbformat
import pytest
import toy_book

from hierlearn.book import build, notebooks
from hierlearn.book.project import find_project
from hierlearn.errors import UsageError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, None),
        ({"GITHUB_REPOSITORY": " "}, None),
        ({"GITHUB_REPOSITORY": "someone/book"}, "https://github.com/someone/book"),
        (
            {"GITHUB_REPOSITORY": "a/b", "GITHUB_SERVER_URL": "https://git.example.org"},
            "https://git.example.org/a/b",
        ),
        (
            {"HIERLEARN_REPOSITORY_URL": "https://example.org/x/y/", "GITHUB_REPOSITORY": "a/b"},
            "https://example.org/x/y",
        ),
    ],
)
def test_the_repository_address_comes_from_the_environment(environment, address):
    assert build.repository_url(environment) == address


@pytest.mark.parametrize("text", ["javascript:alert(1)", "no address", "https://host"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="valid: https://host/owner/name"):
        build.repository_url({"HIERLEARN_REPOSITORY_URL": text})


def test_without_an_address_there_are_no_buttons_rather_than_dead_ones():
    config = {"repository": {"url": "https://old"}, "launch_buttons": {"colab_url": "x"}}
    staged = build.configured(config, None)
    assert "repository" not in staged and "launch_buttons" not in staged
    assert staged["html"] == {"use_repository_button": False, "use_issues_button": False}


def test_with_an_address_there_are_repository_and_launch_buttons():
    staged = build.configured({"html": {"favicon": "f"}}, "https://github.com/a/b")
    assert staged["repository"]["url"] == "https://github.com/a/b"
    assert staged["html"]["favicon"] == "f" and staged["html"]["use_repository_button"]
    assert "colab_url" in staged["launch_buttons"]


def test_the_stage_mirrors_the_book_and_forgets_what_was_removed(tmp_path, monkeypatch):
    toy_book.isolate(monkeypatch)
    project = find_project(toy_book.make_project(tmp_path / "project"))
    (project.book / "_static").mkdir()
    (project.book / "_static" / "style.css").write_text("p {}")
    (project.book / "records" / "smoke").mkdir(parents=True)
    (project.book / "records" / "smoke" / "toy.jsonl").write_text("")
    executed = project.executed("ledger")
    executed.parent.mkdir(parents=True)
    executed.write_text("executed")
    (executed.parent / "old.md").write_text("a page that is gone")
    build.stage(project, ["ledger"])
    staged = {p.relative_to(project.stage).as_posix() for p in project.stage.rglob("*.*")}
    assert {"_toc.yml", "_config.yml", "book/intro.md", "book/_static/style.css"} <= staged
    assert executed.read_text() == "executed"
    assert not [path for path in staged if "records" in path or "old" in path]


def test_a_home_full_of_configuration_leaves_what_a_notebook_shows_as_it_is(tmp_path, monkeypatch):
    project = find_project(toy_book.make_project(tmp_path / "project"))
    cell = "import matplotlib as mpl\n1\nmpl.rcParams['axes.linewidth']"
    toy_book.write_notebook(project.root, toy_book.CHAPTER, cell, "import os; os.environ['BREAK']")
    for folder, name, text in (
        (".ipython/profile_default", "ipython_config.py", "c.InteractiveShell.xmode = 'Minimal'\n"
         "c.InteractiveShell.ast_node_interactivity = 'all'"),
        (".ipython/profile_default/startup", "00.py", "print('started')"),
        (".config/matplotlib", "matplotlibrc", "axes.linewidth: 7"),
        (".local/share/jupyter/kernels/python3", "kernel.json", '{"argv": ["false"]}'),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BREAK", "")
    for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_PATH", "MATPLOTLIBRC", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MPLBACKEND", "no_such_backend")
    parameters = {toy_book.CHAPTER: {"profile": "smoke"}}
    ((_, outcome),) = notebooks.execute(project, parameters, at_once=1)
    assert isinstance(outcome, float), outcome
    executed = nbformat.read(project.executed(toy_book.CHAPTER), as_version=4)
    shown = [cell.outputs for cell in executed.cells if cell.get("outputs")]
    assert [[o.data["text/plain"] for o in outputs] for outputs in shown] == [["0.8"], ["''"]]
    assert os.environ["MPLBACKEND"] == "no_such_backend"


def test_of_two_builds_at_once_the_second_waits(tmp_path, monkeypatch):
    toy_book.isolate(monkeypatch)
    project = find_project(toy_book.make_project(tmp_path / "project"))
    inside, most = [], []

    def slow(*arguments):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.1)
        inside.pop()

    monkeypatch.setattr(build, "_jupyter_book", slow)
    for name in ("stage", "write_fragments", "not_ready", "dead_links"):
        monkeypatch.setattr(build, name, lambda *arguments: None)
    monkeypatch.setattr(build.takeaway, "write_markdown", lambda *arguments: None)
    both = [threading.Thread(target=build.build, args=(project,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert most == [1, 1] and project.zip_file.is_file()
    assert [path.name for path in project.zip_file.parent.glob("*.part")] == []


def test_without_a_commit_the_site_carries_the_time_of_the_page_that_changed_last(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    project = find_project(toy_book.make_project(tmp_path / "project"))
    for page in project.book.glob("*.*"):
        os.utime(page, (1.6e9, 1.6e9))
    os.utime(project.notebook("ledger"), (1.7e9, 1.7e9))
    assert build._epoch(project) == "1700000000"


def test_a_kernel_that_cannot_work_here_is_explained(monkeypatch):
    assert notebooks._hindrance() == ""
    limit = importlib.import_module("resource")
    monkeypatch.setattr(limit, "getrlimit", lambda which: (64, 64))
    assert "only 64 open files are allowed here: ulimit -n" in notebooks._hindrance()

    def refuse(*arguments, **options):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    assert "127.0.0.1, which fails here: Network is unreachable" in notebooks._hindrance()
