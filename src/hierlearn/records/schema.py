"""The record, its provenance, the manifest of frozen records, and what a measurement may hold."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hierlearn.experiment import Group, Run, digest


class RecordError(ValueError):
    """Records are damaged, missing, stale, or cannot be written; the message says which."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Provenance(_Model):
    """What computed a group of records; times and memory are those of the whole group.

    `fingerprints` are those of the code, newest last: more than one says that later code was seen
    to give the same measurements. `peak_mb` is resident memory, or memory allocated on CUDA.
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

    @property
    def hardware(self) -> str:
        """The processor and its cores, or the GPU, that computed."""
        return self.machine if self.device == "cpu" else self.device


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
        content = {
            "version": 1,
            "key": run.key,
            "experiment": run.experiment,
            "config": run.config,
            "seed": run.seed,
            "group": group,
            "measurement": measurement,
            "provenance": provenance.model_dump(),
        }
        return cls.model_validate({**content, "checksum": digest(content)})

    @classmethod
    def from_line(cls, line: bytes) -> "Record":
        """Return the record on `line`, given without its newline.

        Raises ValueError unless the line is exactly what was once written.
        """
        if not line:
            raise ValueError("the line is empty")
        try:
            content = json.loads(line.decode("ascii"))
            if canonical(content).encode() != line:
                raise ValueError("not in the form in which records are written")
            stated = content.pop("checksum", None) if isinstance(content, dict) else None
            if stated != digest(content):
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


Manifest = dict[str, dict[str, FrozenFile]]
"""Profile, then experiment."""


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest in `folder`, empty where there is none; RecordError if damaged."""
    path = folder / "manifest.json"
    try:
        return TypeAdapter(Manifest).validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is not a manifest of frozen records: {error}") from error


def plain_measurements(group: Group, measurements: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the measurements of `group` as plain JSON values.

    Raises ValueError that names the run and the field unless there is one dict a run, nested from
    dicts with string keys, lists, strings, booleans, None, integers and finite floats.
    """
    if len({run.key for run in group.runs}) != len(group.runs):
        raise ValueError(f"group {group.key} of {group.experiment} holds the same run twice")
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
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise ValueError(f"{where} has the key {wrong[0]!r}; expected strings as keys")
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise ValueError(
        f"{where} is a {type(value).__name__}; expected a dict, list, str, bool, int, float or "
        "None (of a tensor or array: .item() or .tolist())"
    )


def canonical(value: Any) -> str:
    """Return `value` as the one JSON text that stands for it; floats round-trip exactly."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
