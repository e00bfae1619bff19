"""An executable companion book to the theory of hierarchical learning.

A theorem becomes an experiment, an experiment leaves records, records settle claims, and a chapter
shows them. The wings `quadratic`, `cube`, `grammar` and `ball` hold the mathematics and what is
run; `engine` is what they share, `sweeps` computes, `records` keeps, `claims` judges; `book` and
`cli` make the book.
"""

__version__ = "0.1.0"
