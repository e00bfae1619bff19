"""The fingerprint of the code that computes an experiment.

Comments, docstrings and layout do not count; any other change of a module that the measurement can
reach does. It is the same for every Python version that reads the code as the same syntax tree.
"""

import ast
import time
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from hierlearn.experiments.base import Experiment, digest

PACKAGE = __name__.partition(".")[0]


def fingerprint(experiment: Experiment) -> str:
    """Return the hash of the code reachable from the module of `experiment.measure`."""
    return code_fingerprint(experiment.measure.__module__)


@cache
def code_fingerprint(module: str) -> str:
    """Return the hash of the code of `module` and of all that it imports, however deep.

    Imports are followed within hierlearn and within the top-level package of `module`; a package's
    `__init__` counts only where a name is imported from it. Files are read once a process, so that
    the fingerprint stays that of the code this process runs.

    Raises ValueError when `module` has no source file, as in an interactive session.
    """
    if _source(module) is None:
        raise ValueError(
            f"no source file for module {module!r}; a measure function must be defined in an "
            "importable module, not in a notebook or a script, for its workers to find it"
        )
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in digests:
            digests[name], imports = _scan(name)
            waiting += imports
    return digest(sorted(digests.items()))


@cache
def _scan(module: str) -> tuple[str, frozenset[str]]:
    """Return the hash of one module's own code, and the modules to follow that it imports."""
    path = _source(module)
    assert path is not None
    tree = _parse(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = {name for node in ast.walk(tree) for name in _imported(node, package)}
    ours = (PACKAGE, module.partition(".")[0])
    followed = {_module(name) for name in names if name.partition(".")[0] in ours}
    return digest(_text(tree)), frozenset(followed - {""})


def _parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file.

    In Python 3.11 two threads that parse at once can end in a SystemError for neither's fault
    (a cluster's client has threads of its own); parsing again succeeds.
    """
    for _ in range(20):
        try:
            return ast.parse(path.read_bytes(), filename=str(path))
        except SystemError:
            time.sleep(0.05)
    return ast.parse(path.read_bytes(), filename=str(path))


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


def _imported(node: ast.AST, package: str) -> list[str]:
    """Return the full names, of modules or of things in them, that one statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = resolve_name("." * node.level + (node.module or ""), package)
    return [f"{base}.{alias.name}" for alias in node.names]


def _module(name: str) -> str:
    """Return `name` if it is a module with a source, else its parent if that is one, else ""."""
    parent = name.rpartition(".")[0]
    return next((one for one in (name, parent) if one and _source(one)), "")


def _text(node: object) -> str:
    """Return a syntax tree as text: no positions, no bare strings, no empty fields.

    Leaving out empty fields makes it independent of the fields that newer Pythons add.
    """
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({','.join(f'{n}={_text(v)}' for n, v in fields)})"
    if isinstance(node, list):
        return f"[{','.join(_text(item) for item in node if not _is_bare_string(item))}]"
    return ascii(node)


def _is_bare_string(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
