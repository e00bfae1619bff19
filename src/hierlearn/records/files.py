"""Records, the manifest of frozen ones, and their files: every doubt named by file and line."""

import itertools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import (
    BaseModel,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from hierlearn.experiment import Group, Run, canonical, digest


class RecordError(ValueError):
    """Records are damaged, missing, stale, or cannot be written; the message says which."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Provenance(_Model):
    """What computed a group of records; times and memory are those of the whole group.

    `fingerprints`, newest last: more than one says that later code was seen to measure the same.
    `peak_mb` is resident memory, or memory allocated on CUDA. `data` has the hash of each data set.
    """

    commit: str
    dirty: bool | None
    fingerprints: list[str]
    packages: dict[str, str]
    device: str
    machine: str
    dtype: str
    threads: int
    n_runs: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    finished: str
    data: dict[str, str] = {}

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """Leave `data` out where there is none: the bytes of older records stay."""
        return {key: value for key, value in handler(self).items() if key != "data" or value}

    @property
    def hardware(self) -> str:
        """The processor and its cores, or the GPU, that computed."""
        return self.machine if self.device == "cpu" else self.device

    def stamped(self, codes: list[str]) -> "Provenance":
        """Return the same with these fingerprints as the newest ones."""
        older = [code for code in self.fingerprints if code not in codes]
        return self.model_copy(update={"fingerprints": older + codes})


_HEAD = b'{"checksum":"'  # a line begins so: keys are sorted, and the sum is that of the rest


class Record(_Model):
    """One measured run, as it stands on one line of a record file."""

    version: Literal[1] = 1
    key: str
    experiment: str
    config: dict[str, Any]
    seed: int
    group: str
    measurement: dict[str, Any]
    provenance: Provenance
    checksum: str

    @classmethod
    def of(cls, run: Run, *, group: str, measurement: dict, provenance: Provenance) -> "Record":
        """Return the record of `run` in the group with the key `group`."""
        own = {"experiment": run.experiment, "config": run.config, "seed": run.seed}
        what = {"version": 1, "key": run.key, "group": group, "measurement": measurement}
        content = {**what, **own, "provenance": provenance.model_dump()}
        return cls.model_validate({**content, "checksum": digest(content)})

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """Return the record on `line`; ValueError unless it is exactly what was once written."""
        if not line:
            raise ValueError("the line is empty")
        try:
            content = json.loads(line.decode("ascii"))
            rest = b"{" + line[len(_HEAD) + 18 :]
            as_summed = _HEAD + sha256(rest).hexdigest()[:16].encode() + b'",' + rest[1:]
            if as_summed != line and canonical(content).encode() != line:
                raise ValueError("not in the form in which records are written")
            stated = content.pop("checksum", None) if isinstance(content, dict) else None
            if as_summed != line:
                raise ValueError(f"the checksum is {stated}, the content's is {digest(content)}")
            record = cls.model_validate({**content, "checksum": stated})
        except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"not a record: {str(error).splitlines()[0]}") from error
        except RecursionError as error:
            raise ValueError("not a record: nested too deeply") from error
        if record.key != Run(record.experiment, record.config, record.seed).key:
            raise ValueError(f"the key {record.key} is not that of its experiment, config and seed")
        return record

    def line(self) -> bytes:
        """Return the line of a record file, with its newline."""
        return canonical(self.model_dump()).encode() + b"\n"


class FrozenFile(_Model):
    """What the manifest says of one frozen file; times in seconds, over all its groups."""

    n_records: int
    n_groups: int
    sha256: str
    bytes: int
    cpu_s: float
    wall_s: float


Manifest = dict[str, dict[str, FrozenFile]]  #: by profile and experiment


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in `folder`, empty where there is none; RecordError if damaged."""
    path = folder / "manifest.json"
    try:
        return TypeAdapter(Manifest).validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is not a manifest of frozen records: {misread(error)}; `freeze` writes it, "
            "nobody else: restore it (git checkout), or freeze into another folder"
        ) from error


def misread(error: OSError | ValueError) -> str:
    """Say in one line why a file could not be read as what it should be, and where in it."""
    if not isinstance(error, ValidationError):
        return str(getattr(error, "strerror", None) or error).splitlines()[0]
    one = error.errors()[0]
    return f"{'.'.join(map(str, ('', *one['loc'])))} {one['msg']}".strip(". ")


def plain_measurements(group: Group, measurements: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the measurements of `group` as plain JSON values, one dict a run.

    Raises ValueError that names the run and the field of what is none, or not finite.
    """
    if len(measurements) != len(group.runs):
        raise ValueError(
            f"{group.experiment}: {len(measurements)} measurements for the {len(group.runs)} runs "
            f"of group {group.key}; expected one for each run"
        )
    plain = []
    for run, one in zip(group.runs, measurements, strict=True):
        try:
            if not isinstance(one, dict):
                raise ValueError(f"measurement is a {type(one).__name__}; expected a dict")
            plain.append(_plain(one, "measurement"))
        except ValueError as error:
            raise ValueError(f"{run.experiment}, {run.config}, seed {run.seed}: {error}") from None
    return plain


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; expected a finite number, or None if undefined")
        return float(value)
    if isinstance(value, list):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{where} has the key {wrong[0]!r}; expected strings as keys")
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise ValueError(
        f"{where} is a {type(value).__name__}; expected a dict, list, str, bool, int, float or "
        "None (of a tensor or array: .item() or .tolist())"
    )


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
Numbered = list[tuple[int, Record]]  # with the numbers of their lines


def inside(folder: Path, *parts: str) -> Path:
    """Return `folder` / `parts`; RecordError where a name or a symbolic link would lead out of it.

    The folder itself may be a link.
    """
    for part in parts:
        if not NAME.fullmatch(part):
            raise RecordError(
                f"{part!r} cannot be a name in a records folder; valid: letters, digits, _ . -, "
                "beginning with a letter or digit"
            )
    path = folder.joinpath(*parts)
    try:
        stays = path.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # a link to itself
        stays = False
    if not stays:
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
def sole_writer(folder: Path, *, tell: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which lies in it, waiting for it; `tell` says so on stderr.

    Whoever may write in the folder may take the lock. Raises RecordError when it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", mode=folder.stat().st_mode & 0o666)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if tell:
                print(f"another process writes in {folder}: waiting", file=sys.stderr)
            lock.acquire(poll_interval=0.2)
    except OSError as error:
        where = error.filename or "its lock"
        raise RecordError(
            f"cannot write in {folder}: {error.strerror or error} ({where}); "
            "choose another folder, or make this one writable"
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
    names = (f"{target.name}.{number}" for number in itertools.count(2))
    places = itertools.chain([target], map(target.with_name, names))
    write_file(next(place for place in places if not place.exists()), path.read_bytes())
