"""Executing the book's notebooks through papermill, and remembering how each execution went."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import papermill
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

from hierlearn.book.kernels import forked
from hierlearn.book.project import Project
from hierlearn.errors import RunError, UsageError
from hierlearn.records.files import write_file
from hierlearn.sweeps.pools import environment, worker_pool

# What goes wrong in a cell comes back as its output; what the kernel itself logs (that it listens
# on loopback without encryption, a trace when it is interrupted) helps nobody.
# Python's own thresholds look for garbage 70 times as often, a tenth of a figure's time.
KERNEL_OPTIONS = [
    "--log-level=CRITICAL",
    "--IPKernelApp.exec_lines=import gc; gc.set_threshold(50_000, 20, 20)",
]
# Seconds to wait for what a finished cell printed; on a busy machine nbclient's 4 are not enough.
IOPUB_TIMEOUT = 60


class _SavesOnce(NBClientEngine):
    """Papermill's engine, which would save the whole notebook at each cell's start and end."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, *args: Any, **options: Any
    ) -> Any:
        target, nb_man.output_path = nb_man.output_path, None
        try:
            return super().execute_managed_notebook(nb_man, *args, **options)
        finally:  # papermill saves once more, whatever happened
            nb_man.output_path = target


papermill_engines.register("saves once", _SavesOnce)


def check_parameters(project: Project, name: str, parameters: dict[str, str]) -> None:
    """Raise UsageError when the notebook `name` does not declare all `parameters`.

    Papermill only warns about a parameter that the notebook does not know, and exits 0.
    """
    try:
        known = papermill.inspect_notebook(str(project.notebook(name)))
    except Exception as error:  # whatever reading and converting it raises
        told = (str(error).splitlines() or [type(error).__name__])[0]
        where = project.relative(project.notebook(name))
        raise UsageError(f"{where} is not a notebook that can be read: {told:.200}") from error
    unknown = [key for key in parameters if key not in known]
    if unknown:
        raise UsageError(
            f"{project.relative(project.notebook(name))} has no parameter "
            f"{', '.join(unknown)}; valid: {', '.join(known) or 'none (no parameters cell)'}"
        )


def execute(
    project: Project, parameters: Mapping[str, dict[str, str]], *, at_once: int
) -> Iterator[tuple[str, float | RunError]]:
    """Execute notebooks into the stage; give each one's seconds, or what went wrong.

    `parameters` maps names to what their parameters cells are given. A notebook that fails is left
    as far as it came. What happened stands in `_build/run.json`.
    """

    def note(name: str, **outcome: Any) -> None:
        everything = {**runs(project), name: outcome | parameters[name]}
        write_text(project.run_file, json.dumps(everything, indent=2, sort_keys=True) + "\n")

    # Marked before they start: a killed process must not leave an old "ok" beside half a notebook.
    for name in parameters:
        note(name, status="unfinished")
    for name, outcome in _outcomes(project, parameters, at_once):
        if isinstance(outcome, RunError):
            note(name, status="failed")
        else:
            note(name, status="ok", seconds=round(outcome, 2))
        yield name, outcome


def _outcomes(
    project: Project, parameters: Mapping[str, dict[str, str]], at_once: int
) -> Iterator[tuple[str, float | RunError]]:
    n_workers = min(at_once, len(parameters))
    if n_workers < 2:  # without a process in between, papermill shows its progress
        for name, given in parameters.items():
            yield name, _execute_one(project, name, given)
        return
    suspects = []
    with worker_pool(n_workers, {}) as pool:
        running = {
            pool.submit(_execute_one, project, name, given): name
            for name, given in parameters.items()
        }
        for future in as_completed(running):
            try:
                yield running[future], future.result()
            except BrokenProcessPool:  # whichever notebook it was, all that were left end so
                suspects.append(running[future])
    for name in suspects:
        with worker_pool(1, {}) as pool:
            try:
                yield name, pool.submit(_execute_one, project, name, parameters[name]).result()
            except BrokenProcessPool:
                yield name, RunError("the process that executed it died")


