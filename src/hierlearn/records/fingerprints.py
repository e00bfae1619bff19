"""The fingerprint of the code that computes an experiment.

It covers the definitions that `measure` reaches by name, wherever they stand: functions, classes
and module variables, of hierlearn and of the package of `measure`. Names of modules and of the
definitions themselves, the form of imports, annotations of functions, comments, docstrings and
layout do not count, so that code may be moved, split and renamed. Nor do guards and doors, which
refuse or do nothing (`guards`), so that they may be added and tightened: nothing that is measured
may catch what they raise. Any other change of what is reached does count. What comes from other
packages counts by its full name, whatever it is called.

It is the same for every Python version that reads the code as the same syntax tree.
"""

import ast
import builtins
import symtable
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from hierlearn import forget_old_bytecode
from hierlearn.experiment import digest
from hierlearn.records.guards import Guards

PACKAGE = __name__.partition(".")[0]
#: What changes on the disk later is not what this process runs; files may come from the future.
LOADED = time.time_ns()
SEEN = {path: path.stat().st_mtime_ns for path in Path(__file__).parents[1].rglob("*.py")}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Definition(NamedTuple):
    """A definition at the top of a module; without a name the module itself, with all of them."""

    module: str
    name: str = ""


#: A decorator that is a door, wherever it stands: what it decorates returns what it returned.
CHECKED = Definition(f"{PACKAGE}.engine.doors", "checked")


@cache
def fingerprint(measure: Callable[..., Any]) -> str:
    """Return the hash of all definitions that the function `measure` reaches.

    Files are read once a process, so that the fingerprint stays that of the code this process runs.
    What stands for a function says so itself, as its `fingerprint`.

    Raises ValueError when its module has no source file, as in an interactive session.
    """
    return getattr(measure, "fingerprint", None) or _code(_root(measure))


@cache
def _code(root: Definition) -> str:
    return digest([text for _, text in _walk(root)])


def reached(measure: Callable[..., Any]) -> list[Definition]:
    """Return the definitions that the function `measure` reaches, itself first."""
    return [definition for definition, _ in _walk(_root(measure))]


@cache
def edited(measure: Callable[..., Any]) -> list[str]:
    """Return the files of what `measure` reaches that changed after this process had started."""
    home = measure.__module__.partition(".")[0]
    paths = {_module(definition.module, home).path for definition in reached(measure)}
    now = time.time_ns()
    changed = [p for p in paths if SEEN.get(p, LOADED) < p.stat().st_mtime_ns <= now]
    return sorted(map(str, changed))


def _root(measure: Callable[..., Any]) -> Definition:
    name = measure.__qualname__.partition(".")[0]
    if _source(measure.__module__) is None:
        raise ValueError(
            f"no source file for module {measure.__module__!r}; a measure function must be defined "
            "in an importable module, not in a notebook or a script, for its workers to find it"
        )
    here = name in _module(measure.__module__, PACKAGE).statements
    return Definition(measure.__module__, name if here else "")


def _walk(root: Definition) -> Iterator[tuple[Definition, list[str | int]]]:
    """Give each definition that `root` reaches, in the order in which they are first named.

    In its text, which comes with it, the number of a definition in that order stands for whatever
    names it: the texts describe what is reached up to renaming and moving, and nothing less.
    """
    home = root.module.partition(".")[0]
    numbers = {root: 0}
    waiting = [root]
    for definition in waiting:
        text: list[str | int] = []
        for part in _text(definition, home):
            if isinstance(part, Definition) and part not in numbers:
                numbers[part] = len(waiting)
                waiting.append(part)
            text.append(numbers[part] if isinstance(part, Definition) else part)
        yield definition, text


Part = str | Definition  # of the text of a definition, what is written or what it names


@cache
def _text(definition: Definition, home: str) -> tuple[Part, ...]:
    """Return the text of a definition, with what runs when its module is imported."""
    module, name = _module(definition.module, home), definition.name
    parts: list[Part] = []
    for one in sorted(set(module.statements) - {""}) if not name else []:
        parts += [one, Definition(module.name, one)]
    for key in dict.fromkeys((name, "")):
        for node in module.statements.get(key, []):
            parts += _Statement(module, node, key).parts(node)
    return tuple(parts)


