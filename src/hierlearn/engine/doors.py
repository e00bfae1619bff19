"""Checks at the door: arguments that would broadcast or count from the end raise ValueError.

`checked` holds every argument to the annotation of its parameter. Shape strings tie arguments
together: two axes of one name have one size, also that of `self`. Loops check once, at their own
door, and then step with `plain` objects, whose methods check nothing.
"""

import inspect
import math
import re
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, wraps
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from hierlearn.engine.memory import TooLargeError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Axes = dict[str, tuple[Any, str]]
"""The sizes of axes by name, each with the argument that said so."""
Rule = Callable[[Any, Axes, str], bool]
_GRAPH = re.compile("requires? grad|inference ?(tensor|mode)|written-to tensor", re.IGNORECASE)
_MISFIT = re.compile("size|shape|dimension|dtype|scalar type|device", re.IGNORECASE)


def checked(function: F) -> F:
    """Hold the arguments of a function, method or dataclass to their annotations.

    - Tensors: type, number of axes, and sizes. Objects of this package know sizes too: those of
      their annotated fields, or what their `_axes()` returns.
    - Numbers: an int is a float and numpy's numbers are numbers, its integers become Python's;
      not a number is none, and so are True and False.
    - Sequences: every entry. Unions: one of the members. Other classes: `isinstance`.

    What a function makes is on the device that its arguments say, whatever the default device is:
    random numbers are drawn on the CPU.

    Raises:
        TooLargeError: where torch cannot allocate what the arguments ask for.
        ValueError: it names the argument, what was given, and what would be valid; also where torch
            refuses arguments that do not fit each other in dtype, device, or else, or that are not
            finite.
    """
    if isinstance(function, type):
        # Ignored: mypy forbids to replace an __init__, since a subclass may have another signature.
        function.__init__ = checked(function.__init__)  # type: ignore[misc]
        return function

    @wraps(function)
    def door(*args: Any, **named: Any) -> Any:
        names, rules, method = _contract(function)
        given = dict(zip(names, args, strict=False)) | named
        axes: Axes = {}
        for name, value in given.items():
            if name != "self" or method:
                axes = _axes_of(value, name) | axes
        for name, rule, annotation in rules:
            if name in given and not rule(given[name], axes, name):
                where = function.__qualname__.removesuffix(".__init__")
                valid = _valid(annotation, axes)
                raise ValueError(f"{name} of {where} must be {valid}; got {_given(given[name])}")
        if any(_holds_numpys(value) for value in given.values()):
            args, named = tuple(map(_pythons, args)), {n: _pythons(v) for n, v in named.items()}
        try:
            if torch.get_default_device().type == "cpu":
                return function(*args, **named)
            with torch.device("cpu"):
                return function(*args, **named)
        except (RuntimeError, OverflowError, TypeError, IndexError) as error:
            if (told := _told(function, given, error)) is None:
                raise
            raise told from error

    # Ignored twice: functions declare no attributes, and a wrapper has its function's type only
    # by what `wraps` does at run time.
    door.unchecked = function  # type: ignore[attr-defined]
    return door  # type: ignore[return-value]


def _told(function: Any, given: dict[str, Any], error: Exception) -> Exception | None:
    """Return an error in words of the arguments; None where it is not about them."""
    name, said = function.__qualname__, str(error).splitlines()[0] if str(error) else ""
    every = ", ".join(f"{key} = {_given(one)}" for key, one in given.items() if key != "self")
    if isinstance(error, IndexError):
        return ValueError(
            f"{name} was given an index that must lie inside what it indexes, counted from 0: "
            f"{error}"
        )
    if isinstance(error, OverflowError) or "Overflow when unpacking" in said:  # torch's word
        return ValueError(f"{name} needs numbers that 64 bits hold; got {every}: {said}")
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return None
    if "can't allocate memory" in said:  # of the CPU
        return TooLargeError(f"{name} needs more memory than there is; got {every}: {said}")
    tensors = {key: one for key, one in given.items() if isinstance(one, Tensor)}
    if odd := [key for key, one in tensors.items() if not bool(one.isfinite().all())]:
        return ValueError(
            f"{name} needs finite numbers; got {', '.join(odd)} with some that are not, for which "
            f"torch says: {said}"
        )
    if _GRAPH.search(said):
        return ValueError(
            f"{name} computes in place: give tensors of their own memory, of no graph and not of "
            f"inference mode (x.detach().clone()); got {_list(given)}, for which torch says: {said}"
        )
    if type(error) is not RuntimeError or not _MISFIT.search(str(error)):
        return None
    return ValueError(
        f"{name} needs arguments that fit each other in shape, dtype and device; got "
        f"{_list(given)}, for which torch says: {error}"
    )


