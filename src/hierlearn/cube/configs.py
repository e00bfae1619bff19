"""Frozen configurations to JSON and back."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(config: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that have no default, or differ from it; tuples as lists."""
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    kept = {f.name for f in fields(config) if f.default is MISSING or values[f.name] != f.default}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if k in kept}


def from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """Return the configuration that `to_json` wrote."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
