"""An executable companion book to the theory of hierarchical learning.

A theorem becomes an experiment, an experiment leaves records, records settle claims, and a chapter
shows them. The wings `quadratic`, `cube`, `grammar` and `ball` hold the mathematics and what is
run; `engine` is what they share, `sweeps` computes, `records` keeps, `claims` judges; `book` and
`cli` make the book.
"""

from collections.abc import Iterable
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

__version__ = "0.1.0"


def forget_old_bytecode(sources: Iterable[Path]) -> None:
    """Remove bytecode that was not written after its source last changed.

    Python takes it for the source's where size and second agree, and would run the code before.
    """
    for source in sources:
        with suppress(OSError):  # there is none, or it can only be read
            cached, seen = Path(cache_from_source(str(source))), source.stat()
            if cached.stat().st_mtime_ns <= max(seen.st_mtime_ns, seen.st_ctime_ns):
                cached.unlink()


forget_old_bytecode(Path(__file__).parent.rglob("*.py"))
