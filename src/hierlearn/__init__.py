"""An executable companion book to the theory of hierarchical learning.

A theorem becomes an experiment, an experiment leaves records, records settle claims, and a chapter
shows them. `targets`, `learners`, `training` and `measure` hold the mathematics, `experiments`
what is run; `sweeps` computes it, `records` keeps it, `claims` judges it; `pages` and `cli` make
the book.
"""

__version__ = "0.1.0"