@dataclass(frozen=True, eq=False)
class _Module:
    """The definitions of one module; names are followed in hierlearn and in the package `home`."""

    name: str
    home: str
    path: Path

    @cached_property
    def lines(self) -> list[str]:
        forget_old_bytecode([self.path])  # workers must run what is read here
        return self.path.read_text(encoding="utf-8").splitlines(keepends=True)

    @cached_property
    def tree(self) -> ast.Module:
        # In Python 3.11 two threads that parse at once can end in a SystemError for neither's
        # fault (a cluster's client has threads of its own); parsing again succeeds.
        for _ in range(20):
            try:
                return ast.parse("".join(self.lines), filename=self.name)
            except SystemError:
                time.sleep(0.05)
        return ast.parse("".join(self.lines), filename=self.name)

    @cached_property
    def statements(self) -> dict[str, list[ast.stmt]]:
        """The top-level statements that define or change a name; "" has those that bind none."""
        found: dict[str, list[ast.stmt]] = {}
        for node in self.tree.body:
            if not _is_silent(node):
                for name in _bound(node) or {""}:
                    found.setdefault(name, []).append(node)
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        """The full names of what the module's imports bind, functions' own imports aside."""
        return self.bound_by_imports(one for one in self.tree.body if not isinstance(one, SCOPES))

    def bound_by_imports(self, nodes: Iterable[ast.stmt]) -> dict[str, str]:
        inside = self.path.name == "__init__.py"
        package = self.name if inside else self.name.rpartition(".")[0]
        found: dict[str, str] = {}
        for node in (one for top in nodes for one in ast.walk(top)):
            if isinstance(node, ast.Import):
                tops = {a.name.partition(".")[0] for a in node.names if not a.asname}
                found |= {top: top for top in tops}
                found |= {a.asname: a.name for a in node.names if a.asname}
            elif isinstance(node, ast.ImportFrom):
                base = resolve_name("." * node.level + (node.module or ""), package)
                found |= {a.asname or a.name: f"{base}.{a.name}" for a in node.names}
        return found

    def find(self, full: str) -> Definition | str | None:
        """Return the definition, or the name of the module, of a full name; None if not ours."""
        if full.partition(".")[0] not in (PACKAGE, self.home):
            return None
        if _source(full):
            return full
        parent, _, name = full.rpartition(".")
        if not _source(parent):
            return None
        module = _module(parent, self.home)
        if name in module.statements:
            return Definition(parent, name)
        return self.find(module.imports.get(name, ""))