@cache
def _contract(function: Any) -> tuple[list[str], list[tuple[str, Rule, Any]], bool]:
    """Return the names of parameters, the rules of those that have one, and if it is a method."""
    known = inspect.unwrap(function).__globals__
    parameters = [
        p.replace(annotation=known.get(p.annotation, Any)) if isinstance(p.annotation, str) else p
        for p in inspect.signature(function).parameters.values()
    ]
    names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    every = [(p.name, _rule(p.annotation), p.annotation) for p in parameters]
    rules = [(name, rule, annotation) for name, rule, annotation in every if rule is not None]
    return names, rules, names[:1] == ["self"] and function.__name__ != "__init__"


def _holds_numpys(value: Any) -> bool:
    if type(value) in (list, tuple):
        return any(isinstance(one, np.integer) for one in value)
    return isinstance(value, np.integer)


def _pythons(value: Any) -> Any:
    """Return numpy's integers as Python's, which do not overflow."""
    if type(value) in (list, tuple):
        return type(value)(map(_pythons, value))
    return int(value) if isinstance(value, np.integer) else value


def plain(thing: T) -> T:
    """Return the function or object with all that it holds, but checking nothing: for inner loops.

    Tensors are the same ones; an attribute that is assigned later is that of one object only.
    """
    if inspect.isfunction(thing):
        return thing.unchecked  # type: ignore[attr-defined]  # set by `checked`
    kind: Any = type(thing)
    twin = object.__new__(_plain_class(kind))
    for name, value in vars(thing).items():  # one shared dict would slow down every access to both
        object.__setattr__(twin, name, value)
    return twin


@cache
def _plain_class(kind: Any) -> Any:
    every = {name: value for cls in kind.__mro__[::-1] for name, value in vars(cls).items()}
    own = {name: value.unchecked for name, value in every.items() if hasattr(value, "unchecked")}
    return type(kind.__name__, (kind,), own)


def at_least(minimum: int, **values: float) -> None:
    """Raise ValueError for a value below `minimum` or infinite, under the name it is given as."""
    for name, value in values.items():
        if not minimum <= value < math.inf:
            raise ValueError(f"{name} must be at least {minimum} and finite; got {value}")


def positive(**values: float) -> None:
    """Raise ValueError for a value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite; got {value}")


def check_indices(bound: int, **indices: Tensor | Sequence[int]) -> None:
    """Raise ValueError for indices outside 0..bound - 1: negative ones would count from the end."""
    for name, given in indices.items():
        if not len(given) or isinstance(given, Tensor) and not given.numel():
            continue
        ends = given.aminmax() if isinstance(given, Tensor) else (min(given), max(given))
        low, high = (int(end) for end in ends)
        if low < 0 or high >= bound:
            raise ValueError(f"{name} must lie in 0..{bound - 1}; got {low}..{high}")


def check_finite(**values: Tensor) -> None:
    """Raise ValueError for a tensor with entries that are not finite."""
    for name, value in values.items():
        # A finite sum has finite terms only, and is far quicker; one that is not may be too large.
        if not bool(value.sum().isfinite()) and not bool(value.isfinite().all()):
            n_bad = int((~value.isfinite()).sum())
            raise ValueError(f"{name} must be finite numbers; got {n_bad} that are not")


def _rule(annotation: Any) -> Rule | None:
    """Return what holds a value to an annotation and learns sizes; None where all is valid."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "dim_str"):
        return _tensor_rule(annotation)
    if getattr(annotation, "_is_protocol", False) or annotation is Any:
        return None
    if origin is Literal:
        return lambda value, axes, name: value in inner
    if origin in (Union, types.UnionType):
        rules = [_rule(one) for one in inner]
        if None in rules:
            return None
        return lambda value, axes, name: any(rule(value, axes, name) for rule in rules if rule)
    if origin is tuple and inner[-1] is not Ellipsis:
        return _entries_rule(tuple, [_rule(one) for one in inner], len(inner))
    if origin is not None and issubclass(origin, Sequence):
        return _entries_rule(origin, [_rule(inner[0])], None)
    if origin in (Iterable, Collection):
        # Entries only of what may be read twice; their functions have words for nan themselves.
        listed = _entries_rule(Sequence, [_is_real if inner[0] is float else _rule(inner[0])], None)
        return lambda value, axes, name: (
            listed(value, axes, name)
            if isinstance(value, (list, tuple, str))
            else isinstance(value, origin)
        )
    kind = type(None) if annotation is None else origin or annotation
    if kind is int:
        return lambda value, axes, name: _is_a(Integral, value)
    if kind is float:
        return lambda value, axes, name: _is_a(Real, value) and _is_float(value)
    if not isinstance(kind, type) or kind in (object, inspect.Parameter.empty):
        return None
    return lambda value, axes, name: isinstance(value, kind)


