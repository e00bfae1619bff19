"""Who learns what: one table of tasks from all wings, and where a learner stands on them."""
