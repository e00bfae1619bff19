"""Guards: statements that refuse or do nothing, so that no number depends on them.

A guard is `if QUESTION: raise ValueError(...)`, the call of a door as a statement of its own, or
an `if` with nothing but guards in it; a door is a function with nothing but guards in it, and may
loop and name what it asks about. A question changes nothing: it has operators, comprehensions, and
calls of what is listed here. What it goes through is not used up by that: a literal, a constant, or
a parameter or field whose annotation is that of a collection, which type checkers hold callers to.

What is not known to be a guard is none; inside of `try` there is none.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator

#: Functions that ask: builtins, and all of `math`; what goes through its arguments; torch's.
ASKING = frozenset("abs bool float int isinstance len range repr round str type".split())
READING = frozenset("all any enumerate list map max min set sorted sum tuple zip".split())
READING |= {"itertools.pairwise", "math.dist", "math.fsum", "math.prod", "math.sumprod"}
TORCH = frozenset(
    f"torch.{name}" for name in "all any equal finfo iinfo isfinite isnan is_floating_point".split()
)
METHODS = frozenset(
    "abs all amax amin aminmax any bit_length count diff dim element_size endswith flatten "
    "is_complex is_floating_point is_integer isfinite isnan items keys long max mean min "
    "norm numel prod size square startswith sum tolist unique values".split()
)
COLLECTION = re.compile(r"\b(Sequence|Collection|Mapping|Tensor|dict|list|range|set|str|tuple)\b")
ONCE = re.compile(r"Iter|Generator|Any|object")
PURE = (
    ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.Slice, ast.Compare, ast.BinOp,
    ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.JoinedStr, ast.FormattedValue, ast.Starred,
    ast.keyword, ast.Call, ast.comprehension,
    ast.expr_context, ast.operator, ast.boolop, ast.unaryop, ast.cmpop,
)  # fmt: skip
FRESH = (
    ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp,
    ast.GeneratorExp,
)  # fmt: skip
Scope = frozenset[str]  #: what may be gone through twice, as it is written: `seeds`, `self.seeds`


class Guards:
    """Tells the guards of one definition.

    `full_name` gives the full name of what a name or a chain of attributes stands for where that
    is a builtin or another package's; `is_door` says whether it stands for a door.
    """

    def __init__(
        self, full_name: Callable[[ast.expr], str], is_door: Callable[[ast.expr], bool]
    ) -> None:
        self.full_name, self.is_door = full_name, is_door

    def among(self, node: ast.AST, scope: Scope = frozenset()) -> Iterator[ast.AST]:
        """Give every guard below a node, and every `__post_init__` with nothing else in it."""
        if isinstance(node, ast.ClassDef):
            fields = (one for one in node.body if isinstance(one, ast.AnnAssign))
            scope |= _collections((f"self.{ast.unparse(f.target)}", f.annotation) for f in fields)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            scope = _parameters(node, scope)
        elif isinstance(node, ast.Lambda | ast.Try | ast.TryStar):
            return
        for one in ast.iter_child_nodes(node):
            if self.is_guard(one, scope):
                yield one
            elif isinstance(one, ast.FunctionDef) and one.name == "__post_init__":
                yield from [one] if self.only_guards(one, scope) else self.among(one, scope)
            else:
                yield from self.among(one, scope)

    def is_guard(self, node: ast.AST, scope: Scope) -> bool:
        """Say whether a statement of a function is a guard."""
        if isinstance(node, ast.If) and not node.orelse:
            refuses = len(node.body) == 1 and self._refuses(node.body[0])
            return self._asks(node.test, scope) and (
                refuses or all(self.is_guard(one, scope) for one in node.body)
            )
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or not self.is_door(call.func):
            return False
        return all(self._asks(one, scope) for one in (*call.args, *call.keywords))

    def only_guards(self, function: ast.FunctionDef, scope: Scope = frozenset()) -> bool:
        """Say whether a function is a door: whether there is nothing in it but guards."""
        return self._is_door_body(function.body, _parameters(function, scope))

    def _is_door_body(self, body: Iterable[ast.stmt], scope: Scope) -> bool:
        for one in body:
            if isinstance(one, ast.For) and not one.orelse:
                known = self._asks(one.iter, scope) and self._reads(one.iter, scope)
                inner = scope | _names(one.target) if _root(one.iter) in scope else scope
                if not known or not _names(one.target) or not self._is_door_body(one.body, inner):
                    return False
            elif isinstance(one, ast.Assign):
                names = frozenset[str]().union(*map(_names, one.targets))
                if not all(map(_names, one.targets)) or not self._asks(one.value, scope):
                    return False
                scope = scope | names if self._reads(one.value, scope) else scope - names
            elif isinstance(one, ast.If) and not one.orelse:
                if not self._asks(one.test, scope) or not self._is_door_body(one.body, scope):
                    return False
            elif isinstance(one, ast.Expr | ast.Return) and not isinstance(one.value, ast.Call):
                if not isinstance(one.value, ast.Constant | None):
                    return False
            elif not (isinstance(one, ast.Continue) or self._refuses(one)):
                if not self.is_guard(one, scope):
                    return False
        return True

    def _refuses(self, node: ast.stmt) -> bool:
        call = node.exc if isinstance(node, ast.Raise) else None
        return isinstance(call, ast.Call) and self.full_name(call.func) == "ValueError"

    def _asks(self, question: ast.AST, scope: Scope) -> bool:
        """Say whether an expression changes nothing: each kind, call and loop in it is known."""
        nodes = list(ast.walk(question))
        loops = [node for node in nodes if isinstance(node, ast.comprehension)]
        for loop in loops:  # the outer ones come first
            if _root(loop.iter) in scope:
                scope |= _names(loop.target)
        for node in nodes:
            read: list[ast.expr] = []
            if isinstance(node, ast.Call):
                called = self.full_name(node.func)
                method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
                if any(word.arg in ("key", "out") for word in node.keywords):
                    return False
                if called == "map" and not self._is_known(node.args[0]):
                    return False
                if called in READING:
                    several = called in ("max", "min") and len(node.args) > 1
                    read = [] if several else node.args[called == "map" :]
                elif not self._is_known(node.func) and (called or not method):
                    return False
            elif isinstance(node, ast.comprehension):
                read = [node.iter]
            elif isinstance(node, ast.Starred):
                read = [node.value]
            elif isinstance(node, ast.Compare):
                pairs = zip(node.ops, node.comparators, strict=True)
                read = [one for op, one in pairs if isinstance(op, ast.In | ast.NotIn)]
            elif not isinstance(node, PURE):
                return False
            if not all(self._reads(one, scope) for one in read):
                return False
        return True

    def _is_known(self, function: ast.expr) -> bool:
        name = self.full_name(function)
        return name in ASKING | READING | TORCH or name.startswith("math.")

    def _reads(self, node: ast.expr, scope: Scope) -> bool:
        """Say whether going through the value of an expression uses nothing up."""
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                return True  # of dictionaries and tensors
            return self.full_name(node.func) in READING | {"range"}
        if isinstance(node, ast.IfExp):
            return self._reads(node.body, scope) and self._reads(node.orelse, scope)
        if isinstance(node, ast.Attribute) and node.attr == "shape":
            return True
        root = _root(node)
        return isinstance(node, FRESH) or root in scope or root.isupper()


def _root(node: ast.expr) -> str:
    """Return the name or field that items, slices and `items()` are taken of, as it is written."""
    while isinstance(node, ast.Subscript | ast.Call):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value if node.func.attr in ("items", "values") else ast.Tuple([])
        else:
            node = node.value if isinstance(node, ast.Subscript) else ast.Tuple([])
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def _names(target: ast.expr) -> Scope:
    """Return the names that a target binds; none if it changes an item or an attribute."""
    nodes = target.elts if isinstance(target, ast.Tuple) else [target]
    if not all(isinstance(node, ast.Name) for node in nodes):
        return frozenset()
    return frozenset(node.id for node in nodes if isinstance(node, ast.Name))


def _collections(annotated: Iterable[tuple[str, ast.expr | None]]) -> Scope:
    written = [(name, ast.unparse(what)) for name, what in annotated if what is not None]
    return frozenset(n for n, what in written if COLLECTION.search(what) and not ONCE.search(what))


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Scope:
    """Return what may be gone through twice inside a function: what it assigns may not."""
    a = function.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    stored = {name.id for name in names if not isinstance(name.ctx, ast.Load)}
    own = _collections((one.arg, one.annotation) for one in every) - stored
    return frozenset(one for one in scope if one.startswith("self.")) | own
