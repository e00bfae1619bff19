"""The fingerprint of the code that computes an experiment.

It covers the definitions that `measure` reaches by name, wherever they stand: functions, classes
and module variables, of hierlearn and of the package of `measure`. Names of modules and of the
definitions themselves, the form of imports, annotations of functions, comments, docstrings and
layout do not count, so that code may be moved, split and renamed; any other change of what is
reached does count. What comes from other packages counts by its full name, whatever it is called.
It is the same for every Python version that reads the code as the same syntax tree.
"""

import ast
import symtable
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, NamedTuple

from hierlearn.experiment import Experiment, digest

PACKAGE = __name__.partition(".")[0]


class Definition(NamedTuple):
    """A definition at the top of a module.

    An empty name stands for the module as an object, with all that it defines.
    """

    module: str
    name: str = ""


def fingerprint(experiment: Experiment) -> str:
    """Return the hash of all definitions that `experiment.measure` reaches."""
    return code_fingerprint(experiment.measure)


def code_fingerprint(measure: Callable[..., Any]) -> str:
    """Return the hash of all definitions that the function `measure` reaches.

    Files are read once a process, so that the fingerprint stays that of the code this process runs.

    Raises ValueError when its module has no source file, as in an interactive session.
    """
    return _fingerprint(_root(measure))


def reached(measure: Callable[..., Any]) -> list[Definition]:
    """Return the definitions that the function `measure` reaches, itself first."""
    return [definition for definition, _ in _walk(_root(measure))]


def _root(measure: Callable[..., Any]) -> Definition:
    name = measure.__qualname__.partition(".")[0]
    if _source(measure.__module__) is None:
        raise ValueError(
            f"no source file for module {measure.__module__!r}; a measure function must be defined "
            "in an importable module, not in a notebook or a script, for its workers to find it"
        )
    here = name in _module(measure.__module__, PACKAGE).statements
    return Definition(measure.__module__, name if here else "")


@cache
def _fingerprint(root: Definition) -> str:
    return digest([text for _, text in _walk(root)])


def _walk(root: Definition) -> Iterator[tuple[Definition, list[str | int]]]:
    """Give each definition that `root` reaches, in the order in which they are first named.

    With it comes its text, in which the number of a definition, in that order, stands for whatever
    names it: the texts describe what is reached up to renaming and moving, and nothing less.
    """
    home = root.module.partition(".")[0]
    numbers = {root: 0}
    waiting = [root]
    for definition in waiting:
        text: list[str | int] = []
        for part in _text(definition, home):
            if isinstance(part, Definition):
                if part not in numbers:
                    numbers[part] = len(waiting)
                    waiting.append(part)
                text.append(numbers[part])
            else:
                text.append(part)
        yield definition, text


Part = str | Definition
"""A piece of the text of a definition: what is written, or another definition that it names."""


@cache
def _text(definition: Definition, home: str) -> tuple[Part, ...]:
    """Return the text of a definition, with what runs when its module is imported."""
    module, name = _module(definition.module, home), definition.name
    parts: list[Part] = []
    for one in sorted(set(module.statements) - {""}) if not name else []:
        parts += [one, Definition(module.name, one)]
    for node in module.statements.get(name, []):
        parts += _Statement(module, node, name).parts()
    for node in module.statements.get("", []) if name else []:
        parts += _Statement(module, node).parts()
    return tuple(parts)


@dataclass(frozen=True, eq=False)
class _Module:
    """The definitions of one module; names are followed in hierlearn and in the package `home`."""

    name: str
    home: str

    @cached_property
    def statements(self) -> dict[str, list[ast.stmt]]:
        """The top-level statements that define or change a name; "" has those that bind none."""
        found: dict[str, list[ast.stmt]] = {}
        for node in self._tree.body:
            if not _is_silent(node):
                for name in _bound(node) or {""}:
                    found.setdefault(name, []).append(node)
        return found

    @cached_property
    def imports(self) -> dict[str, str]:
        """The full names of what the module's imports bind, functions' own imports aside."""
        scopes = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        outside = [node for node in self._tree.body if not isinstance(node, scopes)]
        return self._bound_by_imports(outside)

    def find(self, full: str) -> Definition | str | None:
        """Return what the full name of something stands for.

        That is a definition, the name of a module, or None if it is neither or not ours.
        """
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
        return self.find(module.imports[name]) if name in module.imports else None

    def names_of(self, node: ast.stmt) -> set[str]:
        """Return the names that `node` looks up at the top of the module."""
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        lines = "".join(self._lines[start - 1 : node.end_lineno])
        table = symtable.symtable(lines, self.name, "exec")
        return {s.get_name() for s in table.get_symbols() if s.is_referenced()} | _global(table)

    @cached_property
    def _tree(self) -> ast.Module:
        return _parse("".join(self._lines), self.name)

    @cached_property
    def _lines(self) -> list[str]:
        path = _source(self.name)
        assert path is not None
        return path.read_text(encoding="utf-8").splitlines(keepends=True)

    def _bound_by_imports(self, nodes: list[ast.stmt]) -> dict[str, str]:
        path = _source(self.name)
        assert path is not None
        package = self.name if path.name == "__init__.py" else self.name.rpartition(".")[0]
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


