"""Record files: reading them with every doubt named by file and line, writing them atomically."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hierlearn.experiment import Group
from hierlearn.records.schema import Record, RecordError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
Numbered = list[tuple[int, Record]]
"""Records with the numbers of their lines."""


def inside(folder: Path, *parts: str) -> Path:
    """Return `folder` / `parts`; RecordError where a name or a symbolic link would lead out of it.

    The folder itself may be a link: it is wherever the user says.
    """
    for part in parts:
        if not NAME.fullmatch(part):
            raise RecordError(
                f"{part!r} cannot be a name in a records folder; valid: letters, digits, _ . -, "
                "beginning with a letter or digit"
            )
    path = folder.joinpath(*parts)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RecordError(
            f"{path} is a symbolic link that leads out of {folder}; valid: files in the records "
            "folder itself; copy them, or name the other folder with --records"
        )
    return path


def read_lines(path: Path) -> tuple[Numbered, list[str]]:
    """Return the records of a file with their line numbers, and its problems by file and line."""
    try:
        *lines, rest = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{path}: cannot be read: {error.strerror or error}"]
    entries: Numbered = []
    problems = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append((number, Record.from_line(line)))
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if rest or not lines:
        problems.append(f"{path}:{len(lines) + 1}: the line does not end: cut short")
    return entries, problems


def misfits(path: Path, groups: Sequence[Group], entries: Numbered) -> list[str]:
    """Return, by file and line, why `entries` are not exactly the runs of `groups`."""
    wanted = {run.key: group.key for group in groups for run in group.runs}
    seen: dict[str, int] = {}
    problems = []
    for number, record in entries:
        if wanted.get(record.key) != record.group:
            problems.append(f"{path}:{number}: the record belongs to another group")
        elif record.key in seen:
            problems.append(f"{path}:{number}: the record repeats line {seen[record.key]}")
        seen.setdefault(record.key, number)
    if n_missing := len(wanted.keys() - seen.keys()):
        end = entries[-1][0] + 1 if entries else 1
        problems.append(f"{path}:{end}: {n_missing} of {len(wanted)} records missing")
    return problems


def sorted_lines(records: Iterable[Record]) -> bytes:
    """Return the content of a frozen file: the records' lines in the order of their keys."""
    return b"".join(record.line() for record in sorted(records, key=lambda record: record.key))


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whenever the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def sole_writer(
    folder: Path, *, tell: bool = False, lock_file: Path | None = None
) -> Iterator[None]:
    """Hold the lock of a folder of records, waiting for it; `tell` says so on stderr.

    The lock file is `.lock` in the folder, unless it is to lie elsewhere.

    Raises RecordError when the folder cannot be written.
    """
    lock = FileLock(lock_file or folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        if tell:
            print(f"another process writes in {folder}: waiting", file=sys.stderr)
        lock.acquire(poll_interval=0.2)
    except OSError as error:
        raise RecordError(
            f"cannot write in {folder}: {error.strerror or error}; "
            "choose another records folder, or make this one writable"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a RecordError that says what to do."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"{path} cannot be written: {error.strerror or error}; what was recorded before is "
            "kept; make room or make the folder writable, and start again"
        ) from error


def copy_to_free_name(path: Path, target: Path) -> None:
    """Copy `path` to `target`, or to the first of target.2, target.3, ... that is free.

    A copy, not a move: a process that dies here leaves the file where it is looked for.
    """
    free, number = target, 1
    while free.exists():
        number += 1
        free = target.with_name(f"{target.name}.{number}")
    write_file(free, path.read_bytes())
