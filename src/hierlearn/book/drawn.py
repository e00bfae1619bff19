"""The figures that a chapter shows, outside its notebook: as numbers, vectors or pixels."""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from hierlearn.book.pages import Page
from hierlearn.book.project import Project
from hierlearn.drawing import figures
from hierlearn.errors import RunError


def shown(project: Project, name: str) -> dict[str, Callable[..., Any]]:
    """Return the figure functions that the chapter `name` shows, by name, in their order.

    They are those of a wing, or the notebook's own, of which only imports and functions are run.
    """
    script = project.notebook(name).with_suffix(".py")
    body = ast.parse(script.read_text(encoding="utf-8")).body
    defining = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    known: dict[str, Any] = {}
    module = ast.Module([one for one in body if isinstance(one, defining)], type_ignores=[])
    exec(compile(module, script, "exec"), known)
    found = []
    for call in (one.value for one in body if isinstance(one, ast.Expr)):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "chapter.show":
            found.append(eval(compile(ast.Expression(call.args[0]), script, "eval"), known))
    names = [figure.__name__.replace("_", "-") for figure in found]
    if twice := {one for one in names if names.count(one) > 1}:
        raise RunError(f"{name} shows two figures of one name, and address: {', '.join(twice)}")
    return dict(zip(names, found, strict=True))


def write(page: Page, figure: Callable[..., Any], stem: Path, formats: Iterable[str]) -> list[Path]:
    """Write a figure of a page as csv, svg or png; return the files, named after `stem`."""
    drawing, _ = page.draw(figure)
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = []
    with figures.style():
        fig = drawing.fig
        for suffix in formats:
            files.append(stem.with_name(f"{stem.name}.{suffix}"))
            if suffix == "csv":
                files[-1].write_text(drawing.csv(), encoding="utf-8", newline="")
            elif suffix == "svg":
                name = figure.__name__.replace("_", "-")
                figures.save(fig, files[-1], name=name, alt=drawing.alt)
            else:
                fig.savefig(files[-1], dpi=200, facecolor="white")
        plt.close(fig)
    return files