class _Statement:
    """The text of one top-level statement, without positions and bare strings.

    Empty fields are left out, too: newer Pythons add some.
    """

    def __init__(
        self,
        module: _Module,
        node: ast.stmt,
        name: str = "",
        asked: frozenset[Definition] = frozenset(),
    ) -> None:
        self.module, self.node, self.name, self.asked = module, node, name, asked
        own = module.bound_by_imports([node])
        self.imports = module.imports | own
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines = "".join(module.lines[start - 1 : node.end_lineno])
        table = symtable.symtable(lines, module.name, "exec")
        looked_up = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
        self.names = looked_up | _global(table) | set(own)  # at the top of the module
        self.guards = Guards(self._full_name, self._is_door)

    @cached_property
    def left_out(self) -> set[ast.AST]:
        return set(self.guards.among(self.node))

    def parts(self, node: object) -> list[Part]:
        if isinstance(node, ast.Name | ast.Attribute) and (named := self._named(node)):
            return named
        if isinstance(node, ast.AST):
            parts: list[Part] = [f"{type(node).__name__}("]
            for field, value in ast.iter_fields(node):
                if field == "decorator_list":
                    value = [one for one in value if not self.is_check(one)]
                if value not in (None, []) and not self._is_left_out(node, field):
                    parts += [f"{field}=", *self.parts(value), ","]
            return [*parts, ")"]
        if isinstance(node, list):
            said = (one for one in node if not _is_silent(one) and one not in self.left_out)
            return ["[", *(part for item in said for part in (*self.parts(item), ",")), "]"]
        return [ascii(node)]

    def _is_left_out(self, node: ast.AST, field: str) -> bool:
        """Say whether a field is an annotation, or the name of the definition itself."""
        if isinstance(node, ast.Name):
            return field == "id" and node.id == self.name
        if isinstance(node, ast.arg):
            return field == "annotation"
        return field == "returns" or (node is self.node and field == "name")

    def _named(self, node: ast.Name | ast.Attribute) -> list[Part]:
        """Return the definition that a name or a chain of attributes begins with, and the rest.

        Of what another package defines that is its full name, with the rest in it.
        """
        rest: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            rest.insert(0, base.attr)
            base = base.value
        if not isinstance(base, ast.Name) or isinstance(node.ctx, ast.Store):
            return []
        name, full = base.id, self.imports.get(base.id)
        if name not in self.names or not (full or name in self.module.statements):
            return []
        here = Definition(self.module.name, name) if name in self.module.statements else None
        found = here or self.module.find(full or "")
        if found is None:
            return [".".join([full or "", *rest])]
        while isinstance(found, str) and rest:
            if not (inner := self.module.find(f"{found}.{rest[0]}")):
                break
            found = inner
            rest.pop(0)
        what = Definition(found) if isinstance(found, str) else found
        return [what, *(f".{name}" for name in rest)]

    def _full_name(self, node: ast.expr) -> str:
        """Return the full name of a builtin or of what another package defines, or nothing."""
        if isinstance(node, ast.Name | ast.Attribute) and (named := self._named(node)):
            return named[0] if isinstance(named[0], str) else ""
        known = isinstance(node, ast.Name) and node.id in self.names and hasattr(builtins, node.id)
        return node.id if known and isinstance(node, ast.Name) else ""

    def _definition(self, node: ast.expr) -> Definition | None:
        named = self._named(node) if isinstance(node, ast.Name | ast.Attribute) else []
        return named[0] if len(named) == 1 and isinstance(named[0], Definition) else None

    def is_check(self, decorator: ast.expr) -> bool:
        """Say whether a decorator does nothing but hold arguments to their annotations."""
        found = self._definition(decorator)
        return found is not None and found.name == CHECKED.name and _code(found) == _code(CHECKED)

    def _is_door(self, node: ast.expr) -> bool:
        found = self._definition(node)
        return found is not None and is_door(found, self.module.home, self.asked)


@cache
def is_door(
    definition: Definition, home: str = PACKAGE, asked: frozenset[Definition] = frozenset()
) -> bool:
    """Say whether a definition is a door: a function with nothing but guards in it."""
    if definition in asked or not definition.name:
        return False
    module = _module(definition.module, home)
    match module.statements.get(definition.name, []):
        case [ast.FunctionDef() as function]:
            one = _Statement(module, function, definition.name, asked | {definition})
            plain = all(one.is_check(decorator) for decorator in function.decorator_list)
            return plain and one.guards.only_guards(function)
    return False


@cache
def _module(name: str, home: str) -> _Module:
    path = _source(name)
    assert path is not None
    return _Module(name, home, path)


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a top-level statement defines, or changes by item or attribute."""
    found: set[str] = set()
    waiting: list[ast.AST] = [node]
    for one in waiting:
        if isinstance(one, SCOPES):
            found.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            found.add(one.id)
        elif isinstance(one, ast.Attribute | ast.Subscript) and isinstance(one.ctx, ast.Store):
            found |= {n.id for n in ast.walk(one.value) if isinstance(n, ast.Name)}
        if not isinstance(one, (*SCOPES, ast.Lambda)):
            waiting += ast.iter_child_nodes(one)
    return found


def _global(table: symtable.SymbolTable) -> set[str]:
    """Return the names that the scopes inside `table` look up outside all of them."""
    inner = table.get_children()
    own = {s.get_name() for child in inner for s in child.get_symbols() if s.is_global()}
    return own.union(*(_global(child) for child in inner))


@cache
def _source(module: str) -> Path | None:
    """Return the file of `module`, found without importing it, or None."""
    top, *rest = module.split(".")
    if top == "__main__" or not all((top, *rest)):
        return None
    spec = find_spec(top)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    base = Path(spec.origin).parent.joinpath(*rest)
    places = (base.with_suffix(".py"), base / "__init__.py") if rest else (Path(spec.origin),)
    known = spec.submodule_search_locations or not rest
    return next((place for place in places if known and place.is_file()), None)


def _is_silent(node: object) -> bool:
    """Say whether a statement only imports or says something, or is what a script does."""
    if isinstance(node, ast.If):
        if "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}:
            return True
        return all(_is_silent(one) for one in (*node.body, *node.orelse))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)