def _execute_one(project: Project, name: str, parameters: dict[str, str]) -> float | RunError:
    target = project.executed(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    outcome: float | RunError
    try:
        _papermill(project.notebook(name), target, parameters, cwd=project.book)
        outcome = time.perf_counter() - start
    except RunError as error:
        outcome = error
    try:
        if target.exists():
            notebook = stripped(nbformat.read(target, as_version=4))
            write_text(target, nbformat.writes(notebook) + "\n")
    except (OSError, ValueError) as error:
        if not isinstance(outcome, RunError):  # that half a notebook cannot be read is no news
            return RunError(f"{target}: {error}")
    return outcome


@contextmanager
def _kernels_environment() -> Iterator[None]:
    """Hide from kernels the reader's configuration: it would enter the book."""
    # The kernel must run the code that this process runs, installed or not.
    here = str(Path(__file__).parents[2])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    with TemporaryDirectory(ignore_cleanup_errors=True) as nothing:
        Path(nothing, "matplotlibrc").touch()
        empty = dict.fromkeys(("IPYTHONDIR", "JUPYTER_DATA_DIR", "MATPLOTLIBRC"), nothing)
        fixed = {"JUPYTER_PATH": "", "PYTHONSTARTUP": "", "PYTHONUTF8": "1"}
        backend = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
        code = {"PYTHONPATH": os.pathsep.join(dict.fromkeys([here, *paths]))}
        with environment(empty | fixed | backend | code):
            yield


@_kernels_environment()
@forked()
def _papermill(source: Path, target: Path, parameters: dict[str, str], *, cwd: Path) -> None:
    try:
        notebook = papermill.execute_notebook(
            str(source),
            str(target),
            parameters=parameters,
            engine_name="saves once",
            cwd=str(cwd),
            progress_bar=sys.stderr.isatty() and parent_process() is None,
            extra_arguments=list(KERNEL_OPTIONS),
            iopub_timeout=IOPUB_TIMEOUT,
            coalesce_streams=True,  # in how many pieces text arrives differs from time to time
        )
    except papermill.PapermillExecutionError as error:
        raise RunError(f"{error.ename}: {error.evalue or _hindrance()}") from error
    except Exception as error:  # a killed kernel, a timeout, a full disk: nbclient has many
        raise RunError(f"{type(error).__name__}: {error}{_hindrance()}") from error
    # `sys.exit(0)` in a cell ends papermill early, without an error.
    for cell in notebook.cells:
        ran = cell.get("execution_count") is not None or not cell.source.strip()
        failed = any(output.output_type == "error" for output in cell.get("outputs", []))
        if cell.cell_type == "code" and (failed or not ran):
            raise RunError("not all cells were executed; a cell must not call exit")


def _hindrance() -> str:
    """Say what of this machine keeps a kernel from working, if that can be seen."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        return f"; kernels are reached on 127.0.0.1, which fails here: {error}"
    with suppress(ImportError):  # Windows
        import resource

        if (n_files := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < 256:
            return f"; only {n_files} open files are allowed here: ulimit -n 1024"
    return ""


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without what differs between two executions of the same numbers."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        tags = cell.metadata.get("tags", [])
        if not tags:
            cell.metadata.pop("tags", None)
        if "injected-parameters" in tags:
            cell["id"] = "injected-parameters"
            cell.metadata["tags"] = ["injected-parameters", "remove-input"]
    return notebook


def sources(notebook: nbformat.NotebookNode) -> list[tuple[str, str, list[str]]]:
    """Return (type, source, tags) of each cell, leaving out the parameters papermill injected."""
    cells = [
        (cell.cell_type, cell.source, sorted(cell.metadata.get("tags", [])))
        for cell in notebook.cells
    ]
    return [cell for cell in cells if "injected-parameters" not in cell[2]]


def runs(project: Project) -> dict[str, dict[str, Any]]:
    """Return how each notebook was last executed: status, parameters and seconds."""
    try:
        found = json.loads(project.run_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # never executed, or the file was damaged: both mean "execute again"
    fits = isinstance(found, dict) and all(isinstance(one, dict) for one in found.values())
    return found if fits else {}


def not_ready(project: Project, name: str) -> str | None:
    """Return why the executed copy of `name` cannot be published, or None when it can."""
    run = runs(project).get(name, {})
    if run.get("status") != "ok" or not project.executed(name).exists():
        return f"{name}: {'not executed yet' if not run else run.get('status')}"
    source = nbformat.read(project.notebook(name), as_version=4)
    try:
        executed = nbformat.read(project.executed(name), as_version=4)
    except ValueError:
        return f"{name}: its executed copy is damaged"
    if sources(source) != sources(executed):
        return f"{name}: changed since it was executed"
    return None


def write_text(path: Path, text: str) -> None:
    """Write the text whole or not at all."""
    write_file(path, text.encode())
