"""Hierarchical quadratic targets (chapters 1, 3 and 6): target, networks, training, runs."""