class _Statement:
    """The text of one top-level statement, without positions, bare strings and empty fields.

    Leaving out empty fields makes it independent of the fields that newer Pythons add.
    """

    def __init__(self, module: _Module, node: ast.stmt, name: str = "") -> None:
        self.module, self.node, self.name = module, node, name
        self.names = module.names_of(node)
        self.imports = module.imports | module._bound_by_imports([node])
        self.own_imports = set(module._bound_by_imports([node]))

    def parts(self) -> list[Part]:
        return self._parts(self.node)

    def _parts(self, node: object) -> list[Part]:
        if isinstance(node, ast.Name | ast.Attribute):
            named = self._named(node)
            if named:
                return named
        if isinstance(node, ast.AST):
            parts: list[Part] = [f"{type(node).__name__}("]
            for field, value in ast.iter_fields(node):
                if value not in (None, []) and not self._is_left_out(node, field):
                    parts += [f"{field}=", *self._parts(value), ","]
            return [*parts, ")"]
        if isinstance(node, list):
            said = (item for item in node if not _is_silent(item))
            return ["[", *(part for item in said for part in (*self._parts(item), ",")), "]"]
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
            rest.append(base.attr)
            base = base.value
        if not isinstance(base, ast.Name) or isinstance(node.ctx, ast.Store):
            return []
        found = self._looked_up(base.id)
        if found is None:
            outside = self._outside(base.id)
            return [".".join([outside, *reversed(rest)])] if outside else []
        while isinstance(found, str) and rest:
            inner = self.module.find(f"{found}.{rest[-1]}")
            if inner is None:
                break
            found = inner
            rest.pop()
        what = Definition(found) if isinstance(found, str) else found
        return [what, *(f".{name}" for name in reversed(rest))]

    def _looked_up(self, name: str) -> Definition | str | None:
        if name not in self.names and name not in self.own_imports:
            return None
        if name in self.module.statements:
            return Definition(self.module.name, name)
        return self.module.find(self.imports[name]) if name in self.imports else None

    def _outside(self, name: str) -> str | None:
        """Return the full name of what an import brings from elsewhere."""
        if name in self.module.statements or name not in self.names | self.own_imports:
            return None
        return self.imports.get(name)


@cache
def _module(name: str, home: str) -> _Module:
    return _Module(name, home)


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a top-level statement defines, or changes by item or attribute."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    found: set[str] = set()
    waiting: list[ast.AST] = [node]
    for one in waiting:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            found.add(one.id)
        elif isinstance(one, ast.Attribute | ast.Subscript) and isinstance(one.ctx, ast.Store):
            found |= {n.id for n in ast.walk(one.value) if isinstance(n, ast.Name)}
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(one)
    return found


def _global(table: symtable.SymbolTable) -> set[str]:
    """Return the names that the scopes inside `table` look up outside all of them."""
    inner = table.get_children()
    own = {s.get_name() for child in inner for s in child.get_symbols() if s.is_global()}
    return own.union(*(_global(child) for child in inner))


def _parse(text: str, name: str) -> ast.Module:
    """Return the syntax tree of a file.

    In Python 3.11 two threads that parse at once can end in a SystemError for neither's fault
    (a cluster's client has threads of its own); parsing again succeeds.
    """
    for _ in range(20):
        try:
            return ast.parse(text, filename=name)
        except SystemError:
            time.sleep(0.05)
    return ast.parse(text, filename=name)


@cache
def _source(module: str) -> Path | None:
    """Return the file of `module`, found without importing it, or None."""
    top, *rest = module.split(".")
    if top == "__main__" or not all((top, *rest)):
        return None
    spec = find_spec(top)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    if not rest:
        return Path(spec.origin)
    if not spec.submodule_search_locations:
        return None
    base = Path(spec.origin).parent.joinpath(*rest)
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _is_silent(node: object) -> bool:
    """Say whether a statement only imports or says something, or is what a script does."""
    if isinstance(node, ast.If):
        if "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}:
            return True
        return all(_is_silent(one) for one in (*node.body, *node.orelse))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)
