"""What can only refuse may be added to what is measured without making its records stale."""

import ast
import inspect
import re

import pytest
import torch
from torch import Tensor

from hierlearn.engine import doors
from hierlearn.records import fingerprints
from hierlearn.records.fingerprints import Definition, is_door, reached
from hierlearn.registry import EXPERIMENTS
from records.test_fingerprints import code_of, every_definition, forget

DOORS = """
import math
from collections.abc import Iterator, Sequence
def positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(name)
def outer(rates: Sequence[float]) -> None:
    "D."
    low = min(rates)
    if low < 0:
        return
    positive(low=low)
def returns(x):
    return positive(x=x)
def writes(x):
    x[0] = 1
def uses_up(batches: Iterator[float]) -> None:
    if sum(batches) < 0:
        raise ValueError
def calls(x):
    x.clear()
def again(x):
    again(x)
def checked(function):
    return function
"""
ONE = """
import math
import torch
from collections.abc import Iterator, Sequence
from fakedoors.doors import *
from fakedoors.doors import positive, outer, returns, writes, uses_up, calls, again, checked
LIMITS = {2: 3}
@dataclass
class Sizes:
    n: int
    widths: tuple[int, ...]
    of: Iterator[int]
    # in the class
    def __post_init__(self):
        self.m = self.n
        # in its check

def measure(group: Sequence[float], steps: Iterator[float], x: Tensor, n: int, what):
    with torch.no_grad():
        # here
        y = [float(x.sum()) for x in group]
    return Sizes, what(y)
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """The fingerprint of `measure` with a statement put in place of one of its comments."""
    monkeypatch.syspath_prepend(tmp_path)

    def change(statement="", *, place="# here", text=ONE):
        folder = tmp_path / "fakedoors"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "doors.py").write_text(DOORS)
        lines = text.replace("import *", "import positive").splitlines()
        (at,) = (i for i, line in enumerate(lines) if line.strip() == place)
        indent = lines[at].partition("#")[0]
        lines[at : at + 1] = [indent + line for line in statement.splitlines()]
        (folder / "one.py").write_text("\n".join(lines))
        forget()
        return code_of(Definition("fakedoors.one", "measure"))

    yield change
    forget()


@pytest.mark.parametrize(
    "statement",
    [
        "positive(n=n)",
        "positive(**{f'x{i}': one for i, one in enumerate(group)})",
        "outer(group)",
        "if n < 0:\n    raise ValueError(f'n must be at least 0; got {n}')",
        "if not torch.isfinite(x).all() or x.dtype == torch.float16 or len(x) < 2:\n"
        "    raise ValueError('x')",
        "if x.is_floating_point():\n    positive(n=n)\n    if n > 9:\n        raise ValueError(n)",
        "if any(not math.isfinite(one) for one in group) or n not in LIMITS:\n"
        "    raise ValueError('x') from None",
        "if list(map(len, group)) != sorted(map(abs, group)):\n    raise ValueError('x')",
        "if min(group[1:]) < 0 or {*group} != set(group):\n    raise ValueError()",
    ],
)
def test_a_guard_that_is_added_leaves_the_fingerprint(code, statement):
    assert code(statement) == code()


@pytest.mark.parametrize(
    "statement",
    [
        "z = 1",
        "pass",
        "x.clamp_(min=0)",
        "what(n)",
        "positive(n=what(n))",
        "positive(n=x.add_(1))",
        "positive(n=(m := n))",
        "positive(n=next(steps))",
        "positive(n=sum(steps))",
        "positive(n=sum(steps, 0))",
        "positive(n=max(group, key=what))",
        "positive(n=torch.all(x, out=x))",
        "positive(n=torch.rand(1))",
        "positive(n=what.get())",
        "positive(n=what.double())",
        "positive(n=all(map(what, group)))",
        "positive(n=sum(map(abs, steps)))",
        "positive(*steps)",
        "positive(n=n in steps)",
        "q = positive(n=n)",
        "positive",
        "checked(what)",
        "returns(n)",
        "writes(x)",
        "uses_up(steps)",
        "calls(x)",
        "again(x)",
        "if n < 0:\n    raise StopIteration('x')",
        "if n < 0:\n    raise ValueError('x')\nelse:\n    n = 1",
        "if n < 0:\n    n = 1\n    raise ValueError('x')",
        "if all(one < 0 for one in steps):\n    raise ValueError('x')",
        "if all(one < 0 for one in what):\n    raise ValueError('x')",
        "if n < 0:\n    return",
        "while n < 0:\n    raise ValueError('x')",
        "try:\n    positive(n=n)\nexcept ValueError:\n    n = 1",
        "lambda: positive(n=n)",
    ],
)
def test_any_other_statement_counts(code, statement):
    assert code(statement) != code()


@pytest.mark.parametrize("line", ["    try:", "    with what(n):"])
def test_a_guard_inside_of_try_counts(code, line):
    ended = "    return Sizes" if "with" in line else "    finally:\n        pass\n    return Sizes"
    text = ONE.replace("    with torch.no_grad():", line).replace("    return Sizes", ended)
    same = code("positive(n=n)", text=text) == code(text=text)
    assert same is ("with" in line)


def test_a_parameter_that_is_assigned_anew_may_be_used_up(code):
    text = ONE.replace("    with torch", "    group = iter(group)\n    with torch")
    assert code("positive(n=sum(group))", text=text) != code(text=text)


def test_a_name_that_hides_a_builtin_is_not_it(code):
    text = ONE + "\ndef len(x):\n    x.clear()\n"
    assert code("positive(n=len(group))", text=text) != code(text=text)


def test_a_dataclass_may_get_a_check_of_its_fields(code):
    check = (
        "def __post_init__(self):\n    if min(self.widths) < self.n:\n        raise ValueError('x')"
    )
    text = ONE.replace("self.m = self.n", "'D.'")
    empty = text.replace("    def __post_init__(self):\n        'D.'\n        # in its check\n", "")
    assert code(check, place="# in the class", text=empty) == code(
        place="# in the class", text=empty
    )
    assert code(check.replace("min", "what"), place="# in the class", text=empty) != code(
        place="# in the class", text=empty
    )
    inside = ("positive(n=self.n)", "if sum(self.widths) > 9:\n    raise ValueError('x')")
    for statement in inside:
        assert code(statement, place="# in its check") == code(place="# in its check")
    assert code("positive(n=sum(self.of))", place="# in its check") != code(place="# in its check")


def test_what_holds_arguments_to_their_annotations_does_not_count(code):
    real = ONE.replace(
        "from fakedoors.doors import *", "from hierlearn.engine.doors import checked as c"
    )
    for decorator, same in (("@c", True), ("@checked", False)):
        there = real.replace("def measure", f"{decorator}\ndef measure")
        assert (code(text=there) == code(text=real)) is same
    there = real.replace("@dataclass", "@c\n@dataclass")
    assert code(text=there) == code(text=real)


# --- the house's own ----------------------------------------------------------------------------


FOUND = [one for one in every_definition() if is_door(one)]


def test_the_houses_doors_are_known():
    own = {one.name for one in FOUND if one.module == "hierlearn.engine.doors"}
    says_none = {
        name
        for name, one in inspect.getmembers(doors, inspect.isfunction)
        if one.__module__ == doors.__name__ and inspect.signature(one).return_annotation is None
    }
    assert own == says_none >= {"at_least", "positive", "check_indices"}
    assert len(FOUND) > 10


@pytest.mark.parametrize("door", FOUND, ids=lambda one: one.name)
def test_a_door_returns_nothing_and_changes_nothing(door):
    (function,) = fingerprints._module(door.module, "hierlearn").statements[door.name]
    changes = (
        ast.AugAssign, ast.Delete, ast.Global, ast.Nonlocal, ast.NamedExpr, ast.Yield,
        ast.YieldFrom, ast.Await, ast.With, ast.Try, ast.Import, ast.ImportFrom, ast.Lambda,
    )  # fmt: skip
    for node in ast.walk(function):
        assert not isinstance(node, changes), ast.unparse(node)
        assert not (isinstance(node, ast.Return) and node.value), ast.unparse(node)
        stored = isinstance(node, ast.Attribute | ast.Subscript | ast.Starred)
        assert not (stored and isinstance(node.ctx, ast.Store)), ast.unparse(node)
        name = node.func.attr if isinstance(node, ast.Call) and hasattr(node.func, "attr") else ""
        assert not name.endswith("_") and name not in {"append", "pop", "update", "write"}


def test_doors_leave_what_they_are_given_as_it_was():
    state = torch.get_rng_state()
    given = {"a": torch.arange(6), "b": [1, 2], "c": torch.empty(0, dtype=torch.int64)}
    before = {name: list(one) for name, one in given.items()}
    assert doors.check_indices(6, **given) is None
    assert doors.at_least(0, n=1, x=2.5) is None and doors.positive(n=1) is None
    assert {name: list(one) for name, one in given.items()} == before
    assert torch.equal(torch.get_rng_state(), state)

    @doors.checked
    def takes(x: Tensor, rates: tuple[float, ...], batches: object) -> tuple[object, ...]:
        return x, rates, batches

    batches = iter([1, 2])
    assert takes(given["a"], (1.0,), batches) == (given["a"], (1.0,), batches)
    assert list(batches) == [1, 2]


CATCHES = re.compile(r"\b(ValueError|RuntimeError|IndexError|LookupError|(Base)?Exception)\b")


def catching(node: ast.AST) -> bool:
    """Whether what a door raises inside of a statement may go no further."""
    if isinstance(node, ast.With):
        called = " ".join(ast.unparse(item.context_expr) for item in node.items)
        return "suppress" in called and CATCHES.search(called) is not None
    handlers = node.handlers if isinstance(node, ast.Try | ast.TryStar) else []
    return any(one.type is None or CATCHES.search(ast.unparse(one.type)) for one in handlers)


@pytest.mark.slow
def test_nothing_that_is_measured_catches_what_doors_raise():
    """A refusal that is caught would steer what is measured, and a guard would matter."""
    for one in {d for each in EXPERIMENTS.values() for d in reached(each.measure)}:
        module = fingerprints._module(one.module, "hierlearn")
        for top in module.statements.get(one.name, []):
            for node in filter(catching, ast.walk(top)):
                inside = fingerprints._Statement(module, top, one.name)
                parts = [part for statement in node.body for part in inside.parts(statement)]
                assert not any(isinstance(part, Definition) for part in parts), one


def test_what_catches_is_known():
    for text, catches in {
        "try: f()\nexcept: pass": True,
        "try: f()\nexcept (OSError, ValueError): pass": True,
        "with contextlib.suppress(OSError, Exception): f()": True,
        "with suppress(OSError): f()": False,
        "try: f()\nexcept OSError: pass": False,
        "try: f()\nfinally: pass": False,
        "with torch.no_grad(): f()": False,
    }.items():
        assert catching(ast.parse(text).body[0]) is catches, text