def _is_a(kind: Any, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_float(value: Real) -> bool:
    try:
        return not math.isnan(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _is_real(value: Any, axes: Axes, name: str) -> bool:
    return _is_a(Real, value)


def _entries_rule(kind: type, rules: list[Rule | None], length: int | None) -> Rule:
    kinds: Any = (list, tuple) if kind is tuple else kind  # a list is as good as a tuple

    def rule(value: Any, axes: Axes, name: str) -> bool:
        if not isinstance(value, kinds) or isinstance(value, str):
            return False
        if length is not None and len(value) != length:
            return False
        each = rules if length is not None else rules * len(value)
        return all(one is None or one(v, axes, name) for one, v in zip(each, value, strict=True))

    return rule


def _tensor_rule(annotation: Any) -> Rule:
    """Return the rule of a jaxtyping annotation such as `Float[Tensor, "seed batch dim"]`."""
    array, words = annotation.array_type, annotation.dim_str.split()
    names = annotation.dtypes if isinstance(annotation.dtypes, tuple) else ()  # else any
    dtypes = {dtype for name in names if (dtype := getattr(torch, name, None))}
    free = next((i for i, w in enumerate(words) if w == "..." or w.startswith("*")), None)

    def rule(value: Any, axes: Axes, name: str) -> bool:
        if not isinstance(value, array) or dtypes and value.dtype not in dtypes:
            return False
        shape = tuple(value.shape)
        if free is not None:
            n_free = len(shape) - len(words) + 1
            if n_free < 0:
                return False
            shape = (*shape[:free], shape[free : free + n_free], *shape[free + n_free :])
        if len(shape) != len(words):
            return False
        found: Axes = {}
        for word, size in zip(words, shape, strict=True):
            if word in ("_", "..."):
                continue
            known = axes.get(word) or found.setdefault(word, (size, name))
            if (int(word) if word.isdigit() else known[0]) != size:
                return False
        axes.update(found)
        return True

    return rule


def _axes_of(thing: Any, name: str) -> Axes:
    """Return the sizes that an object knows, given as the argument `name`."""
    kind: Any = type(thing)
    if not kind.__module__.startswith("hierlearn"):
        return {}
    if hasattr(thing, "_axes"):
        return {axis: (size, name) for axis, size in thing._axes().items()}
    axes: Axes = {}
    for field, rule in _field_rules(kind):
        rule(getattr(thing, field), axes, name)
    return axes


@cache
def _field_rules(kind: Any) -> list[tuple[str, Rule]]:
    own = fields(kind) if is_dataclass(kind) else ()
    return [(f.name, _tensor_rule(f.type)) for f in own if hasattr(f.type, "dim_str")]


def _valid(annotation: Any, axes: Axes) -> str:
    """Write an annotation in words, with the sizes that are known and where from."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "dim_str"):
        words = annotation.dim_str.split()
        kind = annotation.__name__.split("[")[0].lower()
        known = [
            f"{word.lstrip('*')} = {axes[word][0]} as in {axes[word][1]}"
            for word in dict.fromkeys(words)
            if word in axes
        ]
        with_sizes = f" with {', '.join(known)}" if known else ""
        return f"a {kind} tensor of shape [{', '.join(words)}]{with_sizes}"
    if origin in (Union, types.UnionType):
        return " or ".join(_valid(one, axes) for one in inner)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is not None and issubclass(origin, (Sequence, Collection, Iterable)) and inner:
        name = origin.__name__.lower()
        article = "an" if name[0] in "aeiou" else "a"
        return f"{article} {name} of which each is {_valid(inner[0], axes)}"
    names = {int: "an integer", float: "a number (neither a bool nor nan)", type(None): "None"}
    kind = origin or annotation
    return names.get(kind, f"of type {getattr(kind, '__name__', kind)}")


def _given(value: Any) -> str:
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype} of shape {list(value.shape)}"
    if isinstance(value, (list, tuple)) and any(isinstance(one, Tensor) for one in value):
        return f"[{', '.join(map(_given, value))}]"
    shown = repr(value)
    return shown if len(shown) < 200 else f"{shown[:200]}.."


def _list(given: dict[str, Any]) -> str:
    """List the tensors among arguments, and of fields one of each dtype and device."""
    found: dict[Any, str] = {}
    for name, value in given.items():
        fields = getattr(value, "__dict__", {}) if not isinstance(value, Tensor) else {}
        every = {name: value} | {f"{name}.{field}": own for field, own in fields.items()}
        for key, one in every.items():
            if isinstance(one, Tensor):
                found.setdefault((name, one.dtype, one.device), f"{key} = {_given(one)}")
    return ", ".join(found.values())
